"""What came in: a table of finite numbers, its names, its rows' weights, and the step each feature was recorded to.

Rows are passed on in *chunks*, so that what follows need not know whether they are in memory, on disk or on other
machines. A table in memory is one chunk.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.data.reading import listed, read, row_names
from bayesgmm.data.resolution import check_resolution
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError

# Ranges of features beyond this and its inverse leave no room for squares of variances.
LEAST_RANGE = 1e-70
# Sums over rows are made of blocks of so many: no second array as large as the data.
BLOCK_ROWS = 65_536


class Chunk(NamedTuple):
    """Some rows: ``values`` (n, D), and their ``weights`` (n,), or (1,) where every row counts once."""

    values: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Table:
    """A table of N rows and D features.

    Parameters
    ----------
    values : (N, D) float64 array
        Finite and C-contiguous.
    features : tuple of D str
    names : pandas.Index, optional
        Of the rows.
    weights : (N,) array, optional
        How often each row counts. None: once.
    resolution : (D,) array, optional
        The step that each feature was recorded to; 0 where it was not rounded.
    """

    values: np.ndarray = field(repr=False)
    features: tuple[str, ...]
    names: Any = field(default=None, repr=False)
    weights: np.ndarray | None = field(default=None, repr=False)
    resolution: np.ndarray | None = None

    @classmethod
    def of(cls, X: Any) -> "Table":
        """Read ``X`` (N, D): an array, a list or a data frame of finite real numbers.

        Raises
        ------
        InvalidDataTypeError
            Non-numeric columns, sparse or unreadable input.
        InvalidDataError
            Not two-dimensional, no rows or columns, repeated column names, NaN or infinity.
        """
        values, features = read(X)
        return cls(_finite(values, features), features or _positions(values.shape[1]), row_names(X))

    @classmethod
    def to_fit(cls, X: Any, *, sample_weight: Any = None, resolution: Any = "auto") -> "Table":
        """Read data to be fitted: on top of :meth:`of`, two rows that differ and no constant feature.

        Raises
        ------
        InvalidDataTypeError, InvalidDataError, InvalidArgumentError
        """
        table = cls.of(X)
        weights = check_sample_weight(sample_weight, table.n_rows)
        table = replace(table, weights=weights)
        _check_spread(table)
        return replace(table, resolution=check_resolution(resolution, table.values))

    @classmethod
    def like(cls, X: Any, features: Sequence[str]) -> "Table":
        """Read new rows of ``features``, as every function here that takes new data does.

        A data frame's columns are taken by name, whatever their order and however many more there are; a frame that
        lacks one of them is an error. What has no names, an array or a mixture that was fitted to one, goes by position
        and needs one column for each feature.

        Raises
        ------
        InvalidDataTypeError, InvalidDataError
        """
        values, names = read(X)
        given = tuple(features)
        if names is None or given == _positions(len(given)):
            if values.shape[1] != len(given):
                raise InvalidDataError(_other_features(values, given) + "give one column for each.")
        elif names != given:
            missing = [repr(name) for name in given if name not in names]
            if missing:
                raise InvalidDataError(
                    _other_features(values, given) + f"it has no column {listed(missing)}, but "
                    f"{listed([repr(name) for name in names], 10)}. Rename its columns, or pass X.to_numpy() to take "
                    "them by position."
                )
            values = values[:, [names.index(name) for name in given]]
        return cls(_finite(values, given), given, row_names(X))

    # Its shape ------------------------------------------------------------------------------------------------------

    @property
    def n_rows(self) -> int:
        return len(self.values)

    @property
    def n_features(self) -> int:
        return self.values.shape[1]

    @property
    def row_weights(self) -> np.ndarray:
        """How often each row counts, (N,)."""
        return np.ones(self.n_rows) if self.weights is None else self.weights

    @cached_property
    def total(self) -> float:
        """The rows' weights added up."""
        return float(self.n_rows if self.weights is None else self.weights.sum())

    @property
    def rounding(self) -> np.ndarray:
        """Variance that rounding added to each feature (Sheppard), (D,)."""
        return np.zeros(self.n_features) if self.resolution is None else self.resolution**2 / 12

    def chunks(self) -> Iterator[Chunk]:
        """All rows, a chunk at a time."""
        yield Chunk(self.values, np.ones(1) if self.weights is None else self.weights)

    # Parts of it ----------------------------------------------------------------------------------------------------

    def rows(self, chosen: np.ndarray) -> "Table":
        """The table of some rows, given by position or by a mask."""
        return replace(
            self,
            values=np.ascontiguousarray(self.values[chosen]),
            names=None if self.names is None else self.names[chosen],
            weights=None if self.weights is None else self.weights[chosen],
        )

    @property
    def counted(self) -> "Table":
        """The rows whose weight is not 0."""
        return self if self.weights is None else self.rows(self.weights > 0)

    def subsample(self, most: int, rng: np.random.Generator) -> "Table":
        """At most so many of the rows, drawn without replacement; the table itself if that is all."""
        return self if self.n_rows <= most else self.rows(rng.choice(self.n_rows, most, replace=False))

    # Its moments ----------------------------------------------------------------------------------------------------

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances (D,) of the weighted rows."""
        blocks = list(self._blocks())
        centre = np.asarray(sum(_weighted_sum(block.values, block.weights) for block in blocks) / self.total)
        squares = sum(_weighted_sum((block.values - centre) ** 2, block.weights) for block in blocks)
        return centre, np.asarray(squares / self.total)

    @cached_property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest value of each feature, (D,), in the rows that count."""
        values = self.values if self.weights is None else self.values[self.weights > 0]
        return values.min(axis=0), values.max(axis=0)

    def _blocks(self) -> Iterator[Chunk]:
        for chunk in self.chunks():
            for start in range(0, len(chunk.values), BLOCK_ROWS):
                own = slice(start, start + BLOCK_ROWS)
                yield Chunk(chunk.values[own], chunk.weights if chunk.weights.size == 1 else chunk.weights[own])


