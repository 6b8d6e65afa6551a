"""A search under way: ascents from one start after another, until the best optimum has been found often enough."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np

from bayesgmm.mixture.mixture import Mixture
from bayesgmm.record.starts import AROUND_THE_BEST, FOUND_OFTEN, GIVEN_UP, Starts
from bayesgmm.search.checkpoint import Checkpoint
from bayesgmm.search.climb import Optimum
from bayesgmm.search.mode import SAME_PARAMETERS
from bayesgmm.search.order import climb_in_order
from bayesgmm.search.ordered import ROUNDING
from bayesgmm.search.problem import Problem
from bayesgmm.search.starts import FROM_THE_BEST, GIVEN, StartingMixtures

# Two optima are one if they agree to this in log posterior (nats), and their mixtures match.
SAME_LOG_POSTERIOR = 1e-2
# At least so many starts that may end anywhere, and at most so many of all, where their number is automatic. At least
# nine of these do not depend on the best so far: one of two equally good clusterings is overlooked once in 256 times.
# On logarithms of iris 2 of 16 seeds missed the best by 64 nats with eighteen, and one with these, in the same time.
LEAST_STARTS, MOST_STARTS = 24, 300
# And so many for every component that find nothing better. On 51 tables with 2 to 6 components searches were 0.03 nats
# short of the best known so, and 0.10 with three, in three quarters of the time (docs/finding_the_mode.md).
PATIENCE = 5
# As many times longer where one kind of start alone found the best, and what begins at the best came back to it: on
# wine the lower of two optima 2 nats apart was taken for the best by 5 of 12 seeds.
LONGER = 2
# And so many that look around the best, where it was found so: one leads on to another. Of eight searches on breast
# cancer three ended at the best with 10, three with 20 and four with 60, in 2.8, 4.1 and 6.2 s; short by 1.1, 0.8, 0.7.
AROUND = 20
# A start is given up where fifty more of EM's last steps, and so many nats on top, would not take it to the best. Of
# 501 climbs on seven tables that is a quarter of the time, and none of the 49 that ended above the best so far.
STEPS_AHEAD, NATS_AHEAD = 50, 10.0
# And where very many rows would have to be other than some of them by so many standard errors.
ERRORS = 6.0


@dataclass(frozen=True, eq=False)
class Ascent:
    """One start: how it was made, its mixture after EM, and where it ended."""

    kind: str
    begin: Mixture
    optimum: Optimum
    mixture: Mixture
    given_up: bool = False

    def same(self, other: "Ascent") -> bool:
        """Whether two ended at one optimum, up to the order of the components."""
        if self.mixture is other.mixture:
            return True
        near = self.level(other) and self.given_up == other.given_up
        return near and self.mixture.matches(other.mixture, SAME_PARAMETERS)

    def level(self, other: "Ascent") -> bool:
        """Whether both ended at one log posterior."""
        return self.as_high_as(other.optimum.log_posterior)

    def as_high_as(self, log_posterior: float) -> bool:
        """Whether it ended at this log posterior."""
        return abs(self.optimum.log_posterior - log_posterior) < SAME_LOG_POSTERIOR


class Ascents:
    """All ascents of a search for the highest density of a problem's parameters.

    Parameters
    ----------
    problem : Problem
    rng : numpy.random.Generator
    checkpoint : Checkpoint, optional
        Where climbs are kept.
    max_iter : int, optional
        Iterations of each at most.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        checkpoint: Checkpoint | None = None,
        max_iter: int | None = None,
    ):
        self.problem, self.all = problem, list[Ascent]()
        self._checkpoint = Checkpoint() if checkpoint is None else checkpoint
        self._rng, self._max_iter = rng, max_iter
        self._starting = StartingMixtures.of(problem.specification, problem.table, rng, self._height)

    def run(self, n_init: int | None, done: Callable[[], None], given: Sequence[Mixture] = ()) -> "Ascents":
        """So many starts, those that are ``given`` first; None: until :attr:`enough`."""
        for mixture in given:
            self.all.append(self._ascent(GIVEN, *self._starting.given(mixture, self._max_iter)))
            done()
        while len(self.all) < (MOST_STARTS if n_init is None else n_init) and not (n_init is None and self.enough):
            best = self.best
            optima = [] if best is None else [best, *(a for a in self.distinct if not a.same(best))]
            kind, begin, gain = self._starting.make(
                len(self.all) - len(given), [a.mixture for a in optima], around=n_init is None and self._enough_anywhere
            )
            self.all.append(self._ascent(kind, begin, gain))
            done()
        return self

    @property
    def best(self) -> Ascent | None:
        """The first of those that reached the highest."""
        finite = [ascent for ascent in self.all if np.isfinite(ascent.optimum.log_posterior)]
        highest = max((ascent.optimum.log_posterior for ascent in finite), default=0.0)
        return next((a for a in finite if a.optimum.log_posterior > highest - SAME_LOG_POSTERIOR), None)

    @property
    def enough(self) -> bool:
        """Whether the last starts found nothing better, anywhere and around the best."""
        best = self.best
        if best is None or self.problem.specification.n_components == 1:
            return best is not None
        return self._enough_anywhere and (best.kind != AROUND_THE_BEST or self._since(best)[1] >= AROUND)

    @property
    def _enough_anywhere(self) -> bool:
        """Whether the best was found three times, and five starts for every component found nothing better.

        Ten, where no two kinds found it that do not begin at the best: those lead back to it. Starts that only look
        around the best are none of the three, five or ten; what one of them found first others may never find.
        """
        best = self.best
        if best is None:
            return False
        anywhere = [ascent for ascent in self.all if ascent.kind != AROUND_THE_BEST]
        found = [ascent.kind for ascent in anywhere if best.same(ascent)]
        longer = 1 if len(set(found) - FROM_THE_BEST) > 1 else LONGER
        patience = PATIENCE * longer * self.problem.specification.n_components
        often = len(found) >= FOUND_OFTEN or best.kind == AROUND_THE_BEST
        return often and len(anywhere) >= LEAST_STARTS and self._since(best)[0] >= patience

    def _since(self, best: Ascent) -> tuple[int, int]:
        """How many starts after the one that first reached the best: anywhere, and around it."""
        around = [ascent.kind == AROUND_THE_BEST for ascent in self.all[self.all.index(best) + 1 :]]
        return len(around) - sum(around), sum(around)

    def _ascent(self, kind: str, begin: Mixture, gain: float) -> Ascent:
        """The climb from one start. Starts at one place, or at an optimum already found, share one."""
        problem = self.problem
        known = [mixture for other in self.all for mixture in (other.begin, other.mixture)]
        place = begin.among(known, SAME_PARAMETERS)
        if place is not None:  # in the best of the orders below
            return replace(self.all[place // 2], kind=kind, begin=begin)
        q = self._in_an_order(begin)
        best = self.best
        if best is not None:
            value = problem.parameter_density(q)[0]
            if value + STEPS_AHEAD * gain + NATS_AHEAD < best.optimum.log_posterior:
                return Ascent(kind, begin, Optimum.given_up(q, value), begin, given_up=True)
        optimum = self._climbed(problem, q, known=lambda q, value: self._reached(q, value) is not None)
        found = self._reached(optimum.q, optimum.log_posterior)
        if found is not None:
            return replace(found, kind=kind, begin=begin)
        return Ascent(kind, begin, optimum, problem.mixture(optimum.q))

    def _climbed(self, problem: Problem, begin: np.ndarray, **how: Any) -> Optimum:
        return self._checkpoint.climbed(problem, begin, partial(climb_in_order, **how), max_iter=self._max_iter)

    def _height(self, begin: Mixture) -> float:
        """The log posterior of a mixture, whatever the order of its components."""
        value = self.problem.parameter_density(self._in_an_order(begin))[0]
        return -np.inf if np.isnan(value) else value

    def _reached(self, q: np.ndarray, log_posterior: float) -> Ascent | None:
        """The optimum found before at whose top a climb is, if there is one."""
        near = [a for a in self.all if a.optimum.converged and a.as_high_as(log_posterior)]
        if not near:
            return None
        place = self.problem.mixture(q).among([a.mixture for a in near], SAME_PARAMETERS)
        return None if place is None else near[place]

    def _in_an_order(self, begin: Mixture) -> np.ndarray:
        """The q of a start: as it is, or in the order of its means, up or down, if a user's terms like that better."""
        if self.problem.orderless:
            return self.problem.unconstrained(begin)
        up = np.lexsort(begin.means.T[::-1])
        orders = [np.arange(len(up)), up, up[::-1]]
        candidates = [
            self.problem.unconstrained(
                replace(begin, weights=begin.weights[o], means=begin.means[o], covariances=begin.covariances[o])
            )
            for o in orders
        ]
        values = [self.problem.parameter_density(q)[0] for q in candidates]
        best = int(np.nanargmax(values)) if np.isfinite(values).any() else 0
        better = values[best] > values[0] + ROUNDING * abs(values[0]) or not np.isfinite(values[0])
        return candidates[best if better else 0]

    def on(self, problem: Problem, done: Callable[[], None]) -> "Ascents":
        """The same ascents gone on with on another problem, which has more rows: one climb from each optimum."""
        climbed: list[tuple[Ascent, Ascent]] = []
        # Where a pass over all rows takes longer than second derivatives of some of them, these save passes. They are
        # of rows that count for all: of rows that count once they are too flat, 5,000 times with 1e8, and climbs took
        # 71 passes that take 8 now.
        elsewhere = problem.table.elsewhere
        curvature = replace(problem, table=problem.table.at_hand).parameter_density if elsewhere else None
        following = Ascents(problem, self._rng, self._checkpoint, self._max_iter)
        for ascent in self.all:
            known = [new for old, new in climbed if old.same(ascent)]
            if known:
                new = known[0]
            elif ascent.given_up or self._hopeless(ascent, problem):
                q = ascent.optimum.q
                value = ascent.optimum.log_posterior * problem.table.total / self.problem.table.total
                new = replace(ascent, optimum=Optimum.given_up(q, value), given_up=True)
            else:
                optimum = self._climbed(problem, ascent.optimum.q, curvature=curvature)
                new = replace(ascent, optimum=optimum, mixture=problem.mixture(optimum.q))
            climbed.append((ascent, new))
            following.all.append(replace(new, kind=ascent.kind, begin=ascent.begin))
            done()
        return following

    def _hopeless(self, ascent: Ascent, problem: Problem) -> bool:
        """Whether more rows cannot make an optimum the best, by what these rows say of its distance.

        With 1e6 rows of 5 features, K = 10, climbs from optima 75,000 nats below the best took 30 of 34 s.
        """
        best, table = self.best, self.problem.table
        assert best is not None
        if ascent is best or best.same(ascent):
            return False
        weights = table.row_weights / table.total
        apart = best.mixture.log_density(table.observations) - ascent.mixture.log_density(table.observations)
        mean = float(weights @ apart)
        error = float(np.sqrt(weights**2 @ (apart - mean) ** 2))
        return problem.table.total * (mean - ERRORS * error) > NATS_AHEAD

    @property
    def distinct(self) -> list[Ascent]:
        """One ascent of each optimum, from the best on; without those that were given up."""
        found: list[Ascent] = []
        for ascent in sorted(self.all, key=lambda a: -np.nan_to_num(a.optimum.log_posterior, nan=-np.inf)):
            if ascent.given_up:
                continue
            as_high = takewhile(partial(Ascent.level, ascent), reversed(found))
            if not any(ascent.same(other) for other in as_high):
                found.append(ascent)
        return found

    @property
    def starts(self) -> Starts:
        """What became of every start."""
        distinct = self.distinct

        def label(ascent: Ascent) -> int:
            return next((i for i, other in enumerate(distinct) if ascent is other or ascent.same(other)), GIVEN_UP)

        optima = [ascent.optimum for ascent in self.all]
        return Starts(
            log_posterior=np.array([o.log_posterior for o in optima]),
            optimum=np.array([label(ascent) for ascent in self.all]),
            converged=np.array([o.converged for o in optima]),
            moved=np.array([o.moved for o in optima]),
            iterations=np.array([o.iterations for o in optima]),
            kind=tuple(ascent.kind for ascent in self.all),
        )
