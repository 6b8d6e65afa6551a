r"""Expectation-maximisation, regularised so that it cannot collapse.

The E-step is one data pass. The M-step takes what the pass leaves behind (:class:`Statistics`), from which each
component's mean :math:`\bar x_k` and scatter :math:`C_k` come in the data's units, so that statistics of any division
of the rows add up before it:

.. math:: \pi_k \propto N_k, \quad \mu_k \leftarrow \bar x_k, \quad
          \Sigma_k \leftarrow \frac{C_k + \mathrm{diag}(c_j)}{N_k + n},

with n rows of scatter c from the priors (:class:`PseudoCounts`). Its result is where the optimiser starts from.
"""

from dataclasses import dataclass

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.statistics import Statistics
from bayesgmm.model.specification import Specification

# Rows that each component is granted on top of its own, so that an emptied one keeps a place.
EMPTY_COUNT = 1e-3


@dataclass(frozen=True, eq=False)
class ExpectationMaximisation:
    """EM for a specification and a table."""

    specification: Specification
    table: Table

    def maximise(self, counts: np.ndarray, means: np.ndarray, scatter: np.ndarray) -> Mixture:
        """M-step from each component's count (K,), mean (K, D) and scatter about that mean (K, D, D)."""
        family, pseudo = self.specification.covariance, self.specification.pseudo_counts
        centre, _ = self.table.moments
        kept = counts + EMPTY_COUNT
        means = (counts[:, None] * means + EMPTY_COUNT * centre) / kept[:, None]
        covariances = (scatter + np.diag(pseudo.scatter)) / (counts + pseudo.rows)[:, None, None]
        natural = family.pool(covariances, kept)
        return Mixture(kept / kept.sum(), means, family.expand(natural, *means.shape))

    def expect(self, mixture: Mixture) -> Statistics:
        """E-step: the statistics of all rows."""
        return sum(mixture.statistics(chunk.values, chunk.weights) for chunk in self.table.chunks())  # type: ignore[return-value]

    def step(self, mixture: Mixture) -> tuple[Mixture, float]:
        """One E-step and M-step; also the log-likelihood before it."""
        statistics = self.expect(mixture)
        means, scatter = statistics.moments(mixture.means, mixture.full_covariances)
        return self.maximise(statistics.counts, means, scatter), statistics.log_likelihood

    def run(self, mixture: Mixture, *, max_steps: int, tolerance: float) -> Mixture:
        """Steps until the log-likelihood gains less than ``tolerance`` nats a row."""
        last = -np.inf
        enough = tolerance * self.table.total
        for _ in range(max_steps):
            following, log_likelihood = self.step(mixture)
            if not np.isfinite(following.covariances).all() or log_likelihood - last < enough:
                break
            mixture, last = following, log_likelihood
        return mixture
