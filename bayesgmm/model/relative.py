r"""The default prior of the covariances: each around a common reference, at a scale of its own.

.. math:: \Sigma_k = B M_k B^\top + \mathrm{diag}(\delta_j^2/12), \qquad M_k = h_k N_k ,

with :math:`B B^\top` the reference covariance, :math:`h_k` the harmonic mean of :math:`M_k`'s eigenvalues and
:math:`N_k` its shape: that of an inverse-Wishart matrix with :math:`\nu` degrees of freedom, whose scale
:math:`h_k` has a wide distribution instead,
:math:`p(\log h) \propto \exp(-\tfrac12 (\log h)^2 / \tau^2 - b / h)`. So a component may be much smaller or larger than
the others, :math:`\nu` rows say that its shape is like theirs, and the last term, a wall, stops it from closing in on
rows that lie on a plane or coincide: it falls faster than any number of rows can raise the likelihood. The prior does
not change under a linear map of the features.
"""

from dataclasses import dataclass

import numpy as np

from bayesgmm.mixture import log_cholesky
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import CovarianceType

# tau: the standard deviation of a component's log variance, relative to the reference's.
SCALE_SPREAD = 1.5
# b: the wall acts like this many rows, divided by the features, of the reference's own covariance.
SCALE_WALL = 0.01
# Of the reference: the least that EM adds to a scatter, and the least variance that a start is given.
LEAST_VARIANCE = 1e-12
LEAST_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class RelativePrior:
    """The prior in numbers.

    Parameters
    ----------
    family : CovarianceType
    reference_cholesky : array
        Cholesky factor (D, D) of the reference where features correlate; its standard deviations, (D,) or (), where
        not.
    rows : float
        nu, degrees of freedom.
    spread, wall : float
        tau and b.
    """

    family: CovarianceType
    reference_cholesky: np.ndarray
    rows: float
    spread: float = SCALE_SPREAD
    wall: float = SCALE_WALL

    @property
    def reference(self) -> np.ndarray:
        """The reference covariance in its natural shape: (D, D), (D,) or ()."""
        factor = self.reference_cholesky
        return factor @ factor.T if self.family.correlated else factor**2

    def covariances(self, counts: np.ndarray, scatter: np.ndarray, last: Mixture | None) -> np.ndarray:
        r"""EM's M-step: covariances as a :class:`Mixture` takes them.

        .. math:: \Sigma_k \leftarrow \frac{C_k + w_k B B^\top}{N_k + \nu}, \qquad
                  w_k = \left(\nu - \frac{2 \log h_k}{\tau^2 D}\right) h_k + \frac{2 b}{D},

        with :math:`h_k` that of the covariance before: what maximises a bound of the penalised likelihood that touches
        it there, so that no step lowers it. A spherical covariance has a scale and no shape: D = 1 and nu = 0.
        """
        family, reference = self.family, self.reference
        n_features = scatter.shape[-1] if family.per_feature else 1
        rows = self.rows if family.per_feature else 0.0
        n, own = counts, scatter
        if not family.per_component:
            n, own = counts.sum(keepdims=True), scatter.sum(axis=0, keepdims=True)
        if not family.correlated:
            own = np.einsum("kii->ki", own)
            if not family.per_feature:
                own, n = own.sum(axis=1), n * scatter.shape[-1]
        expand = (slice(None), *(None,) * (own.ndim - 1))
        harmonic = np.ones(len(n)) if last is None else self._harmonic(last)
        weight = (rows - 2 * np.log(harmonic) / (self.spread**2 * n_features)) * harmonic + 2 * self.wall / n_features
        weight = np.maximum(weight, LEAST_VARIANCE)
        natural = (own + weight[expand] * reference) / (n + rows)[expand]
        natural = natural if family.per_component else natural[0]
        return family.expand(natural, *scatter.shape[:2])

    def _harmonic(self, mixture: Mixture) -> np.ndarray:
        """h of every covariance, (K,), or (1,) where there is one."""
        family = self.family
        natural = family.pool(mixture.full_covariances, mixture.weights)
        if family.correlated:
            natural = natural if family.per_component else natural[None]
            trace = np.einsum("kij,ji->k", np.linalg.inv(natural), self.reference)
            return natural.shape[-1] / trace
        ratio = self.reference / natural
        return 1 / ratio.mean(axis=-1) if family.per_feature else 1 / ratio

    def coordinates(self, covariances: np.ndarray, rounding: np.ndarray) -> np.ndarray:
        """The unconstrained ``log_cholesky`` of covariances in their natural shape.

        Of what rounding alone explains a covariance keeps ``LEAST_SHARE`` of the reference.
        """
        if not self.family.correlated:
            own = rounding if self.family.per_feature else rounding.mean()
            least = LEAST_SHARE * self.reference
            scales = np.sqrt(np.maximum(covariances - own, least)) / self.reference_cholesky
            return np.log(scales if self.family.per_feature else scales[:, None])
        inverse = np.linalg.inv(self.reference_cholesky)
        relative = inverse @ (covariances - np.diag(rounding)) @ inverse.T
        variances, directions = np.linalg.eigh((relative + np.swapaxes(relative, -1, -2)) / 2)
        variances = np.maximum(variances, LEAST_SHARE)
        relative = (directions * variances[..., None, :]) @ np.swapaxes(directions, -1, -2)
        return log_cholesky.coordinates(np.linalg.cholesky(relative))
