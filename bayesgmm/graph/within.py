r"""The default prior of a covariance within clusters, in log-Cholesky coordinates relative to that of all rows.

With y the coordinates of M (:mod:`bayesgmm.mixture.log_cholesky`), :math:`t = \mathrm{tr} M` and
:math:`u = \log(t / D)` the log of the mean of its eigenvalues, the density is

.. math:: p(y) = 2^D \, \frac{\Gamma(\nu D / 2)}{\Gamma_D(\nu / 2)} \, |M|^{\nu/2} t^{-\nu D/2} \, p(u) \,
                 \frac{\exp(-b\, \mathrm{tr} M^{-1})}{\alpha}, \qquad
          p(u) = \frac1Z \exp\left(-\frac{u^2}{2\tau^2} - c e^{u}\right).

That is the shape of a Wishart matrix with :math:`\nu` degrees of freedom, of which t is independent (it is chi-square
with :math:`\nu D`), and a scale u with a distribution of its own. Of diagonal matrices, whose variances are gamma then,
:math:`\Gamma(\nu/2)^D` stands for the multivariate gamma function. The last factor is a wall, and
:math:`\alpha`, the share that it leaves of what is before it, is given.
"""

import math

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.distribution import Continuous, _support_point
from pymc.logprob.abstract import _logprob
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from pytensor.link.numba.dispatch.random import numba_core_rv_funcify

from bayesgmm.graph import coordinates
from bayesgmm.graph.coordinates import (
    CoordinatesRV,
    DensityOp,
    at_half_the_scales,
    log_gamma,
    log_scale_kernel,
    log_scale_normaliser,
    on_batch,
    ratio_gradients,
)
from bayesgmm.graph.ops import source_version
from bayesgmm.mixture import log_cholesky
from bayesgmm.mixture.elementary import jit


def _draw(rng, n_features, rows, spread, ceiling, wall, correlated, y):
    """Fill ``y`` with a draw: Bartlett's factor of a Wishart matrix and another scale, until the walls let one pass."""
    inverse = np.empty((n_features, n_features))
    while True:
        trace, at = 0.0, 0
        for i in range(n_features):
            diagonal = math.sqrt(rng.chisquare(rows - (i if correlated else 0)))
            trace += diagonal**2
            for _ in range(i if correlated else 0):
                beside = rng.normal(0.0, 1.0)
                trace += beside**2
                y[at] = beside / diagonal
                at += 1
            y[at] = math.log(diagonal)
            at += 1
        u = rng.normal(0.0, spread)
        while rng.random() > math.exp(-ceiling * math.exp(u)):
            u = rng.normal(0.0, spread)
        # The trace of the inverse: the sum of squares of the factor's inverse, by forward substitution.
        inverse_trace, at = 0.0, 0
        for i in range(n_features):
            width = i if correlated else 0
            y[at + width] += 0.5 * (u + math.log(n_features / trace))
            inverse[i, i] = math.exp(-y[at + width])
            inverse_trace += inverse[i, i] ** 2
            for j in range(width):
                inverse[i, j] = 0.0
                for m in range(j, i):
                    inverse[i, j] -= y[at + m] * inverse[m, j]
                inverse_trace += inverse[i, j] ** 2
            at += width + 1
        if rng.random() < math.exp(-wall * inverse_trace):
            break


class WithinRV(CoordinatesRV):
    """Coordinates y; parameters: D, rows (nu), spread (tau), ceiling (c), wall (b), log of the share it leaves."""

    name = "within_covariance"
    signature = "(),(),(),(),(),()->(p)"
    _print_name = ("WithinCovariance", "\\operatorname{WithinCovariance}")

    def rng_fn(self, rng, n_features, rows, spread, ceiling, wall, log_share, size):
        d = int(np.ravel(n_features)[0])
        shape = np.shape(spread) if size is None else tuple(size)
        numbers = [np.broadcast_to(v, shape).ravel() for v in (rows, spread, ceiling, wall)]
        y = np.empty((int(np.prod(shape)), log_cholesky.length(d) if self.correlated else d))
        for b, own in enumerate(zip(*numbers, strict=True)):
            _draw(rng, d, own[0], own[1], own[2], own[3], self.correlated, y[b])
        return y.reshape(*shape, y.shape[1])


