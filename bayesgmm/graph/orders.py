r"""The density of stick-breaking weights in any order, and the order that given weights were broken in.

Summed over all K! orders the density of :mod:`bayesgmm.graph.sticks` is an integral. Exponential times
:math:`E_k` of rates :math:`\pi_k` come in the order :math:`\sigma` with probability
:math:`\prod_k \pi_{\sigma_k} / r_{k-1}`, so

.. math:: \sum_\sigma p(\pi_\sigma) = \frac{\alpha^{K-1}}{\prod_k \pi_k} \mathrm{E}[\pi_\text{last}^\alpha] , \qquad
          \mathrm{E}[\pi_\text{last}^\alpha] = \int_0^\infty \sum_i \pi_i^{\alpha+1} e^{-\pi_i t}
          \prod_{j \neq i} (1 - e^{-\pi_j t}) \, dt ,

and an order given the weights is that of such times, of which the last is drawn from the integrand. A sampler that
works on the sum need not trade the places of components that are far apart, which it cannot, and each of its draws is
given an order afterwards. Without that :math:`\alpha` would be that of the one order in which the chains started.

That the sticks of a Dirichlet process come in an order that is biased by size: Pitman (1996), Random discrete
distributions invariant under size-biased permutation, Advances in Applied Probability 28, 525-539,
https://doi.org/10.2307/1428070. What samplers that do not change the order get wrong: Hastie, Liverani and Richardson
(2015), Sampling from Dirichlet process mixture models with unknown concentration parameter, Statistics and Computing
25, 1023-1037, https://doi.org/10.1007/s11222-014-9471-3.
"""

import math

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayesgmm.graph.ops import source_version
from bayesgmm.mixture.elementary import jit

# Of the trapezoidal rule in log t: the integrand is analytic within pi / 2 of the line, the error exp(-pi^2 / step).
STEP = 0.3
# Nats below which the integrand's ends are left out.
NEGLIGIBLE = 36.0


@jit
def _log_times(weights):
    """The least log t, and the number of steps from there on."""
    # Below 1 the integrand falls like t^K, above the inverse of the least weight like exp(-t).
    least = -NEGLIGIBLE / len(weights)
    most = math.log(2 * NEGLIGIBLE) - math.log(weights.min())
    return least, math.ceil((most - least) / STEP) + 1


@jit
def _at_time(log_t, logs, alpha, terms):
    """Fill ``terms`` (K,) with the logs of the integrand's, t included."""
    together = 0.0
    for k in range(len(logs)):
        x = math.exp(log_t + logs[k])
        # log(1 - e^-x), and log(x / (e^x - 1)) that a last one has in its place.
        early = math.log(-math.expm1(-x))
        together += early
        terms[k] = alpha * logs[k] + log_t + logs[k] - x - early
    for k in range(len(logs)):
        terms[k] += together


@jit
def sum_of_orders(weights, alpha):
    """Gradient by weights (K,) and alpha of the log-density summed over all orders, then that itself: (K + 2,)."""
    length = len(weights)
    if not weights.min() > 0:
        return np.full(length + 2, np.nan)
    logs, terms, gradient = np.log(weights), np.empty(length), np.zeros(length + 1)
    least, steps = _log_times(weights)
    highest, total = -math.inf, 0.0
    for s in range(steps):
        log_t = least + s * STEP
        _at_time(log_t, logs, alpha, terms)
        top = terms.max()
        if top > highest:
            scale = math.exp(highest - top)
            total *= scale
            gradient *= scale
            highest = top
        here = 0.0
        for k in range(length):
            share = math.exp(terms[k] - highest)
            here += share
            x = math.exp(log_t + logs[k])
            late = x / math.expm1(x) if x < 700 else 0.0
            gradient[k] += share * (alpha + 1 - x - late)
            gradient[length] += share * logs[k]
        total += here
        for k in range(length):
            x = math.exp(log_t + logs[k])
            gradient[k] += here * (x / math.expm1(x) if x < 700 else 0.0)
    out = np.empty(length + 2)
    for k in range(length):
        out[k] = (gradient[k] / total - 1) / weights[k]
    out[length] = gradient[length] / total + (length - 1) / alpha
    out[length + 1] = (length - 1) * math.log(alpha) - logs.sum() + highest + math.log(total * STEP)
    return out


@jit
def drawn_orders(weights, alpha, uniforms):
    """Orders (S, K) of weights (S, K) under concentrations (S,), of uniform numbers (S, K + 1)."""
    n, length = weights.shape
    orders = np.empty((n, length), dtype=np.int64)
    for s in range(n):
        logs = np.log(weights[s])
        least, steps = _log_times(weights[s])
        terms = np.empty((steps, length))
        for i in range(steps):
            _at_time(least + i * STEP, logs, alpha[s], terms[i])
        terms = np.exp(terms - terms.max())
        # Which comes last, and when.
        cumulative = np.cumsum(terms.ravel())
        chosen = min(np.searchsorted(cumulative, uniforms[s, length] * cumulative[-1]), steps * length - 1)
        t, last = math.exp(least + (chosen // length) * STEP), chosen % length
        times = np.empty(length)
        for k in range(length):
            times[k] = -math.log1p(uniforms[s, k] * math.expm1(-weights[s, k] * t)) / weights[s, k]
        times[last] = math.inf
        orders[s] = np.argsort(times)
    return orders


class SumOfOrders(Op):
    """:func:`sum_of_orders` as an Op; only the last of what it returns can be differentiated."""

    __props__ = ()

    def make_node(self, weights, alpha):
        weights, alpha = (pt.as_tensor(v, dtype="float64", ndim=n) for v, n in ((weights, 1), (alpha, 0)))
        return Apply(self, [weights, alpha], [pt.vector(dtype="float64")])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = sum_of_orders(np.ascontiguousarray(inputs[0]), float(inputs[1]))

    def pullback(self, inputs, outputs, cotangents):
        by_value = cotangents[0][-1]
        return [by_value * outputs[0][:-2], by_value * outputs[0][-2]]


@register_funcify_default_op_cache_key(SumOfOrders)
def _numba_sum(op, node=None, **kwargs):
    @numba_njit
    def sum_of_all(weights, alpha):
        return sum_of_orders(np.ascontiguousarray(weights), alpha.item())

    return sum_of_all, source_version(__file__)


def log_density_in_any_order(weights, alpha):
    """The log-density of weights (K,), averaged over all orders."""
    return SumOfOrders()(weights, alpha)[-1] - pt.gammaln(weights.shape[0] + 1)
