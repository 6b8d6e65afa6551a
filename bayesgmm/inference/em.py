r"""Expectation-maximisation on the likelihood kernel, regularised so that it cannot collapse.

The E-step is one data pass. The M-step, with the whitened statistics of :mod:`bayesgmm.likelihood.kernel`, is

.. math:: \pi_k \propto N_k, \quad \mu_k \leftarrow \mu_k + L_k b_k / N_k, \quad
          \Sigma_k \leftarrow \frac{L_k (A_k - b_k b_k^\top / N_k) L_k^\top + \mathrm{diag}(s_j^2) K^{-2/D}}{N_k + 5},

the last being where the default inverse-gamma prior has its mode. Its result is where the optimiser starts from, so a
user's own priors need not enter here.
"""

from dataclasses import dataclass

import numpy as np

from bayesgmm.likelihood import kernel
from bayesgmm.likelihood.threads import raise_interrupt
from bayesgmm.model.build import MixtureFacts
from bayesgmm.validation import moments

# N_k + 5: twice the inverse-gamma's shape 3/2, plus 2 for its mode.
PRIOR_COUNT = 5.0
# Rows that each component is granted on top of its own, so that an emptied one keeps a place.
EMPTY_COUNT = 1e-3


@dataclass(frozen=True)
class Mixture:
    """Mixture parameters as the kernel takes them: weights (K,), means (K, D), covariances (K, D, D)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.weights, self.means, self.covariances


@dataclass(frozen=True)
class ExpectationMaximisation:
    """EM for one data set: what its steps need besides the parameters."""

    facts: MixtureFacts
    centre: np.ndarray  # (D,) mean of the data
    spread: np.ndarray  # (D,) variances of the data

    @classmethod
    def of(cls, facts: MixtureFacts) -> "ExpectationMaximisation":
        return cls(facts, *moments(facts.x, facts.row_weights))

    def maximise(self, counts: np.ndarray, means: np.ndarray, scatter: np.ndarray) -> Mixture:
        """M-step from each component's count (K,), mean (K, D) and scatter about that mean (K, D, D)."""
        facts, n_features = self.facts, means.shape[1]
        kept = counts + EMPTY_COUNT
        means = (counts[:, None] * means + EMPTY_COUNT * self.centre) / kept[:, None]
        prior = np.diag(self.spread * facts.n_components ** (-2 / n_features))
        covariances = (scatter + prior) / (counts + PRIOR_COUNT)[:, None, None]
        structure = facts.structure
        natural = structure.pool(covariances, kept)
        covariances = structure.expand(natural, facts.n_components, n_features)
        return Mixture(kept / kept.sum(), means, np.ascontiguousarray(covariances))

    def step(self, mixture: Mixture) -> tuple[Mixture, float]:
        """One E-step and M-step; also the log-likelihood before it."""
        facts = self.facts
        log_likelihood, whiteners, counts, first, second = kernel.statistics(
            facts.x, *mixture.arrays, facts.structure.diagonal, facts.row_weights
        )
        raise_interrupt()
        safe = np.maximum(counts, np.finfo(np.float64).tiny)
        shift = first / safe[:, None]
        factors = np.linalg.inv(whiteners)
        means = mixture.means + np.einsum("kij,kj->ki", factors, shift)
        centred = second - safe[:, None, None] * shift[:, :, None] * shift[:, None, :]
        scatter = factors @ centred @ factors.transpose(0, 2, 1)
        return self.maximise(counts, means, scatter), log_likelihood

    def run(self, mixture: Mixture, *, max_steps: int, tolerance: float) -> Mixture:
        """Steps until the log-likelihood gains less than ``tolerance`` nats a row."""
        last = -np.inf
        enough = tolerance * self.facts.row_weights.sum()
        for _ in range(max_steps):
            following, log_likelihood = self.step(mixture)
            if not np.isfinite(following.covariances).all() or log_likelihood - last < enough:
                break
            mixture, last = following, log_likelihood
        return mixture
