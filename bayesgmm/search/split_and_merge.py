"""From one mixture to another: spare components where rows are explained badly, and merges of those least missed."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.spatial import KDTree

from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.model.em import ExpectationMaximisation

# Rounds of a move; one spare component for so many others at most, or one; EM's steps with them, and between rounds.
# Chosen on 23 simulated tables with 6 to 20 components (docs/finding_the_mode.md).
ROUNDS, SPARE, STEPS = 2, 2, 20
TOLERANCE = 1e-6
# How often a spare component is put near any row; rows at which crowding is looked at; the least distance that counts.
ANY_ROW, MOST_ROWS, LEAST_REACH = 0.5, 300, 1e-2
# Added to correlations, so that features that determine each other have some distance.
RIDGE = 1e-9


@dataclass(frozen=True, eq=False)
class SplitAndMerge:
    """Moves from a mixture of a table's rows to others that may explain them better.

    Spare components split what one component holds together, merges mend what two share, several of them at once. On 14
    simulated tables with 8 to 20 components, 50 starts ended 3 nats below the best known by such moves, and 54 nats
    below it where one component at random was moved to other rows (``docs/finding_the_mode.md``).

    Fritzke (2020), The breathing k-means algorithm, https://doi.org/10.48550/arXiv.2006.15666. Ueda, Nakano, Ghahramani
    and Hinton (2000), SMEM algorithm for mixture models, Neural Computation 12, 2109-2128,
    https://doi.org/10.1162/089976600300015088.
    """

    table: Table
    em: ExpectationMaximisation
    family: CovarianceType
    rng: np.random.Generator

    def moved(self, best: Mixture) -> Mixture:
        """The best mixture after some rounds of spare components, each of which ends with as many merges."""
        mixture, k = best, best.n_components
        # One time in K any component must go: what is least missed never leads from one of two equally good mixtures,
        # each of which has what the other misses, to the other.
        gone = int(self.rng.integers(k)) if self.rng.random() < 1 / k else None
        for i in range(ROUNDS if gone is None else 1):
            mixture = self._settled(mixture) if i else mixture
            n_spare = int(self.rng.integers(1, max(1, k // SPARE) + 1))
            mixture = merged(self._settled(self.with_spare(mixture, n_spare)), k, self.family, gone=gone)
        return mixture

    def _settled(self, mixture: Mixture) -> Mixture:
        return self.em.run(mixture, max_steps=STEPS, tolerance=TOLERANCE)[0]

    def with_spare(self, mixture: Mixture, n_spare: int) -> Mixture:
        """Components besides, each on rows near each other, from as few as show a shape to an average component's.

        They are near any row, or where rows are more crowded than the mixture has it.
        """
        table, rng, k = self.table, self.rng, mixture.n_components
        n, weight = table.n_rows, table.row_weights
        few = min(table.n_features + 2, n)
        rows = within(mixture, table)
        n_some = min(int(np.count_nonzero(weight)), MOST_ROWS)
        some = rng.choice(n, size=n_some, replace=False, p=weight / weight.sum())
        crowding = _log_crowding(rows, some, few) - mixture.log_density(table.observations[some])
        responsibilities = np.pad(mixture.responsibilities(table.observations), ((0, 0), (0, n_spare)))
        for spare in range(k, k + n_spare):
            # A draw with equal probabilities, or by the ratio of the two densities.
            noise = rng.gumbel(size=len(some))
            row = some[np.argmax(noise if rng.random() < ANY_ROW else crowding + noise)]
            n_rows = int(np.exp(rng.uniform(np.log(few), np.log(max(few, n / k)))))
            near = np.argpartition(((rows - rows[row]) ** 2).sum(axis=1), n_rows - 1)[:n_rows]
            responsibilities[near] = 0.0
            responsibilities[near, spare] = 1.0
        return self.em.from_responsibilities(responsibilities)


def _log_crowding(rows: np.ndarray, some: np.ndarray, few: int) -> np.ndarray:
    """The log density of rows at some of them, up to a constant, by the distance of the ``few``-th nearest."""
    reach = KDTree(rows).query(rows[some], k=[few])[0][:, 0] ** 2
    # Rows that coincide are no crowd without end.
    reach = np.maximum(reach, LEAST_REACH * np.median(reach) + np.finfo(float).tiny)
    return -0.5 * rows.shape[1] * np.log(reach)


def within(mixture: Mixture, table: Table) -> np.ndarray:
    """The rows in coordinates in which the components' covariances, each at a common scale, are 1 on average."""
    covariances = mixture.full_covariances
    scales = np.exp(np.linalg.slogdet(covariances)[1] / table.n_features)
    pooled = np.einsum("k,kij->ij", mixture.weights / scales, covariances)
    units = np.sqrt(np.diag(pooled))
    factor = np.linalg.cholesky(pooled / np.outer(units, units) + RIDGE * np.eye(len(units)))
    return solve_triangular(factor, ((table.filled - table.moments[0]) / units).T, lower=True).T


def merged(mixture: Mixture, n_components: int, family: CovarianceType, *, gone: int | None = None) -> Mixture:
    r"""A mixture of fewer components: again and again two become the one with their mean and covariance.

    Those two by which the log-likelihood of rows whose components are known loses least, per row,

    .. math:: \pi_i \log\pi_i + \pi_j \log\pi_j - \pi_{ij} \log\pi_{ij}
              + \tfrac12 (\pi_{ij} \log|\Sigma_{ij}| - \pi_i \log|\Sigma_i| - \pi_j \log|\Sigma_j|).

    ``gone`` is a component that the first merge is to be of.

    Runnalls (2007), who leaves the weights' part out: Kullback-Leibler approach to Gaussian mixture reduction, IEEE
    Transactions on Aerospace and Electronic Systems 43, 989-999, https://doi.org/10.1109/TAES.2007.4383588.
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
        if gone is not None:
            loss, gone = np.where((i == gone) | (j == gone), loss, np.inf), None
        least = int(np.argmin(loss))
        kept, absorbed = i[least], j[least]
        means[kept] -= (1 - part[least, 0, 0]) * apart[least]
        weights[kept], covariances[kept] = together[least], common[least]
        weights, means, covariances = (np.delete(v, absorbed, axis=0) for v in (weights, means, covariances))
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
