r"""What the default prior takes from the table: the covariance of all rows, and how alike the components are.

The rows nu that the components' likeness is worth come from fits of the table:

1. A mixture whose covariances are multiples of one, :math:`\lambda_k R` (tied: equal), is fitted by EM from a few
   starts. Distance between clusters is no part of R, and a component of a few far rows, or one much tighter than the
   others, has a :math:`\lambda_k` of its own.
2. From the best of these on, EM with covariances that are free but for a prior around R; R is then what is most like
   all of their scatters.
3. nu maximises the marginal likelihood of those scatters, which is known in closed form: with
   :math:`S = B^{-1} C_k B^{-\top}` of eigenvalues e and inverse-Wishart(nu, nu s I),

   .. math:: p(S \mid \nu, s) \propto \frac{\Gamma_D(\frac{n + \nu}{2})}{\Gamma_D(\frac{\nu}{2})}
             \prod_j \frac{(\nu s)^{\nu/2}}{(\nu s + e_j)^{(n + \nu)/2}},

   log s ~ Normal(0, tau), times a half-Cauchy density of the rows, with median D.

Every component then has a nu of its own around that (:func:`bayesgmm.model.relative.likenesses`).

Celeux and Govaert (1995), Gaussian parsimonious clustering models, Pattern Recognition 28, 781-793,
https://doi.org/10.1016/0031-3203(94)00125-6 (step 1). Chen (1979), Bayesian inference for a normal dispersion matrix,
JRSS B 41, 235-248, https://doi.org/10.1111/j.2517-6161.1979.tb01078.x (step 3).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp, multigammaln

from bayesgmm.data.seeds import spread_positions, whitened
from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.model.em import ExpectationMaximisation
from bayesgmm.model.relative import EXTRA_ROWS, SCALE_SPREAD, RelativePrior, likenesses
from bayesgmm.model.within import WithinPrior, within_rows

# Rows that the estimate is made of, where there are more.
MOST_ROWS = 4_000
STARTS = 4
# Of EM from each start, and from the best on.
STEPS, FURTHER_STEPS = 40, 40
TOLERANCE = 1e-5
# A reference is given no direction of less variance than this, in units of the features' variances: exactly collinear
# features keep a covariance that float64 can hold.
LEAST_VARIANCE = 1e-8
# The grid on which nu, less the degrees of freedom that the prior needs to be proper, is looked for, and that of s.
EXTRAS = np.geomspace(EXTRA_ROWS, 400.0, 28)
SCALES = np.geomspace(1e-4, 1e4, 121)


@dataclass(frozen=True, eq=False)
class _Proportional:
    """M-step of covariances that are multiples of one, or equal."""

    family: CovarianceType

    def __call__(self, counts: np.ndarray, scatter: np.ndarray, last: Mixture | None) -> np.ndarray:
        own = reduced(scatter, self.family)
        common, multiples = alike(counts, own, None if last is None else last.covariances[0], self.family)
        return multiples[:, None, None] * common


def alike(
    counts: np.ndarray, scatter: np.ndarray, common: np.ndarray | None, family: CovarianceType, *, rounds: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The covariance (D, D) of which the scatters (K, D, D) are most nearly multiples, and the multiples (K,).

    ``common`` is where to begin, up to a multiple; None: at their sum.
    """
    n_features = scatter.shape[-1]
    pooled = scatter.sum(axis=0) / counts.sum()
    if not family.per_component:
        return held_apart(pooled), np.ones(len(counts))
    common = held_apart(pooled if common is None else common)
    multiples = np.ones(len(counts))
    for _ in range(rounds):
        # By its axes: the inverse of what is held apart by little more than rounding may not be there.
        variances, directions = np.linalg.eigh(common)
        along = np.einsum("ia,kij,ja->ka", directions, scatter, directions)
        # What cancels to 0, as of components of one row each, may be below it by rounding.
        inside = np.maximum((along / np.maximum(variances, LEAST_VARIANCE)).sum(axis=1) / n_features, 0.0)
        counted = (counts > 1) & (inside > 0)
        typical = np.ones(1)
        if counted.any():
            logs = np.log(inside[counted] / counts[counted])
            typical = np.exp(np.average(logs, weights=counts[counted]))
        # A row of the typical size, for components that have none.
        multiples = (inside + typical) / (counts + 1) / typical
        common = held_apart(np.einsum("k,kij->ij", 1 / multiples, scatter) / counts.sum())
    return common, multiples


def reduced(matrices: np.ndarray, family: CovarianceType) -> np.ndarray:
    """Matrices (..., D, D) with what a family does not have taken away: correlations, differences of the features."""
    if family.correlated:
        return matrices
    diagonal = np.einsum("...ii->...i", matrices)
    if not family.per_feature:
        diagonal = np.broadcast_to(diagonal.mean(axis=-1, keepdims=True), diagonal.shape)
    return diagonal[..., None] * np.eye(matrices.shape[-1])


def held_apart(covariance: np.ndarray) -> np.ndarray:
    """A covariance of standardised features with no direction of less variance than ``LEAST_VARIANCE``."""
    variances, directions = np.linalg.eigh(covariance)
    if variances[0] >= LEAST_VARIANCE:
        return covariance
    return (directions * np.maximum(variances, LEAST_VARIANCE)) @ directions.T


