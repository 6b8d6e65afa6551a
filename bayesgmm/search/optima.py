"""The distinct optima that a search found, and what each of them holds of the posterior."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesgmm.record.provenance import NEGLIGIBLE_SHARE, Modes
from bayesgmm.record.starts import Starts
from bayesgmm.search.climb import Optimum
from bayesgmm.search.mode import Mode, distinct_modes, shares
from bayesgmm.search.problem import Problem


@dataclass(frozen=True, eq=False)
class Optima:
    """The optima of the parameters' density that may hold some of the posterior, and the modes above them.

    Attributes
    ----------
    problem : Problem
    starts : Starts
        What became of every start.
    found : tuple of Optimum
        From the highest on, each once up to the order of the components.
    """

    problem: Problem
    starts: Starts
    found: tuple[Optimum, ...]

    @cached_property
    def _modes(self) -> tuple[list[Mode], np.ndarray]:
        # Several optima may have one mode of the density of q above them: its Jacobian shifts them together.
        return distinct_modes(self.problem, [optimum.q for optimum in self.found])

    @cached_property
    def _shares(self) -> np.ndarray:
        return shares(self._modes[0])

    def mode(self, index: int) -> Mode:
        """The mode of the density of q above an optimum."""
        modes, above = self._modes
        return modes[above[index]]

    def share(self, index: int) -> float:
        """The share of the posterior of the mode above an optimum, by Laplace's method; NaN: unknown."""
        return float(self._shares[self._modes[1][index]])

    @property
    def by_share(self) -> list[int]:
        """The highest optimum below every mode: from the mode that holds most on, unknown shares last."""
        firsts = np.unique(self._modes[1], return_index=True)[1]
        return sorted(map(int, firsts), key=lambda i: -np.nan_to_num(self.share(i), nan=-1.0))

    @property
    def that_matter(self) -> list[int]:
        """``by_share`` without those that hold next to nothing; the first is always there."""
        first, *others = self.by_share
        return [first, *(i for i in others if not self.share(i) < NEGLIGIBLE_SHARE)]

    def record(self, order: list[int]) -> Modes:
        """What is kept of the modes above some optima, in that order."""
        modes = [self.mode(i) for i in order]
        return Modes(
            shares=np.array([self.share(i) for i in order]),
            log_evidence=np.array([mode.log_evidence for mode in modes]),
            optima=np.array(order),
        )
