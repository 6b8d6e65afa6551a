"""Pictures of rows, weights and modes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import ModelError
from bayesgmm.inference.estimate import MapEstimate
from bayesgmm.posterior.assignments import assignments
from bayesgmm.posterior.coclustering import coclustering
from bayesgmm.posterior.draws import Draws, in_proportion, observed
from bayesgmm.reports.drawing import evenly, legend, new_axes, plain
from bayesgmm.reports.palette import colours, ink, paper, shades
from bayesgmm.validation import check_count, check_probability

if TYPE_CHECKING:
    import xarray as xr
    from arviz_plots import PlotCollection
    from matplotlib.axes import Axes

# Rows of a heat map that a page can show.
HEAT_ROWS = 400
# A component of a row with less than this at the end of its interval is not drawn.
SHOWN = 0.01


def plot_assignments(
    dt: "xr.DataTree", *, n_rows: int = 30, soft: "xr.Dataset | None" = None, ax: "Axes | None" = None
) -> "Axes":
    """The least certain rows: the probability of each component, with its interval.

    Rows are sorted by the entropy of their assignment, the least certain on top.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    n_rows : int, default 30
    soft : xr.Dataset, optional
        ``assignments(dt)``, where it is at hand, or ``assignments(dt, X)`` for new rows.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidArgumentError, ModelError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_assignments(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    most = check_count(n_rows, "n_rows")
    soft = assignments(dt) if soft is None else soft
    rows = np.argsort(-soft["entropy"].values, kind="stable")[:most]
    ax = new_axes((7, 1.2 + 0.2 * len(rows))) if ax is None else ax
    own = colours(soft.sizes["component"])
    height = np.arange(len(rows))
    shown = soft["upper"].values[rows] >= SHOWN
    # The intervals of a row stand a little apart.
    apart = 0.6 * ((np.cumsum(shown, axis=1) - 0.5) / np.maximum(shown.sum(axis=1, keepdims=True), 1) - 0.5)
    for k in range(soft.sizes["component"]):
        middle, low, high = (soft[name].values[rows, k] for name in ("probability", "lower", "upper"))
        seen = shown[:, k]
        at = (height + apart[:, k])[seen]
        ax.hlines(at, low[seen], high[seen], color=own[k], linewidth=1.8, alpha=0.8)
        ax.scatter(middle[seen], at, color=[own[k]], s=22, zorder=3, edgecolors=[paper()], linewidths=0.6)
    ax.set_yticks(height, [plain(str(name), 20) for name in soft["obs_id"].values[rows]])
    ax.invert_yaxis()
    ax.set(xlim=(-0.02, 1.02), xlabel=f"probability, {100 * soft.attrs['ci_prob']:.0f} % interval", ylabel="row")
    ax.grid(axis="y", linewidth=0.3, color=ink(), alpha=0.3)
    legend(ax, Draws.of(dt), unsure_too=False, above=True)
    return ax


def plot_coclustering(dt: "xr.DataTree", *, rows: Any = None, ax: "Axes | None" = None) -> "Axes":
    """The probabilities that rows share a component, as a heat map in an order that puts like rows together.

    The order is that of a hierarchical clustering (average linkage) of one minus the probability. Beside the map each
    row has the colour of its most probable component.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    rows : array of int, optional
        Positions of the rows to draw. Default: up to 400, evenly spaced.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidArgumentError, ModelError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_coclustering(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    draws = Draws.of(dt)
    x = observed(dt)
    chosen = evenly(len(x), HEAT_ROWS) if rows is None else np.asarray(rows)
    matrix = np.asarray(coclustering(dt, rows=chosen))
    order: np.ndarray = np.arange(len(chosen))
    if len(chosen) > 2:
        order = leaves_list(linkage(squareform(1 - matrix, checks=False), "average", optimal_ordering=True))
    ax = new_axes((6, 5.2)) if ax is None else ax
    image = ax.imshow(
        matrix[np.ix_(order, order)], vmin=0, vmax=1, cmap=shades(), interpolation="nearest", aspect="equal"
    )
    ax.figure.colorbar(image, ax=ax, label="probability of the same component", shrink=0.85)
    label = assignments(dt, x[chosen], progressbar=False)["label"].values[order]
    strip = ax.inset_axes((-0.045, 0, 0.03, 1))
    strip.imshow(colours(draws.n_components)[label][:, None], aspect="auto", interpolation="nearest")
    strip.set_axis_off()
    ax.set(xticks=[], yticks=[], xlabel=f"{len(chosen)} of {len(x)} rows" if len(chosen) < len(x) else f"{len(x)} rows")
    return ax


def plot_weights(dt: "xr.DataTree", *, ci_prob: float = 0.89, **kwargs: Any) -> "PlotCollection":
    """The components' weights with their 50 % and ``ci_prob`` intervals: ArviZ's forest plot.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    ci_prob : float, default 0.89
        Probability of the longer equal-tailed interval.
    **kwargs
        Passed to ``arviz.plot_forest``.

    Returns
    -------
    arviz_plots.PlotCollection

    Raises
    ------
    InvalidArgumentError, ModelError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> pc = bg.plot_weights(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    from arviz_plots import plot_forest

    ci_prob = check_probability(ci_prob, "ci_prob")
    draws = Draws.of(dt)
    arguments: dict[str, Any] = {
        "var_names": ["weights"],
        "combined": True,
        "ci_kind": "eti",
        "ci_probs": (min(0.5, ci_prob), ci_prob),
        "point_estimate": "mean",
        "aes": {"color": ["component"]},
        "color": [tuple(c) for c in colours(draws.n_components)],
        "labels": ["component"],
    }
    pc = plot_forest(in_proportion(dt), **(arguments | kwargs))
    if kwargs.get("backend") in (None, "matplotlib"):
        # Few components would stand on the axis itself.
        for ax in np.ravel(pc.viz["plot"].values):
            low, high = ax.get_ylim()
            ax.set_ylim(low - 0.3, high + 0.3)
        pc.viz["plot"].sel(column="forest").item().set_xlabel("weight")
    return pc


def plot_modes(fit: "xr.DataTree | MapEstimate", *, ax: "Axes | None" = None) -> "Axes":
    """The log posterior that every start reached, below the best: which optima there are, and how often each was found.

    Starts are sorted; those at the same optimum, up to the order of the components, have one colour. An optimum that
    holds a share of the posterior (Laplace) is named with it. The axis is linear to 1 nat, then logarithmic.

    Parameters
    ----------
    fit : xr.DataTree or MapEstimate
        From :func:`sample`, :func:`find_MAP` or ``MapEstimate.laplace``.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ModelError
        The tree keeps no record of its starts.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_modes(bg.find_MAP(model, random_seed=1))
    """
    attrs = fit.attrs if isinstance(fit, MapEstimate) else fit["posterior"].dataset.attrs
    if "starts_log_posterior" not in attrs:
        raise ModelError("the tree keeps no record of its starts: it was not made by bayesgmm.sample or laplace.")
    reached = np.atleast_1d(attrs["starts_log_posterior"])
    optimum = np.atleast_1d(attrs["starts_optimum"]).astype(int)
    shares = np.atleast_1d(attrs.get("mode_shares", []))
    order = np.argsort(-reached, kind="stable")
    gap = reached.max() - reached[order]
    ax = new_axes((6, 3.5)) if ax is None else ax
    own = colours(int(optimum.max()) + 1)
    for i in range(int(optimum.max()) + 1):
        at = np.flatnonzero(optimum[order] == i)
        share = f", {shares[i]:.0%} of the posterior" if i < len(shares) else ""
        count = "1 start" if len(at) == 1 else f"{len(at)} starts"
        ax.scatter(at + 1, -gap[at], color=[own[i]], s=45, zorder=3, label=f"optimum {i}: {count}{share}")
    ax.axhline(0, color=ink(), linewidth=0.6, alpha=0.6)
    ax.set_yscale("symlog", linthresh=1.0)
    lowest = max(float(gap.max()), 1.0)
    ax.set(
        xlabel="start, best first", ylabel="log posterior below the best (nats)", xlim=(0.3, len(reached) + 0.7),
        ylim=(-2 * lowest, 0.2),
    )  # fmt: skip
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.locator_params(axis="x", integer=True)
    beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if len(own) > 3 else {"loc": "lower left"}
    ax.legend(frameon=False, fontsize="small", **beside)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
