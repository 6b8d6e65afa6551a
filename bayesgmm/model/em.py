r"""Expectation-maximisation, whatever the M-step makes of the covariances and of the weights.

The E-step is one data pass. The M-step takes what the pass leaves behind (:class:`Statistics`), from which each
component's count :math:`N_k`, mean :math:`\bar x_k` and scatter :math:`C_k` come in the data's units, so that
statistics of any division of the rows add up before it:

.. math:: \pi \leftarrow g(N), \quad \mu_k \leftarrow \bar x_k, \quad \Sigma \leftarrow f(N, C, \Sigma) .
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.optimize import linear_sum_assignment

from bayesgmm.data.observations import Observations
from bayesgmm.data.table import Chunk, Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.noise import Noise
from bayesgmm.mixture.statistics import Statistics

# Rows that each component is granted on top of its own, so that an emptied one keeps a place.
EMPTY_COUNT = 1e-3
# The share of rows that are of no component is Beta(a, b): 15 % of ten rows.
NOISE_PRIOR = (1.5, 8.5)
# It begins so: with less a component that holds all noise is not given up.
START_SHARE = 0.1
# Of k-means, after which EM goes on: few clusters move any more.
LLOYD_STEPS = 10

# Counts (K,), scatter (K, D, D) and the mixture before the step (None: there is none yet) -> covariances as a Mixture
# takes them.
CovarianceStep = Callable[[np.ndarray, np.ndarray, Mixture | None], np.ndarray]
# Counts (K,) -> weights (K,).
WeightStep = Callable[[np.ndarray], np.ndarray]


def shares(counts: np.ndarray) -> np.ndarray:
    """Each component's share of the rows, (K,)."""
    kept = counts + EMPTY_COUNT
    return kept / kept.sum()


def expectation(mixture: Mixture, table: Table) -> Statistics:
    """The statistics of all rows of a table under a mixture: EM's E-step, and the log-likelihood with its gradient."""
    return table.sum_over(partial(_statistics, mixture))


def _statistics(mixture: Mixture, chunk: Chunk) -> Statistics:
    return mixture.statistics(*chunk)


def in_order_of_labels(mixture: Mixture, table: Table) -> Mixture:
    """A mixture with its components in the order that suits the rows of which one is known best."""
    if table.labels is None or (known := np.flatnonzero(table.labels >= 0)).size == 0:
        return mixture
    responsibilities = mixture.responsibilities(Observations(table.values[known]))
    each = np.eye(table.labels.max() + 1)[table.labels[known]] * table.row_weights[known, None]
    cost = -each.T @ np.log(np.maximum(responsibilities, np.finfo(float).tiny))
    labelled, found = linear_sum_assignment(cost)
    order = np.empty(mixture.n_components, dtype=np.int64)
    order[labelled] = found
    order[len(labelled) :] = np.setdiff1d(np.arange(mixture.n_components), found)
    return replace(
        mixture, weights=mixture.weights[order], means=mixture.means[order], covariances=mixture.covariances[order]
    )


def noise_share(total: float, of_components: float) -> float:
    """The mode of the share of noise, given how many of the rows are of components."""
    a, b = NOISE_PRIOR
    return (total - of_components + a - 1) / (total + a + b - 2)


@dataclass(frozen=True, eq=False)
class ExpectationMaximisation:
    """EM for a table, with an M-step of the covariances and one of the weights."""

    table: Table
    covariances: CovarianceStep
    weights: WeightStep = shares

    def maximise(
        self, counts: np.ndarray, means: np.ndarray, scatter: np.ndarray, last: Mixture | None = None
    ) -> Mixture:
        """M-step from each component's count (K,), mean (K, D) and scatter about that mean (K, D, D)."""
        centre, _ = self.table.moments
        kept = counts + EMPTY_COUNT
        means = (counts[:, None] * means + EMPTY_COUNT * centre) / kept[:, None]
        noise = self._noise(START_SHARE if last is None else noise_share(self.table.total, counts.sum()))
        return Mixture(self.weights(counts), means, self.covariances(counts, scatter, last), noise)

    def _noise(self, share: float) -> Noise | None:
        return None if self.table.box is None else Noise(np.asarray(share), *self.table.box)

    def expect(self, mixture: Mixture) -> Statistics:
        """E-step: the statistics of all rows."""
        return expectation(mixture, self.table)

    def step(self, mixture: Mixture) -> tuple[Mixture, float]:
        """One E-step and M-step; also the log-likelihood before it."""
        statistics = self.expect(mixture)
        means, scatter = statistics.moments(mixture.means, mixture.full_covariances)
        return self.maximise(statistics.counts, means, scatter, mixture), statistics.log_likelihood

    def run(self, mixture: Mixture, *, max_steps: int, tolerance: float) -> tuple[Mixture, float]:
        """Steps until the log-likelihood gains less than ``tolerance`` nats a row; also the last step's gain, nats."""
        mixture = in_order_of_labels(mixture, self.table)
        if mixture.noise is None and self.table.box is not None:
            mixture = replace(mixture, noise=self._noise(START_SHARE))
        last, gain = -np.inf, 0.0
        enough = tolerance * self.table.total
        for _ in range(max_steps):
            following, log_likelihood = self.step(mixture)
            if not np.isfinite(following.covariances).all() or log_likelihood - last < enough:
                break
            mixture, gain, last = following, log_likelihood - last, log_likelihood
        return mixture, gain if np.isfinite(gain) else 0.0

    def from_centres(self, rows: np.ndarray, centres: np.ndarray) -> Mixture:
        """A first mixture: k-means of ``rows`` (N, D), the table in some coordinates, from centres (K, D) on."""
        weight = self.table.row_weights
        squares = (rows**2).sum(axis=1)[:, None]
        nearest = None
        for _ in range(LLOYD_STEPS):
            last, nearest = nearest, (squares - 2 * rows @ centres.T + (centres**2).sum(axis=1)).argmin(axis=1)
            if last is not None and (last == nearest).all():
                break
            one_hot = np.eye(len(centres))[nearest] * weight[:, None]
            counts = one_hot.sum(axis=0)
            # A centre without rows stays where it is.
            kept = counts > 0
            centres = np.where(kept[:, None], (one_hot.T @ rows) / np.where(kept, counts, 1.0)[:, None], centres)
        return self.from_responsibilities(np.eye(len(centres))[nearest])

    def from_responsibilities(self, responsibilities: np.ndarray, last: Mixture | None = None) -> Mixture:
        """M-step from each component's part in each row, (N, K)."""
        x = self.table.filled
        parts = responsibilities * self.table.row_weights[:, None]
        counts = parts.sum(axis=0)
        means = (parts.T @ x) / np.maximum(counts, np.finfo(float).tiny)[:, None]
        means[counts == 0] = self.table.moments[0]
        scatter = np.empty((len(counts), x.shape[1], x.shape[1]))
        for k, mean in enumerate(means):
            centred = x - mean
            scatter[k] = (parts[:, k] * centred.T) @ centred
        return self.maximise(counts, means, scatter, last)
