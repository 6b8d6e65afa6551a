"""The search for the maximum of a mixture's likelihood: starts as those for the mode, and what neighbours found."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.em import ExpectationMaximisation
from bayesgmm.search.likelihood import SAME_LOG_LIKELIHOOD, Likelihood, Maximum
from bayesgmm.search.mode import SAME_PARAMETERS
from bayesgmm.search.split_and_merge import SplitAndMerge
from bayesgmm.search.starts import StartingMixtures, Views

# Starts besides what neighbours found at least and at most, and so many that find nothing better before it ends.
LEAST_STARTS, MOST_STARTS, PATIENCE = 8, 30, 6


@dataclass(frozen=True, eq=False)
class Found:
    """The highest maximum that searches found, of those at which no component has collapsed if there is one.

    Attributes
    ----------
    maximum : Maximum
    n_starts, n_reached, n_collapsed : int
        How many starts were climbed from, ended at the maximum, and ended where a component has collapsed.
    """

    maximum: Maximum
    n_starts: int
    n_reached: int
    n_collapsed: int

    @classmethod
    def among(cls, ended: Iterable[Maximum]) -> "Found":
        """What several climbs found."""
        ended = list(ended)
        best = max(
            ended, key=lambda maximum: (not maximum.collapsed, np.nan_to_num(maximum.log_likelihood, nan=-np.inf))
        )
        reached, collapsed = sum(map(best.same, ended)), sum(bool(maximum.collapsed) for maximum in ended)
        return cls(best, len(ended), reached, collapsed)

    def joined(self, other: "Found") -> "Found":
        """What two searches found."""
        best = Found.among([self.maximum, other.maximum]).maximum
        reached = sum(found.n_reached for found in (self, other) if best.same(found.maximum))
        return Found(best, self.n_starts + other.n_starts, reached, self.n_collapsed + other.n_collapsed)


class LikelihoodSearch:
    """A search for the highest maximum of the likelihood at which no component has collapsed.

    Parameters
    ----------
    likelihood : Likelihood
    n_components : int
    rng : numpy.random.Generator
    views : Views, optional
        The table's rows as starts take them, where several searches share them.
    """

    def __init__(self, likelihood: Likelihood, n_components: int, rng: np.random.Generator, views: Views | None = None):
        self.likelihood, self.n_components = likelihood, n_components
        self.em = ExpectationMaximisation(likelihood.table, likelihood.covariance_step)
        self.moves = SplitAndMerge(likelihood.table, self.em, likelihood.family, rng)
        self._starting = StartingMixtures(n_components, self.em, self.moves, views)
        self.climbed: list[tuple[Mixture, Maximum]] = []

    @property
    def found(self) -> Found:
        """What the climbs so far came to."""
        return Found.among(maximum for _, maximum in self.climbed)

    def run(self, *, often: int = 1, patience: int = PATIENCE) -> None:
        """Climb from fresh starts until so many find nothing better, and the best was reached so ``often``."""
        if self.n_components == 1:
            self.climb(self._starting.make(0)[1])
            return
        since, highest = 0, -np.inf
        for index in range(MOST_STARTS):
            found = self.found if self.climbed else None
            best = None if found is None else found.maximum
            # Where a component has collapsed no maximum was found.
            here = -np.inf if best is None or best.collapsed else best.log_likelihood
            since, highest = (0, here) if here > highest + SAME_LOG_LIKELIHOOD else (since + 1, highest)
            reached = found is not None and (found.maximum.collapsed or found.n_reached >= often)
            if index >= LEAST_STARTS and since >= patience and reached:
                break
            self.climb(self._starting.make(index, [] if best is None else [best.mixture])[1])

    def climb(self, begin: Mixture) -> None:
        """Climb from a mixture. Starts at one place, or at a maximum already found, share one."""
        reached = [mixture for start, ended in self.climbed for mixture in (start, ended.mixture)]
        place = begin.among(reached, SAME_PARAMETERS)
        if place is not None:
            self.climbed.append((begin, self.climbed[place // 2][1]))
            return
        known = list({id(maximum): maximum for _, maximum in self.climbed}.values())
        self.climbed.append((begin, self.likelihood.climb(begin, known=known)))
