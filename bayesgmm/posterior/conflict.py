r"""Whether the data contradict a prior: how far out in it the posterior is.

For every parameter, the mass that its prior has beyond the posterior's median,

.. math:: p = 2 \min\{F(\hat\theta), 1 - F(\hat\theta)\} ,

times the number of parameters of that prior. Data that the prior foresaw give p uniformly between 0 and 1 where they
say much, and larger values where they say little. Where p is tiny the posterior is a compromise between two things that
do not agree, and its interval may hold neither.

Evans and Moshonov (2006), Checking for prior-data conflict, Bayesian Analysis 1, 893-914,
https://doi.org/10.1214/06-BA129.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bayesgmm.mixture import log_cholesky
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.em import expectation
from bayesgmm.model.prior import VARIANCE_SHAPE, Prior
from bayesgmm.model.within import WithinPrior
from bayesgmm.record.fit import Fit

# Draws of which the covariances' scales are taken.
MOST_DRAWS = 200
# A component is as its rows are, whatever the prior, up to this: clusters 1e5 sds apart, whose intervals are right,
# have 1.2, and 2e5 apart 1.6, as float64's floor widens them; one of 150 rows, 1e-4 as wide as long, has 1.12.
PULLED = 1.25
# Points, and spreads, of the quadrature of a scale's distribution function.
POINTS, FAR = 10_001, 10.0


@dataclass(frozen=True)
class Tail:
    """The parameter of a prior that is farthest out in it.

    Attributes
    ----------
    prior : Prior
    at : tuple of int
        Its component, and its feature or pair of features.
    value : float
        Its posterior median.
    mass : float
        What the prior has beyond it, on both sides, times the number of its parameters.
    """

    prior: Prior
    at: tuple[int, ...]
    value: float
    mass: float


def tails(fit: Fit) -> Iterator[Tail]:
    """The farthest parameter of every prior whose distribution function is known."""
    if fit.specification is None:
        return
    for prior in fit.specification.priors:
        found = _beyond(fit, prior)
        if found is None:
            continue
        values, mass = found
        worst = np.unravel_index(int(np.argmin(mass)), mass.shape)
        yield Tail(prior, tuple(map(int, worst)), float(values[worst]), float(min(1.0, mass.size * mass[worst])))


def _beyond(fit: Fit, prior: Prior) -> tuple[np.ndarray, np.ndarray] | None:
    """Posterior medians of a prior's parameters, and the prior's mass beyond each."""
    if prior.variable == "covariances":
        return _scales(fit)
    if prior.variable == "correlations":
        return _correlations(fit, prior) if prior.numbers["lkj_eta"] > 0 else None
    if prior.variable not in fit.tree["posterior"]:
        return None
    values = _median(fit, prior.variable)
    below = _distribution_function(prior, values)
    return None if below is None else (values, 2 * np.minimum(below, 1 - below))


def _distribution_function(prior: Prior, values: np.ndarray) -> np.ndarray | None:
    from scipy import stats

    if prior.users:
        from bayesgmm.graph.user_priors import distribution_function

        return distribution_function(prior.variable_of(values.shape), values)
    if prior.variable == "weights" and prior.distribution == "Dirichlet" and prior.numbers:
        concentration = prior.numbers["concentration"]
        # Up to 1 the density does not fall towards the edges: a small component is nothing that it did not foresee.
        if len(values) == 1 or concentration.max() <= 1:
            return None
        return np.asarray(stats.beta.cdf(values, concentration, concentration.sum() - concentration))
    if prior.variance_scale is not None:
        return np.asarray(stats.invgamma.cdf(values, VARIANCE_SHAPE, scale=prior.variance_scale))
    return None


def _correlations(fit: Fit, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """Of an LKJ matrix every correlation is a beta variable on (-1, 1)."""
    from scipy import stats

    d = fit.n_features
    mixture = fit.mixture.thinned(MOST_DRAWS)
    scales = mixture.scales
    r = np.median(mixture.full_covariances / (scales[..., :, None] * scales[..., None, :]), axis=0)
    pairs = r[:, *np.triu_indices(d, 1)]
    shape = float(prior.numbers["lkj_eta"]) - 1 + d / 2
    return pairs, 2 * stats.beta.sf((1 + np.abs(pairs)) / 2, shape, shape)


def _scales(fit: Fit) -> tuple[np.ndarray, np.ndarray] | None:
    """Each component's log scale u relative to what its covariance stands around."""
    own = None if fit.specification is None else fit.specification.relative_prior
    y = _draws(fit, "log_cholesky")
    if own is None or y is None:
        return None
    y = y.reshape(len(y), -1, y.shape[-1])
    value = np.median(_within(fit, y) if isinstance(own, WithinPrior) else _around(fit, y), axis=0)
    grid = np.linspace(-FAR * own.spread, FAR * own.spread, POINTS)
    density = np.exp(own.log_scale_density(grid))
    # From either end, so that small masses are not lost beside 1.
    below, above = np.cumsum(density), np.cumsum(density[::-1])[::-1]
    total = density.sum()
    tail = np.minimum(np.interp(value, grid, below), np.interp(value, grid, above)) / total
    return value, 2 * tail


