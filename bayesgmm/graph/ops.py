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

import bayesgmm.graph.backends  # noqa: F401 (makes the Ops known to JAX when a graph is made for it)
from bayesgmm.mixture import (
    blocks,
    components,
    data_pass,
    elementary,
    errors as measured,
    kernel,
    patterns,
    statistics,
    threads,
)  # fmt: skip

# What rows of which not all is seen come with, and its dimensions: see `bayesgmm.mixture.patterns`.
PATTERN = {"order": 1, "labels": 1, "errors": 3, "share": 0, "low": 1, "high": 1}


class _MixtureOp(Op):
    """What both Ops share.

    Inputs are the rows x, the parameters weights, means and covariances, and, of rows of which not all is seen
    (``partial``), their order, labels and errors, the share of noise, and the sides of its box: see
    :mod:`bayesgmm.mixture.patterns`. ``diagonal`` says that the covariances are.
    """

    __props__ = ("diagonal", "partial")

    def __init__(self, diagonal: bool = False, partial: bool = False):
        self.diagonal, self.partial = diagonal, partial

    def _inputs(self, x, weights, means, covariances, *pattern):
        inputs = [pt.as_tensor(v, dtype="float64") for v in (x, weights, means, covariances)]
        if [v.ndim for v in inputs] != [2, 1, 2, 3]:
            raise ValueError(
                "a mixture takes x (N, D), weights (K,), means (K, D) and covariances (K, D, D); "
                f"got arrays with {[v.ndim for v in inputs]} dimensions"
            )
        if len(pattern) != len(PATTERN) * self.partial:
            raise ValueError(f"{len(pattern)} inputs besides: rows of which not all is seen have {len(PATTERN)}")
        return inputs + [pt.as_tensor(v, ndim=n) for v, n in zip(pattern, PATTERN.values(), strict=False)]


class MixtureLogDensity(_MixtureOp):
    r"""Row log-densities :math:`\log\sum_k \pi_k N(x_n \mid \mu_k, \Sigma_k)`, shape (N,)."""

    def make_node(self, *inputs):
        inputs = self._inputs(*inputs)
        return Apply(self, inputs, [pt.vector(dtype="float64", shape=(inputs[0].type.shape[0],))])

    def infer_shape(self, node, shapes):
        return [(shapes[0][0],)]

    def perform(self, node, inputs, output_storage):
        x, weights, means, covariances, *rest = map(np.ascontiguousarray, inputs)
        if self.partial:
            order, labels, errors, share, low, high = rest
            rows = x, order, labels, errors, share.item(), low, high
            found = patterns.responsibilities(*rows, weights, means, covariances, self.diagonal)[0]
        else:
            found = kernel.log_density(x, weights, means, covariances, self.diagonal)
        output_storage[0][0] = found

    def pullback(self, inputs, outputs, cotangents):
        if isinstance(cotangents[0].type, DisconnectedType):
            return [DisconnectedType()() for _ in inputs]
        _, *gradients = MixtureGradient(self.diagonal, self.partial)(*inputs, cotangents[0])
        found = [grad_undefined(self, i, inputs[i], "the data are held fixed") for i in range(len(inputs))]
        found[1:4] = gradients[:3]
        if self.partial:
            found[7] = gradients[3]
        return found


class MixtureGradient(_MixtureOp):
    """The rows' weighted log-density, a scalar, and its gradient by weights, means, covariances and the share of noise.

    The last input, ``row_weights``, has N entries, or one for all rows.
    """

    def make_node(self, *inputs):
        rows = self._inputs(*inputs[:-1])
        row_weights = pt.as_tensor(inputs[-1], dtype="float64", ndim=1)
        by = [*rows[1:4], *rows[7:8]]
        return Apply(self, [*rows, row_weights], [pt.scalar(dtype="float64"), *(v.type() for v in by)])

    def infer_shape(self, node, shapes):
        return [(), *shapes[1:4], *[()] * self.partial]

    def perform(self, node, inputs, output_storage):
        x, weights, means, covariances, *rest, row_weights = map(np.ascontiguousarray, inputs)
        if self.partial:
            order, labels, errors, share, low, high = rest
            rows = x, order, labels, errors, share.item(), low, high
            results = patterns.gradient(*rows, weights, means, covariances, self.diagonal, row_weights)
        else:
            results = kernel.gradient(x, weights, means, covariances, self.diagonal, row_weights)
        for storage, result in zip(output_storage, results, strict=True):
            storage[0] = np.asarray(result)


