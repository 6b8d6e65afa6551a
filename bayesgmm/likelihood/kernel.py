r"""The one pass over the data: row log-densities and expected sufficient statistics.

For :math:`p(x) = \sum_k \pi_k N(x \mid \mu_k, \Sigma_k)` and the inverse Cholesky factor :math:`W_k`
(:math:`\Sigma_k^{-1} = W_k^\top W_k`) every row is whitened by every component,

.. math:: z_{nk} = W_k (x_n - \mu_k), \qquad
          \ell_{nk} = \log\pi_k + \log|W_k| - \tfrac{D}{2}\log 2\pi - \tfrac12 \|z_{nk}\|^2,

and in the same pass the responsibilities :math:`r_{nk} = e^{\ell_{nk}} / \sum_j e^{\ell_{nj}}` are summed into

.. math:: N_k = \sum_n g_n r_{nk}, \quad b_k = \sum_n g_n r_{nk} z_{nk}, \quad
          A_k = \sum_n g_n r_{nk} z_{nk} z_{nk}^\top ,

with row weights :math:`g_n`. EM's M-step and the gradient of the log-likelihood are both functions of
:math:`(N_k, b_k, A_k)`; nothing else in the package touches the rows.

Plain arrays and Numba; no PyTensor here. Shapes: ``x`` (N, D), ``weights`` (K,), ``means`` (K, D), ``covariances``
(K, D, D), all float64 and C-contiguous. Of ``diagonal`` covariances the off-diagonal entries are neither read nor
written.
"""

import numpy as np

from bayesgmm.likelihood.data_pass import data_pass
from bayesgmm.likelihood.elementary import jit


@jit
def log_density(x, weights, means, covariances, diagonal):
    """Log-density of every row, (N,)."""
    log_density = np.empty(x.shape[0])
    data_pass(x, weights, means, covariances, diagonal, np.empty(0), log_density, np.empty((0, 0)))
    return log_density


@jit
def responsibilities(x, weights, means, covariances, diagonal):
    """Log-density of every row, (N,), and its probability of every component, (N, K)."""
    responsibility = np.empty((x.shape[0], means.shape[0]))
    log_density = np.empty(x.shape[0])
    data_pass(x, weights, means, covariances, diagonal, np.empty(0), log_density, responsibility)
    return log_density, responsibility


@jit
def responsibilities_of_draws(x, weights, means, covariances, diagonal):
    """Every row's probability of every component under S mixtures, (S, N, K); the parameters have a first axis S."""
    responsibility = np.empty((weights.shape[0], x.shape[0], weights.shape[1]))
    for s in range(weights.shape[0]):
        data_pass(
            x, weights[s], means[s], covariances[s], diagonal, np.empty(0), np.empty(0), responsibility[s]
        )  # fmt: skip
    return responsibility


@jit
def statistics(x, weights, means, covariances, diagonal, row_weights):
    """The rows' weighted log-density, the whitening factors, and the expected sufficient statistics, from one pass.

    ``row_weights`` are N, or one for all rows.

    Returns
    -------
    log_likelihood : float
        The weighted sum of the rows' log-densities.
    whiteners : (K, D, D) array
    counts, first, second : (K,), (K, D), (K, D, D) arrays
        :math:`N_k, b_k, A_k` of the module's equations; ``second`` is symmetric.
    """
    total, whiteners, _, counts, first, second = data_pass(
        x, weights, means, covariances, diagonal, row_weights, np.empty(0), np.empty((0, 0))
    )
    return total[0], whiteners, counts, first, second


@jit
def gradient(x, weights, means, covariances, diagonal, row_weights):
    r"""The rows' weighted log-density and its gradient, from one pass (Fisher's identity).

    .. math:: \frac{\partial}{\partial\pi_k} = \frac{N_k}{\pi_k}, \qquad
              \frac{\partial}{\partial\mu_k} = W_k^\top b_k, \qquad
              \frac{\partial}{\partial\Sigma_k} = \tfrac12 W_k^\top (A_k - N_k I) W_k .

    ``row_weights`` are N, or one for all rows.

    Returns
    -------
    log_likelihood : float
    d_weights, d_means, d_covariances : (K,), (K, D), (K, D, D) arrays
        ``d_covariances`` is symmetric: the change under a symmetric change of the covariance is its inner product
        with it.
    """
    n_components, n_features = means.shape
    log_likelihood, whiteners, counts, first, second = statistics(x, weights, means, covariances, diagonal, row_weights)
    d_weights = np.empty(n_components)
    d_means = np.zeros((n_components, n_features))
    d_covariances = np.zeros((n_components, n_features, n_features))
    half = np.empty((n_features, n_features))
    bandwidth = 0 if diagonal else n_features
    for k in range(n_components):
        w = whiteners[k]
        d_weights[k] = counts[k] / weights[k] if weights[k] > 0.0 else 0.0
        for i in range(n_features):
            second[k, i, i] -= counts[k]
        for i in range(n_features):
            for j in range(max(0, i - bandwidth), i + 1):
                d_means[k, j] += w[i, j] * first[k, i]
            for j in range(max(0, i - bandwidth), min(n_features, i + bandwidth + 1)):
                s = 0.0
                for m in range(j, min(n_features, j + bandwidth + 1)):
                    s += second[k, i, m] * w[m, j]
                half[i, j] = s
        for i in range(n_features):
            for j in range(max(0, i - bandwidth), i + 1):
                s = 0.0
                for m in range(i, min(n_features, i + bandwidth + 1)):
                    s += w[m, i] * half[m, j]
                d_covariances[k, i, j] = 0.5 * s
                d_covariances[k, j, i] = 0.5 * s
    return log_likelihood, d_weights, d_means, d_covariances
