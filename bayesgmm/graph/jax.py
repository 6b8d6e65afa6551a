"""This package's Ops in JAX; imported when a graph is first made for it (:mod:`bayesgmm.graph.backends`).

They are made for both ways to a gradient: PyTensor's, whose pullbacks are Ops of their own, and JAX's, which is told
the gradient of the likelihood in closed form, from the pass that gives the value.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytensor.tensor as pt
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import gammaln, logsumexp
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.link.jax.dispatch.basic import jax_funcify
from pytensor.tensor.math import Sum

from bayesgmm.graph.coordinates import FAR, LEAST_EXPONENT, POINTS, Covariances, CovariancesPullback
from bayesgmm.graph.ops import MixtureGradient, MixtureLogDensity, summed_rows
from bayesgmm.graph.orders import NEGLIGIBLE, STEP, SumOfOrders
from bayesgmm.graph.relative import RelativeDensity
from bayesgmm.graph.transforms import Constrain, ConstrainPullback
from bayesgmm.graph.within import WithinDensity
from bayesgmm.mixture import jax_pass

# Steps of an integral that are taken at once.
STEPS = 32


# The likelihood -----------------------------------------------------------------------------------------------------


def _by_parameters(gradients: tuple, n_inputs: int) -> tuple:
    """The gradients by weights, means, covariances, and the share of noise in the places of an Op's inputs."""
    by: list[Any] = [None] * n_inputs
    by[1:4] = gradients[:3]
    if len(gradients) > 3:
        by[7] = gradients[3]
    return tuple(by)


@jax_funcify.register(MixtureLogDensity)
def _log_density(op, **kwargs):
    def rows_and_mixture(x, weights, means, covariances, *pattern):
        return jax_pass.Rows.of(x, *pattern), jax_pass.Mixture(weights, means, covariances, op.diagonal)

    @jax.custom_vjp
    def log_density(*inputs):
        return jax_pass.log_density(*rows_and_mixture(*inputs))

    def backward(inputs, slopes):
        rows, mixture = rows_and_mixture(*inputs)
        return _by_parameters(jax_pass.gradient(rows, mixture, slopes)[1:], len(inputs))

    log_density.defvjp(lambda *inputs: (log_density(*inputs), inputs), backward)
    return log_density


@jax_funcify.register(MixtureGradient)
def _gradient(op, **kwargs):
    def gradient(x, weights, means, covariances, *others):
        *pattern, row_weights = others
        mixture = jax_pass.Mixture(weights, means, covariances, op.diagonal)
        return jax_pass.gradient(jax_pass.Rows.of(x, *pattern), mixture, row_weights)

    return gradient


class MixtureTotal(MixtureGradient):
    """The rows' weighted log-density alone, whose gradient comes from the same pass."""

    def make_node(self, *inputs):
        return Apply(self, super().make_node(*inputs).inputs, [pt.scalar(dtype="float64")])


@jax_funcify.register(MixtureTotal)
def _total(op, **kwargs):
    gradient = _gradient(op)

    @jax.custom_vjp
    def total(*inputs):
        return gradient(*inputs)[0]

    def forward(*inputs):
        found, *gradients = gradient(*inputs)
        return found, _by_parameters(tuple(gradients), len(inputs))

    def backward(gradients, slope):
        return tuple(None if g is None else slope * g for g in gradients)

    total.defvjp(forward, backward)
    return total


@node_rewriter([Sum])
def _sum_of_rows(fgraph, node):
    """What is summed over rows comes with its gradient, as JAX may ask for it: one pass, not two.

    Row weights must be numbers, as the gradient by them is not known.
    """
    found = summed_rows(node)
    if found is None:
        return None
    density, [*weights] = found
    if any(not isinstance(v, Constant) for v in weights):
        return None
    row_weights = weights[0] if weights else pt.ones(1)
    return [MixtureTotal(density.op.diagonal, density.op.partial)(*density.inputs, row_weights)]


total_in_one_pass = dfs_rewriter(_sum_of_rows)


# Transforms ---------------------------------------------------------------------------------------------------------


def _simplex(y):
    logs = jax.nn.log_softmax(jnp.concatenate([y, -y.sum(axis=1, keepdims=True)], axis=1), axis=1)
    return jnp.exp(logs), math.log(y.shape[1] + 1) + logs.sum(axis=1)


def _simplex_pullback(weights, d_weights, d_log_jacobian):
    mean = (weights * d_weights).sum(axis=1) + d_log_jacobian * weights.shape[1]
    slopes = weights * (d_weights - mean[:, None])
    return slopes[:, :-1] - slopes[:, -1:]


