r"""The pass over rows that were measured with errors of their own: row n has :math:`N(\mu_k, \Sigma_k + E_n)`.

With :math:`C_{nk} = \Sigma_k + E_n` and :math:`d_{nk} = x_n - \mu_k`,

.. math:: \ell_{nk} = \log\pi_k - \tfrac12 \log|C_{nk}| - \tfrac D2 \log 2\pi - \tfrac12 d_{nk}^\top C_{nk}^{-1} d_{nk},

.. math:: f_k = \sum_n g_n r_{nk}\, C_{nk}^{-1} d_{nk}, \qquad
          S_k = \sum_n g_n r_{nk} \big( C_{nk}^{-1} d_{nk} d_{nk}^\top C_{nk}^{-1} - C_{nk}^{-1} \big) .

Every row has a covariance to invert for every component: rows go in blocks, features-major, so that the inner loops of
the factorisation run over rows and vectorise.

Bovy, Hogg and Roweis (2011), Extreme deconvolution: inferring complete distribution functions from noisy, heterogeneous
and incomplete observations, Annals of Applied Statistics 5, 1657-1677, https://doi.org/10.1214/10-AOAS439.
"""

import math

import numpy as np

from bayesgmm.mixture.blocks import normalise, transpose
from bayesgmm.mixture.components import LOG_2PI
from bayesgmm.mixture.elementary import jit, jit_sum, log
from bayesgmm.mixture.statistics import Statistics

# Rows of a block: those of one component's matrices stay in the second-level cache.
BLOCK_ROWS = 128
# Pivots, each in units of its component's own variance, whose product has one logarithm: a logarithm each took a
# seventh of the pass. One is no less than rounding, 1e-16, and errors may be 1e50 times the component.
PRODUCT = 6


@jit
def _factorise(covariance, errors, rows, matrix, log_det):
    """Fill ``matrix`` (D, D, rows) with inverse Cholesky factors of the rows' covariances, and half log-determinants.

    The factor is made in place below the diagonal, its diagonal inverted, and then inverted itself.
    """
    n_features = matrix.shape[0]
    log_det[:rows] = 0.0
    product = np.ones(rows)
    for i in range(n_features):
        unit = covariance[i, i] if covariance[i, i] > 0.0 else 1.0
        half_log_unit, per_unit = 0.5 * math.log(unit), 1.0 / unit
        for j in range(i + 1):
            own, error, entry = covariance[i, j], errors[i, j], matrix[i, j]
            # Two products to a loop: short loops take half as long as twice as many.
            for n in range(rows):
                entry[n] = own + error[n]
            for m in range(0, j - 1, 2):
                a0, b0, a1, b1 = matrix[i, m], matrix[j, m], matrix[i, m + 1], matrix[j, m + 1]
                for n in range(rows):
                    entry[n] -= a0[n] * b0[n] + a1[n] * b1[n]
            if j % 2:
                a0, b0 = matrix[i, j - 1], matrix[j, j - 1]
                for n in range(rows):
                    entry[n] -= a0[n] * b0[n]
            if i == j:
                # Of what is no covariance the logarithm and the root, and all that follows, are NaN.
                for n in range(rows):
                    product[n] *= per_unit * entry[n] if entry[n] > 0.0 else math.nan
                    log_det[n] += half_log_unit
                if i % PRODUCT == PRODUCT - 1 or i == n_features - 1:
                    for n in range(rows):
                        log_det[n] += 0.5 * log(product[n]) if product[n] > 0.0 else math.nan
                    product[:] = 1.0
                for n in range(rows):
                    entry[n] = 1.0 / math.sqrt(entry[n])
            else:
                scale = matrix[j, j]
                for n in range(rows):
                    entry[n] *= scale[n]
    # Row by row: what is read below has not been inverted yet, what is read above has.
    for i in range(n_features):
        scale = matrix[i, i]
        for j in range(i):
            # -1 / L_ii times the sum over m from j to i - 1 of L_im W_mj, of which W_jj is in place.
            entry, diagonal = matrix[i, j], matrix[j, j]
            for n in range(rows):
                entry[n] = entry[n] * diagonal[n]
            for m in range(j + 1, i):
                a, b = matrix[i, m], matrix[m, j]
                for n in range(rows):
                    entry[n] += a[n] * b[n]
            for n in range(rows):
                entry[n] *= -scale[n]


@jit
def _whitened(matrix, difference, rows, squares, weighted):
    """Fill ``squares`` (rows) with the squared norms of the whitened rows, and ``weighted`` (D, rows) with C^-1 d."""
    n_features = matrix.shape[0]
    squares[:rows] = 0.0
    weighted[:, :rows] = 0.0
    z = np.empty(rows)
    for i in range(n_features):
        z[:] = 0.0
        for j in range(i + 1):
            w, d = matrix[i, j], difference[j]
            for n in range(rows):
                z[n] += w[n] * d[n]
        for n in range(rows):
            squares[n] += z[n] * z[n]
        for j in range(i + 1):
            w, f = matrix[i, j], weighted[j]
            for n in range(rows):
                f[n] += w[n] * z[n]


