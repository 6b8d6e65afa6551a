r"""The default prior of covariances: around a reference, in log-Cholesky coordinates.

With y the coordinates of a covariance M and those of a reference R (:mod:`bayesgmm.mixture.log_cholesky`),
:math:`T = \mathrm{tr}(R M^{-1})` and :math:`u = \log(D / T)` the log of the harmonic mean of the eigenvalues of M
relative to R, the density is

.. math:: p(y \mid R) = 2^D \, \frac{\Gamma(\nu D / 2)}{\Gamma_D(\nu / 2)} \,
          \left(\frac{|M|}{|R|}\right)^{-\nu/2} T^{-\nu D/2} \, p(u), \qquad
          p(u) = \frac1Z \exp\left(-\frac{u^2}{2\tau^2} - b e^{-u}\right).

That is the shape of an inverse-Wishart matrix with :math:`\nu` degrees of freedom, of which T is independent (it is
chi-square with :math:`\nu D`), and a scale u with a distribution of its own. Of diagonal matrices, whose variances are
inverse-gamma then, :math:`\Gamma(\nu/2)^D` stands for the multivariate gamma function.

:math:`\nu` is one of a few numbers :math:`\nu_j`, of share :math:`w_j`, for every covariance on its own: the density is
the sum of theirs, which all depend on the shape through one number, with constants :math:`C_j` that are known,

.. math:: p(\text{shape}) = \sum_j w_j C_j e^{-\nu_j Q}, \qquad Q = \frac12 \log\frac{|M|}{|R|} + \frac D2 \log T .

M and R have coordinates of their own, and not M as seen from R: where rows are many they tell M and hardly R, and the
posterior of coordinates relative to R was so bent that NUTS took 180,000 gradients in place of 28,000, and diverged
(5,000 rows of 5 features, 4 components).
"""

import math

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.distribution import Continuous, _support_point
from pymc.logprob.abstract import _logprob
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.replace import _vectorize_node
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from pytensor.link.numba.dispatch.random import numba_core_rv_funcify
from pytensor.tensor.random.op import RandomVariable

from bayesgmm.graph.ops import source_version
from bayesgmm.mixture import log_cholesky

# The quadrature that gives Z: points, over so many spreads.
POINTS, FAR = 161, 8.0


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


class PrecisionTrace(_OfCoordinates):
    """Traces (B,) of y (B, P) and of the reference's coordinates (P,)."""

    function = staticmethod(log_cholesky.precision_trace)
    ranks, out = (2, 1), (1,)

    def pullback(self, inputs, outputs, cotangents):
        return PrecisionTracePullback()(*inputs, cotangents[0])


class PrecisionTracePullback(_OfCoordinates):
    """The pullback of :class:`PrecisionTrace`, by both."""

    function = staticmethod(log_cholesky.precision_trace_pullback)
    ranks, out = (2, 1, 1), (2, 1)


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
    function, version = op.function, source_version(__file__, log_cholesky.__file__)
    if len(op.ranks) == 2:

        @numba_njit
        def of_two(y, other):
            return function(np.ascontiguousarray(y), np.ascontiguousarray(other))

        return of_two, version

    @numba_njit
    def of_three(y, other, third):
        return function(np.ascontiguousarray(y), np.ascontiguousarray(other), np.ascontiguousarray(third))

    return of_three, version


for _op in (PrecisionTrace, PrecisionTracePullback, Covariances, CovariancesPullback):
    register_funcify_default_op_cache_key(_op)(_compiled)


def on_batch(op: Op, y, *others):
    """An Op of a batch applied to one y, or to several."""
    return op(y, *others) if y.type.ndim > 1 else op(y[None], *others)[0]


def covariances(y, outer, rounding):
    """Covariances (..., D, D) of y (..., P) as a graph."""
    return on_batch(Covariances(), y, outer, rounding)


# The distribution -----------------------------------------------------------------------------------------------------


def _draw(rng, n_features, rows, shares, spread, wall, around, correlated, y):
    """Fill ``y`` with a draw of the prior around the reference of coordinates ``around``."""
    degrees = rows[min(np.searchsorted(np.cumsum(shares), rng.random()), len(rows) - 1)]
    inverse = np.zeros((n_features, n_features))  # an upper triangle U with inverse M = U U^T, of Wishart distribution
    trace = 0.0
    for i in range(n_features):
        after = n_features - 1 - i if correlated else 0
        inverse[i, i] = math.sqrt(rng.chisquare(degrees - after))
        for j in range(i + 1, n_features if correlated else i):
            inverse[i, j] = rng.normal(0.0, 1.0)
        for j in range(i, n_features):
            trace += inverse[i, j] ** 2
    while True:
        u = rng.normal(0.0, spread)
        if rng.random() < math.exp(-wall * math.exp(-u)):
            break
    scale = math.sqrt(math.exp(u) * trace / n_features)
    # L is the transposed inverse of U: row by row, as its coordinates are.
    factor = np.zeros((n_features, n_features))
    for i in range(n_features):
        factor[i, i] = 1.0 / inverse[i, i]
        for j in range(i):
            total = 0.0
            for m in range(j, i):
                total -= inverse[m, i] * factor[m, j]
            factor[i, j] = total / inverse[i, i]
    if not correlated:
        for i in range(n_features):
            y[i] = around[i] + math.log(scale * factor[i, i])
        return
    # The reference's factor times it, row by row, as the coordinates are.
    at = 0
    for i in range(n_features):
        for j in range(i + 1):
            total = 0.0
            for m in range(j, i + 1):
                total += (around[at + m] if m < i else 1.0) * factor[m, j]
            y[at + j] = total / factor[i, i] if j < i else around[at + i] + math.log(scale * factor[i, i])
        at += i + 1


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


