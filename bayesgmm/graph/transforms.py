r"""The weights and the correlations as unconstrained numbers, each map one Op with a log-Jacobian and a gradient.

A simplex of K weights has K - 1 unconstrained numbers y (PyMC's ``SimplexTransform``):

.. math:: z = (y_1, \dots, y_{K-1}, -\textstyle\sum_j y_j), \qquad \pi = \mathrm{softmax}(z), \qquad
          \log|J| = \log K + \sum_k \log\pi_k .

Row i of the Cholesky factor of a correlation matrix is a unit vector with positive last entry. With i unconstrained
numbers :math:`y_{ij}` (j < i) for row i = 0, ..., D - 1 it is (PyMC's ``CholeskyCorrTransform``, its rows in plain
order)

.. math:: n_i = \sqrt{1 + \sum_{j<i} y_{ij}^2}, \qquad L_{ij} = y_{ij} / n_i, \qquad L_{ii} = 1 / n_i, \qquad
          \log|J| = -\sum_i (i + 2) \log n_i .

PyMC builds both from a dozen Ops, which take longer to compile and to run than all the rest of the model, and the name
of its correlation transform holds an underscore, for which ``pm.compute_log_likelihood`` looks up a wrong variable
(PyMC 6.4); hence these. They read K and D off the number of unconstrained numbers, so that what is compiled serves
every K and D.
"""

import math

import numpy as np
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.replace import _vectorize_node
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayesgmm.graph.ops import source_version
from bayesgmm.mixture.elementary import jit


@jit
def simplex_forward(y):
    """Weights (B, K) and log-Jacobians (B,) of unconstrained ``y`` (B, K - 1)."""
    batch, length = y.shape[0], y.shape[1] + 1
    weights, log_jacobian = np.empty((batch, length)), np.empty(batch)
    for b in range(batch):
        last, highest = 0.0, -math.inf
        for k in range(length - 1):
            last -= y[b, k]
            highest = max(highest, y[b, k])
        highest = max(highest, last)
        total, log_sum = 0.0, 0.0
        for k in range(length):
            z = (y[b, k] if k < length - 1 else last) - highest
            weights[b, k] = math.exp(z)
            total += weights[b, k]
            log_sum += z
        for k in range(length):
            weights[b, k] /= total
        log_jacobian[b] = math.log(length) + log_sum - length * math.log(total)
    return weights, log_jacobian


@jit
def simplex_pullback(weights, d_weights, d_log_jacobian):
    """Gradient by y, given those by the weights and the log-Jacobians."""
    batch, length = weights.shape
    d_y = np.empty((batch, length - 1))
    for b in range(batch):
        mean = 0.0
        for k in range(length):
            mean += weights[b, k] * d_weights[b, k]
        last = weights[b, length - 1] * (d_weights[b, length - 1] - mean - d_log_jacobian[b] * length)
        for k in range(length - 1):
            d_y[b, k] = weights[b, k] * (d_weights[b, k] - mean - d_log_jacobian[b] * length) - last
    return d_y


@jit
def unit_rows_forward(y):
    """Cholesky factors (B, D, D) and log-Jacobians (B,) of unconstrained ``y`` (B, D (D - 1) / 2)."""
    batch, length = y.shape[0], int((1 + math.sqrt(1 + 8 * y.shape[1])) / 2 + 0.5)
    cholesky, log_jacobian = np.zeros((batch, length, length)), np.zeros(batch)
    for b in range(batch):
        start = 0
        for i in range(length):
            square = 1.0
            for j in range(i):
                square += y[b, start + j] ** 2
            inverse_norm = 1.0 / math.sqrt(square)
            for j in range(i):
                cholesky[b, i, j] = y[b, start + j] * inverse_norm
            cholesky[b, i, i] = inverse_norm
            if i > 0:
                log_jacobian[b] -= 0.5 * (i + 2) * math.log(square)
            start += i
    return cholesky, log_jacobian


