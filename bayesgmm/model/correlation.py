r"""Correlation matrices as unconstrained numbers: the transform under ``correlation_cholesky``.

Row i of the Cholesky factor of a correlation matrix is a unit vector with positive last entry. With i unconstrained
numbers :math:`y_{ij}` (j < i) for row i = 0, ..., D - 1 it is

.. math:: n_i = \sqrt{1 + \sum_{j<i} y_{ij}^2}, \qquad L_{ij} = y_{ij} / n_i, \qquad L_{ii} = 1 / n_i,

with log-Jacobian :math:`-\sum_i (i + 2) \log n_i` in the entries below the diagonal. This is PyMC's own
parametrisation (``CholeskyCorrTransform``), with the rows in plain order. PyMC's builds it from pads, flips and
triangles, which take longer to compile than all the rest of the model, and its name holds an underscore, for which
``pm.compute_log_likelihood`` looks up a wrong variable (PyMC 6.4); hence this one.
"""

import math

import numpy as np
import pytensor.tensor as pt
from numba import njit
from pymc.logprob.transforms import Transform
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayesgmm.likelihood.op import source_version


@njit(cache=True, error_model="numpy")
def cholesky_from_unconstrained(y, n_features):
    """Cholesky factors (K, D, D) and log-Jacobians (K,) of unconstrained ``y`` (K, D (D - 1) / 2)."""
    n_components = y.shape[0]
    cholesky = np.zeros((n_components, n_features, n_features))
    log_jacobian = np.zeros(n_components)
    for k in range(n_components):
        start = 0
        for i in range(n_features):
            square = 1.0
            for j in range(i):
                square += y[k, start + j] ** 2
            inverse_norm = 1.0 / math.sqrt(square)
            for j in range(i):
                cholesky[k, i, j] = y[k, start + j] * inverse_norm
            cholesky[k, i, i] = inverse_norm
            if i > 0:
                log_jacobian[k] -= 0.5 * (i + 2) * math.log(square)
            start += i
    return cholesky, log_jacobian


@njit(cache=True, error_model="numpy")
def unconstrained_pullback(cholesky, d_cholesky, d_log_jacobian):
    """Gradient by y (K, D (D - 1) / 2), given those by the Cholesky factors and the log-Jacobians."""
    n_components, n_features = cholesky.shape[:2]
    d_y = np.empty((n_components, n_features * (n_features - 1) // 2))
    for k in range(n_components):
        start = 0
        for i in range(n_features):
            along = 0.0
            for j in range(i + 1):
                along += d_cholesky[k, i, j] * cholesky[k, i, j]
            along += (i + 2) * d_log_jacobian[k]
            for j in range(i):
                d_y[k, start + j] = (d_cholesky[k, i, j] - cholesky[k, i, j] * along) * cholesky[k, i, i]
            start += i
    return d_y


class CholeskyFromUnconstrained(Op):
    """``cholesky_from_unconstrained`` as an Op: y (K, M) -> Cholesky factors (K, D, D), log-Jacobians (K,)."""

    __props__ = ("n_features",)

    def __init__(self, n_features: int):
        self.n_features = n_features

    def make_node(self, y):
        y = pt.as_tensor(y, dtype="float64", ndim=2)
        n_components, d = y.type.shape[0], self.n_features
        return Apply(self, [y], [pt.tensor3(shape=(n_components, d, d)), pt.vector(shape=(n_components,))])

    def infer_shape(self, node, shapes):
        n_components = shapes[0][0]
        return [(n_components, self.n_features, self.n_features), (n_components,)]

    def perform(self, node, inputs, output_storage):
        output_storage[0][0], output_storage[1][0] = cholesky_from_unconstrained(inputs[0], self.n_features)

    def pullback(self, inputs, outputs, cotangents):
        cotangents = [
            pt.zeros_like(out) if isinstance(g.type, DisconnectedType) else g
            for out, g in zip(outputs, cotangents, strict=True)
        ]
        return [UnconstrainedPullback()(outputs[0], *cotangents)]


class UnconstrainedPullback(Op):
    """``unconstrained_pullback`` as an Op."""

    __props__ = ()

    def make_node(self, cholesky, d_cholesky, d_log_jacobian):
        cholesky, d_cholesky = (pt.as_tensor(v, dtype="float64", ndim=3) for v in (cholesky, d_cholesky))
        d_log_jacobian = pt.as_tensor(d_log_jacobian, dtype="float64", ndim=1)
        n_components, d, _ = cholesky.type.shape
        size = None if d is None else d * (d - 1) // 2
        return Apply(self, [cholesky, d_cholesky, d_log_jacobian], [pt.matrix(shape=(n_components, size))])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = unconstrained_pullback(*inputs)


@register_funcify_default_op_cache_key(CholeskyFromUnconstrained)
def _numba_cholesky(op, node=None, **kwargs):
    n_features = op.n_features

    @numba_njit
    def cholesky(y):
        return cholesky_from_unconstrained(y, n_features)

    return cholesky, source_version(__file__)


@register_funcify_default_op_cache_key(UnconstrainedPullback)
def _numba_pullback(op, node=None, **kwargs):
    @numba_njit
    def pullback(cholesky, d_cholesky, d_log_jacobian):
        return unconstrained_pullback(cholesky, d_cholesky, d_log_jacobian)

    return pullback, source_version(__file__)


class CorrelationCholeskyTransform(Transform):
    """Between Cholesky factors of correlation matrices (..., D, D) and unconstrained vectors (..., D (D - 1) / 2)."""

    name = "unitrows"
    ndim_supp = 1

    def __init__(self, n_features: int):
        self.n_features = n_features

    def forward(self, value, *inputs):
        rows, columns = np.tril_indices(self.n_features, -1)
        return value[..., rows, columns] / value[..., rows, rows]

    def _apply(self, value, output: int):
        op = CholeskyFromUnconstrained(self.n_features)
        return op(value[None])[output][0] if value.ndim == 1 else op(value)[output]

    def backward(self, value, *inputs):
        return self._apply(value, 0)

    def log_jac_det(self, value, *inputs):
        return self._apply(value, 1)
