"""Rows that the fitted density hardly ever makes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_ci_prob, check_count, random_generator
from bayesgmm.data.observations import Observations, observations
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.posterior.assignments import interval
from bayesgmm.progress import progress
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    import xarray as xr

# Draws over which a density is averaged, and simulated rows of a row that has errors of its own.
MOST_DRAWS, ROWS_OF_ONE = 100, 1_000


def anomaly(
    dt: "xr.DataTree",
    X: Any = None,
    *,
    measurement_covariance: Any = None,
    simulated: int = 10_000,
    ci_prob: float | None = None,
    random_seed: Any = 0,
    progressbar: bool = True,
) -> "xr.Dataset":
    r"""How unusual rows are: each one's log-density with its interval, and how seldom the fit makes one less likely.

    .. math:: p_n = \Pr\big(\log \bar p(x^*) \le \log \bar p(x_n)\big), \qquad x^* \sim \bar p, \qquad
              \bar p(x) = \frac1S \sum_s p(x \mid \theta_s),

    by simulation. Where rows may be noise, p is the density of the components alone, so that noise stands out. Of a row
    of which not all was seen, or that was measured with errors, what is simulated has the same gaps and errors.

    Parameters
    ----------
    dt : xr.DataTree
    X : (N, D) array or data frame, optional
        New rows. Default: the rows that were fitted.
    measurement_covariance : (N, D) or (N, D, D) array, optional
        Of new rows' errors; see :func:`bayesgmm.build_model`.
    simulated : int, default 10000
        Rows that are simulated: no tail probability is below 1 / (simulated + 1). At most 1,000 where rows have errors,
        each its own.
    ci_prob : float, optional
        Probability of the equal-tailed intervals. Default: ArviZ's ``rcParams["stats.ci_prob"]``.
    random_seed : int or numpy.random.Generator, default 0
    progressbar : bool, default True

    Returns
    -------
    xr.Dataset
        By ``obs_id``: ``log_density``, nats, of the posterior predictive density, its ``lower`` and ``upper`` over the
        posterior, ``tail_probability``, and ``noise``, the probability that a row is of no component, where there may
        be such. Among rows that the mixture made, tail probabilities are uniform: of 1,000 rows ten are below 0.01.

    Raises
    ------
    ModelError, InvalidDataError, InvalidArgumentError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> dt = bg.find_MAP(model, random_seed=1, progressbar=False).laplace(200, random_seed=1)
    >>> bg.anomaly(dt, [[3.5, 70.0], [1.0, 95.0]])["tail_probability"].values < 0.01
    array([False,  True])
    """
    import xarray as xr

    n_simulated, ci_prob = check_count(simulated, "simulated"), check_ci_prob(ci_prob)
    rng = random_generator(random_seed)
    fit = Fit.of(dt)
    rows = fit.rows(X, measurement_covariance)
    x = observations(rows.observations)
    # What a label says of a row's component says nothing of how unusual it is.
    x = Observations(x.values, None, x.errors)
    whole = fit.mixture.thinned(MOST_DRAWS)
    draws = Mixture(whole.weights, whole.means, whole.covariances)
    by_draw = draws.log_density(x)
    log_density = _mean(by_draw)
    lower, upper = interval(by_draw, ci_prob)
    if x.errors is None:
        tail = _tail(draws, x, log_density, draws.simulate(n_simulated, rng)[0], progressbar)
    else:
        n_simulated = min(n_simulated, ROWS_OF_ONE)
        tail = _tail_with_errors(draws, x, log_density, draws.simulate(n_simulated, rng)[0], rng, progressbar)
    found = {"log_density": log_density, "lower": lower, "upper": upper, "tail_probability": tail}
    if whole.noise is not None:
        found["noise"] = whole.memberships(x)[..., -1].mean(axis=0)
    names = np.arange(len(x)) if rows.names is None else rows.names
    attrs = {"ci_prob": ci_prob, "ci_kind": "eti", "least_tail": 1 / (n_simulated + 1)}
    return xr.Dataset({name: ("obs_id", value) for name, value in found.items()}, {"obs_id": names}, attrs)


def _mean(by_draw: np.ndarray) -> np.ndarray:
    """Log of the densities (S, N) averaged over draws, (N,)."""
    return np.logaddexp.reduce(by_draw, axis=0) - np.log(len(by_draw))


def _share_below(log_density: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    below = np.searchsorted(np.sort(simulated), log_density, side="right")
    return (below + 1) / (simulated.size + 1)


def _tail(
    draws: Mixture, x: Observations, log_density: np.ndarray, simulated: np.ndarray, progressbar: bool
) -> np.ndarray:
    """Tail probabilities, (N,), with the same simulated rows for all that show the same features."""
    patterns, pattern = np.unique(np.isnan(x.values), axis=0, return_inverse=True)
    tail = np.empty(len(x))
    work = float(len(patterns)) * simulated.size * draws.n_components * len(draws)
    with progress("Simulating", len(patterns), work=work, show=progressbar) as done:
        for i, unseen in enumerate(patterns):
            own = pattern == i
            seen = np.flatnonzero(~unseen)
            # Of a row of which nothing was seen nothing is unusual.
            tail[own] = 1.0
            if seen.size:
                others = _mean(draws.marginal(list(seen)).log_density(np.ascontiguousarray(simulated[:, seen])))
                tail[own] = _share_below(log_density[own], others)
            done()
    return tail


def _tail_with_errors(
    draws: Mixture,
    x: Observations,
    log_density: np.ndarray,
    simulated: np.ndarray,
    rng: np.random.Generator,
    progressbar: bool,
) -> np.ndarray:
    """Tail probabilities, (N,), of rows that have errors of their own."""
    assert x.errors is not None
    tail = np.empty(len(x))
    work = float(len(x)) * simulated.size * draws.n_components * len(draws) * x.shape[1]
    with progress("Simulating", len(x), work=work, show=progressbar) as done:
        for n, error in enumerate(x.errors):
            variances, directions = np.linalg.eigh(error)
            factor = directions * np.sqrt(np.maximum(variances, 0))
            measured = simulated + rng.normal(size=simulated.shape) @ factor.T
            measured[:, np.isnan(x.values[n])] = np.nan
            others = Observations(measured, None, np.broadcast_to(error, (len(measured), *error.shape)))
            tail[n] = _share_below(log_density[n : n + 1], _mean(draws.log_density(others)))[0]
            done()
    return tail
