"""The log marginal likelihood of a fit, with its error and what speaks against it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, permutations, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import gammaln, logsumexp

from bayesgmm.arguments import random_generator
from bayesgmm.exceptions import ModelError
from bayesgmm.graph.roots import Function, Roots
from bayesgmm.mixture.threads import one_for_matrices
from bayesgmm.notebook import card
from bayesgmm.posterior.bridge import Proposal, bridge
from bayesgmm.posterior.relabel import relabelled, with_sampled_labels
from bayesgmm.record.fit import Fit
from bayesgmm.record.trees import check_finite
from bayesgmm.search.problem import Problem

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

# Orders that are summed over at most: seven components that all overlap.
MOST_ORDERS = 5_040
# Two components overlap where the proposal is this part as dense with them exchanged, on average.
OVERLAP = 1e-4
# Fewer effective draws than this give no standard error to rely on.
LEAST_EFFECTIVE = 100
# The two other methods disagree beyond so many of their standard errors, and where Laplace's is off by so many nats.
STANDARD_ERRORS, NATS = 3.0, 2.0
SMALL_ERROR = 0.05
# Draws of one half that follow each other.
RUN = 25


@dataclass(frozen=True)
class Evidence:
    """A log marginal likelihood.

    Attributes
    ----------
    log_evidence : float
        Natural log of the integral of likelihood times prior.
    standard_error : float
        Of it, by Monte Carlo.
    method : str
        How it was computed, and over which orders of the components.
    reasons : tuple of str
        Why not to trust it; empty where nothing speaks against it.
    reciprocal, reciprocal_error : float
        The same by reciprocal importance sampling on an ellipsoid (THAMES), and its standard error.
    laplace : float
        The same by Laplace's method, summed over the modes that the search found; NaN where there is none.
    """

    log_evidence: float
    standard_error: float
    method: str
    reasons: tuple[str, ...] = ()
    reciprocal: float = np.nan
    reciprocal_error: float = np.nan
    laplace: float = np.nan

    def __str__(self) -> str:
        lines = [
            f"log evidence {self.log_evidence:.2f}, standard error {self.standard_error:.3f}",
            f"  {self.method}",
            f"  by reciprocal importance sampling {self.reciprocal:.2f} ({self.reciprocal_error:.2f})",
        ]
        if np.isfinite(self.laplace):
            lines.append(f"  by Laplace's method {self.laplace:.2f}")
        return "\n".join([*lines, *(f"  {reason}" for reason in self.reasons)])

    def _repr_html_(self) -> str:
        title, *lines = str(self).split("\n")
        return card(f"Evidence: {title}", lines=map(str.strip, lines))


@one_for_matrices()
def evidence(dt: "xr.DataTree", *, model: "pm.Model | None" = None, random_seed: Any = 0) -> Evidence:
    r"""The log marginal likelihood of a fit, by bridge sampling.

    .. math:: \log p(x) = \log \int p(x \mid \theta)\, p(\theta)\, d\theta

    over all orders of the components: chains that stay in one order are enough, as the proposal is summed over orders.
    Differences of it between fits of the same rows are log Bayes factors. It depends on the priors far more than the
    posterior does.

    Parameters
    ----------
    dt : xr.DataTree
        Draws from :func:`bayesgmm.sample`.
    model : pm.Model, optional
        The model that was sampled, where it has terms of its own, or a prior that is not just a distribution's name
        and numbers.
    random_seed : int or numpy.random.Generator, default 0

    Returns
    -------
    Evidence
        With its standard error and the reasons not to trust it.

    Raises
    ------
    ModelError
        The draws are not of a posterior (Laplace's method), there are fewer than 20 of a chain, or the model is needed.

    Notes
    -----
    Either half of the draws gives a proposal, a multivariate t, for the other half, and the two results are averaged.
    Beside it stand Laplace's method, and reciprocal importance sampling by the same ellipsoids.

    References
    ----------
    Meng and Wong (1996), Simulating ratios of normalizing constants via a simple identity, Statistica Sinica 6,
    831-860. Fruehwirth-Schnatter (2004), Econometrics Journal 7, 143-167,
    https://doi.org/10.1111/j.1368-423X.2004.00125.x. Metodiev et al. (2025), https://doi.org/10.48550/arXiv.2504.21812.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> x = bg.datasets.load_faithful()
    >>> one, two = (
    ...     bg.evidence(bg.sample(bg.build_model(x, k), draws=500, random_seed=1, progressbar=False)) for k in (1, 2)
    ... )
    >>> two.log_evidence - one.log_evidence > 100
    True
    """
    fit = Fit.of(dt)
    if fit.provenance.method == "laplace":
        raise ModelError(
            "these are draws of Laplace's Gaussians, not of the posterior: the evidence needs draws of "
            "bayesgmm.sample. (Laplace's own is in the tree's attribute mode_log_evidence, the log of each mode's.)"
        )
    if fit.is_of_more_rows:
        raise ModelError("the tree holds some of the rows that were fitted: the evidence of all needs them in memory.")
    if fit.n_draws < 20:
        raise ModelError(f"{fit.n_draws} draws a chain are too few to integrate by: draw at least 20, better 1,000.")
    if fit.tree["posterior"].attrs.get("n_occupied") is not None:
        raise ModelError(
            "these are draws of some components (relabel with n_occupied), which no model is of: give all draws, as "
            "sample returned them."
        )
    if model is None and fit.specification is None:
        raise ModelError(
            "draws from elsewhere do not say what was assumed, without which there is no evidence: pass model=, if it "
            "is of bayesgmm.build_model and its variables are in the tree; else fit the rows with bayesgmm.sample."
        )
    problem = Problem.of(fit.specification.build(fit.table) if model is None else model)  # type: ignore[union-attr]
    labelled = with_sampled_labels(fit)
    kinds = problem.kinds(_points(problem, labelled)[0, 0])
    if not kinds.any():  # all alike: any order will do, and a common one is that of a single bump
        labelled = relabelled(fit) if fit.permutation is None else fit
    q = _points(problem, labelled.in_proportion)
    log_p = np.array([[problem.sampling_density(one)[0] for one in chain] for chain in q])
    # A t distribution fits no draws of a component near a plane but as seen from there, and no volume changes.
    roots = problem.roots(q[np.unravel_index(np.argmax(log_p), log_p.shape)])
    z = roots.there(q)
    orders, log_orders, said, unsummed = _orders(problem, roots, z.reshape(-1, z.shape[-1]), kinds)
    density = roots.seen(problem.sampling_density)
    halves = _estimates(density, z, log_p, orders, log_orders, random_generator(random_seed))
    value, error = _average([half.bridge for half in halves])
    reciprocal, reciprocal_error = _average([half.reciprocal for half in halves])
    modes = fit.provenance.modes
    laplace = np.nan if modes is None else float(logsumexp(modes.log_evidence))
    result = Evidence(value, error, f"bridge sampling, {said}", (), reciprocal, reciprocal_error, laplace)
    least = min(half.effective for half in halves)
    return replace(result, reasons=tuple(_reasons(result, fit, least, unsummed)))


class _Half(NamedTuple):
    """Logs of the integral and their standard errors from half of the draws, and how many draws these are worth."""

    bridge: tuple[float, float]
    reciprocal: tuple[float, float]
    effective: float


def _estimates(
    density: Function, z: np.ndarray, log_p: np.ndarray, orders: tuple, log_orders: float, rng: np.random.Generator
) -> list[_Half]:
    """From each half of the draws (chain, draw, P), with a proposal that the other half gives."""
    # Short runs of draws in turn: chains of several modes may stand one after the other.
    n = z.shape[1]
    first = np.arange(n) // max(1, min(RUN, n // 4)) % 2 == 0
    halves = []
    for own in (first, ~first):
        proposal = Proposal.of(z[:, own].reshape(-1, z.shape[-1]), orders, log_orders)
        rest, log_rest = z[:, ~own].reshape(-1, z.shape[-1]), log_p[:, ~own]
        effective = partial(_effective, log_rest.shape)
        drawn = proposal.draws(len(rest), rng)
        log_drawn = np.array([density(one)[0] for one in drawn])
        log_drawn = np.where(np.isfinite(log_drawn), log_drawn, -np.inf) - proposal.log_density(drawn)
        ratio = log_rest.ravel() - proposal.log_density(rest)
        inverse = proposal.log_uniform(rest) - log_rest.ravel()
        halves.append(_Half(bridge(ratio, log_drawn, effective), _reciprocal(inverse, effective), effective(ratio)))
    return halves


def _reciprocal(inverse: np.ndarray, effective: Callable[[np.ndarray], float]) -> tuple[float, float]:
    """The log evidence by logs of the reciprocals' weights, and its standard error; unknown where none has a weight."""
    highest = inverse.max()
    if not np.isfinite(highest):
        return np.nan, np.inf
    weight = np.exp(inverse - highest)
    error = float(weight.std() / weight.mean() / np.sqrt(effective(weight)))
    return float(np.log(weight.size) - logsumexp(inverse)), error


def _effective(shape: tuple[int, int], values: np.ndarray) -> float:
    """The effective number of draws (chain, draw) for the mean of a function's values at them."""
    from arviz_stats.base import array_stats

    return float(array_stats.ess(values.reshape(shape), chain_axis=0, draw_axis=1, method="mean"))


def _points(problem: Problem, fit: Fit) -> np.ndarray:
    """The draws as flat vectors, (chain, draw, P)."""
    posterior = fit.tree["posterior"].dataset
    missing = [str(rv.name) for rv in problem.model.free_RVs if rv.name not in posterior]
    if missing:
        raise ModelError(f"the draws have no variable {missing[0]}, which the model has: give the model they are of.")
    points = {}
    for rv in problem.model.free_RVs:
        values = posterior[rv.name].transpose("chain", "draw", ...).values
        check_finite(str(rv.name), values)
        points[str(rv.name)] = values.reshape(-1, *values.shape[2:])
    return problem.graph.unconstrained(points).reshape(fit.n_chains, fit.n_draws, -1)


def _orders(
    problem: Problem, roots: Roots, z: np.ndarray, kinds: np.ndarray
) -> tuple[tuple[Callable[[np.ndarray], np.ndarray], ...], float, str, bool]:
    """The orders that may add something, the log of the number of all, their words, and whether some are left out."""

    def moved(order: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda points: roots.there(problem.graph.reordered(roots.back(points), order))

    identity = np.arange(len(kinds))
    log_orders = float(gammaln(np.bincount(kinds) + 1).sum())
    near = Proposal.of(z, (moved(identity),), log_orders)
    own = near.log_density(z)
    overlap = np.eye(len(kinds), dtype=bool)
    for i, j in combinations(range(len(kinds)), 2):
        if kinds[i] == kinds[j]:
            swap = identity.copy()
            swap[[i, j]] = j, i
            overlap[i, j] = np.exp(np.minimum(near.log_density(moved(swap)(z)) - own, 0)).mean() > OVERLAP
    groups = connected_components(overlap, directed=False)[1]
    n_orders = np.exp(gammaln(np.bincount(groups) + 1).sum())
    number = "of 1 order" if log_orders == 0 else f"of all {np.exp(log_orders):,.0f} orders of the components"
    if n_orders > MOST_ORDERS:
        return (moved(identity),), log_orders, f"{number}, none of which is taken to overlap another", True
    chosen = tuple(map(moved, _within(groups)))
    which = "no two overlap" if len(chosen) == 1 else f"{len(chosen):,} of which overlap and are summed"
    return chosen, log_orders, number if log_orders == 0 else f"{number}, {which}", False


def _within(groups: np.ndarray) -> Iterator[np.ndarray]:
    """All orders that keep every component in its group; the first changes nothing."""
    members = [np.flatnonzero(groups == g) for g in range(groups.max() + 1)]
    for arrangement in product(*(permutations(own) for own in members)):
        order = np.empty(len(groups), dtype=int)
        for own, new in zip(members, arrangement, strict=True):
            order[own] = new
        yield order


def _average(results: list[tuple[float, float]]) -> tuple[float, float]:
    """The mean of log integrals, and its standard error."""
    values, errors = np.array(results).T
    return float(values.mean()), float(np.sqrt((errors**2).sum()) / len(errors))


def _reasons(result: Evidence, fit: Fit, effective: float, unsummed: bool) -> Iterator[str]:
    if not np.isfinite([result.log_evidence, result.standard_error]).all():
        yield "It could not be computed: the density of a draw is not finite."
        return
    if effective < LEAST_EFFECTIVE:
        yield f"The draws are worth {effective:.0f} independent ones, and the standard error is rough: draw more."
    if unsummed:
        yield (
            f"More than {MOST_ORDERS:,} orders of the components overlap and were not summed: the evidence is "
            "overstated. Fewer components would do."
        )
    if fit.chain_weights is not None:
        yield "Chains stay apart in several modes, and the evidence rests on the modes' shares by importance sampling."
    apart = abs(result.reciprocal - result.log_evidence)
    if not np.isfinite(result.reciprocal):
        yield "No draw lies where reciprocal importance sampling looks, so nothing checks this figure: draw more."
    elif not apart < STANDARD_ERRORS * np.hypot(result.reciprocal_error, result.standard_error) + SMALL_ERROR:
        yield f"Reciprocal importance sampling says {result.reciprocal:.2f}, {apart:.2f} away: draw more."
    if result.laplace - result.log_evidence > NATS:
        yield (
            f"Laplace's method over the modes says {result.laplace:.2f}: the draws may have missed a mode, or the "
            "modes are far from Gaussian. Compare sample(start='dispersed')."
        )
