"""The default prior of the means: independent normal distributions whose initial point has different components.

PyMC starts every optimiser and sampler of its own at the *support point*, which is the same for every component of a
normal prior. There a mixture's density is stationary: ``pm.find_MAP`` and ``pm.fit`` would return equal means, in
silence. An ``initval`` would mend that, but PyMC (6.4) refuses to transform models that have one (``pm.do``,
``pm.observe``, ``freeze_dims_and_data``: "Cannot convert models with non-default initial_values"). So the start is a
parameter of the distribution, which plays no part in its density or its draws.
"""

import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.distribution import Continuous, _support_point
from pymc.logprob.abstract import _logprob
from pytensor.link.numba.dispatch.basic import numba_njit
from pytensor.link.numba.dispatch.random import numba_core_rv_funcify
from pytensor.tensor.random.op import RandomVariable

from bayesgmm.graph.ops import source_version


class StartedNormalRV(RandomVariable):
    """Normal draws; parameters are the mean, the standard deviation and the start."""

    name = "started_normal"
    signature = "(),(),()->()"
    dtype = "float64"
    _print_name = ("Normal", "\\operatorname{Normal}")

    @classmethod
    def rng_fn(cls, rng, mu, sigma, start, size):
        return rng.normal(mu, sigma, size=size)


@numba_core_rv_funcify.register(StartedNormalRV)
def _numba_draw(op, node):
    @numba_njit
    def random_fn(rng, mu, sigma, start):
        return rng.normal(mu.item(), sigma.item())

    return random_fn, source_version(__file__)


class StartedNormal(Continuous):
    """Normal(mu, sigma), of which PyMC's initial point is ``start``."""

    rv_type = StartedNormalRV
    rv_op = StartedNormalRV()

    @classmethod
    def dist(cls, mu, sigma, start, **kwargs):
        return super().dist([pt.as_tensor(v, dtype="float64") for v in (mu, sigma, start)], **kwargs)


@_support_point.register(StartedNormalRV)
def _start(op, rv, rng, size, mu, sigma, start):
    return pt.broadcast_to(start, rv.shape)


@_logprob.register(StartedNormalRV)
def _log_density(op, values, rng, size, mu, sigma, start, **kwargs):
    (value,) = values
    return pm.logp(pm.Normal.dist(mu, sigma), value)