def _unit_rows(y):
    length = round((1 + math.sqrt(1 + 8 * y.shape[1])) / 2)
    rows, columns = np.tril_indices(length, -1)
    below = jnp.zeros((len(y), length, length)).at[:, rows, columns].set(y)
    squares = 1.0 + (below**2).sum(axis=2)
    log_jacobian = -0.5 * ((np.arange(length) + 2) * jnp.log(squares)).sum(axis=1)
    return (below + jnp.eye(length)) / jnp.sqrt(squares)[..., None], log_jacobian


def _unit_rows_pullback(cholesky, d_cholesky, d_log_jacobian):
    length = cholesky.shape[1]
    rows, columns = np.tril_indices(length, -1)
    along = (jnp.tril(d_cholesky) * cholesky).sum(axis=2) + (np.arange(length) + 2) * d_log_jacobian[:, None]
    slopes = (d_cholesky - cholesky * along[..., None]) * jnp.diagonal(cholesky, axis1=1, axis2=2)[..., None]
    return slopes[:, rows, columns]


MAPS = {"simplex": (_simplex, _simplex_pullback), "unit_rows": (_unit_rows, _unit_rows_pullback)}


@jax_funcify.register(Constrain)
def _constrain(op, **kwargs):
    return MAPS[op.kind][0]


@jax_funcify.register(ConstrainPullback)
def _constrain_pullback(op, **kwargs):
    return MAPS[op.kind][1]


# Log-Cholesky coordinates -------------------------------------------------------------------------------------------


def _triangles(y):
    """L (..., D, D) of y (..., P)."""
    length = round((math.sqrt(8 * y.shape[-1] + 1) - 1) / 2)
    rows, columns = np.tril_indices(length)
    below = jnp.zeros((*y.shape[:-1], length, length)).at[..., rows, columns].set(y)
    scales = jnp.exp(jnp.diagonal(below, axis1=-2, axis2=-1))
    return scales[..., None] * (jnp.tril(below, -1) + jnp.eye(length))