class RelativeRV(CoordinatesRV):
    """Coordinates y; parameters: D, rows (nu), their shares, spread (tau), wall (b), the reference's."""

    name = "relative_covariance"
    signature = "(),(j),(j),(),(),(p)->(p)"
    _print_name = ("RelativeCovariance", "\\operatorname{RelativeCovariance}")

    def rng_fn(self, rng, n_features, rows, shares, spread, wall, around, size):
        d = int(np.ravel(n_features)[0])
        shape = np.shape(spread) if size is None else tuple(size)
        rows, shares, around = (
            np.broadcast_to(v, (*shape, v.shape[-1])).reshape(-1, v.shape[-1]) for v in (rows, shares, around)
        )
        numbers = [np.broadcast_to(v, shape).ravel() for v in (spread, wall)]
        y = np.empty((int(np.prod(shape)), log_cholesky.length(d) if self.correlated else d))
        for b, own in enumerate(zip(*numbers, strict=True)):
            _draw(rng, d, rows[b], shares[b], own[0], own[1], around[b], self.correlated, y[b])
        return y.reshape(*shape, y.shape[1])


@numba_core_rv_funcify.register(RelativeRV)
def _numba_draw(op, node):
    correlated, draw = op.correlated, numba_njit(_draw)

    @numba_njit
    def random_fn(rng, n_features, rows, shares, spread, wall, around):
        d = n_features.item()
        y = np.empty(d * (d + 1) // 2 if correlated else d)
        draw(rng, d, rows, shares, spread.item(), wall.item(), around, correlated, y)
        return y

    return random_fn, source_version(__file__)


class RelativeCovariance(Continuous):
    """Coordinates of a covariance around that of coordinates ``around`` (P,); not ``correlated``: log scales alone."""

    rv_type = RelativeRV

    @classmethod
    def rv_op(cls, *parameters, correlated=True, size=None, rng=None):
        rng = pt.random.shared_rng(seed=None) if rng is None else rng
        _, rv = RelativeRV(correlated=correlated)(*parameters, size=size, rng=rng, return_next_rng=True)
        return rv

    @classmethod
    def dist(cls, n_features, rows, shares, spread, wall, around, *, correlated=True, **kwargs):
        parameters = [pt.as_tensor(n_features, dtype="int64")]
        parameters += [pt.as_tensor(v, dtype="float64") for v in (rows, shares, spread, wall, around)]
        parameters[1:3] = map(pt.atleast_1d, parameters[1:3])
        return super().dist(parameters, correlated=correlated, **kwargs)


@_support_point.register(RelativeRV)
def _the_reference(op, rv, rng, size, n_features, rows, shares, spread, wall, around):
    return pt.broadcast_to(at_half_the_scales(around, n_features, op.correlated), rv.shape)


@_logprob.register(RelativeRV)
def _log_density(op, values, rng, size, n_features, rows, shares, spread, wall, around, **kwargs):
    (y,) = values
    n_features, spread, wall = map(pt.squeeze, (n_features, spread, wall))
    # PyMC gives vectors the axes of the covariances too.
    rows, shares, around = (pt.squeeze(v, axis=tuple(range(v.type.ndim - 1))) for v in (rows, shares, around))
    trace = on_batch(PrecisionTrace(), y, around) if op.correlated else pt.exp(2 * (around - y)).sum(axis=-1)
    u = pt.log(n_features) - pt.log(trace)
    distance = half_log_determinant(y, around, n_features, op.correlated) + n_features / 2 * pt.log(trace)
    log_constant = pt.gammaln(rows * n_features / 2) - log_gammas(rows, n_features, op.correlated) + pt.log(shares)
    shape = pt.logsumexp(log_constant - rows * distance[..., None], axis=-1)
    scale = log_scale_kernel(u, spread, wall, 0.0) - log_scale_normaliser(spread, wall, 0.0)
    return n_features * np.log(2) + shape + scale


def half_log_determinant(y, around, n_features, correlated):
    """Half the log determinant of a covariance relative to the reference."""
    return (y - around)[..., diagonal_entries(n_features, correlated)].sum(axis=-1)


def diagonal_entries(n_features, correlated):
    """Where the log scales are among the coordinates."""
    i = pt.arange(n_features)
    return i * (i + 3) // 2 if correlated else i


def at_half_the_scales(around, n_features, correlated):
    """Where a covariance begins: clusters are narrower than all rows, and PyMC's own optimiser finds them then."""
    at = diagonal_entries(pt.squeeze(n_features), correlated)
    return pt.inc_subtensor(around[..., at], -np.log(2))


def log_gammas(rows, n_features, correlated):
    """log of the multivariate gamma function at half of rows, or that of as many gamma functions of one."""
    if not correlated:
        return n_features * pt.gammaln(rows / 2)
    each = pt.gammaln((rows[..., None] - pt.arange(n_features)) / 2)
    return each.sum(axis=-1) + n_features * (n_features - 1) / 4 * np.log(np.pi)


def log_scale_kernel(u, spread, wall, ceiling):
    """log p(u), but for a constant."""
    return -(u**2) / (2 * spread**2) - wall * pt.exp(-u) - ceiling * pt.exp(u)


def log_scale_normaliser(spread, wall, ceiling):
    """log Z by the trapezoidal rule, which converges faster than any power of the step where the ends are flat."""
    points = np.linspace(-FAR, FAR, POINTS)
    kernel = pt.exp(log_scale_kernel(spread * points, spread, wall, ceiling))
    return pt.log(kernel.sum() * spread * (points[1] - points[0]))
