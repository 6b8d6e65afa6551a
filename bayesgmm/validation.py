"""The checks that data and arguments pass before any computation, each with a message that says what to do."""

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError, InvalidDataTypeError

# Ranges of features beyond this and its inverse leave no room for squares of variances.
LEAST_RANGE = 1e-70
# Decimal grids finer than this part of a feature's range are not recording steps that could matter.
FINEST_GRID = 1e-9
# Values lie on an even grid if they do so to this part of their distance; its step is the smallest gap or a part of it.
EVEN = 1e-8
MOST_PARTS = 10
MANY_VALUES = 8


@dataclass(frozen=True)
class Table:
    """Checked data: ``values`` (N, D), float64, C-contiguous and finite, and the D feature names."""

    values: np.ndarray
    features: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        n_rows, n_features = self.values.shape
        return n_rows, n_features


def _named(items: list[str], most: int = 5) -> str:
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def _from_frame(X: Any) -> Table | None:
    """A data frame of any kind that narwhals reads (pandas, Polars, PyArrow), or None for anything else."""
    if not (hasattr(X, "columns") or hasattr(X, "column_names")):
        return None
    import narwhals.stable.v2 as nw

    names = [str(c) for c in (X.columns if hasattr(X, "columns") else X.column_names)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidDataError(f"column names repeat: {_named([repr(n) for n in repeated])}. Give each its own name.")
    frame: Any = nw.from_native(X, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return None
    # By position: pandas' names need not be strings.
    columns, bad = [], []
    for name, column in zip(names, frame.iter_columns(), strict=True):
        values = column.to_numpy()
        numeric = column.dtype.is_numeric() or column.dtype == nw.Boolean
        # An object column may still hold numbers: pandas has no better type for some of them.
        if numeric or (column.dtype == nw.Object and _converts(values)):
            columns.append(values.astype(np.float64))
        else:
            bad.append(name)
    if bad:
        raise InvalidDataTypeError(
            f"non-numeric columns: {_named([repr(c) for c in bad])}. Drop them, encode them as numbers, "
            "or choose the numeric columns only."
        )
    return Table(np.column_stack(columns) if columns else np.empty((len(frame), 0)), tuple(names))


def _converts(column: np.ndarray) -> bool:
    try:
        column.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _from_array(X: Any) -> Table:
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise InvalidDataTypeError("X is a sparse matrix; a Gaussian mixture needs dense data: pass X.toarray().")
    try:
        array = np.asarray(X)
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
        bad = [j for j in range(array.shape[1]) if not _converts(array[:, j])]
        if bad:
            raise InvalidDataTypeError(
                f"non-numeric columns: {_named([str(j) for j in bad])}; argument must be a string or a number that "
                "reads as a real number. Drop them or encode them as numbers."
            )
    return Table(array.astype(np.float64), tuple(f"x{j}" for j in range(array.shape[1])))


def check_table(X: Any) -> Table:
    """Read ``X`` (N, D) as finite float64 numbers with feature names.

    Raises
    ------
    InvalidDataTypeError
        Non-numeric columns, sparse or unreadable input.
    InvalidDataError
        Not two-dimensional, no rows or columns, repeated column names, NaN or infinity.
    """
    table = _from_frame(X) or _from_array(X)
    n_rows, n_features = table.shape
    if n_rows == 0:
        raise InvalidDataError(
            f"Found array with 0 sample(s) (shape=({n_rows}, {n_features})) while a minimum of 1 is required: "
            "X has no rows."
        )
    if n_features == 0:
        raise InvalidDataError(
            f"Found array with 0 feature(s) (shape=({n_rows}, {n_features})) while a minimum of 1 is required: "
            "X has no columns."
        )
    finite = np.isfinite(table.values)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        bad = table.values[row, column]
        raise InvalidDataError(
            f"Input X contains {'NaN' if np.isnan(bad) else 'infinity'}: row {row}, column "
            f"{table.features[column]!r} ({int((~finite).sum())} such values in all). "
            "Drop or impute these rows first; a mixture of complete rows is fitted here."
        )
    return Table(np.ascontiguousarray(table.values), table.features)


def check_training_table(X: Any, n_components: int, sample_weight: Any = None) -> tuple[Table, np.ndarray | None]:
    """Read data to be fitted: on top of :func:`check_table`, enough distinct rows and no constant feature."""
    table = check_table(X)
    n_rows, _ = table.shape
    weight = check_sample_weight(sample_weight, n_rows)
    used = table.values if weight is None else table.values[weight > 0]
    if len(used) < 2:
        raise InvalidDataError(
            f"n_samples = {len(used)}: one row (1 sample) has no spread to estimate; a fit needs at least 2 rows."
        )
    if len(used) < n_components:
        raise InvalidDataError(
            f"n_samples = {len(used)} rows are fewer than n_components = {n_components}: "
            f"choose n_components <= {len(used)} or add rows."
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
        raise InvalidDataError(f"constant feature: {_named(names)}. A constant has no variance: drop it.")
    beyond = ~((spread >= LEAST_RANGE) & (spread <= 1 / LEAST_RANGE))
    if beyond.any():
        j = int(beyond.argmax())
        raise InvalidDataError(
            f"column {table.features[j]!r} spans {spread[j]:.3g}, of which float64 cannot hold the powers that are "
            f"needed: rescale it to between {LEAST_RANGE:g} and {1 / LEAST_RANGE:g}."
        )
    return table, weight


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


def check_count(value: Any, name: str, *, least: int = 1) -> int:
    """An integer argument of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidArgumentError(f"{name} = {value!r} must be an integer of at least {least}.")
    if value < least:
        raise InvalidArgumentError(f"{name} = {value} must be at least {least}.")
    return int(value)


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """An argument that names one of ``choices``."""
    if value not in choices:
        raise InvalidArgumentError(f"unknown {name} {value!r}: choose one of {', '.join(map(repr, choices))}.")
    return str(value)


def check_probability(value: Any, name: str) -> float:
    """An argument strictly between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating) or not 0 < value < 1:
        raise InvalidArgumentError(f"{name} = {value!r} must be a number strictly between 0 and 1.")
    return float(value)


def recording_step(column: np.ndarray) -> float:
    """The step that a feature was recorded to; 0 where its values do not repeat.

    Ties are what rounding leaves behind, so a feature without ties is taken as continuous. Otherwise the step is the
    largest power of ten of which all values are multiples, or that of a coarser even grid they lie on, as rounded data
    do that were centred or are in other units now.
    """
    values = np.unique(column)
    if values.size == column.size:
        return 0.0
    span = values[-1] - values[0]
    even = _even_step(values)
    for exponent in range(int(np.ceil(np.log10(span))), int(np.floor(np.log10(span * FINEST_GRID))), -1):
        # Negative powers are divided by, not multiplied: 10.0**-3 is not exact, 10.0**3 is.
        multiples = values * 10.0**-exponent if exponent <= 0 else values / 10.0**exponent
        tolerance = 4 * np.finfo(np.float64).eps * np.maximum(np.abs(multiples), 1.0)
        if (np.abs(multiples - np.rint(multiples)) <= tolerance).all():
            # Few values may all be, say, even by chance, unless they leave none out.
            telling = values.size >= MANY_VALUES or np.rint(span / max(even, span / 1e6)) == values.size - 1 > 2
            return even if telling and even > 1.5 * 10.0**exponent else 10.0**exponent
    return even


def _even_step(values: np.ndarray) -> float:
    """The step of an even grid, of any offset, on which sorted distinct values lie; 0 where there is none.

    It is their smallest gap or a simple part of it.
    """
    span = values[-1] - values[0]
    gaps = np.diff(values)
    gaps = gaps[gaps > EVEN * span]  # closer ones are one value, written in two ways
    if gaps.size < 2 or gaps.min() < FINEST_GRID * span:
        return 0.0
    for part in range(1, MOST_PARTS + 1):
        step = span / np.rint(span * part / gaps.min())
        multiples = (values - values[0]) / step
        if (np.abs(multiples - np.rint(multiples)) <= EVEN * (1 + multiples)).all():
            return float(step)
    return 0.0


def check_resolution(resolution: Any, table: Table) -> np.ndarray:
    """Recording steps, (D,): "auto" finds them, None or 0 switches them off, else a number or one a feature."""
    n_features = table.shape[1]
    if isinstance(resolution, str):
        check_choice(resolution, "resolution", ("auto",))
        return np.array([recording_step(column) for column in table.values.T])
    try:
        steps = np.asarray(0.0 if resolution is None else resolution, dtype=np.float64)
        steps = np.array(np.broadcast_to(steps, (n_features,)))
    except (TypeError, ValueError):
        raise InvalidArgumentError(
            f"resolution = {resolution!r} must be 'auto', None, a number, or one number for each of the "
            f"{n_features} features."
        ) from None
    if not np.isfinite(steps).all() or (steps < 0).any():
        raise InvalidArgumentError(f"resolution = {resolution!r} must be finite and not negative.")
    return steps


def moments(x: np.ndarray, weight: np.ndarray | None = None, block: int = 65_536) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances (D,) of the rows of ``x``, block by block: no second array as large as the data."""
    weight = np.ones(len(x)) if weight is None else weight
    blocks = [slice(i, i + block) for i in range(0, len(x), block)]
    centre = sum(weight[b] @ x[b] for b in blocks) / weight.sum()
    variance = sum(weight[b] @ (x[b] - centre) ** 2 for b in blocks) / weight.sum()
    return np.asarray(centre), np.asarray(variance)