def _log_scales(y, correlated):
    """The logs of L's diagonal (..., D)."""
    return y[..., [i * (i + 3) // 2 for i in range(_n_features(y, correlated))]] if correlated else y


def _n_features(y, correlated) -> int:
    return round((math.sqrt(8 * y.shape[-1] + 1) - 1) / 2) if correlated else y.shape[-1]


def _precision_trace(y, around, correlated):
    """Trace of R M^-1, (B,)."""
    if not correlated:
        return jnp.exp(2 * (around - y)).sum(axis=-1)
    factors = _triangles(y)
    reference = jnp.broadcast_to(_triangles(around), factors.shape)
    return (solve_triangular(factors, reference, lower=True) ** 2).sum(axis=(1, 2))


def _covariances(y, outer, rounding):
    factors = outer @ _triangles(y)
    return factors @ factors.swapaxes(-1, -2) + jnp.diag(rounding)


@jax_funcify.register(Covariances)
def _covariances_of(op, **kwargs):
    return _covariances


@jax_funcify.register(CovariancesPullback)
def _covariances_pullback(op, **kwargs):
    def pullback(y, outer, slopes):
        return jax.vjp(lambda y: _covariances(y, outer, jnp.zeros(len(outer))), y)[1](slopes)[0]

    return pullback


def _log_gamma(rows, n_features, correlated):
    if not correlated:
        return n_features * gammaln(0.5 * rows)
    constant = 0.25 * n_features * (n_features - 1) * math.log(math.pi)
    return constant + sum(gammaln(0.5 * (rows - i)) for i in range(n_features))


def _log_scale(u, spread, wall, ceiling):
    """log p(u), with the same quadrature as the compiled one."""
    z = np.linspace(-FAR, FAR, POINTS)
    exponents = -0.5 * z**2 - wall * jnp.exp(-spread * z) - ceiling * jnp.exp(spread * z)
    total = jnp.exp(jnp.maximum(exponents, LEAST_EXPONENT)).sum() * spread * (z[1] - z[0])
    return -(u**2) / (2 * spread**2) - wall * jnp.exp(-u) - ceiling * jnp.exp(u) - jnp.log(total)


def _relative_density(correlated, y, around, rows, shares, spread, wall):
    """log p, (B,)."""
    d = _n_features(y, correlated)
    trace = _precision_trace(y, around, correlated)
    distance = 0.5 * d * jnp.log(trace) + (_log_scales(y, correlated) - _log_scales(around, correlated)).sum(axis=-1)
    constants = gammaln(0.5 * rows * d) - _log_gamma(rows, d, correlated) + jnp.log(shares)
    shape = logsumexp(constants - rows * distance[:, None], axis=1)
    return d * math.log(2) + shape + _log_scale(math.log(d) - jnp.log(trace), spread, wall, 0.0)


def _within_density(correlated, y, rows, spread, ceiling, wall, log_share):
    """log p, (B,)."""
    d = _n_features(y, correlated)
    log_scales = _log_scales(y, correlated)
    trace = ((_triangles(y) ** 2).sum(axis=-1) if correlated else jnp.exp(2 * y)).sum(axis=-1)
    constant = d * math.log(2) + gammaln(0.5 * rows * d) - _log_gamma(rows, d, correlated) - log_share
    shape = rows * log_scales.sum(axis=-1) - 0.5 * rows * d * jnp.log(trace)
    walls = wall * _precision_trace(y, jnp.zeros(y.shape[-1]), correlated)
    return constant + shape + _log_scale(jnp.log(trace) - math.log(d), spread, 0.0, ceiling) - walls


def _with_gradients(density: Callable, op: Any) -> Callable:
    """A density of a batch as its Op gives it: the values, and their gradients by the first inputs, each (B, P)."""

    def values_and_gradients(y, *others):
        # Each has a reference of its own, to have a gradient of its own.
        shared = [jnp.broadcast_to(v, y.shape) for v in others[: op.n_gradients - 1]]
        rest = others[op.n_gradients - 1 :]
        values, pullback = jax.vjp(lambda *own: density(op.correlated, *own, *rest), y, *shared)
        return values, *pullback(jnp.ones_like(values))

    return values_and_gradients


@jax_funcify.register(RelativeDensity)
def _relative(op, **kwargs):
    return _with_gradients(_relative_density, op)


@jax_funcify.register(WithinDensity)
def _within(op, **kwargs):
    return _with_gradients(_within_density, op)


# Weights in any order -----------------------------------------------------------------------------------------------


def _log_sum_of_orders(weights, alpha):
    """The log-density of weights (K,) summed over all orders, and its gradients; see ``bayesgmm.graph.orders``."""
    length = weights.shape[0]
    logs = jnp.log(weights)
    least = -NEGLIGIBLE / length
    steps = jnp.ceil((math.log(2 * NEGLIGIBLE) - logs.min() - least) / STEP) + 1

    def add(state):
        at, highest, total, by_weights, by_alpha = state
        log_t = least + STEP * (at + jnp.arange(STEPS))
        x = jnp.minimum(jnp.exp(log_t[:, None] + logs), 1e300)
        early = jnp.log(-jnp.expm1(-x))
        late = jnp.where(x < 700, x / jnp.expm1(jnp.minimum(x, 700.0)), 0.0)
        terms = alpha * logs + log_t[:, None] + logs - x - early + early.sum(axis=1, keepdims=True)
        terms = jnp.where((at + jnp.arange(STEPS) < steps)[:, None], terms, -jnp.inf)
        top = jnp.maximum(highest, terms.max())
        shares, scale = jnp.exp(terms - top), jnp.exp(highest - top)
        own = (shares * (alpha + 1 - x - late)).sum(axis=0) + (shares.sum(axis=1, keepdims=True) * late).sum(axis=0)
        return (
            at + STEPS, top, scale * total + shares.sum(), scale * by_weights + own,
            scale * by_alpha + (shares * logs).sum(),
        )  # fmt: skip

    start = (jnp.zeros(()), jnp.array(-jnp.inf), jnp.zeros(()), jnp.zeros(length), jnp.zeros(()))
    _, highest, total, by_weights, by_alpha = jax.lax.while_loop(lambda state: state[0] < steps, add, start)
    value = (length - 1) * jnp.log(alpha) - logs.sum() + highest + jnp.log(total * STEP)
    found = value, (by_weights / total - 1) / weights, by_alpha / total + (length - 1) / alpha
    return tuple(jnp.where(weights.min() > 0, v, jnp.nan) for v in found)


@jax_funcify.register(SumOfOrders)
def _sum_of_orders(op, **kwargs):
    @jax.custom_vjp
    def gradient_and_value(weights, alpha):
        value, by_weights, by_alpha = _log_sum_of_orders(weights, alpha)
        return jnp.concatenate([by_weights, by_alpha[None], value[None]])

    def forward(weights, alpha):
        found = gradient_and_value(weights, alpha)
        return found, found

    def backward(found, slopes):
        return slopes[-1] * found[:-2], slopes[-1] * found[-2]

    gradient_and_value.defvjp(forward, backward)
    return gradient_and_value
