"""A mixture as the pass over the rows uses it: whiteners and log normalising constants."""

import math
from typing import NamedTuple

import numpy as np

from bayesgmm.mixture.elementary import jit, jit_sum

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
    shifts : (K, D) array
        :math:`W_1 (\mu_k - \mu_1)` where all covariances are equal, so that rows are whitened once for all
        components; (0, D) where not.
    """

    means: np.ndarray
    whiteners: np.ndarray
    constants: np.ndarray
    diagonal: bool
    shifts: np.ndarray


@jit_sum
def factorize(weights, means, covariances, diagonal):
    """The mixture as the pass uses it: inverse Cholesky factors and log normalising constants of every component."""
    n_components, n_features = means.shape
    bandwidth = 0 if diagonal else n_features
    whiteners = np.zeros((n_components, n_features, n_features))
    constants = np.empty(n_components)
    cholesky = np.zeros((n_features, n_features))
    common = not diagonal and _equal(covariances)
    log_det = 0.0
    for k in range(n_components):
        log_weight = math.log(weights[k]) if weights[k] > 0.0 else -math.inf
        if common and k > 0:
            whiteners[k] = whiteners[0]
            constants[k] = log_weight - log_det - 0.5 * n_features * LOG_2PI
            continue
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
            inverse = 1.0 / cholesky[i, i]
            whiteners[k, i, i] = inverse
            # Along rows, so that it vectorises.
            for m in range(first, i):
                share = inverse * cholesky[i, m]
                for j in range(first, m + 1):
                    whiteners[k, i, j] -= share * whiteners[k, m, j]
            log_det += math.log(cholesky[i, i])
        constants[k] = log_weight - log_det - 0.5 * n_features * LOG_2PI
    shifts = np.zeros((n_components if common else 0, n_features))
    for k in range(shifts.shape[0]):
        for i in range(n_features):
            for j in range(i + 1):
                shifts[k, i] += whiteners[0, i, j] * (means[k, j] - means[0, j])
    return Components(means, whiteners, constants, diagonal, shifts)


@jit
def _equal(covariances):
    """Whether there are several covariances, all equal."""
    n_components, n_features = covariances.shape[:2]
    for k in range(1, n_components):
        for i in range(n_features):
            for j in range(i + 1):
                if covariances[k, i, j] != covariances[0, i, j]:
                    return False
    return n_components > 1
