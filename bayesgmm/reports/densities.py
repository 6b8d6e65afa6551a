"""The posterior predictive density over the data, and data simulated from the posterior beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.posterior.density import density
from bayesgmm.record.fit import Fit
from bayesgmm.reports.axes import (
    MAX_POINTS,
    Histogram,
    evenly,
    faint,
    legend_above,
    new_axes,
    open_frame,
    percent,
    plain,
    point_size,
)
from bayesgmm.reports.palette import colours, ink

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# A picture has two axes.
MOST_FEATURES = 2
# Shares of the probability that the lines of a two-dimensional density hold.
DENSITY_LEVELS = (0.95, 0.8, 0.5, 0.2)
# Replicated data sets, and rows of each, of a posterior predictive check.
REPLICATES = 30
REPLICATE_ROWS = 2_000
# So many standard deviations are drawn of a smoothed density beyond its data.
BEYOND = 0.6


@dataclass(frozen=True, eq=False)
class Line:
    """The density of one feature with its band, and the data's histogram where nothing is given.

    ``grid`` is what :func:`bayesgmm.density` returns.
    """

    grid: "xr.Dataset"
    data: Histogram | None
    title: str = ""

    @classmethod
    def of(cls, fit: Fit, grid: "xr.Dataset", given: Mapping[str, float] | None = None) -> "Line":
        column = fit.x[:, fit.features.index(str(grid["density"].dims[0]))]
        return cls(grid, None if given else Histogram.of(column, fit.table.weights), _condition(given))

    @property
    def feature(self) -> str:
        return str(self.grid["density"].dims[0])

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        ax = new_axes() if ax is None else ax
        if self.data is not None:
            self.data.draw(ax)
        at, blue = self.grid[self.feature].values, colours(1)[0]
        band = f"{percent(self.grid.attrs['ci_prob'])} band"
        ax.fill_between(at, self.grid["lower"], self.grid["upper"], color=blue, alpha=0.3, linewidth=0, label=band)
        ax.plot(at, self.grid["density"], color=blue, linewidth=1.6, label="density")
        ax.set(xlabel=plain(self.feature), ylabel="density", ylim=(0, None))
        legend_above(ax)
        return _finished(ax, self.title)


@dataclass(frozen=True, eq=False)
class Plane:
    """The density of two features with its band, and the rows where nothing is given.

    ``grid`` is what :func:`bayesgmm.density` returns, ``levels`` the heights above which it holds each of
    ``DENSITY_LEVELS``.
    """

    grid: "xr.Dataset"
    levels: tuple[float, ...]
    points: np.ndarray | None
    title: str = ""

    @classmethod
    def of(cls, fit: Fit, grid: "xr.Dataset", given: Mapping[str, float] | None = None) -> "Plane":
        heights = np.sort(grid["density"].values, axis=None)[::-1]
        held = np.cumsum(heights) / heights.sum()
        levels = tuple(float(heights[np.searchsorted(held, share)]) for share in DENSITY_LEVELS)
        x = fit.x[:, [fit.features.index(str(name)) for name in grid["density"].dims]]
        return cls(grid, levels, None if given else x[evenly(len(x), MAX_POINTS)], _condition(given))

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        from matplotlib.lines import Line2D

        ax = new_axes() if ax is None else ax
        names = [str(name) for name in self.grid["density"].dims]
        at = [self.grid[name].values for name in names]
        mean, blue = self.grid["density"].values, colours(1)[0]
        shade = [(*blue, a) for a in np.linspace(0.12, 0.5, len(self.levels))]
        ax.contourf(*at, mean.T, levels=[*self.levels, mean.max() * 1.01], colors=shade)
        ax.contour(*at, mean.T, levels=self.levels, colors=[blue], linewidths=1.2)
        for end in ("lower", "upper"):
            edge = self.grid[end].values.T
            ax.contour(*at, edge, levels=self.levels, colors=[blue], linewidths=0.7, linestyles="dashed")
        if self.points is not None:
            size = point_size(len(self.points)) / 4
            ax.scatter(self.points[:, 0], self.points[:, 1], s=size, color=ink(), alpha=0.35, linewidths=0)
        shares = ", ".join(f"{100 * s:.0f}" for s in sorted(DENSITY_LEVELS))
        band = f"{percent(self.grid.attrs['ci_prob'])} band"
        handles = [
            Line2D([], [], color=blue, linewidth=1.2, label=f"lines that hold {shares} %"),
            Line2D([], [], color=blue, linewidth=0.7, linestyle="dashed", label=band),
        ]
        legend_above(ax, handles=handles)
        ax.set(xlabel=plain(names[0]), ylabel=plain(names[1]))
        return _finished(ax, self.title)


@dataclass(frozen=True, eq=False)
class Replicates:
    """One feature's density, smoothed, in the data and in data sets simulated from the posterior.

    Parameters
    ----------
    feature : str
    observed : (2, G) array
        Grid and density.
    simulated : (S, 2, G) array
    """

    feature: str
    observed: np.ndarray
    simulated: np.ndarray

    @classmethod
    def of(cls, fit: Fit, axes: Sequence[int]) -> tuple["Replicates", ...]:
        """Of several features by position, in the same simulated data sets."""
        rng = np.random.default_rng(0)
        x, weights = fit.x, fit.table.weights
        if weights is not None:
            # Rows that count several times, or in part, as a sample of what they stand for.
            x = x[rng.choice(len(x), min(len(x), REPLICATE_ROWS), p=weights / weights.sum())]
        elif len(x) > REPLICATE_ROWS:
            x = x[rng.choice(len(x), REPLICATE_ROWS, replace=False)]
        simulated = [one.simulate(len(x), rng)[0] for one in fit.mixture.thinned(REPLICATES)]
        return tuple(
            cls(fit.features[j], _smoothed(x[:, j]), np.array([_smoothed(rows[:, j]) for rows in simulated]))
            for j in axes
        )

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        from matplotlib.collections import LineCollection
        from matplotlib.lines import Line2D

        ax = new_axes() if ax is None else ax
        blue = colours(1)[0]
        opacity = min(1.0, 2 * faint(len(self.simulated)))
        lines = LineCollection(
            list(np.swapaxes(self.simulated, 1, 2)), colors=[blue], alpha=opacity, linewidths=0.8, zorder=2
        )
        ax.add_collection(lines)
        ax.plot(*self.observed, color=ink(), linewidth=1.8, zorder=3)
        handles = [
            Line2D([], [], color=ink(), linewidth=1.8, label="data"),
            Line2D([], [], color=blue, linewidth=0.8, label=f"{len(self.simulated)} simulated data sets"),
        ]
        legend_above(ax, handles=handles)
        ax.autoscale_view()
        ax.set(xlabel=plain(self.feature), ylabel="density", ylim=(0, None))
        return _finished(ax)


def plot_density(
    dt: "xr.DataTree",
    *,
    features: Sequence[str] | None = None,
    given: Mapping[str, float] | None = None,
    ci_prob: float | None = None,
    progressbar: bool = True,
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
        Default: the first two that are not given.
    given : mapping of str to float, optional
        Features held at a value: the density is conditional on them, and no data are drawn.
    ci_prob : float, optional
        Posterior probability of the band. Default: ArviZ's ``rcParams["stats.ci_prob"]``.
    progressbar : bool, default True
        Show a bar where there is much to compute.
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
    fit = Fit.of(dt)
    if features is None:
        held = set(given) if isinstance(given, Mapping) else set()
        features = [name for name in fit.features if name not in held][:MOST_FEATURES] or None
    elif not isinstance(features, str) and len(features) > MOST_FEATURES:
        raise InvalidArgumentError(f"features = {list(features)} must name one or two of: {', '.join(fit.features)}.")
    grid = density(dt, features=features, given=given, ci_prob=ci_prob, progressbar=progressbar)
    kind = Plane if grid["density"].ndim == 2 else Line
    return kind.of(fit, grid, given).draw(ax)


def _condition(given: Mapping[str, float] | None) -> str:
    """On what a density is conditional, in words."""
    return "given " + ", ".join(f"{plain(n)} = {v:g}" for n, v in given.items()) if given else ""


def _smoothed(column: np.ndarray) -> np.ndarray:
    """Grid and density of a column by ArviZ's kernel estimate, (2, G)."""
    from arviz_stats.base import array_stats

    column = column[~np.isnan(column)]
    # To beyond the ends: a line that is cut off there says that nothing lies further out.
    margin = BEYOND * column.std()
    limits = (column.min() - margin, column.max() + margin)
    return np.array(array_stats.kde(column, bound_correction=False, custom_lims=limits)[:2])


def _finished(ax: "Axes", title: str = "") -> "Axes":
    if title:
        ax.set_title(title, fontsize="medium")
    open_frame(ax)
    return ax
