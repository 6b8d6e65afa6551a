r"""Log-Cholesky coordinates of a covariance matrix relative to another.

A covariance is :math:`\Sigma = B M B^\top + \mathrm{diag}(\rho_j)` with B the Cholesky factor of a covariance that is
data, and :math:`\rho` rounding variances. The matrix M relative to it has the coordinates y, row by row,

.. math:: M = L L^\top, \qquad L_{ij} = e^{\ell_i} y_{ij} \; (j < i), \qquad L_{ii} = e^{\ell_i}, \qquad
          y = (\ell_1, y_{21}, \ell_2, y_{31}, y_{32}, \ell_3, \dots).

In them the measure that no linear map of the features changes is flat: :math:`|M|^{-(D+1)/2} dM = 2^D dy`. So a density
of y is highest at the same covariance whatever the axes.

Pinheiro and Bates (1996), Unconstrained parametrizations for variance-covariance matrices, Statistics and Computing 6,
289-296, https://doi.org/10.1007/BF00140873.

Seen from a root C of its own, a lower triangle, the covariance :math:`M = C N C^\top` has the coordinates z of N.
No volume changes from y to z, and where :math:`M = C C^\top` z is 0 (:mod:`bayesgmm.graph.roots`).

Compiled functions of batches: y (B, D (D + 1) / 2), matrices (B, D, D). Each has its pullback: the gradient by y of
what has the given gradient by the function's value.
"""

import math

import numpy as np

from bayesgmm.mixture.elementary import jit


def length(n_features: int) -> int:
    """Number of coordinates."""
    return n_features * (n_features + 1) // 2


def triangles(y: np.ndarray) -> np.ndarray:
    """Cholesky factors L (B, D, D) of y (B, D (D + 1) / 2)."""
    n_features = features_of(y.shape[-1])
    return np.array([triangle(own, n_features) for own in y]).reshape(len(y), n_features, n_features)


def coordinates(factor: np.ndarray) -> np.ndarray:
    """y (..., D (D + 1) / 2) of Cholesky factors L (..., D, D)."""
    rows, columns = np.tril_indices(factor.shape[-1])
    scaled = factor / np.einsum("...ii->...i", factor)[..., :, None]
    y = scaled[..., rows, columns]
    y[..., rows == columns] = np.log(np.einsum("...ii->...i", factor))
    return y


@jit
def triangle(y, n_features):
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
def pull_to_y(factor, d_factor, d_y):
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
def features_of(n_coordinates):
    """D of so many coordinates."""
    return int((math.sqrt(8.0 * n_coordinates + 1.0) - 1.0) / 2.0 + 0.5)


@jit
def _solve(factor, right):
    """A of factor A = right, all lower triangles."""
    n_features = factor.shape[0]
    solution = np.zeros((n_features, n_features))
    for i in range(n_features):
        for j in range(i + 1):
            solution[i, j] = right[i, j]
        for m in range(i):
            weight = factor[i, m]
            for j in range(m + 1):
                solution[i, j] -= weight * solution[m, j]
        scale = 1.0 / factor[i, i]
        for j in range(i + 1):
            solution[i, j] *= scale
    return solution


@jit
def _solve_transposed(factor, right):
    """The lower triangle of X of factor' X = right, in which the rest of X has no part."""
    n_features = factor.shape[0]
    solution = np.zeros((n_features, n_features))
    for i in range(n_features - 1, -1, -1):
        for j in range(i + 1):
            solution[i, j] = right[i, j]
        for m in range(i + 1, n_features):
            weight = factor[m, i]
            for j in range(i + 1):
                solution[i, j] -= weight * solution[m, j]
        scale = 1.0 / factor[i, i]
        for j in range(i + 1):
            solution[i, j] *= scale
    return solution


@jit
def precision_trace(y, around):
    r"""Trace of :math:`R M^{-1}`, (B,), with the reference R of coordinates ``around`` (P,).

    It is the sum of squares of :math:`A = L^{-1} L_R`.
    """
    n_features = features_of(y.shape[1])
    reference = triangle(around, n_features)
    trace = np.zeros(y.shape[0])
    for b in range(y.shape[0]):
        ratio = _solve(triangle(y[b], n_features), reference)
        for i in range(n_features):
            for j in range(i + 1):
                trace[b] += ratio[i, j] ** 2
    return trace


