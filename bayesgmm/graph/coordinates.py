"""Log-Cholesky coordinates in PyTensor graphs: covariances of them, and what their distributions have in common."""

import math

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.replace import _vectorize_node
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from pytensor.tensor.random.op import RandomVariable

from bayesgmm.graph.ops import source_version
from bayesgmm.mixture import log_cholesky
from bayesgmm.mixture.elementary import exp, jit

# The quadrature that gives Z: points, over so many spreads.
POINTS, FAR = 161, 8.0
# exp's range ends below it.
LEAST_EXPONENT = -690.0


class _OfCoordinates(Op):
    """A compiled function of coordinates y (B, P) and of what all of them share, or its pullback."""

    __props__ = ()
    function: staticmethod
    # Numbers of dimensions of the inputs and of the outputs.
    ranks: tuple[int, ...]
    out: tuple[int, ...]

    def make_node(self, *inputs):
        given = [pt.as_tensor(v, dtype="float64", ndim=r) for v, r in zip(inputs, self.ranks, strict=True)]
        return Apply(self, given, [pt.tensor(dtype="float64", shape=(None,) * rank) for rank in self.out])

    def perform(self, node, inputs, output_storage):
        results = self.function(*map(np.ascontiguousarray, inputs))
        for storage, result in zip(output_storage, results if len(self.out) > 1 else [results], strict=True):
            storage[0] = result


class Covariances(_OfCoordinates):
    """Covariances (B, D, D) of y (B, P), and of data: an outer Cholesky factor (D, D), rounding variances (D,)."""

    function = staticmethod(log_cholesky.covariances)
    ranks, out = (2, 2, 1), (3,)

    def pullback(self, inputs, outputs, cotangents):
        y, outer, rounding = inputs
        return [CovariancesPullback()(y, outer, cotangents[0]), pt.zeros_like(outer), pt.zeros_like(rounding)]


class CovariancesPullback(_OfCoordinates):
    """The pullback of :class:`Covariances` by y."""

    function = staticmethod(log_cholesky.covariances_pullback)
    ranks, out = (2, 2, 3), (2,)


@_vectorize_node.register(Covariances)
def _all_batches_at_once(op, node, y, *data):
    """More batch axes are one longer one: a call for all draws, not one for each."""
    if y.type.ndim == 2:
        return op.make_node(y, *data)
    result = op(y.reshape((-1, y.shape[-1])), *data)
    return [result.reshape((*y.shape[:-1], *result.shape[1:]), ndim=y.type.ndim + 1)]


@_vectorize_node.register(CovariancesPullback)
def _all_slopes_at_once(op, node, y, outer, slopes):
    if y.type.ndim == slopes.type.ndim - 1 == 2:
        return op.make_node(y, outer, slopes)
    slopes = pt.broadcast_to(slopes, (*y.shape[:-1], *outer.shape))
    result = op(y.reshape((-1, y.shape[-1])), outer, slopes.reshape((-1, *slopes.shape[-2:])))
    return [result.reshape(y.shape, ndim=y.type.ndim)]


def _compiled(op, node=None, **kwargs):
    function = op.function

    @numba_njit
    def of_three(y, other, third):
        return function(np.ascontiguousarray(y), np.ascontiguousarray(other), np.ascontiguousarray(third))

    return of_three, source_version(__file__, log_cholesky.__file__)


for _op in (Covariances, CovariancesPullback):
    register_funcify_default_op_cache_key(_op)(_compiled)


def on_batch(op: Op, y, *others):
    """The first output of an Op of a batch applied to one y, or to several."""
    first = op(y if y.type.ndim > 1 else y[None], *others, return_list=True)[0]
    return first if y.type.ndim > 1 else first[0]


def covariances(y, outer, rounding):
    """Covariances (..., D, D) of y (..., P) as a graph."""
    return on_batch(Covariances(), y, outer, rounding)


# Distributions ------------------------------------------------------------------------------------------------------