@jit_sum
def _accumulate(joint, scale, rows, matrix, weighted, first, second):
    """Add a component's share of a block to its sums, the lower triangle of ``second`` alone; its count."""
    n_features = matrix.shape[0]
    count = 0.0
    for n in range(rows):
        joint[n] *= scale[n]
        count += joint[n]
    inverse = np.empty(rows)
    for i in range(n_features):
        f = weighted[i]
        total = 0.0
        for n in range(rows):
            total += joint[n] * f[n]
        first[i] += total
        for j in range(i + 1):
            a0, b0 = matrix[i, i], matrix[i, j]
            for n in range(rows):
                inverse[n] = a0[n] * b0[n]
            for m in range(i + 1, n_features - 1, 2):
                a0, b0, a1, b1 = matrix[m, i], matrix[m, j], matrix[m + 1, i], matrix[m + 1, j]
                for n in range(rows):
                    inverse[n] += a0[n] * b0[n] + a1[n] * b1[n]
            if (n_features - i) % 2 == 0:
                a0, b0 = matrix[n_features - 1, i], matrix[n_features - 1, j]
                for n in range(rows):
                    inverse[n] += a0[n] * b0[n]
            g = weighted[j]
            total = 0.0
            for n in range(rows):
                total += joint[n] * (f[n] * g[n] - inverse[n])
            second[i, j] += total
    return count


@jit
def data_pass(x, errors, rows, seen, weights, means, covariances, row_weights, log_density, responsibilities):
    """The statistics of rows ``x`` (N, D), whose errors are those of ``rows`` (N,) and of the features ``seen`` (D,).

    The errors are of a whole table, of which no copy is made. ``log_density`` (N,) is filled, and ``responsibilities``
    (N, K) if it has rows.
    """
    n_rows, n_features = x.shape
    n_components = weights.size
    first = np.zeros((n_components, n_features))
    second = np.zeros((n_components, n_features, n_features))
    counts = np.zeros(n_components)
    own_errors = np.empty((n_features, n_features, BLOCK_ROWS))
    xt, difference = np.empty((n_features, BLOCK_ROWS)), np.empty((n_features, BLOCK_ROWS))
    matrices = np.empty((n_components, n_features, n_features, BLOCK_ROWS))
    weighted = np.empty((n_components, n_features, BLOCK_ROWS))
    joint = np.empty((n_components, BLOCK_ROWS))
    log_det, squares = np.empty(BLOCK_ROWS), np.empty(BLOCK_ROWS)
    highest, scale = np.empty(BLOCK_ROWS), np.empty(BLOCK_ROWS)
    constants = np.empty(n_components)
    for k in range(n_components):
        constants[k] = (math.log(weights[k]) if weights[k] > 0.0 else -math.inf) - 0.5 * n_features * LOG_2PI
    total = 0.0
    for start in range(0, n_rows, BLOCK_ROWS):
        n_block = min(BLOCK_ROWS, n_rows - start)
        transpose(x[start : start + n_block], xt)
        for n in range(n_block):
            error = errors[rows[start + n]]
            for i in range(n_features):
                for j in range(i + 1):
                    own_errors[i, j, n] = error[seen[i], seen[j]]
        for k in range(n_components):
            for i in range(n_features):
                mean = means[k, i]
                for n in range(n_block):
                    difference[i, n] = xt[i, n] - mean
            _factorise(covariances[k], own_errors, n_block, matrices[k], log_det)
            _whitened(matrices[k], difference, n_block, squares, weighted[k])
            for n in range(n_block):
                joint[k, n] = squares[n] + 2.0 * log_det[n]
        own_weights = row_weights[start : start + n_block] if row_weights.size > 1 else row_weights
        own = log_density[start : start + n_block]
        normalise(constants, own_weights, own, joint[:, :n_block], highest, scale)
        if responsibilities.shape[0] > 0:
            for n in range(n_block):
                for k in range(n_components):
                    responsibilities[start + n, k] = joint[k, n] * scale[n]
        for n in range(n_block):
            total += own[n] * (own_weights[n] if own_weights.size > 1 else own_weights[0])
        for k in range(n_components):
            counts[k] += _accumulate(joint[k], scale, n_block, matrices[k], weighted[k], first[k], second[k])
    for k in range(n_components):
        for i in range(n_features):
            for j in range(i):
                second[k, j, i] = second[k, i, j]
    return Statistics(total, counts, first, second)
