"""What the search for the posterior mode gives: the mode, what became of every start, and the curvature."""

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count, random_generator
from bayesgmm.exceptions import ModelError, MultipleModesWarning
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.em import expectation
from bayesgmm.notebook import components_card
from bayesgmm.record.fit import Fit
from bayesgmm.record.provenance import Provenance, seed_of
from bayesgmm.record.starts import Starts
from bayesgmm.record.trees import LOG_POSTERIOR
from bayesgmm.search.curvature import negative_hessian, precision_cholesky
from bayesgmm.search.mode import Mode
from bayesgmm.search.optima import Optima
from bayesgmm.search.problem import Problem

if TYPE_CHECKING:
    import xarray as xr

# The highest density is warned about where it holds less of the posterior than this, and another mode more.
LITTLE_SHARE = 0.5


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
    optima: Optima = field(repr=False)
    index: int = field(default=0, repr=False)
    random_seed: Any = field(default=None, repr=False)

    def __repr__(self) -> str:
        # All of it fills a screen with starts.
        starts, converged = self.starts, "converged" if self.converged else "NOT converged"
        return (
            f"MapEstimate(log_posterior={self.log_posterior:.3f}, log_likelihood={self.log_likelihood:.3f}, "
            f"gradient_norm={self.gradient_norm:.1e}, {converged}; {len(starts)} starts found {starts.n_optima} "
            f"distinct {'optimum' if starts.n_optima == 1 else 'optima'}; point: {', '.join(self.point)})"
        )

    def _repr_html_(self) -> str:
        starts, specification = self.starts, self.problem.specification
        title = f"MAP estimate, {'converged' if self.converged else 'NOT converged'}"
        optima = f"{starts.n_optima} distinct {'optimum' if starts.n_optima == 1 else 'optima'}"
        lines = (
            f"log posterior {self.log_posterior:.3f}, log likelihood {self.log_likelihood:.3f} (nats); gradient norm "
            f"{self.gradient_norm:.1e}",
            f"{len(starts)} starts found {optima}; {specification.covariance.name} covariances",
        )
        mixture = self.mixture
        return components_card(
            title, lines, specification.components, specification.features, mixture.weights, mixture.means
        )

    @classmethod
    def at(cls, optima: Optima, index: int, random_seed: Any = None) -> "MapEstimate":
        """The estimate at one of several optima."""
        problem, optimum = optima.problem, optima.found[index]
        mixture = problem.mixture(optimum.q)
        return cls(
            point={name: value[0] for name, value in problem.constrain(optimum.q).items()},
            log_posterior=optimum.log_posterior,
            log_likelihood=expectation(mixture, problem.table).log_likelihood,
            gradient_norm=optimum.gradient_norm,
            converged=optimum.converged,
            starts=optima.starts,
            q=optimum.q,
            optima=optima,
            index=index,
            random_seed=random_seed,
        )

    @property
    def problem(self) -> Problem:
        """What was fitted."""
        return self.optima.problem

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

    @property
    def mode(self) -> Mode:
        """The mode of the density of the unconstrained parameters, Jacobian included, above this one."""
        return self.optima.mode(self.index)

    @property
    def share(self) -> float:
        r"""How much of the posterior is near this estimate, by Laplace's method.

        .. math:: Z_m \Big/ \sum_j Z_j, \qquad
                  \log Z_m = \log p(x, \hat q_m) + \tfrac P2 \log 2\pi - \tfrac12 \log|H_m| ,

        of the modes that the starts found; H is the negative Hessian of the log-density of the unconstrained
        parameters. The highest density need not hold the most: a component on a single row is narrow. NaN where the
        density is not curved downwards in every direction.
        """
        return self.optima.share(self.index)

    def taken(self, start: str) -> "MapEstimate":
        """This estimate for "auto", with a warning where it holds little; for "heaviest" that which holds most."""
        if len(self.optima.found) == 1:  # there is nothing to compare, and no curvature needed
            return self
        if self.problem.specification.flat:  # nor is there a posterior to have shares of
            return self
        if start == "heaviest":
            return self.modes[0]
        if self.share < LITTLE_SHARE and self.modes[0].share > self.share:
            warnings.warn(
                f"the highest density, which is what MAP means, holds about {self.share:.0%} of the posterior, and "
                f"another mode {self.modes[0].share:.0%} (Laplace): try start='heaviest', or inference='nuts'.",
                MultipleModesWarning,
                stacklevel=3,
            )
        return self

    @cached_property
    def modes(self) -> tuple["MapEstimate", ...]:
        """Every distinct optimum that holds 1 % of the posterior or more, or an unknown share, as an estimate.

        From the one that holds most on: ``estimate.modes[0]`` is where most of the posterior is. Its own
        ``log_posterior`` may be lower than that of this estimate.
        """
        return tuple(
            self if i == self.index else MapEstimate.at(self.optima, i, self.random_seed)
            for i in self.optima.that_matter
        )

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
            Groups posterior, sample_stats (``lp``, but of rows that are not in memory), observed_data, constant_data.

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
        rng = random_generator(random_seed)
        q = self.mode.draws(draws, rng)
        statistics = {}
        if not self.problem.table.elsewhere:
            statistics[LOG_POSTERIOR] = self.problem.sampling_log_densities(q)[None]
        uniforms = rng.random((draws, self.problem.specification.n_components + 1))
        drawn = self.problem.in_drawn_order(self.problem.constrain(q), uniforms)
        posterior = {name: values[None] for name, values in drawn.items()}
        others = [i for i in self.optima.by_share if not self.optima.have_one_mode(i, self.index)]
        provenance = self.provenance.changed(
            method="laplace",
            start=self.written,
            seed=seed_of(random_seed),
            modes=self.optima.record([self.index, *others]),
        )
        return Fit.write(self.problem.model, posterior, statistics, provenance).tree

    @property
    def written(self) -> str:
        """As a user may have written it, of what find_MAP returned: that is the first."""
        matter = self.optima.that_matter
        return f"estimate.modes[{matter.index(self.index)}]" if self.index > 0 and self.index in matter else "estimate"

    def to_datatree(self) -> "xr.DataTree":
        """The mode as a tree with one draw, for all that takes a tree.

        Intervals have no width, and :func:`bayesgmm.diagnose` says that there are no draws. ``lp`` is
        ``log_posterior``, without a Jacobian term.

        Returns
        -------
        xr.DataTree
            Groups posterior, sample_stats, observed_data, constant_data.

        Examples
        --------
        >>> import bayesgmm as bg
        >>> estimate = bg.find_MAP(bg.build_model(bg.datasets.load_faithful(), 2), random_seed=1)
        >>> bg.assignments(estimate.to_datatree(), [[2.0, 50.0]])["label"].item()
        0
        """
        posterior = {name: np.asarray(value)[None, None] for name, value in self.point.items()}
        statistics = {LOG_POSTERIOR: np.array([[self.log_posterior]])}
        return Fit.write(self.problem.model, posterior, statistics, self.provenance).tree

    @property
    def provenance(self) -> Provenance:
        """What a tree of draws keeps of the search."""
        return Provenance(
            method="map", starts=self.starts, converged=self.converged, map_seed=seed_of(self.random_seed)
        )
