"""The marginalised Gaussian mixture as a PyMC distribution: log-density by the fused Op, draws by the one simulator.

Why not ``pm.CustomDist``, which is fewer lines (tried with PyMC 6.4): its random variable runs in Numba's object mode,
with a warning to every user and nothing cached; and ``pm.compute_log_likelihood`` hands its ``logp`` parameters with
axes added to match the rows', which have to be taken off again as here.
"""

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.distribution import Continuous, _support_point
from pymc.logprob.abstract import _logprob
from pytensor.link.numba.dispatch.basic import numba_njit
from pytensor.link.numba.dispatch.random import numba_core_rv_funcify
from pytensor.tensor.basic import get_underlying_scalar_constant_value
from pytensor.tensor.exceptions import NotScalarConstantError
from pytensor.tensor.random.op import RandomVariable

from bayesgmm.graph.ops import MixtureLogDensity, source_version
from bayesgmm.mixture import simulation
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.simulation import draw_row, simulate_row


class GaussianMixtureRV(RandomVariable):
    """Rows of a Gaussian mixture: a component from ``weights``, then a row of that component.

    Parameters are weights (K,), means (K, D), covariances (K, D, D) and the rows' weights in the log-likelihood,
    which play no part in drawing.
    """

    name = "gaussian_mixture"
    signature = "(k),(k,d),(k,d,d),()->(d)"
    dtype = "float64"
    _print_name = ("GaussianMixture", "\\operatorname{GaussianMixture}")

    def __init__(self, *args, diagonal: bool = False, **kwargs):
        self.diagonal = diagonal
        super().__init__(*args, **kwargs)

    __props__ = ("name", "signature", "dtype", "inplace", "diagonal")

    @classmethod
    def rng_fn(cls, rng, weights, means, covariances, row_weights, size):
        weights, means, covariances = (_unbatched(v, n) for v, n in ((weights, 1), (means, 2), (covariances, 3)))
        size = np.shape(row_weights) if size is None else tuple(int(s) for s in size)
        n_rows = int(np.prod(size))
        rows, _ = Mixture(weights, means, covariances).simulate(n_rows, rng)
        return rows.reshape(*size, means.shape[1])


class PartialGaussianMixtureRV(GaussianMixtureRV):
    """Rows of which not all is seen.

    Parameters besides are their order, their labels, -1 where none is known, the covariances of their errors (1, 0, 0
    without), the share of noise and the sides of its box. What is drawn are whole rows as they would be measured, of a
    known component where there is one.
    """

    name = "partial_gaussian_mixture"
    signature = "(k),(k,d),(k,d,d),(),(),(),(e,e),(),(g),(g)->(d)"

    @classmethod
    def rng_fn(  # type: ignore[override]
        cls, rng, weights, means, covariances, row_weights, order, labels, errors, share, low, high, size
    ):
        weights, means, covariances = (_unbatched(v, n) for v, n in ((weights, 1), (means, 2), (covariances, 3)))
        size = np.shape(labels) if size is None else tuple(int(n) for n in size)
        rows = np.empty((*size, means.shape[1]))
        labels, share = np.broadcast_to(labels, size), np.broadcast_to(share, size)
        errors = np.broadcast_to(errors, (*size, *errors.shape[-2:]))
        for place in np.ndindex(size):
            low_, high_ = _unbatched(low, 1), _unbatched(high, 1)
            draw_row(
                rng, weights, means, covariances, labels[place], errors[place], share[place], low_, high_, rows[place]
            )
        return rows


def _unbatched(value, ndim: int):
    """Drop the leading axes of length 1 that PyMC gives parameters to match the rows' axis."""
    xp, shape = (np, value.shape) if isinstance(value, np.ndarray) else (pt, value.type.shape)
    if any(length != 1 for length in shape[: value.ndim - ndim]):
        raise NotImplementedError("all rows share one set of mixture parameters; a batch of them is not supported")
    return xp.squeeze(value, axis=tuple(range(value.ndim - ndim))) if value.ndim > ndim else value


@numba_core_rv_funcify.register(GaussianMixtureRV)
def _numba_draw(op, node):
    @numba_njit
    def random_fn(rng, weights, means, covariances, row_weights):
        row = np.empty(means.shape[1])
        simulate_row(rng, weights, means, covariances, row)
        return row

    return random_fn, source_version(__file__, simulation.__file__)


@numba_core_rv_funcify.register(PartialGaussianMixtureRV)
def _numba_draw_partial(op, node):
    @numba_njit
    def random_fn(rng, weights, means, covariances, row_weights, order, labels, errors, share, low, high):
        row = np.empty(means.shape[1])
        draw_row(rng, weights, means, covariances, labels.item(), errors, share.item(), low, high, row)
        return row

    return random_fn, source_version(__file__, simulation.__file__)


class MarginalGaussianMixture(Continuous):
    """A row of a Gaussian mixture, its component summed out.

    Parameters are ``weights`` (K,), ``means`` (K, D), ``covariances`` (K, D, D) and ``row_weights``, () or (N,), which
    multiply the rows' log-densities; of rows of which not all is seen also what :class:`PartialGaussianMixtureRV`
    names. ``diagonal`` promises that the off-diagonal covariances are 0 and stay so.
    """

    rv_type = GaussianMixtureRV

    @classmethod
    def rv_op(cls, *parameters, diagonal=False, size=None, rng=None):
        rng = pt.random.shared_rng(seed=None) if rng is None else rng
        made = (PartialGaussianMixtureRV if len(parameters) > 4 else GaussianMixtureRV)(diagonal=diagonal)
        _, rv = made(*parameters, size=size, rng=rng, return_next_rng=True)
        return rv

    @classmethod
    def dist(cls, weights, means, covariances, row_weights=1.0, *pattern, diagonal=False, **kwargs):
        parameters = [pt.as_tensor(v, dtype="float64") for v in (weights, means, covariances, row_weights)]
        parameters += [pt.as_tensor(v) for v in pattern]
        return super().dist(parameters, diagonal=diagonal, **kwargs)


@_support_point.register(GaussianMixtureRV)
def _mean(op, rv, rng, size, weights, means, covariances, *of_rows):
    return pt.broadcast_to((weights[..., None] * means).sum(axis=-2), rv.shape)


@_logprob.register(GaussianMixtureRV)
def _log_density(op, values, rng, size, weights, means, covariances, row_weights, *pattern, **kwargs):
    (x,) = values
    weights, means, covariances = (_unbatched(v, n) for v, n in ((weights, 1), (means, 2), (covariances, 3)))
    single = x.ndim == 1
    rows = [
        v[None] if single and v.ndim < n else _unbatched(v, n)
        for v, n in zip((x, *pattern), (2, 1, 1, 3, 0, 1, 1), strict=False)
    ]
    log_density = MixtureLogDensity(op.diagonal, bool(pattern))(rows[0], weights, means, covariances, *rows[1:])
    log_density = log_density[0] if single else log_density
    try:
        if get_underlying_scalar_constant_value(row_weights) == 1:
            return log_density
    except NotScalarConstantError:
        pass
    return row_weights * log_density
