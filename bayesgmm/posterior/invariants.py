"""What can be compared between chains whatever their labels, and what that says of chains and labels."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from bayesgmm.likelihood import kernel
from bayesgmm.posterior.assignments import row_entropy
from bayesgmm.posterior.draws import Draws, observed
from bayesgmm.posterior.relabel import surprise_of

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


def _some_rows(dt: "xr.DataTree", most: int) -> np.ndarray:
    x = observed(dt)
    if len(x) <= most:
        return x
    return np.ascontiguousarray(x[np.sort(np.random.default_rng(0).choice(len(x), most, replace=False))])


def invariants(dt: "xr.DataTree") -> "xr.Dataset":
    """Label-invariant quantities of every draw.

    Returns
    -------
    xr.Dataset
        ``log_posterior`` (chain, draw) where the tree has it, ``sorted_weights`` (chain, draw, rank), ``log_density``
        (chain, draw, point) of the mixture at fixed rows of the data, and ``allocation_entropy`` (chain, draw), the
        mean over rows of the entropy of the responsibilities, nats.
    """
    import xarray as xr

    draws = Draws.of(dt, weighted=False)
    x = _some_rows(dt, MAX_ROWS)
    points = np.unique(np.linspace(0, len(x) - 1, DENSITY_ROWS).astype(int))
    density, entropy = np.empty((len(draws), len(points))), np.empty(len(draws))
    for s in range(len(draws)):
        log_density, r = kernel.responsibilities(x, *draws.mixture(s), draws.structure.diagonal)
        density[s] = log_density[points]
        entropy[s] = row_entropy(r).mean()
    sizes = dt["posterior"].sizes
    shape = (sizes["chain"], sizes["draw"])
    each = ("chain", "draw")
    result = {
        "sorted_weights": ((*each, "rank"), np.sort(draws.weights, axis=1).reshape(*shape, -1)),
        "log_density": ((*each, "point"), density.reshape(*shape, -1)),
        "allocation_entropy": (each, entropy.reshape(shape)),
    }
    if "lp" in dt["sample_stats"]:
        result["log_posterior"] = (each, dt["sample_stats"]["lp"].transpose(*each).values)
    return xr.Dataset(result, coords={"chain": dt["posterior"]["chain"].values})


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


def weigh_chains(dt: "xr.DataTree") -> "xr.DataTree":
    """Give chains that started at different modes, and stay apart, the weights of the modes.

    The weight of a group of chains is the share of the posterior of all modes that its chains started at. Where chains
    came together, they need none.
    """
    share = np.atleast_1d(dt["posterior"].attrs.get("started_mode_shares", []))
    if len(share) < 2 or dt["posterior"].sizes["draw"] < 4:
        return dt
    groups = groups_of_chains(invariants(dt))
    if groups.max() == 0:
        return dt
    started = dt["sample_stats"].dataset["start_mode"].values
    weight = np.empty(len(groups))
    for g in range(groups.max() + 1):
        own = groups == g
        weight[own] = share[np.unique(started[own])].sum() / own.sum()
    tree = dt.copy()
    tree["sample_stats"] = tree["sample_stats"].dataset.assign(chain_weight=("chain", weight / weight.sum()))
    return tree


def ambiguous_share(dt: "xr.DataTree") -> float:
    """The share of the draws whose two best orders of the components nearly tie, by Stephens' divergence."""
    draws = Draws.of(dt, weighted=False)
    k = draws.n_components
    if k == 1:
        return 0.0
    x = _some_rows(dt, MAX_ROWS)
    reference = np.asarray(sum(draws.responsibilities(x, s) for s in range(len(draws))) / len(draws))
    surprise = surprise_of(reference)
    ties = 0
    for s in range(len(draws)):
        r = draws.responsibilities(x, s)
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
