r"""Weights of a broken stick: the truncated Dirichlet process.

Each component but the last breaks a part :math:`v_k \sim \mathrm{Beta}(1, \alpha)` off what those before it left; the
last takes the rest (:math:`v_K = 1`):

.. math:: \pi_k = v_k \prod_{j<k} (1 - v_j) .

With :math:`r_k = \sum_{j>k} \pi_j` what is left after k, :math:`\partial v_k / \partial \pi_k = 1 / r_{k-1}` and
:math:`\prod_{k<K} (1 - v_k) = \pi_K`, so the density of the weights is

.. math:: p(\pi_1, \dots, \pi_{K-1}) = \alpha^{K-1}\, \pi_K^{\alpha-1} \prod_{k=1}^{K-2} r_k^{-1} .

Sethuraman (1994), A constructive definition of Dirichlet priors, Statistica Sinica 4, 639-650. Ishwaran and James
(2001), Gibbs sampling methods for stick-breaking priors, JASA 96, 161-173, https://doi.org/10.1198/016214501750332758
(truncation; the density is Connor and Mosimann's (1969) generalised Dirichlet,
https://doi.org/10.1080/01621459.1969.10500963).
"""

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.distribution import _support_point
from pymc.logprob.abstract import _logprob
from pytensor.link.numba.dispatch.basic import numba_njit
from pytensor.link.numba.dispatch.random import numba_core_rv_funcify
from pytensor.tensor.random.op import RandomVariable

from bayesgmm.graph.ops import source_version
from bayesgmm.graph.sized import Sized


class StickBreakingRV(RandomVariable):
    """Weights (K,); parameters are K and alpha."""

    name = "stick_breaking"
    signature = "(),()->(k)"
    dtype = "float64"
    _print_name = ("StickBreaking", "\\operatorname{StickBreaking}")

    def _supp_shape_from_params(self, dist_params, param_shapes=None):
        return (pt.squeeze(dist_params[0]),)

    @classmethod
    def rng_fn(cls, rng, n_components, alpha, size):
        k = int(np.ravel(n_components)[0])
        shape = np.broadcast_shapes(np.shape(n_components), np.shape(alpha)) if size is None else tuple(size)
        sticks = rng.beta(1.0, np.broadcast_to(np.asarray(alpha)[..., None], (*shape, k)))
        sticks[..., -1] = 1.0
        left = np.cumprod(1 - sticks[..., :-1], axis=-1)
        return sticks * np.concatenate([np.ones((*shape, 1)), left], axis=-1)


@numba_core_rv_funcify.register(StickBreakingRV)
def _numba_draw(op, node):
    @numba_njit
    def random_fn(rng, n_components, alpha):
        weights = np.empty(n_components.item())
        left = 1.0
        for k in range(len(weights) - 1):
            stick = rng.beta(1.0, alpha.item())
            weights[k] = left * stick
            left *= 1.0 - stick
        weights[-1] = left
        return weights

    return random_fn, source_version(__file__)


class StickBreaking(Sized):
    """Weights of ``n_components`` whose sticks are Beta(1, ``alpha``)."""

    rv_type = StickBreakingRV
    rv_op = StickBreakingRV()


@_support_point.register(StickBreakingRV)
def _all_alike(op, rv, rng, size, n_components, alpha):
    return pt.ones(rv.shape) / rv.shape[-1]


@_logprob.register(StickBreakingRV)
def _log_density(op, values, rng, size, n_components, alpha, **kwargs):
    return log_density(values[0], pt.squeeze(alpha))


def log_density(weights, alpha):
    """Log-density (...) of weights (..., K)."""
    # From the last on, so that no small number is the difference of large ones.
    left = pt.cumsum(weights[..., ::-1], axis=-1)
    broken = (weights.shape[-1] - 1) * pt.log(alpha) + (alpha - 1) * pt.log(left[..., 0])
    return broken - pt.log(left[..., 1:-1]).sum(axis=-1)
