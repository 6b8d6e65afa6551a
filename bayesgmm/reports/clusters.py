"""Clusters and doubt in the data's space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.posterior.assignments import assignments
from bayesgmm.record.fit import Fit
from bayesgmm.reports.axes import (
    MAX_POINTS,
    Histogram,
    drawn,
    evenly,
    faint,
    finish,
    legend,
    name_components,
    new_axes,
    percent,
    plain,
    point_size,
    remark,
    undrawn,
)
from bayesgmm.reports.palette import certainty, certainty_colours, colours, ink, marker

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

ELLIPSE_LEVELS = (0.5, 0.95)
# The share of draws whose ellipses may reach beyond an edge of the picture, and how far an edge may lie beyond the data
# for the sake of ellipses, in ranges of the data: those of a component without rows are the prior's, which are wide.
ELLIPSES_CUT, ELLIPSES_REACH = 0.25, 0.2
# The part of a picture's range that stays empty at either end.
MARGIN = 0.04
# Draws that are shown unless a user asks for more.
SHOWN_DRAWS = 60
# What is grey, without and with noise.
UNSURE = ("unsure", "unsure, or of none")


@dataclass(frozen=True, eq=False)
class Clusters:
    """Rows in two features and the components' ellipses under some draws.

    Parameters
    ----------
    features : tuple of two str
    points : (N, 2) array
        Rows, the surest first, so that the unsure ones are not hidden.
    probability : (N, K) array
        Theirs of every component.
    outlines : (K, S, L, P, 2) array
        Points of the ellipses of every component, draw and level.
    centre : (K, 2) array
    components : (K,) array
        Their names.
    weights : (K,) array
    grey : str
        What is grey; empty where nothing is.
    note : str
        What is said of rows that have no place in the picture; empty where all have one.
    """

    features: tuple[str, ...]
    points: np.ndarray
    probability: np.ndarray
    outlines: np.ndarray
    centre: np.ndarray
    components: np.ndarray
    weights: np.ndarray
    grey: str = ""
    note: str = ""

    @classmethod
    def of(cls, fit: Fit, axes: Sequence[int], probability: np.ndarray, n_draws: int = SHOWN_DRAWS) -> "Clusters":
        """Of two features, by position, and the rows' probabilities (N, K)."""
        draws = fit.mixture.marginal(axes)
        rows = np.argsort(-certainty(probability), kind="stable")
        rows = rows[evenly(len(rows), MAX_POINTS)]
        shown = draws.thinned(n_draws)
        levels = [ellipse(shown.means, shown.full_covariances, level) for level in ELLIPSE_LEVELS]
        return cls(
            features=tuple(fit.features[j] for j in axes),
            points=fit.x[np.ix_(rows, axes)],
            probability=probability[rows],
            outlines=np.moveaxis(np.stack(levels, axis=2), 1, 0),
            centre=draws.means.mean(axis=0),
            components=fit.components,
            weights=draws.weights.mean(axis=0),
            grey="" if len(fit.components) == 1 and draws.noise is None else UNSURE[draws.noise is not None],
            note=undrawn(fit.x[:, axes]),
        )

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        from matplotlib.collections import LineCollection
        from matplotlib.lines import Line2D
        from matplotlib.markers import MarkerStyle

        ax = new_axes() if ax is None else ax
        sure = certainty(self.probability)
        points = ax.scatter(
            self.points[:, 0], self.points[:, 1], c=certainty_colours(self.probability),
            s=point_size(len(sure), ax) * (0.35 + 0.65 * sure),
            edgecolors=[(*ink(), 0.6)], linewidths=0.3, zorder=3,
        )  # fmt: skip
        own = [MarkerStyle(marker(k)) for k in range(len(self.weights))]
        shapes = [shape.get_path().transformed(shape.get_transform()) for shape in own]
        points.set_paths([shapes[k] for k in self.probability.argmax(axis=1)])
        opacity = faint(self.outlines.shape[1])
        for colour, own in zip(colours(len(self.weights)), self.outlines, strict=True):
            lines = own.reshape(-1, *own.shape[-2:])
            drawn = LineCollection(list(lines), colors=[colour], alpha=opacity, linewidths=1.0, zorder=2)
            ax.add_collection(drawn, autolim=False)
        ax.scatter(self.centre[:, 0], self.centre[:, 1], marker="+", s=90, color=ink(), linewidths=1.5, zorder=4)
        name_components(ax, self.components, self.centre)
        low, high = self.limits
        ax.set(
            xlabel=plain(self.features[0]), ylabel=plain(self.features[1]), xlim=(low[0], high[0]),
            ylim=(low[1], high[1]),
        )  # fmt: skip
        levels = " and ".join(map(percent, ELLIPSE_LEVELS))
        more = [Line2D([], [], color=ink(), linewidth=1.0, label=f"{levels} ellipses")]
        more += [remark(self.note)] if self.note else []
        legend(ax, self.components, self.weights, grey=self.grey, more=more)
        finish(ax)
        return ax

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower and the upper ends of the picture, (2,): of the data, and of such ellipses as lie near them."""
        least, greatest = np.nanmin(self.points, axis=0), np.nanmax(self.points, axis=0)
        reach = ELLIPSES_REACH * (greatest - least)
        low = np.quantile(self.outlines.min(axis=(0, 2, 3)), ELLIPSES_CUT, axis=0)
        high = np.quantile(self.outlines.max(axis=(0, 2, 3)), 1 - ELLIPSES_CUT, axis=0)
        low, high = np.clip(low, least - reach, least), np.clip(high, greatest, greatest + reach)
        # Values that are all the same have no range.
        margin = np.where(high > low, MARGIN * (high - low), 0.5)
        return low - margin, high + margin


@dataclass(frozen=True, eq=False)
class Curves:
    """A single feature: its histogram, and the components' shares of the density under some draws.

    Parameters
    ----------
    feature : str
    data : Histogram
    grid : (G,) array
    shares : (S, K, G) array
        Weight times density of every component.
    components : (K,) array
        Their names.
    weights : (K,) array
    """

    feature: str
    data: Histogram
    grid: np.ndarray
    shares: np.ndarray
    components: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, fit: Fit, axis: int, n_draws: int = SHOWN_DRAWS) -> "Curves":
        """Of the feature at a position."""
        column = fit.x[:, axis]
        least, greatest = np.nanmin(column), np.nanmax(column)
        margin = 0.1 * (greatest - least)
        grid = np.linspace(least - margin, greatest + margin, 400)
        return cls(
            feature=fit.features[axis],
            data=Histogram.of(column, fit.table.weights),
            grid=grid,
            shares=_shares(fit.mixture.marginal([axis]).thinned(n_draws), grid),
            components=fit.components,
            weights=fit.mixture.weights.mean(axis=0),
        )

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        ax = new_axes() if ax is None else ax
        self.data.draw(ax)
        own: np.ndarray = colours(len(self.weights))
        thin: dict[str, Any] = {"alpha": faint(len(self.shares)), "linewidth": 0.8, "zorder": 2}
        for share in self.shares:
            ax.plot(self.grid, share.sum(axis=0), color=ink(), **thin)
            for k, colour in enumerate(own):
                ax.plot(self.grid, share[k], color=colour, **thin)
        ax.set(xlabel=plain(self.feature), ylabel="density")
        legend(ax, self.components, self.weights)
        finish(ax)
        return ax


def plot_clusters(
    dt: "xr.DataTree",
    *,
    features: Sequence[str] | None = None,
    n_draws: int = SHOWN_DRAWS,
    soft: "xr.Dataset | None" = None,
    progressbar: bool = True,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "Axes":
    """The data and the components, with the posterior's spread in both.

    Rows are coloured by their component; they fade to grey and shrink as the two most probable ones draw level. Every
    component is drawn as its 50 % and 95 % ellipses under ``n_draws`` draws, so that the band they fill is the
    uncertainty of its place and shape. The picture is of the data: ellipses that reach far beyond them, as those of a
    component without rows, are cut off; the legend counts the rows that lack one of the two features, which have no
    place in it. A single feature is drawn as its histogram with the density of every draw.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    features : sequence of one or two str, optional
        Which features to draw. Default: the first two.
    n_draws : int, default 60
    soft : xr.Dataset, optional
        ``assignments(dt)``, where it is at hand.
    progressbar : bool, default True
        Show a bar where there is much to compute.
    ax : matplotlib Axes, optional
    figsize : (float, float), optional
        Width and height in inches, without ``ax``; (3.35, 2.5) suits a column of a journal.

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
    n_draws = check_count(n_draws, "n_draws")
    fit = Fit.of(dt)
    axes = chosen_features(fit.features, features)
    if len(axes) == 1:
        return drawn(Curves.of(fit, axes[0], n_draws), ax, figsize)
    soft = assignments(dt, progressbar=progressbar) if soft is None else soft
    return drawn(Clusters.of(fit, axes, soft["probability"].values, n_draws), ax, figsize)


def ellipse(mean: np.ndarray, covariance: np.ndarray, probability: float, n_points: int = 90) -> np.ndarray:
    """Points (..., n_points, 2) of the ellipse that holds ``probability`` of a two-dimensional normal distribution."""
    radius = np.sqrt(-2 * np.log1p(-probability))
    angle = np.linspace(0, 2 * np.pi, n_points)
    circle = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    return mean[..., None, :] + circle @ np.swapaxes(np.linalg.cholesky(covariance), -1, -2)


def _shares(draws: Mixture, grid: np.ndarray) -> np.ndarray:
    """Weight times density of every draw's components of a single feature, (S, K, G)."""
    from scipy.stats import norm

    return draws.weights[..., None] * norm.pdf(grid, draws.means, draws.scales)


def chosen_features(names: tuple[str, ...], features: Any) -> list[int]:
    if features is None:
        return list(range(min(2, len(names))))
    chosen = [features] if isinstance(features, str) else list(features)
    if len(chosen) not in (1, 2) or len(set(chosen)) < len(chosen) or any(f not in names for f in chosen):
        raise InvalidArgumentError(f"features = {features!r} must name one or two of: {', '.join(names)}.")
    return [names.index(f) for f in chosen]