@numba_core_rv_funcify.register(WithinRV)
def _numba_draw(op, node):
    correlated, draw = op.correlated, numba_njit(_draw)

    @numba_njit
    def random_fn(rng, n_features, rows, spread, ceiling, wall, log_share):
        d = n_features.item()
        y = np.empty(d * (d + 1) // 2 if correlated else d)
        draw(rng, d, rows.item(), spread.item(), ceiling.item(), wall.item(), correlated, y)
        return y

    return random_fn, source_version(__file__)


class WithinCovariance(Continuous):
    """Coordinates of a covariance relative to that of all rows; not ``correlated``: log scales alone."""

    rv_type = WithinRV

    @classmethod
    def rv_op(cls, *parameters, correlated=True, size=None, rng=None):
        rng = pt.random.shared_rng(seed=None) if rng is None else rng
        _, rv = WithinRV(correlated=correlated)(*parameters, size=size, rng=rng, return_next_rng=True)
        return rv

    @classmethod
    def dist(cls, n_features, rows, spread, ceiling, wall, log_share, *, correlated=True, **kwargs):
        parameters = [pt.as_tensor(n_features, dtype="int64")]
        parameters += [pt.as_tensor(v, dtype="float64") for v in (rows, spread, ceiling, wall, log_share)]
        return super().dist(parameters, correlated=correlated, **kwargs)


@_support_point.register(WithinRV)
def _narrower(op, rv, rng, size, n_features, *numbers):
    return pt.broadcast_to(at_half_the_scales(pt.zeros(rv.shape[-1]), n_features, op.correlated), rv.shape)


# The density ----------------------------------------------------------------------------------------------------------


@jit
def within_density(y, rows, spread, ceiling, wall, log_share, correlated):
    """log p, (B,), and its gradient by y, (B, P)."""
    n_features = log_cholesky.features_of(y.shape[1]) if correlated else y.shape[1]
    constant = n_features * math.log(2.0) + math.lgamma(0.5 * rows * n_features) - log_share
    constant -= log_gamma(rows, n_features, correlated) + log_scale_normaliser(spread, 0.0, ceiling)
    value = np.empty(y.shape[0])
    nowhere = np.zeros(y.shape[1])
    if correlated:
        inverse, by_y, _ = log_cholesky.precision_trace_gradients(y, nowhere)
    else:
        inverse, by_y, _ = ratio_gradients(y, nowhere)
    for b in range(y.shape[0]):
        trace, half_log_determinant, at = 0.0, 0.0, 0
        for i in range(n_features):
            width = i if correlated else 0
            own = 1.0
            for j in range(width):
                own += y[b, at + j] ** 2
            trace += own * math.exp(2.0 * y[b, at + width])
            half_log_determinant += y[b, at + width]
            at += width + 1
        u = math.log(trace) - math.log(n_features)
        kernel = log_scale_kernel(u, spread, 0.0, ceiling)
        value[b] = constant + rows * half_log_determinant - 0.5 * rows * n_features * math.log(trace) + kernel
        value[b] -= wall * inverse[b]
        for j in range(y.shape[1]):
            by_y[b, j] *= -wall
        slope = -(0.5 * rows * n_features + u / spread**2 + ceiling * math.exp(u)) / trace
        at = 0
        for i in range(n_features):
            width = i if correlated else 0
            own, scale = 1.0, math.exp(2.0 * y[b, at + width])
            for j in range(width):
                own += y[b, at + j] ** 2
                by_y[b, at + j] += 2.0 * slope * scale * y[b, at + j]
            by_y[b, at + width] += rows + 2.0 * slope * scale * own
            at += width + 1
    return value, by_y


class WithinDensity(DensityOp):
    """By the coordinates."""

    function = staticmethod(within_density)
    ranks, n_gradients = (0, 0, 0, 0, 0), 1


@register_funcify_default_op_cache_key(WithinDensity)
def _compiled_density(op, node=None, **kwargs):
    correlated = op.correlated

    @numba_njit
    def density(y, rows, spread, ceiling, wall, log_share):
        numbers = rows.item(), spread.item(), ceiling.item(), wall.item(), log_share.item()
        return within_density(np.ascontiguousarray(y), *numbers, correlated)

    return density, source_version(__file__, coordinates.__file__, log_cholesky.__file__)


@_logprob.register(WithinRV)
def _log_density(op, values, rng, size, n_features, *numbers, **kwargs):
    (y,) = values
    return on_batch(WithinDensity(op.correlated), y, *map(pt.squeeze, numbers))