class CoordinatesRV(RandomVariable):
    """Coordinates y of a covariance, or log scales alone; the first parameter is D."""

    dtype = "float64"
    __props__ = ("name", "signature", "dtype", "inplace", "correlated")

    def __init__(self, *args, correlated: bool = True, **kwargs):
        self.correlated = correlated
        super().__init__(*args, **kwargs)

    def _supp_shape_from_params(self, dist_params, param_shapes=None):
        n_features = pt.squeeze(dist_params[0])
        return (n_features * (n_features + 1) // 2 if self.correlated else n_features,)


def at_half_the_scales(around, n_features, correlated):
    """Where a covariance begins: clusters are narrower than all rows, and PyMC's own optimiser finds them then."""
    i = pt.arange(pt.squeeze(n_features))
    return pt.inc_subtensor(around[..., i * (i + 3) // 2 if correlated else i], -np.log(2))


@jit
def log_gamma(rows, n_features, correlated):
    """log of the multivariate gamma function at half of rows, or that of as many gamma functions of one."""
    if not correlated:
        return n_features * math.lgamma(0.5 * rows)
    total = 0.25 * n_features * (n_features - 1) * math.log(math.pi)
    for i in range(n_features):
        total += math.lgamma(0.5 * (rows - i))
    return total


@jit
def log_scale_kernel(u, spread, wall, ceiling):
    """log p(u), but for a constant."""
    return -(u**2) / (2 * spread**2) - wall * math.exp(-u) - ceiling * math.exp(u)


@jit
def log_scale_normaliser(spread, wall, ceiling):
    """log Z by the trapezoidal rule, which converges faster than any power of the step where the ends are flat."""
    step, values = 2.0 * FAR / (POINTS - 1), np.empty(POINTS)
    # There is one wall or none. Without a call, and summed apart, so that the loop vectorises.
    height, slope = (ceiling, spread) if ceiling > wall else (wall, -spread)
    for i in range(POINTS):
        z = i * step - FAR
        values[i] = exp(max(-0.5 * z**2 - height * exp(slope * z), LEAST_EXPONENT))
    return math.log(values.sum() * spread * step)


@jit
def ratio_gradients(y, around):
    """Sums of a reference's variances over others', (B,), and their gradients by the log scales of both, (B, P)."""
    total, by_y, by_around = np.zeros(y.shape[0]), np.empty(y.shape), np.empty(y.shape)
    for b in range(y.shape[0]):
        for i in range(y.shape[1]):
            ratio = math.exp(2.0 * (around[i] - y[b, i]))
            total[b] += ratio
            by_y[b, i], by_around[b, i] = -2.0 * ratio, 2.0 * ratio
    return total, by_y, by_around


class DensityOp(Op):
    """Log-densities (B,) of coordinates (B, P), and the gradients by the first inputs beside them, each (B, P).

    One function of its own: as graphs those of the default model made 154 nodes of 55, half of the time of a gradient
    on 1,000 rows of 2 features, and as much of the compiling.
    """

    __props__ = ("correlated",)
    function: staticmethod
    # Numbers of dimensions of the inputs after y, and of how many the gradient is known.
    ranks: tuple[int, ...]
    n_gradients: int

    def __init__(self, correlated: bool):
        self.correlated = correlated

    def make_node(self, y, *inputs):
        given = [pt.as_tensor(v, dtype="float64", ndim=r) for v, r in zip((y, *inputs), (2, *self.ranks), strict=True)]
        outputs = [pt.vector(dtype="float64"), *(pt.matrix(dtype="float64") for _ in range(self.n_gradients))]
        return Apply(self, given, outputs)

    def perform(self, node, inputs, output_storage):
        numbers = [np.ascontiguousarray(v) if v.ndim else float(v) for v in inputs]
        for storage, result in zip(output_storage, self.function(*numbers, self.correlated), strict=True):
            storage[0] = result

    def pullback(self, inputs, outputs, cotangents):
        others = inputs[1:]
        by_y, *by_others = outputs[1:]
        slopes = [cotangents[0][:, None] * by_y, *((cotangents[0][:, None] * each).sum(axis=0) for each in by_others)]
        return slopes + [pt.zeros_like(v) for v in others[len(by_others) :]]
