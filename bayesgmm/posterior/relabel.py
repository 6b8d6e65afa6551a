"""Undoing label switching: the draws of a fit under common labels (the algorithms: ``mixture/labels.py``)."""

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.arguments import check_choice
from bayesgmm.mixture.labels import ecr, stephens
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    import xarray as xr

METHODS = ("stephens", "ecr")
# Labels are decided by a sample of the rows when there are more: the divergence is a mean over rows.
MAX_ROWS = 2_000


def relabel(dt: "xr.DataTree", *, method: str = "stephens", n_occupied: int | None = None) -> "xr.DataTree":
    """Give the components of all draws common labels.

    Parameters
    ----------
    dt : xr.DataTree
        Draws from :func:`bayesgmm.sample`.
    method : {"stephens", "ecr"}, default "stephens"
        Stephens' Kullback-Leibler algorithm, or equivalence classes representatives with the draw of the highest log
        posterior as pivot. Both use at most 2,000 rows of the data.
    n_occupied : int, optional
        Summarise only draws with so many components that have rows (:func:`bayesgmm.occupied`), these alone and their
        weights shared out among them. The tree has one chain; the attributes ``share_occupied`` and
        ``share_identified`` say which share of the draws had so many, and which share of these could be told apart:
        their components are nearest to different ones of the relabelled means. The others are not in the tree.

    Returns
    -------
    xr.DataTree
        A new tree. Components are numbered by the posterior mean of their first feature's mean. Every posterior
        variable with a ``component`` dim is permuted, and ``sample_stats["permutation"]`` (chain, draw, component)
        holds the label that the sampler had given each component: its inverse restores the draws.

    Raises
    ------
    InvalidArgumentError
        Unknown method.
    ModelError
        The tree holds no mixture posterior or no observed data; or fewer than 20 draws have ``n_occupied`` components
        with rows, or can be told apart.

    Notes
    -----
    The likelihood alone decides. Under stick-breaking weights, whose labels have a meaning for the prior, a component
    is stick k before and a cluster after, and ``permutation`` holds its stick in every draw.

    References
    ----------
    Stephens (2000), Dealing with label switching in mixture models, JRSS B 62, 795-809,
    https://doi.org/10.1111/1467-9868.00265. Papastamoulis and Iliopoulos (2010), An artificial allocations based
    solution to the label switching problem in Bayesian analysis of mixtures of distributions, J. Computational and
    Graphical Statistics 19, 313-331, https://doi.org/10.1198/jcgs.2010.09008. Malsiner-Walli, Fruehwirth-Schnatter and
    Gruen (2016), Model-based clustering based on sparse finite Gaussian mixtures, Statistics and Computing 26, 303-324,
    https://doi.org/10.1007/s11222-014-9500-2.
    """
    check_choice(method, "method", METHODS)
    fit = Fit.of(dt)
    if n_occupied is not None:
        from bayesgmm.posterior.identified import identified

        return identified(fit, n_occupied, method).tree
    return relabelled(fit, method).tree


def relabelled(fit: Fit, method: str = "stephens") -> Fit:
    """The fit with common labels for the components of all draws; see :func:`relabel`."""
    draws = fit.every_draw
    x = fit.table.counted.subsample(MAX_ROWS, np.random.default_rng(0)).observations
    log_posterior = fit.log_posterior
    pivot = 0 if log_posterior is None else int(np.nan_to_num(log_posterior, nan=-np.inf).argmax())
    permutation = np.tile(np.arange(draws.n_components), (len(draws), 1))
    # Components that rows are known to belong to have their labels.
    free = fit.free
    if free.size > 1:
        algorithm = {"stephens": stephens, "ecr": ecr}[method]
        found = algorithm(lambda some: draws[some].responsibilities(x)[..., free], len(draws), pivot)
        permutation[:, free] = free[found]
    permuted_means = np.take_along_axis(draws.means, permutation[:, free, None], axis=1)
    permutation[:, free] = permutation[:, free[np.lexsort(permuted_means.mean(axis=0).T[::-1])]]
    return fit.relabelled(permutation.reshape(fit.n_chains, fit.n_draws, -1), method)


def with_sampled_labels(fit: Fit) -> Fit:
    """The fit under the labels that the sampler gave: what relabelling did is taken back."""
    return fit if fit.permutation is None else fit.relabelled(np.argsort(fit.permutation, axis=2), "none")