@jit
def precision_trace_gradients(y, around):
    r"""The traces (B,), and their gradients by y and by the reference's coordinates, both (B, P).

    With :math:`A = L^{-1} L_R` they are :math:`-2 L^{-\top} A A^\top` by L and :math:`2 L^{-\top} A` by :math:`L_R`.
    """
    n_features = features_of(y.shape[1])
    trace, by_y, by_around = np.zeros(y.shape[0]), np.empty(y.shape), np.empty(y.shape)
    reference = triangle(around, n_features)
    d_factor = np.empty((n_features, n_features))
    for b in range(y.shape[0]):
        factor = triangle(y[b], n_features)
        ratio = _solve(factor, reference)
        left = _solve_transposed(factor, ratio)
        transposed = ratio.T.copy()
        for i in range(n_features):
            for j in range(i + 1):
                trace[b] += ratio[i, j] ** 2
                left[i, j] *= 2.0
                d_factor[i, j] = 0.0
            for m in range(i + 1):
                weight = -left[i, m]
                for j in range(m, i + 1):
                    d_factor[i, j] += weight * transposed[m, j]
        pull_to_y(factor, d_factor, by_y[b])
        pull_to_y(reference, left, by_around[b])
    return trace, by_y, by_around


@jit
def _product(left, right):
    """The product of two lower triangles."""
    n_features = right.shape[0]
    product = np.zeros((n_features, n_features))
    for i in range(n_features):
        for m in range(i + 1):
            weight = left[i, m]
            for j in range(m + 1):
                product[i, j] += weight * right[m, j]
    return product


@jit
def covariances(y, outer, rounding):
    """Covariances (B, D, D), from the factor ``outer`` (D, D) of what y is relative to, and rounding variances (D,)."""
    n_features = outer.shape[0]
    result = np.empty((y.shape[0], n_features, n_features))
    for b in range(y.shape[0]):
        product = _product(outer, triangle(y[b], n_features))
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
def covariances_pullback(y, outer, d_covariances):
    r"""With F = B L and G the gradient by the covariance, :math:`B^\top (G + G^\top) F` is that by L."""
    n_features = outer.shape[0]
    d_y = np.empty(y.shape)
    d_product = np.empty((n_features, n_features))
    d_factor = np.zeros((n_features, n_features))
    for b in range(y.shape[0]):
        factor = triangle(y[b], n_features)
        product = _product(outer, factor)
        for i in range(n_features):
            for j in range(n_features):
                d_product[i, j] = 0.0
            for m in range(n_features):
                weight = d_covariances[b, i, m] + d_covariances[b, m, i]
                for j in range(m + 1):
                    d_product[i, j] += weight * product[m, j]
        for i in range(n_features):
            for j in range(i + 1):
                total = 0.0
                for m in range(i, n_features):
                    total += outer[m, i] * d_product[m, j]
                d_factor[i, j] = total
        pull_to_y(factor, d_factor, d_y[b])
    return d_y


@jit
def _read(factor, y):
    """The coordinates of one L, into y."""
    at = 0
    for i in range(factor.shape[0]):
        for j in range(i):
            y[at + j] = factor[i, j] / factor[i, i]
        y[at + i] = math.log(factor[i, i])
        at += i + 1


@jit
def from_roots(z, roots):
    """y (S, M, P) of z (S, M, P), which is y as seen from M lower triangles (M, D, D)."""
    n_features = roots.shape[1]
    y = np.empty(z.shape)
    for s in range(z.shape[0]):
        for m in range(z.shape[1]):
            _read(_product(roots[m], triangle(z[s, m], n_features)), y[s, m])
    return y


@jit
def to_roots(y, roots):
    """z (S, M, P) of y (S, M, P)."""
    n_features = roots.shape[1]
    z = np.empty(y.shape)
    for s in range(y.shape[0]):
        for m in range(y.shape[1]):
            _read(_solve(roots[m], triangle(y[s, m], n_features)), z[s, m])
    return z


@jit
def from_roots_pullback(z, roots, d_y):
    r"""With F = C L and G the gradient by F, :math:`C^\top G` is that by L, where L is a triangle."""
    n_features = roots.shape[1]
    d_z = np.empty(z.shape)
    d_product, d_factor = np.zeros((n_features, n_features)), np.zeros((n_features, n_features))
    for s in range(z.shape[0]):
        for m in range(z.shape[1]):
            root, factor, slopes = roots[m], triangle(z[s, m], n_features), d_y[s, m]
            product = _product(root, factor)
            at = 0
            for i in range(n_features):
                along = slopes[at + i]
                for j in range(i):
                    d_product[i, j] = slopes[at + j] / product[i, i]
                    along -= d_product[i, j] * product[i, j]
                d_product[i, i] = along / product[i, i]
                at += i + 1
            for i in range(n_features):
                for j in range(i + 1):
                    d_factor[i, j] = 0.0
                for k in range(i, n_features):
                    weight = root[k, i]
                    for j in range(i + 1):
                        d_factor[i, j] += weight * d_product[k, j]
            pull_to_y(factor, d_factor, d_z[s, m])
    return d_z
