r"""The LKJ distribution of correlation matrices, by their Cholesky factors.

The density of the entries below the diagonal of L, where :math:`R = L L^\top \sim \mathrm{LKJ}(\eta)`, is

.. math:: p(L) = \prod_{i=1}^{D-1} \frac{\Gamma(b_i + i/2)}{\pi^{i/2}\,\Gamma(b_i)} L_{ii}^{2 (b_i - 1)}, \qquad
          b_i = \eta + \frac{D - 1 - i}{2}, \quad i = 0, \dots, D - 1,

so the rows are independent: row i points in a uniform direction, and the square of its part below the diagonal is
Beta(i / 2, b_i). At eta = 0, which is no LKJ distribution, all b_i are 1, and the density is the same for every L.
It is the distribution of ``pm.LKJCorr``, which draws by a scan that takes as long to build as the
rest of the model, and whose D must be a constant of the graph (PyMC 6.4).

Lewandowski, Kurowicka and Joe (2009), Generating random correlation matrices based on vines and extended onion method,
J. Multivariate Analysis 100, 1989-2001, https://doi.org/10.1016/j.jmva.2009.04.008.
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


class LKJCholeskyRV(RandomVariable):
    """Cholesky factors (D, D) of LKJ correlation matrices; parameters are D and eta."""

    name = "lkj_cholesky"
    signature = "(),()->(d,d)"
    dtype = "float64"
    _print_name = ("LKJCholesky", "\\operatorname{LKJCholesky}")

    def _supp_shape_from_params(self, dist_params, param_shapes=None):
        n_features = pt.squeeze(dist_params[0])
        return (n_features, n_features)

    @classmethod
    def rng_fn(cls, rng, n_features, eta, size):
        d = int(np.ravel(n_features)[0])
        shape = np.broadcast_shapes(np.shape(n_features), np.shape(eta)) if size is None else tuple(size)
        factor = np.zeros((*shape, d, d))
        factor[..., 0, 0] = 1.0
        for i in range(1, d):
            direction = rng.standard_normal((*shape, i))
            direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
            eta_i = np.broadcast_to(eta, shape)
            square = rng.beta(i / 2, np.where(eta_i > 0, eta_i + (d - 1 - i) / 2, 1.0))
            factor[..., i, :i] = np.sqrt(square)[..., None] * direction
            factor[..., i, i] = np.sqrt(1 - square)
        return factor


@numba_core_rv_funcify.register(LKJCholeskyRV)
def _numba_draw(op, node):
    @numba_njit
    def random_fn(rng, n_features, eta):
        d = n_features.item()
        factor = np.zeros((d, d))
        factor[0, 0] = 1.0
        for i in range(1, d):
            direction = rng.normal(size=i)
            square = rng.beta(i / 2, eta.item() + (d - 1 - i) / 2 if eta.item() > 0 else 1.0)
            factor[i, :i] = direction * np.sqrt(square / (direction**2).sum())
            factor[i, i] = np.sqrt(1 - square)
        return factor

    return random_fn, source_version(__file__)


class LKJCholesky(Sized):
    """Cholesky factors of LKJ(eta) correlation matrices of ``n_features``."""

    rv_type = LKJCholeskyRV
    rv_op = LKJCholeskyRV()


@_support_point.register(LKJCholeskyRV)
def _identity(op, rv, rng, size, n_features, eta):
    return pt.broadcast_to(pt.eye(rv.shape[-1]), rv.shape)


@_logprob.register(LKJCholeskyRV)
def _log_density(op, values, rng, size, n_features, eta, **kwargs):
    (factor,) = values
    n_features = pt.squeeze(n_features)
    i = pt.arange(n_features)
    b = pt.switch(pt.squeeze(eta) > 0, pt.squeeze(eta) + (n_features - 1 - i) / 2, 1.0)
    constant = (pt.gammaln(b + i / 2) - pt.gammaln(b) - np.log(np.pi) * i / 2).sum()
    # JAX takes no lengths but numbers: those of the diagonal's own gradient are the factor's.
    log_diagonal = pt.log((factor * pt.eye(n_features)).sum(axis=-1))
    return constant + (2 * (b - 1) * log_diagonal).sum(axis=-1)
