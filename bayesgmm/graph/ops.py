r"""The likelihood as PyTensor sees it: an Op for the rows' log-densities, an Op for their gradient, and a rewrite.

``MixtureLogDensity`` has the N row log-densities as its output. Its pullback is ``MixtureGradient``, which computes
their weighted sum *and* its gradient in one pass over the data. When a compiled function holds both, a rewrite takes
the sum from the gradient's node, so value and gradient together cost one pass, and no array of N numbers.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.mode import optdb
from pytensor.gradient import DisconnectedType, grad_undefined
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.graph.traversal import ancestors
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from pytensor.scalar.basic import mul
from pytensor.tensor.basic import Alloc
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.math import Sum
from pytensor.tensor.rewriting.basic import register_specialize

from bayesgmm.mixture import blocks, components, data_pass, elementary, kernel, statistics, threads


class _MixtureOp(Op):
    """What both Ops share: the parameters (weights, means, covariances) and whether the covariances are diagonal."""

    __props__ = ("diagonal",)

    def __init__(self, diagonal: bool = False):
        self.diagonal = diagonal

    def _inputs(self, x, weights, means, covariances):
        inputs = [pt.as_tensor(v, dtype="float64") for v in (x, weights, means, covariances)]
        if [v.ndim for v in inputs] != [2, 1, 2, 3]:
            raise ValueError(
                "a mixture takes x (N, D), weights (K,), means (K, D) and covariances (K, D, D); "
                f"got arrays with {[v.ndim for v in inputs]} dimensions"
            )
        return inputs


class MixtureLogDensity(_MixtureOp):
    r"""Row log-densities :math:`\log\sum_k \pi_k N(x_n \mid \mu_k, \Sigma_k)`, shape (N,)."""

    def make_node(self, x, weights, means, covariances):
        inputs = self._inputs(x, weights, means, covariances)
        return Apply(self, inputs, [pt.vector(dtype="float64", shape=(inputs[0].type.shape[0],))])

    def infer_shape(self, node, shapes):
        return [(shapes[0][0],)]

    def perform(self, node, inputs, output_storage):
        x, *parameters = map(np.ascontiguousarray, inputs)
        output_storage[0][0] = kernel.log_density(x, *parameters, self.diagonal)

    def pullback(self, inputs, outputs, cotangents):
        if isinstance(cotangents[0].type, DisconnectedType):
            return [DisconnectedType()() for _ in inputs]
        _, *gradients = MixtureGradient(self.diagonal)(*inputs, cotangents[0])
        return [grad_undefined(self, 0, inputs[0], "the data are held fixed"), *gradients]


class MixtureGradient(_MixtureOp):
    """The rows' weighted log-density, a scalar, and its gradient by weights, means and covariances.

    ``row_weights`` has N entries, or one for all rows.
    """

    def make_node(self, x, weights, means, covariances, row_weights):
        inputs = self._inputs(x, weights, means, covariances)
        row_weights = pt.as_tensor(row_weights, dtype="float64", ndim=1)
        return Apply(self, [*inputs, row_weights], [pt.scalar(dtype="float64"), *(v.type() for v in inputs[1:])])

    def infer_shape(self, node, shapes):
        return [(), *shapes[1:4]]

    def perform(self, node, inputs, output_storage):
        x, weights, means, covariances, row_weights = map(np.ascontiguousarray, inputs)
        total, *results = kernel.gradient(x, weights, means, covariances, self.diagonal, row_weights)
        output_storage[0][0] = np.asarray(total)
        for storage, result in zip(output_storage[1:], results, strict=True):
            storage[0] = result


@register_specialize
@node_rewriter([MixtureGradient])
def one_weight_for_all_rows(fgraph, node):
    """Give a gradient whose row weights are all one number that number alone."""
    weights = node.inputs[4].owner
    if weights is None or not isinstance(weights.op, Alloc) or any(n != 1 for n in weights.inputs[0].type.shape):
        return None
    return node.op(*node.inputs[:4], weights.inputs[0].reshape((1,)), return_list=True)


@register_specialize
@node_rewriter([Sum])
def merge_value_into_gradient(fgraph, node):
    """Take the sum of (weighted) row log-densities from a gradient node on the same inputs: one pass, not two."""
    if node.op.axis not in (None, (0,)):
        return None
    [summed] = node.inputs
    factors = [summed]
    if summed.owner is not None and isinstance(summed.owner.op, Elemwise) and summed.owner.op.scalar_op == mul:
        factors = list(summed.owner.inputs)
    rows = [v for v in factors if v.owner is not None and isinstance(v.owner.op, MixtureLogDensity)]
    if len(rows) != 1 or len(factors) > 2:
        return None
    density = rows[0].owner
    weights = [v for v in factors if v is not rows[0]]
    for client, _ in fgraph.clients[density.inputs[0]]:
        if (
            isinstance(client.op, MixtureGradient)
            and client.op.diagonal == density.op.diagonal
            and client.inputs[:4] == density.inputs
            and (client.inputs[4] is weights[0] if weights else _is_one(client.inputs[4]))
            and rows[0] not in ancestors([client.inputs[4]])
        ):
            return [client.outputs[0]]
    return None


def _is_one(vector) -> bool:
    return isinstance(vector, Constant) and vector.data.shape == (1,) and vector.data[0] == 1.0


# Once more, late, when equal inputs that came about by different rewrites have been merged into one.
optdb.register(
    "merge_mixture_value_into_gradient",
    dfs_rewriter(one_weight_for_all_rows, merge_value_into_gradient),
    "fast_run",
    "numba",
    position=49.4,
)


@cache
def source_version(*paths: str | None) -> int:
    """Source files as a number, for the keys of PyTensor's compile cache, which must see edits of our code."""
    source = b"".join(Path(path).read_bytes() for path in paths if path is not None)
    return int.from_bytes(sha256(source).digest()[:8], "big")


SOURCES = tuple(module.__file__ for module in (kernel, blocks, components, data_pass, elementary, statistics, threads))


@register_funcify_default_op_cache_key(MixtureLogDensity)
def _numba_log_density(op, node=None, **kwargs):
    diagonal = op.diagonal

    @numba_njit
    def mixture_log_density(x, weights, means, covariances):
        return kernel.log_density(
            np.ascontiguousarray(x),
            np.ascontiguousarray(weights),
            np.ascontiguousarray(means),
            np.ascontiguousarray(covariances),
            diagonal,
        )

    return mixture_log_density, source_version(*SOURCES)


@register_funcify_default_op_cache_key(MixtureGradient)
def _numba_gradient(op, node=None, **kwargs):
    diagonal = op.diagonal

    @numba_njit
    def mixture_gradient(x, weights, means, covariances, row_weights):
        total, d_weights, d_means, d_covariances = kernel.gradient(
            np.ascontiguousarray(x),
            np.ascontiguousarray(weights),
            np.ascontiguousarray(means),
            np.ascontiguousarray(covariances),
            diagonal,
            np.ascontiguousarray(row_weights),
        )
        return np.asarray(total), d_weights, d_means, d_covariances

    return mixture_gradient, source_version(*SOURCES)
