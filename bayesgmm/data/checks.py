"""What a table has to be before anything is made of it, each with a sentence for where it is not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.reading import listed
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError

if TYPE_CHECKING:
    from bayesgmm.data.table import Table

# Ranges of features beyond this and its inverse leave no room for squares of variances.
LEAST_RANGE = 1e-70


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
        wrong = weight[~np.isfinite(weight) | (weight < 0)]
        given = f"holds {wrong[0]:g}" if wrong.size else "is 0 of every row"
        raise InvalidArgumentError(f"sample_weight {given}: weights must be finite, not negative and not all zero.")
    return np.ascontiguousarray(weight)


def positions(n_features: int) -> tuple[str, ...]:
    """Names for the features of an array, which has none."""
    return tuple(f"x{j}" for j in range(n_features))


def other_features(n_features: int, features: tuple[str, ...]) -> str:
    """How a mismatch of features begins to be said."""
    return (
        f"X has {n_features} features, but the mixture was fitted to {len(features)} features "
        f"({listed(list(features), 10)}): "
    )


def places(names: Sequence[str] | None, features: tuple[str, ...]) -> list[int] | None:
    """Where the fitted features stand among a frame's columns, by name; None where they go by position.

    That is where X has no names, or the mixture was fitted to an array and these are not the names it gave.

    Raises
    ------
    InvalidDataError
        A column is not there.
    """
    if names is None:
        return None
    missing = [repr(name) for name in features if name not in names]
    if not missing:
        return [names.index(name) for name in features]
    if features == positions(len(features)):
        return None
    raise InvalidDataError(
        other_features(len(names), features) + f"it has no column {listed(missing)}, but "
        f"{listed([repr(name) for name in names], 10)}. Rename its columns, or pass X.to_numpy() to take them by "
        "position."
    )


def finite(values: np.ndarray, features: tuple[str, ...], gaps: bool) -> np.ndarray:
    """Values with at least one row and column, all finite, or NaN if there may be gaps; C-contiguous."""
    n_rows, n_features = values.shape
    for n, what, plural in ((n_rows, "sample", "rows"), (n_features, "feature", "columns")):
        if n == 0:
            raise InvalidDataError(
                f"Found array with 0 {what}(s) (shape=({n_rows}, {n_features})) while a minimum of 1 is required: "
                f"X has no {plural}."
            )
    bad = np.isinf(values) if gaps else ~np.isfinite(values)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        infinite = np.isinf(values[row, column])
        raise InvalidDataError(
            f"Input X contains {'infinity' if infinite else 'NaN'}: row {row}, column {features[column]!r} "
            f"({int(bad.sum())} such values in all). "
            + (
                "Drop or mend these rows first."
                if infinite
                else 'missing="marginalise" where the model is made fits what was seen of every row; or drop or impute '
                "these rows first."
            )
        )
    return np.ascontiguousarray(values)


def check_spread(table: "Table") -> None:
    """Raise InvalidDataError where there is no spread to model, or more than float64 can hold the powers of."""
    used = table.counted.values
    if len(used) < 2:
        raise InvalidDataError(
            f"n_samples = {len(used)}: one row (1 sample) has no spread to estimate; a fit needs at least 2 rows."
        )
    nothing = np.isnan(used).all(axis=0)
    if nothing.any():
        names = [repr(table.features[j]) for j in np.flatnonzero(nothing)]
        raise InvalidDataError(f"no value was seen of {listed(names)}: there is nothing to learn of it. Drop it.")
    check_limits(*table.limits, table.features, len(used))


def check_limits(least: np.ndarray, greatest: np.ndarray, features: tuple[str, ...], n_rows: int) -> None:
    """The same by the features' least and greatest values, (D,)."""
    with np.errstate(over="ignore"):
        spread = greatest - least
    # A spread at the level of rounding error is a constant, written down inexactly.
    constant = spread <= 8 * np.finfo(np.float64).eps * np.maximum(np.abs(least), np.abs(greatest))
    if constant.all():
        raise InvalidDataError(
            f"all {n_rows} rows are duplicates of one row: there is no spread to model. Check how X was read."
        )
    if constant.any():
        names = [repr(features[j]) for j in np.flatnonzero(constant)]
        raise InvalidDataError(f"constant feature: {listed(names)}. A constant has no variance: drop it.")
    beyond = ~((spread >= LEAST_RANGE) & (spread <= 1 / LEAST_RANGE))
    if beyond.any():
        j = int(beyond.argmax())
        raise InvalidDataError(
            f"column {features[j]!r} spans {spread[j]:.3g}, of which float64 cannot hold the powers that are "
            f"needed: rescale it to between {LEAST_RANGE:g} and {1 / LEAST_RANGE:g}."
        )