@jit
def unit_rows_pullback(cholesky, d_cholesky, d_log_jacobian):
    """Gradient by y, given those by the Cholesky factors and the log-Jacobians."""
    batch, length = cholesky.shape[:2]
    d_y = np.empty((batch, length * (length - 1) // 2))
    for b in range(batch):
        start = 0
        for i in range(length):
            along = 0.0
            for j in range(i + 1):
                along += d_cholesky[b, i, j] * cholesky[b, i, j]
            along += (i + 2) * d_log_jacobian[b]
            for j in range(i):
                d_y[b, start + j] = (d_cholesky[b, i, j] - cholesky[b, i, j] * along) * cholesky[b, i, i]
            start += i
    return d_y


# Name -> forward map, its pullback, and the number of dimensions of one image.
MAPS = {
    "simplex": (simplex_forward, simplex_pullback, 1),
    "unit_rows": (unit_rows_forward, unit_rows_pullback, 2),
}


class Constrain(Op):
    """A map of ``MAPS`` as an Op: y (B, M) -> images (B, ...), log-Jacobians (B,)."""

    __props__ = ("kind",)

    def __init__(self, kind: str):
        self.kind = kind

    def make_node(self, y):
        y = pt.as_tensor(y, dtype="float64", ndim=2)
        batch, rank = y.type.shape[0], MAPS[self.kind][2]
        images = pt.tensor(dtype="float64", shape=(batch, *(rank * (None,))))
        return Apply(self, [y], [images, pt.vector(dtype="float64", shape=(batch,))])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0], output_storage[1][0] = MAPS[self.kind][0](np.ascontiguousarray(inputs[0]))

    def pullback(self, inputs, outputs, cotangents):
        cotangents = [
            pt.zeros_like(out) if isinstance(g.type, DisconnectedType) else g
            for out, g in zip(outputs, cotangents, strict=True)
        ]
        return [ConstrainPullback(self.kind)(outputs[0], *cotangents)]


@_vectorize_node.register(Constrain)
def _all_batches_at_once(op, node, y):
    """More batch axes are one longer one: a call for all draws, not one for each."""
    if y.type.ndim == 2:
        return op.make_node(y)
    images, log_jacobian = op(y.reshape((pt.prod(y.shape[:-1]), y.shape[-1])))
    return [
        v.reshape((*y.shape[:-1], *v.shape[1:]), ndim=y.type.ndim - 2 + v.type.ndim) for v in (images, log_jacobian)
    ]


class ConstrainPullback(Op):
    """The pullback of :class:`Constrain`."""

    __props__ = ("kind",)

    def __init__(self, kind: str):
        self.kind = kind

    def make_node(self, images, d_images, d_log_jacobian):
        rank = 1 + MAPS[self.kind][2]
        images, d_images = (pt.as_tensor(v, dtype="float64", ndim=rank) for v in (images, d_images))
        d_log_jacobian = pt.as_tensor(d_log_jacobian, dtype="float64", ndim=1)
        return Apply(self, [images, d_images, d_log_jacobian], [pt.matrix(shape=(images.type.shape[0], None))])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = MAPS[self.kind][1](*map(np.ascontiguousarray, inputs))


@_vectorize_node.register(ConstrainPullback)
def _all_pulled_back_at_once(op, node, images, d_images, d_log_jacobian):
    rank = MAPS[op.kind][2]
    if images.type.ndim == d_images.type.ndim == rank + 1 and d_log_jacobian.type.ndim == 1:
        return op.make_node(images, d_images, d_log_jacobian)
    leading = images.shape[:-rank]
    d_images, d_log_jacobian = pt.broadcast_to(d_images, images.shape), pt.broadcast_to(d_log_jacobian, leading)
    one_batch = [v.reshape((-1, *images.shape[-rank:])) for v in (images, d_images)]
    result = op(*one_batch, d_log_jacobian.reshape((-1,)))
    return [result.reshape((*leading, result.shape[-1]), ndim=images.type.ndim - rank + 1)]


@register_funcify_default_op_cache_key(Constrain)
def _numba_constrain(op, node=None, **kwargs):
    forward = MAPS[op.kind][0]

    @numba_njit
    def constrain(y):
        return forward(np.ascontiguousarray(y))

    return constrain, source_version(__file__)


@register_funcify_default_op_cache_key(ConstrainPullback)
def _numba_pullback(op, node=None, **kwargs):
    pullback = MAPS[op.kind][1]

    @numba_njit
    def constrain_pullback(images, d_images, d_log_jacobian):
        return pullback(
            np.ascontiguousarray(images), np.ascontiguousarray(d_images), np.ascontiguousarray(d_log_jacobian)
        )

    return constrain_pullback, source_version(__file__)


class _MapTransform(Transform):
    """A PyMC transform by a map of ``MAPS``, of one image or a batch of them."""

    kind: str
    ndim_supp = 1
    # Whether these are the coordinates in which the parameters' own density is taken: its maximum is the MAP.
    is_basis = False

    def _apply(self, value, output: int):
        batched = value[None] if value.ndim == 1 else value
        result = Constrain(self.kind)(batched)[output]
        return pt.squeeze(result, axis=0) if value.ndim == 1 else result

    def backward(self, value, *inputs):
        return self._apply(value, 0)

    def log_jac_det(self, value, *inputs):
        return self._apply(value, 1)


class SimplexTransform(_MapTransform):
    """Between weights (..., K) and unconstrained vectors (..., K - 1)."""

    name = "simplex"
    kind = "simplex"

    def forward(self, value, *inputs):
        logs = pt.log(value)
        return logs[..., :-1] - logs.mean(axis=-1, keepdims=True)


class SoftmaxBasis(SimplexTransform):
    """The same, for weights whose mode is that of the density of the unconstrained vectors."""

    is_basis = True


class CorrelationCholeskyTransform(_MapTransform):
    """Between Cholesky factors of correlation matrices (..., D, D) and unconstrained vectors (..., D (D - 1) / 2)."""

    name = "unitrows"
    kind = "unit_rows"

    def forward(self, value, *inputs):
        length = value.shape[-1]
        rows, columns = pt.nonzero(pt.tril(pt.ones((length, length)), -1))
        return value[..., rows, columns] / value[..., rows, rows]