def _within(fit: Fit, y: np.ndarray) -> np.ndarray:
    """The log of the mean eigenvalue within the covariance of all rows, (S, M)."""
    if not fit.covariance.correlated:
        return np.log(np.exp(2 * y).mean(axis=-1))
    around = np.zeros((1, y.shape[-1]))
    traces = [[log_cholesky.precision_trace(around, one)[0] for one in draw] for draw in y]
    return np.log(np.array(traces) / fit.n_features)


def _around(fit: Fit, y: np.ndarray) -> np.ndarray:
    """The log of the harmonic mean of the eigenvalues relative to the reference, (S, M)."""
    around = _draws(fit, "reference_log_cholesky")
    if around is None:
        around = np.zeros((len(y), y.shape[-1]))
    if not fit.covariance.correlated:
        return -np.log(np.exp(2 * (around[:, None] - y)).mean(axis=-1))
    return np.log(fit.n_features / np.array([log_cholesky.precision_trace(*o) for o in zip(y, around, strict=True)]))


def pull(fit: Fit) -> float:
    """How many times as wide, or as narrow, a component is as its own rows in some direction, at the most.

    Of the posterior means of components with a row or more; infinite where rows have no width in a direction.
    """
    draws = fit.mixture.thinned(MOST_DRAWS)
    noise = None if draws.noise is None else replace(draws.noise, share=np.mean(draws.noise.share))
    mean = Mixture(draws.weights.mean(axis=0), draws.means.mean(axis=0), draws.full_covariances.mean(axis=0), noise)
    statistics = expectation(mean, fit.table.counted)
    _, scatter = statistics.moments(mean.means, mean.covariances)
    furthest = 1.0
    for covariance, own, count in zip(mean.covariances, scatter, statistics.counts, strict=True):
        if count >= 1:
            whitener = np.linalg.inv(np.linalg.cholesky(covariance))
            shares = np.maximum(np.linalg.eigvalsh(whitener @ own @ whitener.T / count)[[0, -1]], 0.0)
            with np.errstate(divide="ignore"):
                furthest = max(furthest, *np.sqrt(shares), *(1 / np.sqrt(shares)))
    return float(furthest)


def _median(fit: Fit, name: str) -> np.ndarray:
    return fit.in_proportion.tree["posterior"].dataset[name].median(("chain", "draw")).values


def _draws(fit: Fit, name: str) -> np.ndarray | None:
    """A variable's draws, some of them, (S, ...), or None."""
    posterior = fit.in_proportion.tree["posterior"].dataset
    if name not in posterior:
        return None
    values = posterior[name].transpose("chain", "draw", ...).values
    values = values.reshape(-1, *values.shape[2:])
    return np.ascontiguousarray(values[np.linspace(0, len(values) - 1, min(MOST_DRAWS, len(values))).astype(int)])
