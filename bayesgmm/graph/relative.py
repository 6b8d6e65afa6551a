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


# The density ----------------------------------------------------------------------------------------------------------


@jit
def relative_density(y, around, rows, shares, spread, wall, correlated):
    """log p, (B,), and its gradients by y and by the reference's coordinates, both (B, P)."""
    n_features = log_cholesky.features_of(y.shape[1]) if correlated else y.shape[1]
    constants = np.empty(rows.size)
    for j in range(rows.size):
        constants[j] = math.lgamma(0.5 * rows[j] * n_features) - log_gamma(rows[j], n_features, correlated)
        constants[j] += math.log(shares[j])
    constant = n_features * math.log(2.0) - log_scale_normaliser(spread, wall, 0.0)
    if correlated:
        trace, by_y, by_around = log_cholesky.precision_trace_gradients(y, around)
    else:
        trace, by_y, by_around = ratio_gradients(y, around)
    value = np.empty(y.shape[0])
    for b in range(y.shape[0]):
        u = math.log(n_features) - math.log(trace[b])
        distance, at = 0.5 * n_features * math.log(trace[b]), 0
        for i in range(n_features):
            distance += y[b, at] - around[at]
            at += i + 2 if correlated else 1
        total, mean, highest = 0.0, 0.0, -np.inf
        for j in range(rows.size):
            highest = max(highest, constants[j] - rows[j] * distance)
        for j in range(rows.size):
            share = math.exp(constants[j] - rows[j] * distance - highest)
            total += share
            mean += share * rows[j]
        mean /= total
        value[b] = constant + highest + math.log(total) + log_scale_kernel(u, spread, wall, 0.0)
        # By the trace, and by the half log determinant of M relative to R.
        slope = (u / spread**2 - wall * math.exp(-u) - 0.5 * mean * n_features) / trace[b]
        for j in range(y.shape[1]):
            by_y[b, j] *= slope
            by_around[b, j] *= slope
        at = 0
        for i in range(n_features):
            by_y[b, at] -= mean
            by_around[b, at] += mean
            at += i + 2 if correlated else 1
    return value, by_y, by_around


class RelativeDensity(DensityOp):
    """By the coordinates and by those of the reference."""

    function = staticmethod(relative_density)
    ranks, n_gradients = (1, 1, 1, 0, 0), 2


@register_funcify_default_op_cache_key(RelativeDensity)
def _compiled_density(op, node=None, **kwargs):
    correlated = op.correlated

    @numba_njit
    def density(y, around, rows, shares, spread, wall):
        own = np.ascontiguousarray(y), np.ascontiguousarray(around), np.ascontiguousarray(rows)
        return relative_density(*own, np.ascontiguousarray(shares), spread.item(), wall.item(), correlated)

    return density, source_version(__file__, coordinates.__file__, log_cholesky.__file__)


@_logprob.register(RelativeRV)
def _log_density(op, values, rng, size, n_features, rows, shares, spread, wall, around, **kwargs):
    (y,) = values
    # PyMC gives numbers and vectors the axes of the covariances too.
    numbers = (pt.squeeze(v) for v in (spread, wall))
    vectors = (pt.squeeze(v, axis=tuple(range(v.type.ndim - 1))) for v in (around, rows, shares))
    return on_batch(RelativeDensity(op.correlated), y, *vectors, *numbers)
