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
(K, D, D), all float64 and C-contiguous. ``bandwidth`` is the number of sub-diagonals in use: D - 1 for a general
covariance, 0 for a diagonal one, whose off-diagonal entries are then neither read nor written.
"""

import math

import numpy as np
from numba import njit

LOG_2PI = math.log(2.0 * math.pi)
# Rows go in blocks, features-major inside a block, so that every inner loop runs over rows and vectorises.
BLOCK_ROWS = 256
# A block's whitened rows should stay in the second-level cache: fewer rows a block when K x D is large.
BLOCK_DOUBLES = 32_768
# exp(-460) = 1e-200. Smaller responsibilities are exactly 0: denormals would slow the sums fivefold.
EXP_CUTOFF = -460.0

# The coefficients 1/13!, ..., 1/0!: on |r| <= ln(2)/2 the remainder of exp's series is below 1e-17.
_C = [1.0 / math.factorial(k) for k in range(14)]
C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2 = _C[13:1:-1]
LOG2_E = 1.4426950408889634
# ln 2 in two parts (Cody and Waite), the first exact when multiplied by any integer in range.
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
# Adding 1.5 * 2**52 leaves the nearest integer in the low bits: rounding without a call, and it vectorises.
ROUNDER = 6755399441055744.0

# "contract" allows fused multiply-add; "reassoc" (sums in any order, so that they vectorise) is kept to `_sum` and
# `_dot`, as it would cancel ROUNDER. NaN and infinity keep their meaning everywhere.
_jit = njit(cache=True, error_model="numpy", nogil=True, fastmath={"contract"})
_jit_sum = njit(cache=True, error_model="numpy", nogil=True, fastmath={"contract", "reassoc"})


@_jit
def _exp(t):
    """exp(t) for EXP_CUTOFF <= t <= 0, within 2 ulp, without a branch or a call."""
    rounded = t * LOG2_E + ROUNDER
    n = rounded - ROUNDER
    r = (t - n * LN2_HIGH) - n * LN2_LOW
    p = C13 * r + C12
    p = p * r + C11
    p = p * r + C10
    p = p * r + C9
    p = p * r + C8
    p = p * r + C7
    p = p * r + C6
    p = p * r + C5
    p = p * r + C4
    p = p * r + C3
    p = p * r + C2
    p = p * r + 1.0
    p = p * r + 1.0
    power_of_two = np.int64((np.float64(rounded).view(np.int64) + np.int64(1023)) << np.int64(52))
    return p * power_of_two.view(np.float64)


@_jit_sum
def _sum(a):
    total = 0.0
    for n in range(a.size):
        total += a[n]
    return total


@_jit_sum
def _dot(a, b):
    total = 0.0
    for n in range(a.size):
        total += a[n] * b[n]
    return total


@_jit
def factorize(weights, means, covariances, bandwidth):
    r"""Inverse Cholesky factors and log normalising constants of every component.

    Returns
    -------
    whiteners : (K, D, D) array
        Lower-triangular :math:`W_k = L_k^{-1}` with :math:`\Sigma_k = L_k L_k^\top`.
    constants : (K,) array
        :math:`\log\pi_k + \log|W_k| - \tfrac{D}{2}\log 2\pi`; NaN where :math:`\Sigma_k` is not positive definite.
    """
    n_components, n_features = means.shape
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
    return whiteners, constants


@_jit
def _whiten_block(x, start, rows, mean, whitener, bandwidth, differences, z, squares):
    """Fill ``z`` (D, rows) with the whitened rows of one component and ``squares`` with their squared norms."""
    n_features = x.shape[1]
    squares[:rows] = 0.0
    for i in range(n_features):
        shift = mean[i]
        difference = differences[i, :rows]
        for n in range(rows):
            difference[n] = x[start + n, i] - shift
        w = whitener[i, i]
        zi = z[i, :rows]
        for n in range(rows):
            zi[n] = w * difference[n]
        for j in range(max(0, i - bandwidth), i):
            w = whitener[i, j]
            other = differences[j, :rows]
            for n in range(rows):
                zi[n] += w * other[n]
        for n in range(rows):
            squares[n] += zi[n] * zi[n]


@_jit
def _normalise_block(log_joint, n_components, rows, log_density):
    """Turn a block's log joint densities (K, rows) into responsibilities, and write the rows' log-densities."""
    highest = np.full(rows, -math.inf)
    for k in range(n_components):
        for n in range(rows):
            value = log_joint[k, n]
            highest[n] = value if not (value <= highest[n]) else highest[n]  # NaN is passed on
    for n in range(rows):
        log_density[n] = highest[n]
        # A row infinitely far from every component has log-density -inf and responsibilities 0, not NaN.
        highest[n] = 0.0 if highest[n] == -math.inf else highest[n]
    total = np.zeros(rows)
    for k in range(n_components):
        for n in range(rows):
            t = log_joint[k, n] - highest[n]
            e = _exp(EXP_CUTOFF if t < EXP_CUTOFF else t)
            e = 0.0 if t < EXP_CUTOFF else e
            log_joint[k, n] = e
            total[n] += e
    for n in range(rows):
        t = total[n]
        log_density[n] += math.log(t) if t > 0.0 else 0.0
        total[n] = 1.0 / t if t > 0.0 else t
    for k in range(n_components):
        for n in range(rows):
            log_joint[k, n] *= total[n]


@_jit
def data_pass(
    x, means, whiteners, constants, bandwidth, row_weights, log_density, responsibility, counts, first, second
):
    """The pass itself, over arrays the caller owns.

    ``log_density`` (N,) is always written, ``responsibility`` (N, K) when it has rows, and the statistics are added to
    when ``row_weights`` (N,) has rows.
    """
    n_rows, n_features = x.shape
    n_components = means.shape[0]
    block = min(BLOCK_ROWS, max(32, BLOCK_DOUBLES // (n_components * n_features) // 8 * 8), max(n_rows, 1))
    differences = np.empty((n_features, block))
    z = np.empty((n_components, n_features, block))
    log_joint = np.empty((n_components, block))
    squares = np.empty(block)
    for start in range(0, n_rows, block):
        rows = min(block, n_rows - start)
        for k in range(n_components):
            _whiten_block(x, start, rows, means[k], whiteners[k], bandwidth, differences, z[k], squares)
            constant = constants[k]
            for n in range(rows):
                log_joint[k, n] = constant - 0.5 * squares[n]
        _normalise_block(log_joint, n_components, rows, log_density[start : start + rows])
        if responsibility.shape[0] > 0:
            for n in range(rows):
                for k in range(n_components):
                    responsibility[start + n, k] = log_joint[k, n]
        if row_weights.shape[0] == 0:
            continue
        for k in range(n_components):
            weight = log_joint[k, :rows]
            for n in range(rows):
                weight[n] *= row_weights[start + n]
            counts[k] += _sum(weight)
            weighted = squares[:rows]
            for i in range(n_features):
                zi = z[k, i, :rows]
                for n in range(rows):
                    weighted[n] = weight[n] * zi[n]
                first[k, i] += _sum(weighted)
                for j in range(max(0, i - bandwidth), i + 1):
                    second[k, i, j] += _dot(weighted, z[k, j, :rows])


@_jit
def log_density(x, weights, means, covariances, bandwidth):
    """Log-density of every row, (N,)."""
    whiteners, constants = factorize(weights, means, covariances, bandwidth)
    log_density = np.empty(x.shape[0])
    none, none2, none3 = np.empty(0), np.empty((0, 0)), np.empty((0, 0, 0))
    data_pass(x, means, whiteners, constants, bandwidth, none, log_density, none2, none, none2, none3)
    return log_density


@_jit
def responsibilities(x, weights, means, covariances, bandwidth):
    """Log-density of every row, (N,), and its probability of every component, (N, K)."""
    whiteners, constants = factorize(weights, means, covariances, bandwidth)
    log_density = np.empty(x.shape[0])
    responsibility = np.empty((x.shape[0], means.shape[0]))
    none, none2, none3 = np.empty(0), np.empty((0, 0)), np.empty((0, 0, 0))
    data_pass(x, means, whiteners, constants, bandwidth, none, log_density, responsibility, none, none2, none3)
    return log_density, responsibility


@_jit
def statistics(x, weights, means, covariances, bandwidth, row_weights):
    """Log-density of every row, the whitening factors, and the expected sufficient statistics, from one pass.

    Returns
    -------
    log_density : (N,) array
    whiteners : (K, D, D) array
    counts, first, second : (K,), (K, D), (K, D, D) arrays
        :math:`N_k, b_k, A_k` of the module's equations; ``second`` is symmetric.
    """
    n_components, n_features = means.shape
    whiteners, constants = factorize(weights, means, covariances, bandwidth)
    log_density = np.empty(x.shape[0])
    counts = np.zeros(n_components)
    first = np.zeros((n_components, n_features))
    second = np.zeros((n_components, n_features, n_features))
    data_pass(
        x, means, whiteners, constants, bandwidth, row_weights, log_density, np.empty((0, 0)), counts, first, second
    )
    for k in range(n_components):
        for i in range(n_features):
            for j in range(i):
                second[k, j, i] = second[k, i, j]
    return log_density, whiteners, counts, first, second


@_jit
def gradient(x, weights, means, covariances, bandwidth, row_weights):
    r"""Log-density of every row and the gradient of their weighted sum, from one pass (Fisher's identity).

    .. math:: \frac{\partial}{\partial\pi_k} = \frac{N_k}{\pi_k}, \qquad
              \frac{\partial}{\partial\mu_k} = W_k^\top b_k, \qquad
              \frac{\partial}{\partial\Sigma_k} = \tfrac12 W_k^\top (A_k - N_k I) W_k .

    Returns
    -------
    log_density : (N,) array
    d_weights, d_means, d_covariances : (K,), (K, D), (K, D, D) arrays
        ``d_covariances`` is symmetric: the change under a symmetric change of the covariance is its inner product
        with it.
    """
    n_components, n_features = means.shape
    log_density, whiteners, counts, first, second = statistics(x, weights, means, covariances, bandwidth, row_weights)
    d_weights = np.empty(n_components)
    d_means = np.zeros((n_components, n_features))
    d_covariances = np.zeros((n_components, n_features, n_features))
    half = np.empty((n_features, n_features))
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
    return log_density, d_weights, d_means, d_covariances
