r"""The four covariance structures, as one rule each about what components and features share.

A covariance is :math:`\Sigma_k = S_k R_k S_k + \mathrm{diag}(\delta_j^2 / 12)`: scales S, a correlation matrix R, and
the rounding variance of features recorded in steps :math:`\delta_j` (Sheppard's correction). The structures differ in
three respects only: whether each component has scales of its own, whether each feature has, and whether features
correlate. Natural shapes are scikit-learn's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class CovarianceType:
    """One covariance structure."""

    name: str
    per_component: bool
    per_feature: bool
    correlated: bool

    @property
    def diagonal(self) -> bool:
        """Whether the off-diagonal entries are 0, which the likelihood kernel makes use of."""
        return not self.correlated

    @property
    def scale_dims(self) -> tuple[str, ...]:
        """Dims of ``scales`` and ``variances``."""
        return ("component",) * self.per_component + ("feature",) * self.per_feature

    @property
    def correlation_dims(self) -> tuple[str, ...]:
        """Dims of a correlation matrix or its Cholesky factor."""
        return ("component",) * self.per_component + ("feature", "feature2")

    @property
    def dims(self) -> tuple[str, ...]:
        """Dims of ``covariances``."""
        return self.correlation_dims if self.correlated else self.scale_dims

    def shape(self, dims: tuple[str, ...], n_components: int, n_features: int) -> tuple[int, ...]:
        """Lengths of ``dims``."""
        return tuple(n_components if d == "component" else n_features for d in dims)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of the covariances."""
        owners = n_components if self.per_component else 1
        scales = n_features if self.per_feature else 1
        return owners * (scales + (n_features * (n_features - 1) // 2 if self.correlated else 0))

    def n_mixture_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of a mixture: weights, means and covariances."""
        return n_components - 1 + n_components * n_features + self.n_parameters(n_components, n_features)

    def from_scales(self, variances: Any, correlation_cholesky: Any, rounding: Any, xp: Any = np) -> Any:
        """Covariances in their natural shape; works on arrays and on PyTensor variables.

        Parameters
        ----------
        variances : (scale_dims)
        correlation_cholesky : (correlation_dims) or None
            None where there is no correlation: uncorrelated structures, or a single feature.
        rounding : (D,)
            Rounding variances. A spherical covariance, one number a component, takes their mean.
        xp : module
            numpy or pytensor.tensor.
        """
        if not self.per_feature:
            return variances + rounding.mean()
        if not self.correlated:
            return variances + rounding
        identity = xp.eye(rounding.shape[0])
        if correlation_cholesky is None:
            return (variances + rounding)[..., None] * identity
        factor = (variances**0.5)[..., None] * correlation_cholesky
        # Not a matmul: PyTensor's batched product takes a minute to compile, this sum a second.
        product = (factor[..., :, None, :] * factor[..., None, :, :]).sum(axis=-1)
        return product + rounding[:, None] * identity

    def expand(self, covariances: np.ndarray, n_components: int, n_features: int) -> np.ndarray:
        """Natural shape, with or without leading draws, as a :class:`Mixture` takes it: what is shared is not copied.

        (..., K, D, D), or (..., K, D) where features do not correlate.
        """
        leading = covariances.shape[: covariances.ndim - len(self.dims)]
        if self.correlated and not self.per_component:
            shape = (*leading, n_components, n_features, n_features)
            return np.broadcast_to(covariances[..., None, :, :], shape)
        if not self.per_feature:
            return np.broadcast_to(covariances[..., None], (*leading, n_components, n_features))
        return covariances

    def matrices(self, covariances: Any, n_components: Any, n_features: Any, xp: Any = np) -> Any:
        """Natural shape -> (K, D, D), as the likelihood's graph takes it; ``xp`` is numpy or pytensor.tensor."""
        if not self.correlated:
            # (K,) or (K, D), times the identity.
            variances = covariances if self.per_feature else covariances[:, None]
            return variances[:, :, None] * xp.eye(n_features)
        if not self.per_component:
            return xp.broadcast_to(covariances[None], (n_components, n_features, n_features))
        return covariances

    def pool(self, covariances: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """(K, D, D) component covariances -> the closest of this structure in its natural shape (EM's M-step)."""
        if not self.per_component:
            return np.einsum("k,kij->ij", counts / counts.sum(), covariances)
        if self.correlated:
            return covariances
        variances = np.einsum("kii->ki", covariances)
        return variances if self.per_feature else variances.mean(axis=1)


COVARIANCE_TYPES = {
    t.name: t
    for t in (
        CovarianceType("full", per_component=True, per_feature=True, correlated=True),
        CovarianceType("tied", per_component=False, per_feature=True, correlated=True),
        CovarianceType("diag", per_component=True, per_feature=True, correlated=False),
        CovarianceType("spherical", per_component=True, per_feature=False, correlated=False),
    )
}
