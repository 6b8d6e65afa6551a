"""Where to start: k-means in five metrics, random rows, and the moves from the best optimum so far."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bayesgmm.data.seeds import spread_positions, whitened
from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.em import ExpectationMaximisation
from bayesgmm.model.specification import Specification
from bayesgmm.record.starts import AROUND_THE_BEST
from bayesgmm.search.crossing import crossed
from bayesgmm.search.projections import Projections
from bayesgmm.search.split_and_merge import SplitAndMerge, within

# Enough for EM to settle on one optimum's hillside; the optimiser climbs the rest faster.
EM_STEPS = 30
EM_TOLERANCE = 1e-6
# The kinds in their order; then, again and again, some moves from the best so far, and the highest of all kinds, one
# of each, after a few EM steps. On 16 tables 58 % of such starts ended at the best optimum known, and 35 % of single
# ones; after two steps 53 %, of four kinds 52 % (docs/finding_the_mode.md).
FRESH = (
    "k-means", "whitened k-means", "random rows", "k-means within clusters", "k-means of projections",
    "k-means in random units",
)  # fmt: skip
SHORT_STEPS = 5
SPLIT_AND_MERGE, CROSSING = "split and merge", "crossing"
# What a user has the search begin with.
GIVEN = "given"
# With two components most of the mistakes are in both; and optima of few do not differ in several places. With three,
# all of 57 searches on 19 tables ended at the best known so, and 96 % with one more split in place of reweighted rows.
MANY_COMPONENTS = 4
MOVES_OF_FEW = (AROUND_THE_BEST, SPLIT_AND_MERGE, AROUND_THE_BEST)
MOVES = (SPLIT_AND_MERGE, CROSSING, SPLIT_AND_MERGE, AROUND_THE_BEST)
# So many of the best optima are crossed; the better of two is taken, twice. Of 30 tables with 12 to 20 components 77 %
# were at the best known with two crossings and one split in a turn, as with 20 of the best, and 67 % with two splits
# and none; but on 55 other tables 89 % with one crossing between two splits, and 84 % with two and one.
BEST = 8
# Pairs that are tried for one.
TRIES = 5
# From so many components on a start is the highest of five moves, each followed by EM, that leads to something new:
# four of five lead lower, and a climb takes as long as five. Of 38 tables with 4 to 7 components as many ended at the
# best known without, in half the time, as of 29 with 8 to 11 (docs/finding_the_mode.md).
VERY_MANY_COMPONENTS, MOVES_A_START = 12, 5
# Mixtures that agree to this are one; with so many of the best is compared.
NEAR, MOST_COMPARED = 0.05, 30
# Those that depend on the best mixture so far.
FROM_THE_BEST = {SPLIT_AND_MERGE, CROSSING, AROUND_THE_BEST, FRESH[3]}


class StartingMixtures:
    """Starting points of a search, each after a few EM steps.

    Fresh ones are k-means from rows far apart, in five metrics, and random rows. The metrics are those of features in
    units of their standard deviations, where a cluster that shows in few of many features is not lost among the others;
    in random units;
    without correlation in all; without correlation within the clusters of the best mixture so far, where long clusters
    are round; and of directions in which the rows fall into groups (:mod:`bayesgmm.search.projections`), where what the
    clusters have in common is not seen.

    With many components k-means leaves two clusters under one component and one cluster under two somewhere, in every
    start. So most starts move on from the best mixture so far (:class:`SplitAndMerge`), which keeps what was right
    elsewhere, or cross two of the best, each of which is right somewhere (:mod:`bayesgmm.search.crossing`).

    With many features the best has others around it, a few nats apart and alike but for some rows on a boundary. They
    are looked for by EM from it with rows that are given random weights, from an exponential distribution. On wine
    (178 x 13, K = 3) 3 of 20 such starts went from an optimum to one 2 nats above it, and none of 20 that split and
    merge; on breast cancer (569 x 30, K = 2) 5 of 12 and 1.

    Elidan, Ninio, Friedman and Schuurmans (2002), Data perturbation for escaping local maxima in learning, AAAI,
    132-139.
    """

    def __init__(
        self,
        n_components: int,
        em: ExpectationMaximisation,
        moves: SplitAndMerge,
        views: "Views | None" = None,
        height: Callable[[Mixture], float] | None = None,
    ):
        self.em, self._moves = em, moves
        self._height = self._log_likelihood if height is None else height
        self._n_components, self._rng, self._table = n_components, moves.rng, em.table
        self._views = Views(em.table, moves.rng) if views is None else views
        self._of_given = em

    @classmethod
    def of(
        cls,
        specification: Specification,
        table: Table,
        rng: np.random.Generator,
        height: Callable[[Mixture], float] | None = None,
    ) -> "StartingMixtures":
        """Those by what a specification assumes; ``height`` is what is to be high, the log-likelihood if not said."""
        em = ExpectationMaximisation(table, specification.covariance_step, specification.weights_prior.step)
        counted = ExpectationMaximisation(table, specification.covariance_step)  # of any number of components
        moves = SplitAndMerge(table, counted, specification.covariance, rng)
        starting = cls(specification.n_components, em, moves, height=height)
        if specification.flat:  # EM's own steps, as a user who gives a start expects them
            starting._of_given = replace(em, covariances=specification.likeliest_covariances)
        return starting

    def make(self, index: int, best: Sequence[Mixture] = (), *, around: bool = False) -> tuple[str, Mixture, float]:
        """A start by its place in the search and the best mixtures so far: its kind, the mixture, EM's last gain.

        ``best`` are different ones, from the best on. ``around``: only the first one's surroundings are to be looked
        at.
        """
        first = best[0] if best else None
        if self._n_components == 1:
            return FRESH[0], *self._settled(self._k_means(self._views.standardised), 2)
        if first is not None and around:
            return self._moved(AROUND_THE_BEST, best)
        makers: dict[str, Callable[[], Mixture]] = {
            FRESH[0]: lambda: self._k_means(self._views.standardised),
            FRESH[1]: lambda: self._k_means(self._views.whitened),
            FRESH[2]: self._random_rows,
            FRESH[3]: lambda: self._k_means(self._views.whitened if first is None else within(first, self._table)),
            FRESH[4]: lambda: self._k_means(
                self._views.projected(self._n_components - 1, None if index < len(FRESH) else self._rng)
            ),
            FRESH[5]: lambda: self._k_means(self._views.in_random_units(self._rng)),
        }
        moves = MOVES if self._n_components >= MANY_COMPONENTS else MOVES_OF_FEW[-self._n_components :]
        turn, place = divmod(index - len(FRESH), len(moves) + 1)
        if first is not None and turn >= 0 and place < len(moves):
            return self._moved(moves[place], best)
        if turn < 0:
            return FRESH[index], *self._settled(makers[FRESH[index]]())
        return self._highest(makers)

    def _highest(self, makers: Mapping[str, Callable[[], Mixture]]) -> tuple[str, Mixture, float]:
        """The highest of one start of each kind after a few EM steps, gone on with (Biernacki and others 2003)."""
        best: tuple[float, str, Mixture] | None = None
        for kind, make in makers.items():
            mixture, _ = self._settled(make(), SHORT_STEPS)
            height = self._height(mixture)
            if best is None or height > best[0]:
                best = height, kind, mixture
        assert best is not None
        return best[1], *self._settled(best[2])

    def _moved(self, kind: str, best: Sequence[Mixture]) -> tuple[str, Mixture, float]:
        """A start by a move from the best so far."""
        moves: dict[str, Callable[[], Mixture]] = {
            AROUND_THE_BEST: lambda: self._reweighted(best[0]),
            SPLIT_AND_MERGE: lambda: self._moves.moved(best[0]),
            CROSSING: lambda: self._crossed(best),
        }
        kind = SPLIT_AND_MERGE if kind == CROSSING and len(best) < 2 else kind
        return kind, *self._highest_new(moves[kind], best)

    def _highest_new(self, move: Callable[[], Mixture], best: Sequence[Mixture]) -> tuple[Mixture, float]:
        """The highest of some moves after EM that lead to none of the best, and EM's last gain.

        What the first leads back to the best is no other's: such starts are the evidence that the best is the best.
        """
        last = self._settled(move())
        if self._n_components < VERY_MANY_COMPONENTS or last[0].matches(best[0], NEAR):
            return last
        top, highest, chosen = self._height(best[0]), -np.inf, last
        for i in range(MOVES_A_START):
            last = self._settled(move()) if i else last
            if last[0].among(best[:MOST_COMPARED], NEAR) is not None:
                continue
            height = self._height(last[0])
            if height > highest:
                highest, chosen = height, last
            if height > top:
                break
        return chosen

    def _log_likelihood(self, mixture: Mixture) -> float:
        return self.em.expect(mixture).log_likelihood

    def given(self, mixture: Mixture, most: int | None = None) -> tuple[Mixture, float]:
        """A mixture that a user gave, after so many EM steps at most, and the last one's gain."""
        steps = EM_STEPS if most is None else min(EM_STEPS, most)
        return self._of_given.run(mixture, max_steps=steps, tolerance=EM_TOLERANCE)

    def _crossed(self, best: Sequence[Mixture]) -> Mixture:
        """A mixture between two of the best; where none was found that differ in more than one place, a move."""
        several = best[:BEST]
        for _ in range(TRIES):
            i, j = (int(self._rng.integers(len(several), size=2).min()) for _ in range(2))
            between = None if i == j else crossed(several[i], several[j], self._rng)
            if between is not None:
                return between
        return self._moves.moved(best[0])

    def _reweighted(self, best: Mixture) -> Mixture:
        weights = self._table.row_weights * self._rng.exponential(size=self._table.n_rows)
        em = replace(self.em, table=replace(self._table, weights=weights))
        return em.run(best, max_steps=EM_STEPS, tolerance=EM_TOLERANCE)[0]

    def _settled(self, mixture: Mixture, steps: int = EM_STEPS) -> tuple[Mixture, float]:
        return self.em.run(mixture, max_steps=steps, tolerance=EM_TOLERANCE)

    def _k_means(self, rows: np.ndarray) -> Mixture:
        far_apart = spread_positions(rows, self._n_components, self._table.row_weights, self._rng)
        return self.em.from_centres(rows, rows[far_apart])

    def _random_rows(self) -> Mixture:
        table, k = self._table, self._n_components
        weight = table.row_weights
        rows = self._rng.choice(table.n_rows, size=k, replace=False, p=weight / weight.sum())
        counts = np.full(k, weight.sum() / k)
        centred = table.filled - table.moments[0]
        scatter = (weight * centred.T) @ centred / k
        return self.em.maximise(counts, table.filled[rows], np.broadcast_to(scatter, (k, *scatter.shape)))


class Views:
    """A table's rows in the coordinates that starts take them in."""

    def __init__(self, table: Table, rng: np.random.Generator):
        centre, variances = table.moments
        self.standardised, self.whitened = (table.filled - centre) / np.sqrt(variances), whitened(table)
        self._table = table
        self._least = Projections(self.whitened, table.row_weights, rng)

    def projected(self, most: int, rng: np.random.Generator | None) -> np.ndarray:
        """Rows in so many directions of least kurtosis; with ``rng`` in fewer, and any minima, as the least stay."""
        if rng is None:
            return self._least.rows(most)
        some = int(rng.integers(1, most + 1)) if most > 1 else 1
        return Projections(self.whitened, self._table.row_weights, rng, tries=1).rows(some)

    def in_random_units(self, rng: np.random.Generator) -> np.ndarray:
        """Rows with some features stretched, and others shrunk."""
        return self.standardised * np.exp(rng.normal(size=self.standardised.shape[1]))