@register_specialize
@node_rewriter([MixtureGradient])
def one_weight_for_all_rows(fgraph, node):
    """Give a gradient whose row weights are all one number that number alone."""
    weights = node.inputs[-1].owner
    if weights is None or not isinstance(weights.op, Alloc) or any(n != 1 for n in weights.inputs[0].type.shape):
        return None
    return node.op(*node.inputs[:-1], weights.inputs[0].reshape((1,)), return_list=True)


@register_specialize
@node_rewriter([Sum])
def merge_value_into_gradient(fgraph, node):
    """Take the sum of (weighted) row log-densities from a gradient node on the same inputs: one pass, not two."""
    found = summed_rows(node)
    if found is None:
        return None
    density, weights = found
    for client, _ in fgraph.clients[density.inputs[0]]:
        if (
            isinstance(client.op, MixtureGradient)
            and client.op.diagonal == density.op.diagonal
            and client.inputs[:-1] == density.inputs
            and (client.inputs[-1] is weights[0] if weights else _is_one(client.inputs[-1]))
            and density.outputs[0] not in ancestors([client.inputs[-1]])
        ):
            return [client.outputs[0]]
    return None


def summed_rows(node) -> tuple[Apply, list] | None:
    """The row log-densities that a sum is over, and their weights, if they have any."""
    if node.op.axis not in (None, (0,)):
        return None
    [summed] = node.inputs
    factors = [summed]
    if summed.owner is not None and isinstance(summed.owner.op, Elemwise) and summed.owner.op.scalar_op == mul:
        factors = list(summed.owner.inputs)
    rows = [v for v in factors if v.owner is not None and isinstance(v.owner.op, MixtureLogDensity)]
    if len(rows) != 1 or len(factors) > 2:
        return None
    return rows[0].owner, [v for v in factors if v is not rows[0]]


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


SOURCES = tuple(
    module.__file__
    for module in (kernel, blocks, components, data_pass, elementary, measured, patterns, statistics, threads)
)


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

    @numba_njit
    def partial_log_density(x, weights, means, covariances, order, labels, errors, share, low, high):
        return patterns.responsibilities(
            np.ascontiguousarray(x),
            np.ascontiguousarray(order),
            np.ascontiguousarray(labels),
            np.ascontiguousarray(errors),
            share.item(),
            np.ascontiguousarray(low),
            np.ascontiguousarray(high),
            np.ascontiguousarray(weights),
            np.ascontiguousarray(means),
            np.ascontiguousarray(covariances),
            diagonal,
        )[0]

    return partial_log_density if op.partial else mixture_log_density, source_version(*SOURCES)


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

    @numba_njit
    def partial_gradient(x, weights, means, covariances, order, labels, errors, share, low, high, row_weights):
        total, d_weights, d_means, d_covariances, d_share = patterns.gradient(
            np.ascontiguousarray(x),
            np.ascontiguousarray(order),
            np.ascontiguousarray(labels),
            np.ascontiguousarray(errors),
            share.item(),
            np.ascontiguousarray(low),
            np.ascontiguousarray(high),
            np.ascontiguousarray(weights),
            np.ascontiguousarray(means),
            np.ascontiguousarray(covariances),
            diagonal,
            np.ascontiguousarray(row_weights),
        )
        return np.asarray(total), d_weights, d_means, d_covariances, np.asarray(d_share)

    return partial_gradient if op.partial else mixture_gradient, source_version(*SOURCES)
