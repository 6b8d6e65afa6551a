"""The distinct optima that a search found, and what each of them holds of the posterior."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesgmm.record.provenance import NEGLIGIBLE_SHARE, Modes
from bayesgmm.record.starts import Starts
from bayesgmm.search.climb import VERY_MANY, Optimum
from bayesgmm.search.mode import ROUGHLY_NOTHING, Mode, distinct_modes, rough_log_evidence, shares
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
    def _rough(self) -> np.ndarray:
        return rough_log_evidence(self.problem, [optimum.q for optimum in self.found])

    @cached_property
    def _modes(self) -> tuple[list[Mode], np.ndarray]:
        """The modes that may hold some of the posterior, and which is above each optimum; -1 where it is none of them.

        Of very many parameters none: second derivatives take minutes, and shares are those of the rough evidence.
        Several optima may have one mode of the density of q above them: its Jacobian shifts them together.
        """
        above = np.full(len(self.found), -1)
        if self.problem.n_parameters > VERY_MANY:
            return [], above
        matter = self._rough >= self._rough.max() - ROUGHLY_NOTHING
        matter[0] = True
        modes, own = distinct_modes(self.problem, [self.found[i].q for i in np.flatnonzero(matter)])
        above[matter] = own
        return modes, above

    @cached_property
    def _log_evidence(self) -> np.ndarray:
        """Of the mode above each optimum, (M,)."""
        modes, above = self._modes
        if not modes:
            return self._rough
        exact = np.array([mode.log_evidence for mode in modes])
        best, without = int(self._rough.argmax()), above < 0
        log_evidence = exact[above]
        log_evidence[without] = log_evidence[best] + self._rough[without] - self._rough[best]
        return log_evidence

    @cached_property
    def _firsts(self) -> list[int]:
        """The highest optimum below every mode."""
        above = self._modes[1].tolist()
        return [i for i, mode in enumerate(above) if mode < 0 or above.index(mode) == i]

    @cached_property
    def _shares(self) -> np.ndarray:
        return shares(self._log_evidence, self._firsts)

    @cached_property
    def _others(self) -> dict[int, Mode]:
        return {}

    def mode(self, index: int) -> Mode:
        """The mode of the density of q above an optimum."""
        modes, above = self._modes
        if above[index] >= 0:
            return modes[above[index]]
        if index not in self._others:
            self._others[index] = Mode.near(self.problem, self.found[index].q)
        return self._others[index]

    def have_one_mode(self, first: int, second: int) -> bool:
        """Whether one mode is above two optima."""
        above = self._modes[1]
        return first == second or bool(above[first] == above[second] >= 0)

    def share(self, index: int) -> float:
        """The share of the posterior of the mode above an optimum, by Laplace's method; NaN: unknown."""
        return float(self._shares[index])

    @property
    def by_share(self) -> list[int]:
        """The highest optimum below every mode: from the mode that holds most on, unknown shares last."""
        return sorted(self._firsts, key=lambda i: -np.nan_to_num(self.share(i), nan=-1.0))

    @property
    def that_matter(self) -> list[int]:
        """``by_share`` without those that hold next to nothing; the first is always there."""
        first, *others = self.by_share
        return [first, *(i for i in others if not self.share(i) < NEGLIGIBLE_SHARE)]

    def record(self, order: list[int]) -> Modes:
        """What is kept of the modes above some optima, in that order."""
        return Modes(shares=self._shares[order], log_evidence=self._log_evidence[order], optima=np.array(order))