def check_sample_weight(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Row weights as (N,) float64, or None."""
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.ndim == 0:
        weight = np.full(n_rows, float(weight))
    if weight.shape != (n_rows,):
        raise InvalidArgumentError(f"sample_weight has shape {weight.shape}; X has {n_rows} rows: give one per row.")
    if not np.isfinite(weight).all() or (weight < 0).any() or weight.sum() == 0:
        raise InvalidArgumentError("sample_weight must be finite, not negative and not all zero.")
    return np.ascontiguousarray(weight)


def _weighted_sum(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights[0] * (np.ones(len(values)) @ values) if weights.size == 1 else weights @ values


def _positions(n_features: int) -> tuple[str, ...]:
    """Names for the features of an array, which has none."""
    return tuple(f"x{j}" for j in range(n_features))


def _other_features(values: np.ndarray, features: tuple[str, ...]) -> str:
    """How a mismatch of features begins to be said."""
    return (
        f"X has {values.shape[1]} features, but the mixture was fitted to {len(features)} features "
        f"({listed(list(features), 10)}): "
    )


def _finite(values: np.ndarray, features: tuple[str, ...] | None) -> np.ndarray:
    """Values with at least one row and column, all finite; C-contiguous."""
    n_rows, n_features = values.shape
    for n, what, plural in ((n_rows, "sample", "rows"), (n_features, "feature", "columns")):
        if n == 0:
            raise InvalidDataError(
                f"Found array with 0 {what}(s) (shape=({n_rows}, {n_features})) while a minimum of 1 is required: "
                f"X has no {plural}."
            )
    finite = np.isfinite(values)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        bad = values[row, column]
        raise InvalidDataError(
            f"Input X contains {'NaN' if np.isnan(bad) else 'infinity'}: row {row}, column "
            f"{(features or _positions(values.shape[1]))[column]!r} ({int((~finite).sum())} such values in all). "
            "Drop or impute these rows first; a mixture of complete rows is fitted here."
        )
    return np.ascontiguousarray(values)


def _check_spread(table: Table) -> None:
    """Raise InvalidDataError where there is no spread to model, or more than float64 can hold the powers of."""
    used = table.values if table.weights is None else table.values[table.weights > 0]
    if len(used) < 2:
        raise InvalidDataError(
            f"n_samples = {len(used)}: one row (1 sample) has no spread to estimate; a fit needs at least 2 rows."
        )
    with np.errstate(over="ignore"):
        spread = np.ptp(used, axis=0)
    # A spread at the level of rounding error is a constant, written down inexactly.
    constant = spread <= 8 * np.finfo(np.float64).eps * np.abs(used).max(axis=0)
    if constant.all():
        raise InvalidDataError(
            f"all {len(used)} rows are duplicates of one row: there is no spread to model. Check how X was read."
        )
    if constant.any():
        names = [repr(table.features[j]) for j in np.flatnonzero(constant)]
        raise InvalidDataError(f"constant feature: {listed(names)}. A constant has no variance: drop it.")
    beyond = ~((spread >= LEAST_RANGE) & (spread <= 1 / LEAST_RANGE))
    if beyond.any():
        j = int(beyond.argmax())
        raise InvalidDataError(
            f"column {table.features[j]!r} spans {spread[j]:.3g}, of which float64 cannot hold the powers that are "
            f"needed: rescale it to between {LEAST_RANGE:g} and {1 / LEAST_RANGE:g}."
        )