def relative_prior(
    table: Table, n_components: int, family: CovarianceType, given: np.ndarray | None = None
) -> RelativePrior | WithinPrior:
    """The default prior of a table's covariances, or the same around a given reference (D, D)."""
    centre, variances = table.moments
    # A spherical covariance is one only while all features keep their common unit.
    units = np.sqrt(variances if family.per_feature else np.full_like(variances, variances.mean()))
    few = table.counted.subsample(MOST_ROWS, np.random.default_rng(0))
    few = few.standardised(centre, units)
    common = _total(few) if given is None else given / np.outer(units, units)
    outer = _factor(held_apart(reduced(common, family)), family, units)
    several = family.per_component and n_components > 1
    if not several and given is None:
        return WithinPrior(family, outer, within_rows(family, len(units)))
    extra = EXTRA_ROWS
    if several and family.per_feature and len(units) > 1:
        extra = _likeness(few, n_components, family)
    if several:
        nu = likenesses(extra, family, len(units))
        total_rows = within_rows(family, len(units)) if given is None else 0.0
        return RelativePrior(family, outer, *nu, learned=given is None, total_rows=total_rows)
    one = np.array([extra + (len(units) if family.correlated else 1)]), np.ones(1)
    return RelativePrior(family, outer, *one, learned=False)


def _total(table: Table) -> np.ndarray:
    """Covariance of all rows of a table that is centred."""
    return table.covariance if table.gaps else (table.row_weights * table.values.T) @ table.values / table.total


def _factor(covariance: np.ndarray, family: CovarianceType, units: np.ndarray) -> np.ndarray:
    if family.correlated:
        return np.linalg.cholesky(covariance) * units[:, None]
    scales = np.sqrt(np.diag(covariance)) * units
    return scales if family.per_feature else np.sqrt((scales**2).mean())


def _likeness(table: Table, n_components: int, family: CovarianceType) -> float:
    """nu, less the degrees of freedom that the prior needs to be proper."""
    best = _proportional_fit(table, n_components, family)
    n_features = table.n_features
    common = reduced(held_apart(best.full_covariances[0]), family)
    factor = _factor(common, family, np.ones(n_features))
    # Shapes worth 2 D rows in all, or as many of variances alone: in between the extremes on the benchmark's tables.
    rows = np.array([2.0 * n_features if family.correlated else n_features + 1.0])
    prior = RelativePrior(family, factor, rows, np.ones(1), learned=False)
    em = ExpectationMaximisation(table, prior.covariances)
    free, _ = em.run(best, max_steps=FURTHER_STEPS, tolerance=TOLERANCE)
    statistics = em.expect(free)
    _, scatter = statistics.moments(free.means, free.full_covariances)
    scatter = reduced(scatter, family)
    common, _ = alike(statistics.counts, scatter, common, family, rounds=10)
    return _extra_rows(statistics.counts, scatter, common, family)


def _proportional_fit(table: Table, n_components: int, family: CovarianceType) -> Mixture:
    """The best of a few fits of covariances that are multiples of one."""
    em = ExpectationMaximisation(table, _Proportional(family))
    rng = np.random.default_rng(0)
    # k-means in units of the features, then where they have no correlation in all, then none within clusters so far.
    metric = table.filled
    best, highest = None, -np.inf
    for i in range(STARTS if n_components > 1 else 1):
        if i % STARTS == STARTS - 1:
            positions = rng.choice(table.n_rows, n_components, replace=False)
        else:
            positions = np.array(spread_positions(metric, n_components, table.row_weights, rng))
        mixture, _ = em.run(em.from_centres(metric, metric[positions]), max_steps=STEPS, tolerance=TOLERANCE)
        log_likelihood = em.expect(mixture).log_likelihood
        if best is None or log_likelihood > highest:
            best, highest = mixture, log_likelihood
            within = np.linalg.solve(np.linalg.cholesky(held_apart(mixture.full_covariances[0])), table.filled.T).T
        metric = whitened(table) if i == 0 else within
    assert best is not None
    return best


def _extra_rows(counts: np.ndarray, scatter: np.ndarray, common: np.ndarray, family: CovarianceType) -> float:
    """nu, less what the prior needs to be proper."""
    n_features = len(common)
    inverse = np.linalg.inv(np.linalg.cholesky(common))
    eigenvalues = np.maximum(np.linalg.eigvalsh(inverse @ scatter @ inverse.T), 0)
    # The component's own mean takes one row.
    counts = np.maximum(counts - 1, 0)
    log_prior = -0.5 * (np.log(SCALES) / SCALE_SPREAD) ** 2
    values = []
    for extra in EXTRAS:
        nu = extra + (n_features if family.correlated else 1)
        scales = nu * SCALES[:, None]
        # Half-Cauchy of D rows, by the measure d log nu: a few components hardly tell 400 rows from 20.
        total = np.log(extra) - np.log1p((extra / n_features) ** 2)
        for n, e in zip(counts, eigenvalues, strict=True):
            if family.correlated:
                gammas = multigammaln((n + nu) / 2, n_features) - multigammaln(nu / 2, n_features)
            else:
                gammas = n_features * (gammaln((n + nu) / 2) - gammaln(nu / 2))
            logs = nu / 2 * n_features * np.log(scales[:, 0]) - (n + nu) / 2 * np.log(scales + e).sum(axis=1)
            total += gammas + logsumexp(logs + log_prior)
        values.append(total)
    return float(EXTRAS[int(np.argmax(values))])
