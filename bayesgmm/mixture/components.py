"""A mixture as the pass over the rows uses it: whiteners and log normalising constants."""

import math
from typing import NamedTuple

import numpy as np

from bayesgmm.mixture.elementary import jit

LOG_2PI = math.log(2.0 * math.pi)


class Components(NamedTuple):
    r"""A mixture as the pass uses it.

    Attributes
    ----------
    means : (K, D) array
    whiteners : (K, D, D) array
        Lower-triangular :math:`W_k = L_k^{-1}` with :math:`\Sigma_k = L_k L_k^\top`.
    constants : (K,) array
        :math:`\log\pi_k + \log|W_k| - \tfrac{D}{2}\log 2\pi`; NaN where :math:`\Sigma_k` is not positive definite.
    diagonal : bool
        Whether the off-diagonal entries are neither to be read nor written.
    """

    means: np.ndarray
    whiteners: np.ndarray
    constants: np.ndarray
    diagonal: bool


@jit
def factorize(weights, means, covariances, diagonal):
    """The mixture as the pass uses it: inverse Cholesky factors and log normalising constants of every component."""
    n_components, n_features = means.shape
    bandwidth = 0 if diagonal else n_features
    whiteners = np.zeros((n_components, n_features, n_features))
    constants = np.empty(n_components)
    cholesky = np.zeros((n_features, n_features))
    for k in range(n_components):
        log_det = 0.0
        for i in range(n_features):
            first = max(0, i - bandwidth)
            for j in range(first, i + 1):
                s = covariances[k, i, j]
                for m in range(first, j):
                    s -= cholesky[i, m] * cholesky[j, m]
                if i == j:
                    cholesky[i, i] = math.sqrt(s) if s > 0.0 else math.nan
                else:
                    cholesky[i, j] = s / cholesky[j, j]
            whiteners[k, i, i] = 1.0 / cholesky[i, i]
            for j in range(first, i):
                s = 0.0
                for m in range(j, i):
                    s -= cholesky[i, m] * whiteners[k, m, j]
                whiteners[k, i, j] = s / cholesky[i, i]
            log_det += math.log(cholesky[i, i])
        log_weight = math.log(weights[k]) if weights[k] > 0.0 else -math.inf
        constants[k] = log_weight - log_det - 0.5 * n_features * LOG_2PI
    return Components(means, whiteners, constants, diagonal)
