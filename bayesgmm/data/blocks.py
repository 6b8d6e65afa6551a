"""Rows that are not in memory: in files, or on the workers of a Dask cluster, in blocks that pass one by one.

A function of a block goes to where the block is, and what it gives comes back: on a cluster every worker does those of
its own blocks, and adds them up; in one process every core reads a block and works on it. Blocks are added in their
order, so the sum does not depend on who was first.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial, reduce
from itertools import islice
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm.data.checks import other_features, places
from bayesgmm.data.cores import one_of_many, threads
from bayesgmm.data.reading import listed
from bayesgmm.exceptions import (
    ClusterError,
    InvalidArgumentError,
    InvalidDataError,
    InvalidDataTypeError,
    MissingPackageError,
)

# Values of a block, 32 MB, where it is ours to choose.
BLOCK_VALUES = 2**22
# Sums that are added at once on a cluster.
FAN_IN = 16
# Dask gives up on a task whose workers died four times; it is asked for again so often.
RETRIES = 20
# A file mapped into memory is read block by block from this size on, in bytes; less of one is read whole.
LARGE_FILE = 2**28
FILES = (".npy", ".parquet", ".zarr")


def are_elsewhere(X: Any) -> bool:
    """Whether ``X`` are rows that lie in a file or on a cluster: a dask collection, a Zarr array, a path."""
    package = type(X).__module__.partition(".")[0]
    if isinstance(X, np.memmap):
        return X.nbytes >= LARGE_FILE
    return isinstance(X, str | os.PathLike) or package == "zarr" or (package.startswith("dask") and _is_dask(X))


def check_in_memory(measurement_covariance: Any) -> None:
    """Rows that are not in memory are taken as measured exactly: errors of theirs are an error."""
    if measurement_covariance is not None:
        raise InvalidArgumentError(
            "measurement_covariance goes with rows in memory: pass them a part at a time, X.compute(), or leave it out."
        )


def _is_dask(X: Any) -> bool:
    return hasattr(X, "__dask_graph__") and hasattr(X, "npartitions")


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of rows.

    Parameters
    ----------
    array : dask array (N, D)
        One block wide.
    names : tuple of D str, optional
        Of the columns.
    """

    array: Any = field(repr=False)
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, X: Any, features: Sequence[str] | None = None) -> "Blocks":
        """The blocks of what :func:`are_elsewhere`; if they were fitted, of ``features`` alone, in their order.

        They are columns of these names, whatever others there are; without names, all columns.

        Raises
        ------
        InvalidDataError, InvalidDataTypeError, MissingPackageError
        """
        try:
            import dask.array as da
        except ImportError:
            raise MissingPackageError(
                'rows that are not in memory are read by Dask: pip install "bayesgmm[dask]", or load them first.'
            ) from None
        X = _opened(X) if isinstance(X, str | os.PathLike) else X
        names = None
        if hasattr(X, "columns"):
            names = tuple(str(name) for name in X.columns)
            chosen = None if features is None else places(names, tuple(features))
            if chosen is not None:
                X, names = X.iloc[:, chosen], tuple(names[j] for j in chosen)
            bad = [name for name, kind in zip(names, X.dtypes, strict=True) if kind.kind not in "fiub"]
            if bad:
                raise InvalidDataTypeError(
                    f"non-numeric columns: {listed([repr(name) for name in bad])}. Choose the others only."
                )
            X = X.to_dask_array(lengths=True)
        elif not _is_dask(X):
            X = da.from_array(X, chunks=_chunks(X))
        if X.ndim != 2:
            raise InvalidDataError(f"Expected 2D array (rows, features), got {X.ndim}D array instead.")
        if X.dtype.kind not in "fiub":
            raise InvalidDataTypeError(f"X has values of type {X.dtype}; a mixture needs real numbers.")
        if np.isnan(X.shape[0]):
            X = X.compute_chunk_sizes()
        if len(X.chunks[1]) > 1:
            X = X.rechunk({1: -1})
        if features is not None and X.shape[1] != len(features):
            raise InvalidDataError(other_features(X.shape[1], tuple(features)) + "give one column for each.")
        return cls(X.astype(np.float64), names)

    @property
    def n_rows(self) -> int:
        return int(self.array.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.array.shape[1])

    @cached_property
    def starts(self) -> np.ndarray:
        """The first row of every block, and the number of rows, (B + 1,)."""
        return np.cumsum([0, *self.array.chunks[0]])

    @cached_property
    def _client(self) -> Any:
        """The cluster's client, if there is one."""
        try:
            from distributed import get_client

            return get_client()
        except (ImportError, ValueError):
            return None

    def lazily(self, function: Callable[..., Any], width: int | None = None, dtype: Any = np.float64) -> Any:
        """What ``function`` gives of every block, (n, ``width``) or (n,), as a dask array that is not computed yet."""
        if width is None:
            return self.array.map_blocks(function, dtype=dtype, drop_axis=1, meta=np.empty(0, dtype))
        chunks = (self.array.chunks[0], (width,))
        return self.array.map_blocks(function, dtype=dtype, chunks=chunks, meta=np.empty((0, 0), dtype))

    def settled(self) -> "Blocks":
        """The blocks, kept in the workers' memory if they are on a cluster."""
        return self if self._client is None else Blocks(self._client.persist(self.array), self.names)

    @cached_property
    def _parts(self) -> list[Any]:
        """The blocks as dask has them."""
        if self._client is not None:
            from distributed import futures_of

            order = {key: i for i, key in enumerate(self._keys)}
            return sorted(futures_of(self.array), key=lambda future: order[future.key])
        # A dask array of one block is copied when it is computed, which takes as long as reading it; this is not.
        return list(self.array.to_delayed().ravel())

    @property
    def _keys(self) -> list[Any]:
        return [(self.array.name, i, 0) for i in range(len(self.starts) - 1)]

    # What is done with them -----------------------------------------------------------------------------------------

    def total(self, function: Callable[..., Any], *each: Any) -> Any:
        """The sum of what ``function`` gives of every block (n, D), and of its part of ``each``."""
        if self._client is not None:
            return self._gathered(function, each, summed=True)
        return reduce(add, self._mapped(function, each))

    def each(self, function: Callable[..., Any], *each: Any) -> list[Any]:
        """What ``function`` gives of every block (n, D), and of its part of ``each``."""
        return self._gathered(function, each) if self._client is not None else list(self._mapped(function, each))

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """The rows at some positions, (n, D), in their order."""
        order = np.argsort(positions, kind="stable")
        sorted_ = positions[order]
        cuts = np.searchsorted(sorted_, self.starts)
        own = [sorted_[a:b] - start for a, b, start in zip(cuts, cuts[1:], self.starts, strict=False)]
        values = np.empty((len(positions), self.n_features))
        values[order] = np.concatenate(self.each(_some, own))
        return values

    def _mapped(self, function: Callable[..., Any], each: tuple[Sequence[Any], ...]) -> Iterator[Any]:
        """In this process: as many blocks at a time as there are threads for a pass, each read and done by one.

        Rows of 4 features in Zarr, K = 5, two cores: 1.5 times what the arithmetic alone takes on both. With one
        block at a time on both cores, and a third thread that reads the next, it was 1.7.
        """
        n, parts = threads(), iter(zip(self._parts, *each, strict=True))
        with ThreadPoolExecutor(n) as pool:
            # One more than are worked on: it is not read yet.
            waiting = deque(pool.submit(_here, function, *given) for given in islice(parts, n + 1))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(_here, function, *given) for given in islice(parts, 1))

    def _gathered(self, function: Callable[..., Any], each: tuple[Sequence[Any], ...], *, summed: bool = False) -> Any:
        """On the workers."""
        client = self._client
        try:
            parts = client.map(_alone, self._parts, *each, function=function, pure=False)
            while summed and len(parts) > FAN_IN:
                groups = [parts[i : i + FAN_IN] for i in range(0, len(parts), FAN_IN)]
                parts = client.map(partial(reduce, add), groups, pure=False)
            found = _patiently(client, parts)
        except Exception as error:
            of_cluster = isinstance(error, OSError | CancelledError | TimeoutError)
            if not (of_cluster or type(error).__module__.startswith("distributed")):  # of the function, or of the rows
                raise
            raise ClusterError(
                f"the cluster did not finish a pass over the rows ({type(error).__name__}: {error}). Start it again, "
                "and fit once more; what find_MAP(store=...) kept is not computed again."
            ) from error
        return reduce(add, found) if summed else found


