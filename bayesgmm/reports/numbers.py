"""Numbers to be read."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# Digits that an interval's width is told to, and decimals at most.
OF_WIDTH, MOST_DECIMALS = 2, 6
# Digits of a measured value, if its column has as many.
OF_VALUE = 4
# Beyond these a number is written with its power of ten.
LARGE, SMALL = 1e6, 1e-4
NONE = "\u2013"


def number(value: Any) -> str:
    """A number by itself: four digits, or as many as it has before the point."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return NONE
    value = float(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\u202f") if abs(value) >= 1e4 else f"{int(value)}"
    if abs(value) >= LARGE or abs(value) < SMALL:
        return f"{value:.3e}"
    return f"{value:.{_decimals(abs(value), OF_VALUE)}f}"


def short(value: Any) -> str:
    """A number that was set rather than estimated."""
    return f"{float(value):.6g}" if np.isfinite(float(value)) else NONE


def estimates(cells: Iterable[np.ndarray]) -> list[tuple[str, str, str]]:
    """A column of estimates, each a mean and the ends of its interval (3,), to the decimals of the narrowest interval.

    An interval is told to two digits of its width: what comes after these, the posterior does not know.
    """
    column = [np.asarray(cell, dtype=float) for cell in cells]
    widths = [high - low for _, low, high in column if high > low]
    greatest = max((float(np.abs(cell).max()) for cell in column), default=0.0)
    if greatest >= LARGE or (widths and min(widths) < SMALL):
        return [(number(a), number(b), number(c)) for a, b, c in column]
    decimals = _decimals(min(widths), OF_WIDTH) if widths else _needed(column)
    return [tuple(f"{value:z.{decimals}f}" for value in cell) for cell in column]  # type: ignore[misc]


def aligned(values: np.ndarray) -> list[str]:
    """A column of measured values, all with as many decimals: those that they have, to four digits of the greatest."""
    values = np.asarray(values, dtype=float)
    seen = values[np.isfinite(values)]
    greatest = float(np.abs(seen).max(initial=0.0))
    if greatest >= LARGE or 0 < greatest < SMALL:
        return [number(value) for value in values.tolist()]
    decimals = min(_decimals(greatest, OF_VALUE), _needed([seen]))
    return [f"{value:z.{decimals}f}" if np.isfinite(value) else NONE for value in values]


def _decimals(size: float, digits: int) -> int:
    """Decimals that show so many digits of a number of this size."""
    return int(np.clip(digits - 1 - np.floor(np.log10(size)), 0, MOST_DECIMALS)) if size > 0 else 0


def _needed(values: Sequence[np.ndarray]) -> int:
    """The least decimals that change none of the values, as far as six say."""
    every = np.concatenate([np.ravel(own) for own in values]) if values else np.empty(0)
    for decimals in range(MOST_DECIMALS):
        if np.allclose(np.round(every, decimals), every, rtol=1e-12, atol=0.5 * 10.0**-MOST_DECIMALS):
            return decimals
    return MOST_DECIMALS
