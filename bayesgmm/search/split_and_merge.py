"""From one mixture to another: spare components where rows are explained badly, and merges of those least missed."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.model.em import ExpectationMaximisation

# Rounds of a move; spare components are one, or up to one for so many components; steps of EM with them and after them.
ROUNDS, SPARE, SPARE_STEPS = 2, 2, 20
TOLERANCE = 1e-6
# Added to correlations, so that features that determine each other have some distance.
RIDGE = 1e-9


@dataclass(frozen=True, eq=False)
class SplitAndMerge:
    """Moves from a mixture of a table's rows to others that may explain them better."""

    table: Table
    em: ExpectationMaximisation
    family: CovarianceType
    rng: np.random.Generator

    def moved(self, best: Mixture) -> Mixture:
        """The best mixture after some rounds of spare components, each of which ends with as many merges."""
        mixture = best
        for last in range(ROUNDS):
            n_spare = int(self.rng.integers(1, max(1, best.n_components // SPARE) + 1))
            mixture, _ = self.em.run(self._with_spare(mixture, n_spare), max_steps=SPARE_STEPS, tolerance=TOLERANCE)
            mixture = merged(mixture, best.n_components, self.family)
            if last < ROUNDS - 1:
                mixture, _ = self.em.run(mixture, max_steps=SPARE_STEPS, tolerance=TOLERANCE)
        return mixture

    def _with_spare(self, mixture: Mixture, n_spare: int) -> Mixture:
        """Components besides, each on rows near each other: near any row, or near one that the mixture explains badly.

        From as few rows as show a shape to an average component's.
        """
        table, rng, k = self.table, self.rng, mixture.n_components
        n, weight = table.n_rows, table.row_weights
        few = min(table.n_features + 2, n)
        rows = within(mixture, table)
        surprise = np.log(np.maximum(weight, np.finfo(float).tiny)) - mixture.log_density(table.values)
        responsibilities = np.pad(mixture.responsibilities(table.values), ((0, 0), (0, n_spare)))
        for spare in range(k, k + n_spare):
            # Any row, or a draw by weight / density.
            any_row = rng.random() < 0.5
            row = rng.choice(n, p=weight / weight.sum()) if any_row else np.argmax(surprise + rng.gumbel(size=n))
            n_rows = int(np.exp(rng.uniform(np.log(few), np.log(max(few, n / k)))))
            near = np.argpartition(((rows - rows[row]) ** 2).sum(axis=1), n_rows - 1)[:n_rows]
            responsibilities[near] = np.eye(k + n_spare)[spare]
        return self.em.from_responsibilities(responsibilities)


def within(mixture: Mixture, table: Table) -> np.ndarray:
    """The rows in coordinates in which the components' covariances, each at a common scale, are 1 on average."""
    covariances = mixture.full_covariances
    scales = np.exp(np.linalg.slogdet(covariances)[1] / table.n_features)
    pooled = np.einsum("k,kij->ij", mixture.weights / scales, covariances)
    units = np.sqrt(np.diag(pooled))
    factor = np.linalg.cholesky(pooled / np.outer(units, units) + RIDGE * np.eye(len(units)))
    return solve_triangular(factor, ((table.values - table.moments[0]) / units).T, lower=True).T


def merged(mixture: Mixture, n_components: int, family: CovarianceType) -> Mixture:
    r"""A mixture of fewer components: again and again two become the one with their mean and covariance.

    Those two that lose least by it, by what N rows of the mixture would be worth less per row (Runnalls 2007),

    .. math:: \pi_i \log\pi_i + \pi_j \log\pi_j - \pi_{ij} \log\pi_{ij}
              + \tfrac12 (\pi_{ij} \log|\Sigma_{ij}| - \pi_i \log|\Sigma_i| - \pi_j \log|\Sigma_j|).
    """
    weights, means, covariances = mixture.weights.copy(), mixture.means.copy(), mixture.full_covariances.copy()
    while len(weights) > n_components:
        i, j = np.triu_indices(len(weights), 1)
        together = weights[i] + weights[j]
        part = (weights[i] / together)[:, None, None]
        apart = means[i] - means[j]
        common = part * covariances[i] + (1 - part) * covariances[j]
        common += part * (1 - part) * apart[:, :, None] * apart[:, None, :]
        own = _log_volumes(covariances, family)
        loss = _entropy(together) - _entropy(weights[i]) - _entropy(weights[j])
        loss += (together * _log_volumes(common, family) - weights[i] * own[i] - weights[j] * own[j]) / 2
        least = int(np.argmin(loss))
        kept, gone = i[least], j[least]
        means[kept] -= (1 - part[least, 0, 0]) * apart[least]
        weights[kept], covariances[kept] = together[least], common[least]
        weights, means, covariances = (np.delete(v, gone, axis=0) for v in (weights, means, covariances))
    if mixture.diagonal:
        covariances = np.einsum("kii->ki", covariances)
    return Mixture(weights / weights.sum(), means, covariances)


def _entropy(weights: np.ndarray) -> np.ndarray:
    return -weights * np.log(np.maximum(weights, np.finfo(float).tiny))


def _log_volumes(covariances: np.ndarray, family: CovarianceType) -> np.ndarray:
    """Log determinants of matrices (B, D, D) with what a family does not have taken away."""
    if family.correlated:
        return np.linalg.slogdet(covariances)[1]
    variances = np.einsum("kii->ki", covariances)
    n_features = variances.shape[1]
    return np.log(variances).sum(axis=1) if family.per_feature else n_features * np.log(variances.mean(axis=1))
