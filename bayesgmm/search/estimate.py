"""What the search for the posterior mode gives: the mode, what became of every start, and the curvature."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count
from bayesgmm.exceptions import ModelError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.record.fit import LOG_POSTERIOR, Fit
from bayesgmm.record.provenance import Provenance, seed_of
from bayesgmm.record.starts import Starts
from bayesgmm.search.curvature import negative_hessian, precision_cholesky
from bayesgmm.search.mode import Mode
from bayesgmm.search.problem import Problem

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class MapEstimate:
    r"""The posterior mode in the parameters' own units, and the curvature around it.

    Attributes
    ----------
    point : dict
        Value of every named variable at the mode. Components are ordered by the mean of the first feature, or where
        the priors tell them apart, by the density.
    log_posterior : float
        :math:`\log p(x, \theta)` at the mode, nats, without a Jacobian term.
    log_likelihood : float
        :math:`\sum_n w_n \log p(x_n \mid \theta)`, nats.
    gradient_norm : float
        Norm of the gradient by the unconstrained parameters, the means in units of their feature's standard deviation.
    converged : bool
        Whether the optimiser reached a maximum.
    starts : Starts
        What became of every start. Starts that come together before the climb share it.
    """

    point: dict[str, np.ndarray]
    log_posterior: float
    log_likelihood: float
    gradient_norm: float
    converged: bool
    starts: Starts
    q: np.ndarray = field(repr=False)
    near_optima: tuple[np.ndarray, ...] = field(repr=False)
    problem: Problem = field(repr=False)
    random_seed: Any = field(default=None, repr=False)

    @cached_property
    def standard_errors(self) -> dict[str, np.ndarray]:
        r"""Standard error of every named variable: the delta method on the inverse negative Hessian at the mode.

        .. math:: \mathrm{se}(\theta) = \sqrt{\mathrm{diag}(J H^{-1} J^\top)}, \quad J = \partial\theta/\partial q .

        NaN where the Hessian is not positive definite, that is where the data leave a direction undetermined.
        """
        problem, scales = self.problem, self.problem.scales
        factor = precision_cholesky(negative_hessian(problem.parameter_density, self.q, scales), scales)
        if factor is None:
            return {name: np.full(np.shape(value), np.nan) for name, value in self.point.items()}
        # Directions of unit variance under the Gaussian; central differences along them are the columns of J H^-1/2.
        directions = np.linalg.inv(factor).T * scales[:, None]
        step = 1e-4
        above = problem.constrain(self.q + step * directions.T)
        below = problem.constrain(self.q - step * directions.T)
        return {name: np.sqrt((((above[name] - below[name]) / (2 * step)) ** 2).sum(axis=0)) for name in self.point}

    @cached_property
    def mixture(self) -> Mixture:
        """The mixture at the mode."""
        return self.problem.mixture(self.q)

    @cached_property
    def mode(self) -> Mode:
        """The mode of the density of the unconstrained parameters, Jacobian included, above this one."""
        return Mode.near(self.problem, self.q)

    def laplace(self, draws: int = 1000, *, random_seed: Any = None) -> "xr.DataTree":
        """Draws of the Laplace approximation, as a tree with one chain.

        The Gaussian is matched to the density of the unconstrained parameters, Jacobian included, at its own mode, and
        its draws are mapped back: weights stay on the simplex and covariances positive definite.

        Parameters
        ----------
        draws : int, default 1000
        random_seed : int or numpy.random.Generator, optional

        Returns
        -------
        xr.DataTree
            Groups posterior, sample_stats (``lp``), observed_data, constant_data.

        Raises
        ------
        ModelError
            The Hessian at the mode is not positive definite.
        """
        draws = check_count(draws, "draws")
        if self.mode.factor is None:
            raise ModelError(
                "the posterior is not curved in every direction at its mode, so it has no Gaussian approximation: "
                "use sample(model), fewer components, or more informative priors."
            )
        rng = np.random.default_rng(random_seed)
        q = self.mode.draws(draws, rng)
        uniforms = rng.random((draws, self.problem.specification.n_components + 1))
        drawn = self.problem.in_drawn_order(self.problem.constrain(q), uniforms)
        posterior = {name: values[None] for name, values in drawn.items()}
        log_posterior = np.array([self.problem.sampling_density(row)[0] for row in q])[None]
        provenance = self.provenance.changed(method="laplace", seed=seed_of(random_seed))
        return Fit.write(self.problem.model, posterior, {LOG_POSTERIOR: log_posterior}, provenance).tree

    @property
    def provenance(self) -> Provenance:
        """What a tree of draws keeps of the search."""
        return Provenance(
            method="map", starts=self.starts, converged=self.converged, map_seed=seed_of(self.random_seed)
        )
