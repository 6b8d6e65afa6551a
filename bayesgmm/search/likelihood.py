r"""The likelihood of a mixture without any prior, and the climb to the maximum of it above a start.

The likelihood of a mixture is unbounded: a component on a single row, or on rows of a plane, may be as narrow as it
likes. So covariances are :math:`\Sigma_k = R_k R_k^\top + \mathrm{diag}(\rho)` with a floor :math:`\rho`: what rounding
explains of a feature that was recorded in steps, or else next to nothing. A component that rests on it has collapsed,
and the maximum is no estimate.

The coordinates are those in which the likelihood of rows whose components are known is round: with :math:`N_k` rows and
a factor :math:`F_k` of the covariance at the start of the climb,

.. math:: \pi_k \propto \pi_k^0\, e^{u_k / \sqrt{N_k}}, \qquad \mu_k = \mu_k^0 + F_k v_k / \sqrt{N_k}, \qquad
          R_k = R_k^0 + F_k V_k / \sqrt{2 N_k},

V a lower triangle. L-BFGS in them is EM sped up by what its own steps tell of the curvature (Jamshidian and Jennrich
1997, Acceleration of the EM algorithm by using quasi-Newton methods, JRSS B 59, 569-587,
https://doi.org/10.1111/1467-9868.00083).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from scipy.optimize import minimize

from bayesgmm.data.observations import Observations
from bayesgmm.data.table import Chunk, Table
from bayesgmm.mixture import kernel
from bayesgmm.mixture.elementary import jit
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.threads import raise_interrupt
from bayesgmm.mixture.widths import collapsed
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.model.em import EMPTY_COUNT
from bayesgmm.model.frame import BESIDE_ROUNDING, FLOOR, lower, root_beside
from bayesgmm.search.mode import SAME_PARAMETERS

# Iterations in the first and in every other set of coordinates, and how many of these there are at most. After few
# iterations most climbs are near a maximum that is known, or hopeless.
FIRST_ITERATIONS, ROUND_ITERATIONS, ROUNDS = 25, 100, 20
# Nats within which a climb whose mixture matches that of a known maximum is taken to end there.
NEAR = 1e-2
# Nats that the optimiser's own quadratic model still promises at a maximum.
DECREMENT = 1e-6
# A climb whose model, which is rough far below the maximum, promises less than a part of what it lacks is given up.
EXPECTED = 10.0
# Log-likelihoods that agree to so many nats, of mixtures that match, are of one maximum.
SAME_LOG_LIKELIHOOD = 1e-3
# Rounding errors of a matrix in units of float64's precision and its largest eigenvalue, with room.
ROUNDED = 100.0
# A covariance less than so many times the floor in some direction rests on it.
AT_FLOOR = 1.1


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where a climb ended.

    Attributes
    ----------
    mixture : Mixture
    log_likelihood : float
        Nats.
    converged : bool
    collapsed : tuple of int
        Components that have come to rest on the floor.
    """

    mixture: Mixture
    log_likelihood: float
    converged: bool
    collapsed: tuple[int, ...] = ()

    def same(self, other: "Maximum") -> bool:
        """Whether two climbs ended at one maximum, up to the order of the components."""
        near = abs(self.log_likelihood - other.log_likelihood) < SAME_LOG_LIKELIHOOD
        return near and self.mixture.matches(other.mixture, SAME_PARAMETERS)


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The likelihood of mixtures of one covariance structure.

    Parameters
    ----------
    table : Table
    family : CovarianceType
    """

    table: Table
    family: CovarianceType

    @cached_property
    def floor(self) -> np.ndarray:
        """Variances that every covariance holds at least, (D,)."""
        return self.table.rounding + FLOOR * self.table.moments[1]

    @cached_property
    def own_floor(self) -> np.ndarray:
        """The floor as the covariances have it, (D,): a spherical one takes the mean."""
        return self.floor if self.family.per_feature else np.full_like(self.floor, self.floor.mean())

    def covariance_step(self, counts: np.ndarray, scatter: np.ndarray, last: Mixture | None) -> np.ndarray:
        """EM's M-step by which starts settle: every component has some rows of the covariance that all have in common.

        Without them a start on few rows would collapse before it grew (Friedman 1989, Regularized discriminant
        analysis, JASA 84, 165-175).
        """
        lent = scatter.shape[1] + 1.0 if self.family.correlated else 2.0
        common = scatter.sum(axis=0) / counts.sum()
        covariances = (scatter + lent * common) / (counts + lent)[:, None, None] + np.diag(self.floor)
        covariances = _at_least(covariances, self.floor)
        return self.family.expand(self.family.pool(covariances, counts + EMPTY_COUNT), *scatter.shape[:2])

    def climb(self, start: Mixture, *, known: Sequence[Maximum] = ()) -> Maximum:
        """The maximum above a start, one of those ``known`` if it is near it after a round.

        A climb that does not promise the highest of these is given up.
        """
        mixture, value, converged = start, -np.inf, False
        to_beat = max((other.log_likelihood for other in known if not other.collapsed), default=-np.inf)
        for i in range(ROUNDS):
            around = _Coordinates.around(self, mixture)
            most = ROUND_ITERATIONS if i else FIRST_ITERATIONS
            result = minimize(
                around.objective, np.zeros(around.length), jac=True, method="L-BFGS-B",
                options={"maxiter": most, "maxcor": 20, "ftol": 1e-13, "gtol": 1e-6},
            )  # fmt: skip
            if not np.isfinite(result.fun):
                break
            mixture, value = around.mixture(result.x), -float(result.fun)
            gradient = np.asarray(result.jac)
            promised = 0.5 * float(gradient @ (result.hess_inv @ gradient))
            converged = promised < DECREMENT
            hopeless = value + EXPECTED * (1 + promised) < to_beat
            if converged or hopeless or result.nit == 0 or self.collapsed(mixture):
                break
            near = next((other for other in known if self._near(other, mixture, value)), None)
            if near is not None:
                return near
        return Maximum(mixture, value, converged, self.collapsed(mixture))

    @staticmethod
    def _near(known: Maximum, mixture: Mixture, log_likelihood: float) -> bool:
        """Whether a climb is so near a maximum that it will end there."""
        close = known.converged and abs(known.log_likelihood - log_likelihood) < NEAR
        return close and known.mixture.matches(mixture, SAME_PARAMETERS)

    def collapsed(self, mixture: Mixture) -> tuple[int, ...]:
        """The components that rest on the floor in some direction, or have no width to speak of there."""
        units = np.sqrt(self.floor)
        least = np.linalg.eigvalsh(mixture.full_covariances / np.outer(units, units))[:, 0]
        narrow = collapsed(mixture, self.table.counted.filled)
        return tuple(int(k) for k in np.flatnonzero((least < AT_FLOOR) | narrow))


@dataclass(frozen=True, eq=False)
class _Coordinates:
    """A flat vector z around a mixture, at which it is 0.

    ``roots`` and ``factors`` are R and F of every covariance that there is, (M, D, D): triangles, or diagonal.
    """

    likelihood: Likelihood
    origin: Mixture
    counts: np.ndarray
    roots: np.ndarray
    factors: np.ndarray

    @classmethod
    def around(cls, likelihood: Likelihood, mixture: Mixture) -> "_Coordinates":
        family = likelihood.family
        # A start may be of a richer structure: two merged spheres are none.
        natural = family.pool(mixture.full_covariances, mixture.weights)
        mixture = Mixture(mixture.weights, mixture.means, family.expand(natural, *mixture.means.shape))
        covariances = mixture.full_covariances if family.per_component else mixture.full_covariances[:1]
        counts = np.maximum(mixture.weights * likelihood.table.total, 1.0)
        floor = likelihood.own_floor
        if family.correlated:
            factors = np.linalg.cholesky(_at_least(covariances, floor))
            return cls(likelihood, mixture, counts, lower(root_beside(factors, floor)), factors)
        beside = np.maximum(covariances - np.diag(floor), np.diag(BESIDE_ROUNDING * floor))
        return cls(likelihood, mixture, counts, np.sqrt(beside), np.sqrt(covariances))

    @property
    def length(self) -> int:
        """Length of z."""
        k, d = self.origin.means.shape
        family = self.likelihood.family
        return k + k * d + len(self.roots) * (d * (d + 1) // 2 if family.correlated else d if family.per_feature else 1)

    @property
    def _origin(self) -> tuple:
        """What compiled functions take of the coordinates."""
        family = self.likelihood.family
        return (
            self.origin.weights, self.origin.means, self.roots, self.factors, self.counts, self.likelihood.own_floor,
            family.correlated, family.per_feature,
        )  # fmt: skip

    def mixture(self, z: np.ndarray) -> Mixture:
        weights, means, _, covariances = _move(z, *self._origin)
        return _mixture(self.likelihood.family.correlated, weights, means, covariances)

    def objective(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """The negative log-likelihood and its gradient."""
        weights, means, roots, covariances = _move(z, *self._origin)
        if not np.isfinite(covariances).all():
            return np.inf, np.zeros_like(z)
        family, table = self.likelihood.family, self.likelihood.table
        log_likelihood, counts, first, second = table.sum_over(
            partial(_statistics, family.correlated, weights, means, covariances)
        )
        raise_interrupt()
        if not np.isfinite(log_likelihood):
            return np.inf, np.zeros_like(z)
        by_weights = counts - weights * table.total
        gradient = _pull(
            by_weights, first, second, roots, self.factors, self.counts, family.correlated, family.per_feature
        )
        return -log_likelihood, -gradient


def _mixture(correlated: bool, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Mixture:
    return Mixture(weights, means, covariances if correlated else np.einsum("kii->ki", covariances))


def _statistics(correlated: bool, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, chunk: Chunk) -> Any:
    if isinstance(chunk.values, Observations):
        return _mixture(correlated, weights, means, covariances).statistics(*chunk)
    # The compiled function itself, as a mixture's own checks take as long as the pass over a small table.
    return kernel.statistics(chunk.values, weights, means, covariances, not correlated, chunk.weights)


@jit
def _move(z, weights, means, roots, factors, counts, floor, correlated, per_feature):
    """The weights (K,), means (K, D), roots (M, D, D) and covariances (K, D, D) at z."""
    n_components, n_features = means.shape
    n_roots = roots.shape[0]
    moved_weights = np.empty(n_components)
    for k in range(n_components):
        moved_weights[k] = weights[k] * np.exp(z[k] / np.sqrt(counts[k]))
    moved_weights /= moved_weights.sum()
    moved_means = means.copy()
    at = n_components
    for k in range(n_components):
        factor, scale = factors[min(k, n_roots - 1)], 1 / np.sqrt(counts[k])
        for i in range(n_features):
            for j in range(i + 1):
                moved_means[k, i] += scale * factor[i, j] * z[at + j]
        at += n_features
    moved_roots = roots.copy()
    for m in range(n_roots):
        scale = 1 / np.sqrt(2 * (counts.sum() if n_roots == 1 else counts[m]))
        for i in range(n_features):
            if correlated:
                for j in range(i + 1):
                    step = scale * z[at + i * (i + 1) // 2 + j]
                    for row in range(i, n_features):
                        moved_roots[m, row, j] += factors[m, row, i] * step
            else:
                moved_roots[m, i, i] += factors[m, i, i] * scale * z[at + (i if per_feature else 0)]
        at += n_features * (n_features + 1) // 2 if correlated else (n_features if per_feature else 1)
    covariances = np.empty((n_components, n_features, n_features))
    for k in range(n_components):
        root = moved_roots[min(k, n_roots - 1)]
        for i in range(n_features):
            for j in range(i + 1):
                total = 0.0
                for row in range(j + 1):
                    total += root[i, row] * root[j, row]
                covariances[k, i, j] = covariances[k, j, i] = total
            covariances[k, i, i] += floor[i]
    return moved_weights, moved_means, moved_roots, covariances


@jit
def _pull(by_weights, first, second, roots, factors, counts, correlated, per_feature):
    """The gradient by z: with S the gradient by a covariance, twice, that by its root R is S R."""
    n_components, n_features = first.shape
    n_roots = roots.shape[0]
    each = n_features * (n_features + 1) // 2 if correlated else (n_features if per_feature else 1)
    gradient = np.zeros(n_components * (1 + n_features) + n_roots * each)
    at = n_components
    for k in range(n_components):
        factor, scale = factors[min(k, n_roots - 1)], 1 / np.sqrt(counts[k])
        gradient[k] = by_weights[k] * scale
        for j in range(n_features):
            for i in range(j, n_features):
                gradient[at + j] += scale * factor[i, j] * first[k, i]
        at += n_features
    for m in range(n_roots):
        own = second.sum(axis=0) if n_roots == 1 else second[m]
        scale = 1 / np.sqrt(2 * (counts.sum() if n_roots == 1 else counts[m]))
        if correlated:
            by_root = own @ roots[m]
            for i in range(n_features):
                for j in range(i + 1):
                    for row in range(i, n_features):
                        gradient[at + i * (i + 1) // 2 + j] += scale * factors[m, row, i] * by_root[row, j]
        else:
            for i in range(n_features):
                gradient[at + (i if per_feature else 0)] += scale * factors[m, i, i] * own[i, i] * roots[m, i, i]
        at += each
    return gradient


def _at_least(covariances: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Covariances (M, D, D), where rounding errors left them not positive definite with the floor in all directions."""
    try:
        np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        units = np.sqrt(floor)
        variances, directions = np.linalg.eigh(covariances / np.outer(units, units))
        raised = directions * np.maximum(variances, 1 + np.finfo(float).eps * variances[:, -1:] * ROUNDED)[:, None]
        return raised @ directions.swapaxes(1, 2) * np.outer(units, units)
    return covariances
