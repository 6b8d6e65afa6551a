r"""The one pass over the data: row log-densities and expected sufficient statistics.

For :math:`p(x) = \sum_k \pi_k N(x \mid \mu_k, \Sigma_k)` and the inverse Cholesky factor :math:`W_k`
(:math:`\Sigma_k^{-1} = W_k^\top W_k`) every row is whitened by every component,

.. math:: z_{nk} = W_k (x_n - \mu_k), \qquad
          \ell_{nk} = \log\pi_k + \log|W_k| - \tfrac{D}{2}\log 2\pi - \tfrac12 \|z_{nk}\|^2,

and in the same pass the responsibilities :math:`r_{nk} = e^{\ell_{nk}} / \sum_j e^{\ell_{nj}}` are summed into

.. math:: N_k = \sum_n g_n r_{nk}, \quad b_k = \sum_n g_n r_{nk} z_{nk}, \quad
          A_k = \sum_n g_n r_{nk} z_{nk} z_{nk}^\top ,

with row weights :math:`g_n`; b and A without rows whose :math:`r_{nk}` is below 1e-20 of their greatest. In the units
of the data these are the gradient of the log-likelihood, from which EM's M-step comes too: see
:class:`bayesgmm.mixture.statistics.Statistics`. Everything that asks what a row's density or component is goes through
this pass, by :class:`bayesgmm.mixture.mixture.Mixture` or PyTensor's Ops.

Plain arrays and Numba; no PyTensor here. Shapes: ``x`` (N, D), ``weights`` (K,), ``means`` (K, D), ``covariances``
(K, D, D), all float64 and C-contiguous. Of ``diagonal`` covariances the off-diagonal entries are neither read nor
written.
"""

import numpy as np

from bayesgmm.mixture.components import factorize
from bayesgmm.mixture.data_pass import Wanted, data_pass
from bayesgmm.mixture.elementary import jit
from bayesgmm.mixture.statistics import Statistics


@jit
def log_density(x, weights, means, covariances, diagonal):
    """Log-density of every row, (N,)."""
    log_density = np.empty(x.shape[0])
    components = factorize(weights, means, covariances, diagonal)
    data_pass(x, components, np.ones(1), Wanted(True, False, False), log_density, np.empty((0, 0)))
    return log_density


@jit
def responsibilities(x, weights, means, covariances, diagonal):
    """Log-density of every row, (N,), and its probability of every component, (N, K)."""
    responsibilities = np.empty((x.shape[0], means.shape[0]))
    log_density = np.empty(x.shape[0])
    components = factorize(weights, means, covariances, diagonal)
    data_pass(x, components, np.ones(1), Wanted(True, True, False), log_density, responsibilities)
    return log_density, responsibilities


@jit
def responsibilities_of_draws(x, weights, means, covariances, diagonal):
    """Every row's probability of every component under S mixtures, (S, N, K); the parameters have a first axis S."""
    responsibilities = np.empty((weights.shape[0], x.shape[0], weights.shape[1]))
    for s in range(weights.shape[0]):
        components = factorize(weights[s], means[s], covariances[s], diagonal)
        data_pass(x, components, np.ones(1), Wanted(False, True, False), np.empty(0), responsibilities[s])
    return responsibilities


@jit
def statistics(x, weights, means, covariances, diagonal, row_weights):
    r"""The statistics of some rows, from one pass.

    .. math:: f_k = W_k^\top b_k, \qquad S_k = W_k^\top (A_k - N_k I) W_k .

    ``row_weights`` are N, or one for all rows.
    """
    n_components, n_features = means.shape
    first = np.zeros((n_components, n_features))
    second = np.zeros((n_components, n_features, n_features))
    if x.shape[0] == 0:
        return Statistics(0.0, np.zeros(n_components), first, second)
    components = factorize(weights, means, covariances, diagonal)
    sums, components = data_pass(
        x, components, row_weights, Wanted(False, False, True), np.empty(0), np.empty((0, 0))
    )  # fmt: skip
    counts, whitened_first, whitened_second = sums.counts[0], sums.first[0], sums.second[0]
    half = np.empty((n_features, n_features))
    for k in range(n_components):
        w = components.whiteners[k]
        for i in range(n_features):
            whitened_second[k, i, i] -= counts[k]
        if diagonal:
            for i in range(n_features):
                first[k, i] = w[i, i] * whitened_first[k, i]
                second[k, i, i] = w[i, i] ** 2 * whitened_second[k, i, i]
            continue
        # Along rows, so that it vectorises.
        for i in range(n_features):
            for j in range(i + 1):
                first[k, j] += w[i, j] * whitened_first[k, i]
            for j in range(n_features):
                half[i, j] = 0.0
            for m in range(n_features):
                weight = whitened_second[k, i, m]
                for j in range(m + 1):
                    half[i, j] += weight * w[m, j]
        for m in range(n_features):
            for i in range(m + 1):
                weight = w[m, i]
                for j in range(i + 1):
                    second[k, i, j] += weight * half[m, j]
        for i in range(n_features):
            for j in range(i):
                second[k, j, i] = second[k, i, j]
    return Statistics(sums.log_likelihood[0], counts, first, second)


@jit
def gradient(x, weights, means, covariances, diagonal, row_weights):
    """The rows' weighted log-density and its gradient by weights, means and covariances, from one pass.

    The gradient by the covariances is symmetric: the change under a symmetric change of a covariance is its inner
    product with it. ``row_weights`` are N, or one for all rows.
    """
    return slopes(statistics(x, weights, means, covariances, diagonal, row_weights), weights)


@jit
def slopes(statistics, weights):
    """The log-likelihood of statistics, and its gradient by weights, means and covariances."""
    log_likelihood, counts, first, second = statistics
    d_weights = np.empty(weights.size)
    for k in range(weights.size):
        d_weights[k] = counts[k] / weights[k] if weights[k] > 0.0 else 0.0
    return log_likelihood, d_weights, first, 0.5 * second
