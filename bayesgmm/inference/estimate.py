"""What the search for the posterior mode gives: the mode, what became of every start, and the curvature."""

import numbers
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import ModelError
from bayesgmm.inference.laplace import gaussian_draws, negative_hessian, precision_cholesky
from bayesgmm.inference.log_posterior import LogPosterior
from bayesgmm.inference.optimum import climb
from bayesgmm.inference.tree import posterior_tree
from bayesgmm.validation import check_count

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Starts:
    """What became of every start.

    Attributes
    ----------
    log_posterior : (n_init,) array
        Log posterior (nats, without Jacobian) that each start reached, in the order the starts were made.
    optimum : (n_init,) int array
        Which distinct optimum each start reached; 0 is the best.
    converged, moved : (n_init,) bool arrays
        Whether each start's optimiser reached a maximum, and whether it climbed at all.
    iterations : (n_init,) int array
        Optimiser iterations.
    """

    log_posterior: np.ndarray
    optimum: np.ndarray
    converged: np.ndarray
    moved: np.ndarray
    iterations: np.ndarray

    @property
    def n_optima(self) -> int:
        """Number of distinct optima, up to the order of the components."""
        return int(self.optimum.max()) + 1

    @property
    def optima(self) -> np.ndarray:
        """Log posterior of each distinct optimum, best first."""
        return np.array([self.log_posterior[self.optimum == i].max() for i in range(self.n_optima)])


@dataclass(frozen=True)
class MapEstimate:
    r"""The posterior mode in the parameters' own units, and the curvature around it.

    Attributes
    ----------
    point : dict
        Value of every named variable at the mode. Components are ordered by the mean of the first feature.
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
    target: LogPosterior = field(repr=False)
    scales: np.ndarray = field(repr=False)
    random_seed: Any = field(default=None, repr=False)

    @cached_property
    def standard_errors(self) -> dict[str, np.ndarray]:
        r"""Standard error of every named variable: the delta method on the inverse negative Hessian at the mode.

        .. math:: \mathrm{se}(\theta) = \sqrt{\mathrm{diag}(J H^{-1} J^\top)}, \quad J = \partial\theta/\partial q .

        NaN where the Hessian is not positive definite, that is where the data leave a direction undetermined.
        """
        factor = precision_cholesky(negative_hessian(self.target, self.q, self.scales, 0.0), self.scales)
        if factor is None:
            return {name: np.full(np.shape(value), np.nan) for name, value in self.point.items()}
        # Directions of unit variance under the Gaussian; central differences along them are the columns of J H^-1/2.
        directions = np.linalg.inv(factor).T * self.scales[:, None]
        step = 1e-4
        above = self.target.constrain(self.q + step * directions.T)
        below = self.target.constrain(self.q - step * directions.T)
        return {name: np.sqrt((((above[name] - below[name]) / (2 * step)) ** 2).sum(axis=0)) for name in self.point}

    @cached_property
    def _laplace_gaussian(self) -> tuple[np.ndarray, np.ndarray]:
        """Mode and precision factor of the density of q, Jacobian included, which the Gaussian approximates."""
        mode = climb(self.target, self.q, self.scales, jacobian=1.0)
        factor = precision_cholesky(negative_hessian(self.target, mode.q, self.scales, 1.0), self.scales)
        if factor is None:
            raise ModelError(
                "the posterior is not curved in every direction at its mode, so it has no Gaussian approximation: "
                "use sample(model), fewer components, or more informative priors."
            )
        return mode.q, factor

    def laplace(self, draws: int = 1000, random_seed: Any = None) -> "xr.DataTree":
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
        mode, factor = self._laplace_gaussian
        q = gaussian_draws(mode, factor, self.scales, draws, np.random.default_rng(random_seed))
        posterior = {name: values[None] for name, values in self.target.constrain(q).items()}
        lp = np.array([self.target(row, 1.0)[0] for row in q])[None]
        attrs = {
            "inference_library": "bayesgmm",
            "inference_method": "laplace",
            **recorded("random_seed", random_seed),
            **self.attrs,
        }
        return posterior_tree(self.target.model, posterior, {"lp": lp}, attrs)

    @property
    def attrs(self) -> dict[str, Any]:
        """What a tree of draws keeps of the starts."""
        return {
            "n_init": len(self.starts.log_posterior),
            "optima_log_posterior": self.starts.optima,
            "starts_log_posterior": self.starts.log_posterior,
            "starts_optimum": self.starts.optimum,
            "map_converged": int(self.converged),
            **recorded("map_random_seed", self.random_seed),
        }


def recorded(name: str, random_seed: Any) -> dict[str, int]:
    """What a tree keeps of a random seed: the number, if it is one."""
    return {name: int(random_seed)} if isinstance(random_seed, numbers.Integral) else {}
