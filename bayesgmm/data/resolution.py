"""The step that a feature was recorded to, found from its values or given by the user."""

from typing import Any

import numpy as np

from bayesgmm.arguments import check_choice
from bayesgmm.exceptions import InvalidArgumentError

# Decimal grids finer than this part of a feature's range are not recording steps that could matter.
FINEST_GRID = 1e-9
# Values lie on an even grid if they do so to this part of their distance; its step is the smallest gap or a part of it.
EVEN = 1e-8
MOST_PARTS = 10
MANY_VALUES = 8
# Of a larger step squares of variances are infinite.
MOST_STEP = 1e70


def recording_step(column: np.ndarray) -> float:
    """The step that a feature was recorded to; 0 where its values do not repeat.

    Ties are what rounding leaves behind, so a feature without ties is taken as continuous. Otherwise the step is the
    largest power of ten of which all values are multiples, or that of a coarser even grid they lie on, as rounded data
    do that were centred or are in other units now.
    """
    column = column[~np.isnan(column)]
    values = np.unique(column)
    if values.size in (1, column.size):
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


def off_grid(column: np.ndarray, origin: float, step: float) -> np.ndarray:
    """The values of a feature that do not lie on the even grid of a step through ``origin``."""
    multiples = (column - origin) / step
    return column[np.abs(multiples - np.rint(multiples)) > EVEN * (1 + np.abs(multiples))]


def check_resolution(resolution: Any, values: np.ndarray) -> np.ndarray:
    """Recording steps, (D,): "auto" finds them, None or 0 switches them off, else a number or one a feature."""
    n_features = values.shape[1]
    if isinstance(resolution, str):
        check_choice(resolution, "resolution", ("auto",))
        return np.array([recording_step(column) for column in values.T])
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
    if (steps > MOST_STEP).any():
        raise InvalidArgumentError(
            f"resolution = {resolution!r} is more than {MOST_STEP:g}, of which float64 cannot hold the powers that are "
            "needed: give the step in the feature's own units, or None."
        )
    return steps