def _patiently(client: Any, futures: list[Any]) -> list[Any]:
    """The futures' results; what was on a worker that died, and died again, is done again."""
    from distributed import KilledWorker

    for left in range(RETRIES, -1, -1):
        try:
            return client.gather(futures)
        except KilledWorker:
            if left == 0:
                raise
            client.retry(futures)
    raise AssertionError


def _opened(path: str | os.PathLike) -> Any:
    """What lies at a path."""
    where = Path(path)
    if where.suffix not in FILES:
        raise InvalidDataTypeError(
            f"X = {str(path)!r} is text; a path is to a file of rows that ends in {', '.join(FILES)}. Read other files "
            "first, by pandas.read_csv for one."
        )
    if not where.exists():
        raise InvalidDataError(f"X = {str(path)!r}: there is no such file.")
    if where.suffix == ".npy":
        return np.load(where, mmap_mode="r")
    if where.suffix == ".parquet":
        import dask.dataframe

        return dask.dataframe.read_parquet(where, split_row_groups="adaptive", blocksize=8 * BLOCK_VALUES)
    import zarr

    opened = zarr.open(where, mode="r")
    if not isinstance(opened, zarr.Array):
        arrays = sorted(name for name, _ in opened.arrays())
        raise InvalidDataError(
            f"X = {str(path)!r} is a Zarr group of arrays ({listed(arrays)}): give the path of one, "
            f"such as {str(where / (arrays or ['x'])[0])!r}."
        )
    return opened


def _chunks(X: Any) -> tuple[int, int]:
    """Rows of a block of an array in a file: as many of its own chunks as make a block."""
    n_features = X.shape[1]
    own = X.chunks[0] if hasattr(X, "chunks") and X.chunks else 1
    rows = max(1, BLOCK_VALUES // max(n_features, 1))
    return max(own, rows // own * own), n_features


def _some(block: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return block[rows]


def _here(function: Callable[..., Any], part: Any, *given: Any) -> Any:
    return _alone(part.compute(scheduler="synchronous"), *given, function=function)


def _alone(block: Any, *given: Any, function: Callable[..., Any]) -> Any:
    with one_of_many():
        return function(np.ascontiguousarray(block), *given)
