"""Rows that are of no component: uniform over a box."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Noise:
    """A share of the rows that is spread evenly over a box.

    Parameters
    ----------
    share : (...) array
        Of all rows; with a leading axis of draws where the mixture has one.
    low, high : (D,) arrays
        The box's sides.
    """

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __getitem__(self, draws: Any) -> "Noise":
        return Noise(np.asarray(self.share)[draws], self.low, self.high)

    @property
    def volume(self) -> float:
        """Of the box, in the features' units multiplied."""
        return float(np.prod(self.high - self.low))

    def marginal(self, axes: Sequence[int]) -> "Noise":
        """That of some of the features."""
        return Noise(self.share, self.low[list(axes)], self.high[list(axes)])

    def simulate(self, n_rows: int, rng: np.random.Generator) -> np.ndarray:
        """Rows of it, (n_rows, D)."""
        return rng.uniform(self.low, self.high, size=(n_rows, self.low.size))
