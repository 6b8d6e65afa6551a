r"""Log-Cholesky coordinates of a covariance matrix relative to a reference.

A covariance is :math:`\Sigma = B M B^\top + \mathrm{diag}(\rho_j)` with :math:`B B^\top` the reference and
:math:`\rho` the rounding variances. The matrix M relative to the reference has the coordinates y, row by row,

.. math:: M = L L^\top, \qquad L_{ij} = e^{\ell_i} y_{ij} \; (j < i), \qquad L_{ii} = e^{\ell_i}, \qquad
          y = (\ell_1, y_{21}, \ell_2, y_{31}, y_{32}, \ell_3, \dots).

In them the measure that no linear map of the features changes is flat: :math:`|M|^{-(D+1)/2} dM = 2^D dy`. So a density
of y is highest at the same covariance whatever the axes.

Pinheiro and Bates (1996), Unconstrained parametrizations for variance-covariance matrices, Statistics and Computing 6,
289-296, https://doi.org/10.1007/BF00140873.

Compiled functions of batches: y (B, D (D + 1) / 2), matrices (B, D, D). Each has its pullback: the gradient by y of
what has the given gradient by the function's value.
"""

import math

import numpy as np

from bayesgmm.mixture.elementary import jit


def length(n_features: int) -> int:
    """Number of coordinates."""
    return n_features * (n_features + 1) // 2


def coordinates(factor: np.ndarray) -> np.ndarray:
    """y (..., D (D + 1) / 2) of Cholesky factors L (..., D, D)."""
    rows, columns = np.tril_indices(factor.shape[-1])
    scaled = factor / np.einsum("...ii->...i", factor)[..., :, None]
    y = scaled[..., rows, columns]
    y[..., rows == columns] = np.log(np.einsum("...ii->...i", factor))
    return y


@jit
def _triangle(y, n_features):
    """L of one y."""
    factor = np.zeros((n_features, n_features))
    at = 0
    for i in range(n_features):
        scale = math.exp(y[at + i])
        for j in range(i):
            factor[i, j] = scale * y[at + j]
        factor[i, i] = scale
        at += i + 1
    return factor


@jit
def _pull_to_y(factor, d_factor, d_y):
    """The gradient by one y of what has the gradient ``d_factor`` by L."""
    at = 0
    for i in range(factor.shape[0]):
        along = 0.0
        for j in range(i + 1):
            along += factor[i, j] * d_factor[i, j]
            d_y[at + j] = factor[i, i] * d_factor[i, j]
        d_y[at + i] = along
        at += i + 1


@jit
def _inverse(factor):
    """The inverse of a lower triangle."""
    n_features = factor.shape[0]
    inverse = np.zeros((n_features, n_features))
    for i in range(n_features):
        inverse[i, i] = 1.0 / factor[i, i]
        for j in range(i):
            total = 0.0
            for m in range(j, i):
                total -= factor[i, m] * inverse[m, j]
            inverse[i, j] = total / factor[i, i]
    return inverse


@jit
def _n_features(n_coordinates):
    return int((math.sqrt(8.0 * n_coordinates + 1.0) - 1.0) / 2.0 + 0.5)


@jit
def precision_trace(y):
    """Trace of the inverse of M, (B,)."""
    n_features = _n_features(y.shape[1])
    trace = np.zeros(y.shape[0])
    for b in range(y.shape[0]):
        inverse = _inverse(_triangle(y[b], n_features))
        for i in range(n_features):
            for j in range(i + 1):
                trace[b] += inverse[i, j] ** 2
    return trace


