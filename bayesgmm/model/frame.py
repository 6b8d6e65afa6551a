"""Covariances as seen from another one, which is data: what the priors around a reference have in common."""

from dataclasses import dataclass

import numpy as np

from bayesgmm.mixture import log_cholesky
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.model.root import CLOSE, factors, less_rounding

# Of the features' variances in all: added to every covariance, so that float64 can hold them whatever the rows are.
FLOOR = 1e-10
# Of what rounding explains, the least that a start has besides: where rounding explains all, modes were found at 0.03
# to 1 of it, and a climb from 1e-6 of it ended up to 400 nats below them.
BESIDE_ROUNDING = 0.1


@dataclass(frozen=True, eq=False)
class Frame:
    """Covariances as seen from another one.

    Parameters
    ----------
    family : CovarianceType
    outer : array
        Of that one: its Cholesky factor (D, D) where features correlate; its standard deviations, (D,) or (), where
        not.
    """

    family: CovarianceType
    outer: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """The covariance of the factor ``outer`` in its natural shape: (D, D), (D,) or ()."""
        return self.outer @ self.outer.T if self.family.correlated else self.outer**2

    @property
    def floor(self) -> np.ndarray:
        """Variances that every covariance is given besides: (D,), or () of a spherical one."""
        return FLOOR * (np.diag(self.centre) if self.family.correlated else self.centre)

    def summed(self, counts: np.ndarray, scatter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and scatter of every covariance that there is, in natural shape: (M,), (M, ...).

        Each feature of a spherical covariance counts as a row.
        """
        n, own = counts, scatter
        if not self.family.per_component:
            n, own = counts.sum(keepdims=True), scatter.sum(axis=0, keepdims=True)
        if not self.family.correlated:
            own = np.einsum("kii->ki", own)
            if not self.family.per_feature:
                own, n = own.sum(axis=1), n * scatter.shape[-1]
        return n, own

    def natural(self, last: Mixture) -> np.ndarray:
        """The covariances of a mixture, (M, ...), in natural shape."""
        natural = self.family.pool(last.full_covariances, last.weights)
        return natural if self.family.per_component else natural[None]

    def before_rounding(
        self, n: np.ndarray, own: np.ndarray, natural: np.ndarray, rounding: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Covariances less rounding's, and the scatter (M, ...) that is expected of n rows before they were rounded.

        With :math:`\Sigma = M + R` and :math:`G = M \Sigma^{-1}`, M and :math:`N G R + G C G^\top`: EM's E-step of what
        rounding hid.
        """
        if self.family.correlated:
            beside, expected, definite = less_rounding(n, own, natural, rounding)
            if not definite:
                natural = self._beside(natural, rounding) + np.diag(rounding)
                beside, expected, _ = less_rounding(n, own, natural, rounding)
            return beside, expected
        rounding = self._own(rounding)
        beside = self._beside(natural, rounding)
        gain = beside / (beside + rounding)
        rows = n if own.ndim == 1 else n[:, None]
        return beside, rows * gain * rounding + gain**2 * own

    def expanded(self, natural: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Natural covariances (M, ...) as a :class:`Mixture` takes them."""
        return self.family.expand(natural if self.family.per_component else natural[0], *shape)

    def coordinates(self, natural: np.ndarray, rounding: np.ndarray) -> dict[str, np.ndarray]:
        """The unconstrained variables of covariances in their natural shape, by name.

        Rounding, (D,), is no part of them.
        """
        return {"log_cholesky": self._seen(self._beside(natural, rounding))}

    def _seen(self, natural: np.ndarray) -> np.ndarray:
        """Log-Cholesky coordinates, or log scales where features do not correlate."""
        if self.family.correlated:
            return log_cholesky.coordinates(np.linalg.inv(self.outer) @ self._factors(natural))
        y = np.log(natural / self.centre) / 2
        return y if self.family.per_feature else y[..., None]

    def _factors(self, covariances: np.ndarray) -> np.ndarray:
        """Cholesky factors of covariances (..., D, D), also where rounding errors left them not positive definite."""
        n_features = covariances.shape[-1]
        found, definite = factors(covariances.reshape(-1, n_features, n_features), np.zeros(n_features))
        if definite:
            return found.reshape(covariances.shape)
        inverse = np.linalg.inv(self.outer)
        variances, directions = np.linalg.eigh(inverse @ covariances @ inverse.T)
        return lower(self.outer @ (directions * np.sqrt(np.maximum(variances, 10 * FLOOR))[..., None, :]))

    def with_rounding(self, natural: np.ndarray, rounding: np.ndarray) -> np.ndarray:
        """Natural covariances and the rounding's."""
        return natural + (np.diag(rounding) if self.family.correlated else self._own(rounding))

    def _beside(self, natural: np.ndarray, rounding: np.ndarray) -> np.ndarray:
        """Natural covariances less the rounding's; of those that hold less, ``BESIDE_ROUNDING`` of it is left."""
        if not self.family.correlated:
            own = self._own(rounding)
            return np.where(natural > (1 + CLOSE) * own, natural - own, BESIDE_ROUNDING * own)
        n_features = natural.shape[-1]
        if factors(natural.reshape(-1, n_features, n_features), (1 + CLOSE) * rounding)[1]:
            return natural - np.diag(rounding)
        root = root_beside(self._factors(natural), rounding)
        return root @ np.swapaxes(root, -1, -2)

    def _own(self, rounding: np.ndarray) -> np.ndarray:
        """Rounding variances as uncorrelated natural covariances have them."""
        return rounding if self.family.per_feature else np.asarray(rounding.mean())


def root_beside(factors: np.ndarray, rounding: np.ndarray) -> np.ndarray:
    """F of F F^T, (..., D, D): covariances, of Cholesky factors, less the rounding's, or ``BESIDE_ROUNDING`` of it."""
    inverse = np.linalg.inv(factors)
    share, directions = np.linalg.eigh(inverse @ np.diag(rounding) @ np.swapaxes(inverse, -1, -2))
    return factors @ (directions * np.sqrt(np.maximum(1 - share, BESIDE_ROUNDING * share))[..., None, :])


def lower(roots: np.ndarray) -> np.ndarray:
    """The Cholesky factors of F F^T, of roots F (..., D, D)."""
    upper = np.linalg.qr(np.swapaxes(roots, -1, -2), mode="r")
    return np.swapaxes(upper * np.where(np.einsum("...ii->...i", upper) < 0, -1.0, 1.0)[..., None], -1, -2)
