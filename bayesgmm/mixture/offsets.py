r"""Offsets from a place in units of a covariance's own root: :math:`B L e`, of e (D,) and the coordinates y of L.

y are log-Cholesky coordinates (:mod:`bayesgmm.mixture.log_cholesky`), or D log scales where features do not correlate.
Compiled functions of batches: e (S, J, D), y (S, J, ...), B (D, D) lower triangular.
"""

import math

import numpy as np

from bayesgmm.mixture.elementary import jit
from bayesgmm.mixture.log_cholesky import pull_to_y, triangle


@jit
def _factor(y, n_features):
    if y.size > n_features:
        return triangle(y, n_features)
    factor = np.zeros((n_features, n_features))
    for i in range(n_features):
        factor[i, i] = math.exp(y[i])
    return factor


@jit
def _times(lower, vector):
    product = np.zeros(vector.size)
    for i in range(vector.size):
        for j in range(i + 1):
            product[i] += lower[i, j] * vector[j]
    return product


@jit
def _transposed_times(lower, vector):
    product = np.zeros(vector.size)
    for i in range(vector.size):
        for j in range(i + 1):
            product[j] += lower[i, j] * vector[i]
    return product


@jit
def offsets(e, y, outer):
    """The offsets, (S, J, D)."""
    result = np.empty(e.shape)
    for s in range(e.shape[0]):
        for j in range(e.shape[1]):
            result[s, j] = _times(outer, _times(_factor(y[s, j], e.shape[2]), e[s, j]))
    return result


@jit
def offsets_pullback(e, y, outer, d_offsets):
    """The gradients by e and by y of what has this gradient by the offsets."""
    n_features = e.shape[2]
    d_e, d_y, d_factor = np.empty(e.shape), np.empty(y.shape), np.zeros((n_features, n_features))
    for s in range(e.shape[0]):
        for j in range(e.shape[1]):
            factor, slopes = _factor(y[s, j], n_features), _transposed_times(outer, d_offsets[s, j])
            d_e[s, j] = _transposed_times(factor, slopes)
            for i in range(n_features):
                for m in range(i + 1):
                    d_factor[i, m] = slopes[i] * e[s, j, m]
            if y.shape[2] > n_features:
                pull_to_y(factor, d_factor, d_y[s, j])
            else:
                for i in range(n_features):
                    d_y[s, j, i] = factor[i, i] * d_factor[i, i]
    return d_e, d_y


@jit
def in_units(away, y, outer):
    """The e (S, J, D) of offsets (S, J, D)."""
    e = np.empty(away.shape)
    for s in range(away.shape[0]):
        for j in range(away.shape[1]):
            root = outer @ _factor(y[s, j], away.shape[2])
            for i in range(away.shape[2]):
                left = away[s, j, i]
                for m in range(i):
                    left -= root[i, m] * e[s, j, m]
                e[s, j, i] = left / root[i, i]
    return e