@jit
def precision_trace_pullback(y, d_trace):
    r"""With A the inverse of L, :math:`\partial T / \partial L = -2 A^\top A A^\top`."""
    n_features = _n_features(y.shape[1])
    d_y = np.empty(y.shape)
    half = np.empty((n_features, n_features))
    d_factor = np.zeros((n_features, n_features))
    for b in range(y.shape[0]):
        factor = _triangle(y[b], n_features)
        inverse = _inverse(factor)
        for i in range(n_features):
            for j in range(n_features):
                half[i, j] = 0.0
                for m in range(max(i, j), n_features):
                    half[i, j] += inverse[m, i] * inverse[m, j]
        for i in range(n_features):
            for j in range(i + 1):
                total = 0.0
                for m in range(j + 1):
                    total += half[i, m] * inverse[j, m]
                d_factor[i, j] = -2.0 * d_trace[b] * total
        _pull_to_y(factor, d_factor, d_y[b])
    return d_y


@jit
def _product(reference, factor):
    """B L of two lower triangles."""
    n_features = factor.shape[0]
    product = np.zeros((n_features, n_features))
    for i in range(n_features):
        for m in range(i + 1):
            weight = reference[i, m]
            for j in range(m + 1):
                product[i, j] += weight * factor[m, j]
    return product


@jit
def factors(y, outer):
    """Cholesky factors B L (B, D, D) of covariances around the one with the Cholesky factor ``outer`` (D, D)."""
    n_features = outer.shape[0]
    result = np.empty((y.shape[0], n_features, n_features))
    for b in range(y.shape[0]):
        result[b] = _product(outer, _triangle(y[b], n_features))
    return result


@jit
def factors_pullback(y, outer, d_factors):
    d_y = np.empty(y.shape)
    d_inner = np.zeros(outer.shape)
    for b in range(y.shape[0]):
        _pull_through_outer(outer, d_factors[b], d_inner)
        _pull_to_y(_triangle(y[b], outer.shape[0]), d_inner, d_y[b])
    return d_y


@jit
def _pull_through_outer(outer, d_product, d_inner):
    """The gradient by L, lower triangle, of what has the gradient ``d_product`` by B L."""
    n_features = outer.shape[0]
    for i in range(n_features):
        for j in range(i + 1):
            total = 0.0
            for m in range(i, n_features):
                total += outer[m, i] * d_product[m, j]
            d_inner[i, j] = total


@jit
def covariances(y, references, rounding):
    """Covariances (B, D, D), around references of Cholesky factors (G, D, D): B / G of them around each, in order."""
    n_features = references.shape[1]
    result = np.empty((y.shape[0], n_features, n_features))
    each = max(1, y.shape[0] // references.shape[0])
    for b in range(y.shape[0]):
        product = _product(references[b // each], _triangle(y[b], n_features))
        for i in range(n_features):
            for j in range(i + 1):
                total = 0.0
                for m in range(j + 1):
                    total += product[i, m] * product[j, m]
                result[b, i, j] = total
                result[b, j, i] = total
            result[b, i, i] += rounding[i]
    return result


@jit
def covariances_pullback(y, references, d_covariances):
    r"""Gradients by y (B, P) and by the references' factors (G, D, D).

    With F = B L and G the gradient by the covariance, that by F is :math:`(G + G^\top) F`.
    """
    n_features = references.shape[1]
    d_y, d_references = np.empty(y.shape), np.zeros(references.shape)
    d_product = np.empty((n_features, n_features))
    d_factor = np.zeros((n_features, n_features))
    each = max(1, y.shape[0] // references.shape[0])
    for b in range(y.shape[0]):
        reference, d_reference = references[b // each], d_references[b // each]
        factor = _triangle(y[b], n_features)
        product = _product(reference, factor)
        for i in range(n_features):
            for j in range(n_features):
                d_product[i, j] = 0.0
            for m in range(n_features):
                weight = d_covariances[b, i, m] + d_covariances[b, m, i]
                for j in range(m + 1):
                    d_product[i, j] += weight * product[m, j]
        _pull_through_outer(reference, d_product, d_factor)
        _pull_to_y(factor, d_factor, d_y[b])
        for i in range(n_features):
            for m in range(i + 1):
                for j in range(m + 1):
                    d_reference[i, m] += d_product[i, j] * factor[m, j]
    return d_y, d_references
