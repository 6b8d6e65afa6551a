"""A table of numbers from whatever holds one: an array, a list, a data frame of any kind."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from bayesgmm.exceptions import InMemoryWarning, InvalidDataError, InvalidDataTypeError


def read(X: Any, places: Sequence[int] | None = None) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """The values of ``X`` as float64 (N, D), and its columns' names where it has any.

    Of a data frame only the columns at ``places``, in their order, are read, and others may hold what they will.

    Raises
    ------
    InvalidDataTypeError
        Non-numeric columns, sparse or unreadable input.
    InvalidDataError
        Not two-dimensional, or repeated column names.
    """
    X = _in_memory(X)
    frame = _from_frame(X, places)
    return frame if frame is not None else (_from_array(X), None)


def _in_memory(X: Any) -> Any:
    """What a dask array or data frame holds, which is said; anything else as it is."""
    if type(X).__module__.split(".")[0] != "dask" or not hasattr(X, "compute"):
        return X
    warnings.warn(
        "X is a dask collection: all of it is loaded into this process's memory, as is needed here; fits, predictions "
        "and assignments do without.",
        InMemoryWarning,
        stacklevel=5,
    )
    return X.compute()


def column_names(X: Any) -> list[str] | None:
    """The names of a data frame's columns; None of what is no frame."""
    if hasattr(X, "collect") and hasattr(X, "lazy"):
        raise InvalidDataTypeError(f"X is a {type(X).__name__}, which holds no rows yet: pass X.collect().")
    columns = getattr(X, "columns", getattr(X, "column_names", None))
    return None if columns is None or callable(columns) else [str(name) for name in columns]


def row_names(X: Any) -> Any:
    """The names of the rows of a pandas data frame, as an index; None where rows have none."""
    if not hasattr(X, "index") or not hasattr(X, "columns"):
        return None
    import pandas as pd

    index = X.index
    if not isinstance(index, pd.Index) or isinstance(index, pd.MultiIndex):
        return None
    return index.rename("obs_id")


def plain_names(names: Any) -> Any:
    """Names of rows as a file can hold them, an index of integers or strings."""
    return names if names.dtype.kind in "iu" else names.map(str)


def listed(items: list[str], most: int = 5) -> str:
    """Names in a sentence, the first few of them."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def _from_frame(X: Any, places: Sequence[int] | None) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """A data frame of any kind that narwhals reads (pandas, Polars, PyArrow), or None for anything else."""
    names = column_names(X)
    if names is None:
        return None
    import narwhals.stable.v2 as nw

    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidDataError(f"column names repeat: {listed([repr(n) for n in repeated])}. Give each its own name.")
    frame: Any = nw.from_native(X, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return None
    # By position: pandas' names need not be strings.
    columns, bad, every = [], [], list(frame.iter_columns())
    chosen = range(len(names)) if places is None else places
    for name, column in ((names[j], every[j]) for j in chosen):
        values = _nan_for_na(column.to_numpy())
        numeric = column.dtype.is_numeric() or column.dtype == nw.Boolean
        # Of a column of which no value is there the type says nothing.
        numeric |= len(column) > 0 and bool(column.is_null().all())
        # An object column may still hold numbers: pandas has no better type for some of them.
        if numeric or (column.dtype == nw.Object and _converts(values)):
            columns.append(values.astype(np.float64))
        else:
            bad.append(name)
    if bad:
        raise InvalidDataTypeError(
            f"non-numeric columns: {listed([repr(c) for c in bad])}. Drop them, encode them as numbers, "
            "or choose the numeric columns only."
        )
    return np.column_stack(columns) if columns else np.empty((len(frame), 0)), tuple(names[j] for j in chosen)


def _nan_for_na(values: np.ndarray) -> np.ndarray:
    """An array in which pandas' NA, which is no number to NumPy, is NaN."""
    if values.dtype != object:
        return values
    import pandas as pd

    return np.where(pd.isna(values), np.nan, values)


def _converts(column: np.ndarray) -> bool:
    try:
        column.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _from_array(X: Any) -> np.ndarray:
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise InvalidDataTypeError("X is a sparse matrix; a Gaussian mixture needs dense data: pass X.toarray().")
    try:
        # What a masked array hides was not seen, whatever stands there.
        array = X.astype(object).filled(np.nan) if np.ma.is_masked(X) else np.asarray(X)
    except ValueError as error:
        raise InvalidDataTypeError(f"X cannot be read as a table of numbers: {error}") from error
    if np.iscomplexobj(array):
        raise InvalidDataError("Complex data not supported: pass the real and imaginary parts as two columns.")
    if array.ndim != 2:
        raise InvalidDataError(
            f"Expected 2D array (rows, features), got {array.ndim}D array instead. Reshape your data: "
            "X.reshape(-1, 1) if it has a single feature, X.reshape(1, -1) if it is a single row."
        )
    if array.dtype.kind not in "fiub":
        array = _nan_for_na(array)
        bad = [j for j in range(array.shape[1]) if not _converts(array[:, j])]
        if bad:
            raise InvalidDataTypeError(
                f"non-numeric columns: {listed([str(j) for j in bad])}; argument must be a string or a number that "
                "reads as a real number. Drop them or encode them as numbers."
            )
    return array.astype(np.float64)
