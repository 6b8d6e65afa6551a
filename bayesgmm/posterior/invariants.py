"""What can be compared between chains whatever their labels, and what that says of chains and labels."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from bayesgmm.data.observations import Rows
from bayesgmm.mixture.labels import surprise_of
from bayesgmm.posterior.assignments import row_entropy
from bayesgmm.record.fit import Fit
from bayesgmm.record.trees import EACH

if TYPE_CHECKING:
    import xarray as xr

# Rows that allocations are judged on, and rows at which the density is.
MAX_ROWS = 400
DENSITY_ROWS = 12
# Pairs of chains whose R-hat is above this are in different places; up to it they are the same, if not yet well mixed.
APART = 1.1
# The two best orders of a draw's components nearly tie if the better is no closer than this part of the other, or if
# they differ by less than so many nats a row.
NEAR_TIE = 0.9
NEAR_TIE_NATS = 0.05
# Draws that are looked at for that: 0.7 % of them is the standard error of a share of 5 %. All 4,000 took half of the
# time of a diagnosis.
TIED_DRAWS = 1_000


def _some_rows(fit: Fit, most: int) -> Rows:
    return fit.table.counted.subsample(most, np.random.default_rng(0)).observations


def invariants(fit: Fit) -> "xr.Dataset":
    """Label-invariant quantities of every draw.

    Returns
    -------
    xr.Dataset
        ``log_posterior`` (chain, draw) where the fit has it, ``sorted_weights`` (chain, draw, rank), ``log_density``
        (chain, draw, point) of the mixture at fixed rows of the data, and ``allocation_entropy`` (chain, draw), the
        mean over rows of the entropy of the responsibilities, nats.
    """
    import xarray as xr

    draws = fit.every_draw
    x = _some_rows(fit, MAX_ROWS)
    points = np.unique(np.linspace(0, len(x) - 1, DENSITY_ROWS).astype(int))
    density, entropy = np.empty((len(draws), len(points))), np.empty(len(draws))
    for s, mixture in enumerate(draws):
        log_density, r = mixture.densities(x)
        density[s] = log_density[points]
        entropy[s] = row_entropy(r).mean()
    shape = (fit.n_chains, fit.n_draws)
    result: dict[str, Any] = {
        "sorted_weights": ((*EACH, "rank"), np.sort(draws.weights, axis=1).reshape(*shape, -1)),
        "log_density": ((*EACH, "point"), density.reshape(*shape, -1)),
        "allocation_entropy": (EACH, entropy.reshape(shape)),
    }
    if fit.log_posterior is not None:
        result["log_posterior"] = (EACH, fit.log_posterior)
    return xr.Dataset(result, coords={"chain": fit.chain_names})


def groups_of_chains(quantities: "xr.Dataset") -> np.ndarray:
    """Which chains are in the same place, (C,): the number of a chain's group, in the order of the chains."""
    from arviz_stats.base import array_stats
    from scipy.sparse.csgraph import connected_components

    values = np.concatenate(
        [v.values.reshape(*v.shape[:2], -1) for v in quantities.transpose("chain", "draw", ...).values()], axis=2
    )
    n_chains = len(values)
    near = np.eye(n_chains, dtype=bool)
    for a in range(n_chains):
        for b in range(a):
            with np.errstate(all="ignore"):
                rhat = array_stats.rhat(values[[a, b]], chain_axis=0, draw_axis=1)
            near[a, b] = near[b, a] = not np.nanmax(np.append(rhat, 1.0)) > APART
    _, labels = connected_components(near, directed=False)
    return labels


def weigh_chains(fit: Fit) -> Fit:
    """Give chains that started at different modes, and stay apart, the weights of the modes.

    A mode's share of the posterior is divided among the groups of chains in which chains that started at it are, by how
    many of them each group has. Where all chains came together, they need no weights.
    """
    modes, started = fit.provenance.modes, fit.start_modes
    share = None if modes is None else modes.started_shares
    if share is None or started is None or len(share) < 2 or fit.n_draws < 4:
        return fit
    groups = groups_of_chains(invariants(fit))
    if groups.max() == 0:
        return fit
    # Each chain brings its part of the share of the mode it started at, and its group divides what its chains bring.
    brought = share[started] / np.bincount(started, minlength=len(share))[started]
    weight = (np.bincount(groups, weights=brought) / np.bincount(groups))[groups]
    return fit.weighed(weight / weight.sum())


def ambiguous_share(fit: Fit) -> float:
    """The share of the draws whose two best orders of the components nearly tie, by Stephens' divergence."""
    draws, free = fit.every_draw.thinned(TIED_DRAWS), fit.free
    if free.size < 2:
        return 0.0
    x = _some_rows(fit, MAX_ROWS)
    surprise = surprise_of(draws.predictive(x)[1][:, free])
    ties = 0
    for mixture in draws:
        r = mixture.responsibilities(x)[:, free]
        cost = surprise @ r
        own = -row_entropy(r).sum()
        best = linear_sum_assignment(cost)
        second = np.inf
        for row, column in zip(*best, strict=True):
            barred = cost.copy()
            barred[row, column] = 1e9 + np.abs(cost).sum()
            rows, columns = linear_sum_assignment(barred)
            second = min(second, cost[rows, columns].sum())
        first = cost[best].sum()
        ties += bool(first + own >= NEAR_TIE * (second + own) or second - first < NEAR_TIE_NATS * len(x))
    return ties / len(draws)
