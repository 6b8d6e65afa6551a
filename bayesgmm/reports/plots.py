"""Pictures in the data's space: clusters, doubt and density."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.posterior.assignments import assignments
from bayesgmm.posterior.density import density
from bayesgmm.posterior.draws import Draws, observed
from bayesgmm.reports.drawing import (
    ellipse,
    evenly,
    faint,
    histogram,
    legend,
    name_components,
    new_axes,
    plain,
    point_size,
)
from bayesgmm.reports.palette import certainty, certainty_colours, colours, ink, shades
from bayesgmm.validation import check_choice, check_count

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

ELLIPSE_LEVELS = (0.5, 0.95)
# The share of draws whose ellipses may reach beyond an edge of the picture.
ELLIPSES_CUT = 0.25
# Shares of the probability that the lines of a two-dimensional density hold.
DENSITY_LEVELS = (0.95, 0.8, 0.5, 0.2)
# More rows than this are drawn thinned.
MAX_POINTS = 20_000
ENTROPIES = {
    "entropy": "entropy (nats)",
    "expected_entropy": "expected entropy: overlap (nats)",
    "mutual_information": "mutual information: ignorance (nats)",
}


def plot_clusters(
    dt: "xr.DataTree",
    *,
    features: Sequence[str] | None = None,
    n_draws: int = 60,
    soft: "xr.Dataset | None" = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """The data and the components, with the posterior's spread in both.

    Rows are coloured by their component; they fade to grey and shrink as the two most probable ones draw level. Every
    component is drawn as its 50 % and 95 % ellipses under ``n_draws`` draws, so that the band they fill is the
    uncertainty of its place and shape. A single feature is drawn as its histogram with the density of every draw.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    features : sequence of one or two str, optional
        Which features to draw. Default: the first two.
    n_draws : int, default 60
    soft : xr.Dataset, optional
        ``assignments(dt)``, where it is at hand.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidArgumentError
        ``features`` are not one or two of the fitted ones.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_clusters(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    draws = Draws.of(dt)
    axes = _choose_features(draws.features, features)
    ax = new_axes() if ax is None else ax
    x = observed(dt)
    shown = draws.thinned(check_count(n_draws, "n_draws"))
    if len(axes) == 1:
        _draw_draws_of_density(ax, shown, x[:, axes[0]], axes[0])
        legend(ax, draws, unsure_too=False)
        return ax
    probability = (assignments(dt) if soft is None else soft)["probability"].values
    # The sure ones first, so that the unsure ones are not hidden.
    rows = np.argsort(-certainty(probability), kind="stable")
    rows = rows[evenly(len(rows), MAX_POINTS)]
    ax.scatter(
        x[rows, axes[0]], x[rows, axes[1]], c=certainty_colours(probability[rows]),
        s=point_size(len(rows)) * (0.35 + 0.65 * certainty(probability[rows])),
        edgecolors=[(*ink(), 0.6)], linewidths=0.3, zorder=3,
    )  # fmt: skip
    _draw_draws_of_ellipses(ax, shown, axes)
    centre = draws.means.mean(axis=0)[:, axes]
    ax.scatter(centre[:, 0], centre[:, 1], marker="+", s=90, color=ink(), linewidths=1.5, zorder=4)
    name_components(ax, centre)
    ax.set(xlabel=plain(draws.features[axes[0]]), ylabel=plain(draws.features[axes[1]]))
    legend(ax, draws, unsure_too=draws.n_components > 1)
    return ax


def plot_uncertainty(
    dt: "xr.DataTree",
    *,
    features: Sequence[str] | None = None,
    quantity: str = "entropy",
    soft: "xr.Dataset | None" = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Where in the data the assignments are unsure: rows coloured and sized by the entropy of their assignment.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    features : sequence of one or two str, optional
        Which features to draw. Default: the first two. Of a single one, the quantity itself is the other axis.
    quantity : {"entropy", "expected_entropy", "mutual_information"}, default "entropy"
        All of it, the part due to overlapping components, or the part due to not knowing the components well.
    soft : xr.Dataset, optional
        ``assignments(dt)``, where it is at hand.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidArgumentError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_uncertainty(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    check_choice(quantity, "quantity", tuple(ENTROPIES))
    draws = Draws.of(dt)
    axes = _choose_features(draws.features, features)
    ax = new_axes() if ax is None else ax
    x = observed(dt)
    entropy = (assignments(dt) if soft is None else soft)[quantity].values
    rows = np.argsort(entropy, kind="stable")
    rows = rows[evenly(len(rows), MAX_POINTS)]
    # The scale is the largest entropy there can be, so that pictures of different fits compare.
    most = np.log(draws.n_components) if draws.n_components > 1 else 1.0
    vertical = x[rows, axes[1]] if len(axes) == 2 else entropy[rows]
    points = ax.scatter(
        x[rows, axes[0]], vertical, c=entropy[rows], s=point_size(len(rows)) * (0.2 + 2 * entropy[rows] / most),
        cmap=shades(), vmin=0, vmax=most,
        edgecolors=[(*ink(), 0.5)], linewidths=0.3,
    )  # fmt: skip
    label = ENTROPIES[quantity]
    ax.figure.colorbar(points, ax=ax, label=label)
    ax.set(xlabel=plain(draws.features[axes[0]]), ylabel=plain(draws.features[axes[1]]) if len(axes) == 2 else label)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_density(
    dt: "xr.DataTree",
    *,
    features: Sequence[str] | None = None,
    given: Mapping[str, float] | None = None,
    ci_prob: float = 0.89,
    ax: "Axes | None" = None,
) -> "Axes":
    """The posterior predictive density of one or two features, with its band, over the data.

    Of one feature: the density and its band, over the histogram. Of two: lines that hold 20, 50, 80 and 95 % of the
    probability, drawn through the density and, dashed, through the ends of its band.

    Parameters
    ----------
    dt : xr.DataTree
        Draws; they need not be relabelled.
    features : sequence of one or two str, optional
        Default: all that are not given, if they are one or two.
    given : mapping of str to float, optional
        Features held at a value: the density is conditional on them, and no data are drawn.
    ci_prob : float, default 0.89
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidArgumentError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> dt = bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1)
    >>> ax = bg.plot_density(dt, given={"waiting": 80})
    """
    grid = density(dt, features=features, given=given, ci_prob=ci_prob)
    names = [str(name) for name in grid["density"].dims]
    draws = Draws.of(dt)
    x = observed(dt)[:, [draws.features.index(name) for name in names]]
    ax = new_axes() if ax is None else ax
    band = f"{100 * ci_prob:.0f} % band"
    if len(names) == 1:
        if not given:
            histogram(ax, x[:, 0])
        line = grid[names[0]].values
        ax.fill_between(line, grid["lower"], grid["upper"], color=colours(1)[0], alpha=0.3, linewidth=0, label=band)
        ax.plot(line, grid["density"], color=colours(1)[0], linewidth=1.6, label="density")
        ax.set(xlabel=plain(names[0]), ylabel="density", ylim=(0, None))
        ax.legend(frameon=False, fontsize="small")
    else:
        _contours(ax, grid, names, band)
        if not given:
            rows = evenly(len(x), MAX_POINTS)
            ax.scatter(x[rows, 0], x[rows, 1], s=point_size(len(rows)) / 4, color=ink(), alpha=0.35, linewidths=0)
        ax.set(xlabel=plain(names[0]), ylabel=plain(names[1]))
    if given:
        ax.set_title("given " + ", ".join(f"{plain(n)} = {v:g}" for n, v in given.items()), fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _choose_features(names: tuple[str, ...], features: Any) -> list[int]:
    if features is None:
        return list(range(min(2, len(names))))
    chosen = [features] if isinstance(features, str) else list(features)
    if len(chosen) not in (1, 2) or len(set(chosen)) < len(chosen) or any(f not in names for f in chosen):
        raise InvalidArgumentError(f"features = {features!r} must name one or two of: {', '.join(names)}.")
    return [names.index(f) for f in chosen]


def _draw_draws_of_ellipses(ax: "Axes", shown: Draws, axes: list[int]) -> None:
    """Every component's ellipses under some draws, in axes that hold the data and most of the ellipses.

    (A small component that is the prior's in some draws would otherwise shrink all the rest.)
    """
    from matplotlib.collections import LineCollection

    _, means, covariances = shown.mixtures(slice(None))
    means, covariances = means[:, :, axes], covariances[:, :, axes][..., axes]
    outlines = np.array(
        [
            [[ellipse(m, c, level) for level in ELLIPSE_LEVELS] for m, c in zip(*draw, strict=True)]
            for draw in zip(means, covariances, strict=True)
        ]
    )
    for k, colour in enumerate(colours(shown.n_components)):
        lines = outlines[:, k].reshape(-1, *outlines.shape[-2:])
        ax.add_collection(
            LineCollection(list(lines), colors=[colour], alpha=faint(len(shown)), linewidths=1.0, zorder=2),
            autolim=False,
        )
    ax.update_datalim(np.quantile(outlines.min(axis=(1, 2, 3)), [ELLIPSES_CUT], axis=0))
    ax.update_datalim(np.quantile(outlines.max(axis=(1, 2, 3)), [1 - ELLIPSES_CUT], axis=0))
    ax.autoscale_view()


def _draw_draws_of_density(ax: "Axes", shown: Draws, column: np.ndarray, feature: int) -> None:
    """A single feature: histogram, and the mixture's and its components' densities under some draws."""
    from scipy.stats import norm

    own = colours(shown.n_components)
    histogram(ax, column)
    margin = 0.1 * np.ptp(column)
    grid = np.linspace(column.min() - margin, column.max() + margin, 400)
    weights, means, covariances = shown.mixtures(slice(None))
    sd = np.sqrt(covariances[:, :, feature, feature])
    shares = weights[..., None] * norm.pdf(grid, means[:, :, feature, None], sd[..., None])
    for share in shares:
        ax.plot(grid, share.sum(axis=0), color=ink(), alpha=faint(len(shown)), linewidth=0.8, zorder=2)
        for k in range(shown.n_components):
            ax.plot(grid, share[k], color=own[k], alpha=faint(len(shown)), linewidth=0.8, zorder=2)
    ax.set(xlabel=plain(shown.features[feature]), ylabel="density")


def _contours(ax: "Axes", grid: "xr.Dataset", names: list[str], band: str) -> None:
    from matplotlib.lines import Line2D

    mean = grid["density"].values
    # The height above which the density holds each share of the probability.
    heights = np.sort(mean, axis=None)[::-1]
    held = np.cumsum(heights) / heights.sum()
    levels = [float(heights[np.searchsorted(held, share)]) for share in DENSITY_LEVELS]
    across, up = grid[names[0]].values, grid[names[1]].values
    blue = colours(1)[0]
    shades = [(*blue, a) for a in np.linspace(0.12, 0.5, len(levels))]
    ax.contourf(across, up, mean.T, levels=[*levels, heights[0] * 1.01], colors=shades)
    ax.contour(across, up, mean.T, levels=levels, colors=[blue], linewidths=1.2)
    for end in ("lower", "upper"):
        ax.contour(across, up, grid[end].values.T, levels=levels, colors=[blue], linewidths=0.7, linestyles="dashed")
    held_by = ", ".join(f"{100 * s:.0f}" for s in sorted(DENSITY_LEVELS))
    handles = [
        Line2D([], [], color=blue, linewidth=1.2, label=f"lines that hold {held_by} %"),
        Line2D([], [], color=blue, linewidth=0.7, linestyle="dashed", label=band),
    ]
    ax.legend(handles=handles, frameon=False, fontsize="small")
