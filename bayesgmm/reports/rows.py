"""Rows: the least certain ones, and which belong together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count
from bayesgmm.posterior.assignments import assignments
from bayesgmm.posterior.coclustering import coclustering
from bayesgmm.record.fit import Fit
from bayesgmm.reports.axes import drawn, evenly, finish, legend, name_rows, new_axes, percent
from bayesgmm.reports.palette import behind, colours, marker, paper, shades

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# Rows of a heat map that a page can show.
HEAT_ROWS = 400
# A component of a row with less than this at the end of its interval is not drawn.
SHOWN = 0.01


@dataclass(frozen=True, eq=False)
class UnsureRows:
    """The least certain rows, the least certain first.

    Parameters
    ----------
    names : tuple of str
    probability, lower, upper : (N, K) arrays
    ci_prob : float
    components, weights : (K,) arrays
        The components' names, and how much of the rows they are.
    """

    names: tuple[str, ...]
    probability: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    ci_prob: float
    components: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, fit: Fit, soft: "xr.Dataset", most: int) -> "UnsureRows":
        """At most so many of the rows of ``soft``."""
        rows = np.argsort(-soft["entropy"].values, kind="stable")[:most]
        return cls(
            names=tuple(str(name) for name in soft["obs_id"].values[rows]),
            probability=soft["probability"].values[rows],
            lower=soft["lower"].values[rows],
            upper=soft["upper"].values[rows],
            ci_prob=float(soft.attrs["ci_prob"]),
            components=fit.components,
            weights=fit.mixture.weights.mean(axis=0),
        )

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        n_rows, n_components = self.probability.shape
        height = np.arange(n_rows)
        shown = self.upper >= SHOWN
        # Rows of many possible components are higher.
        each = max(0.2, 0.06 * float(np.median(shown.sum(axis=1))))
        ax = new_axes((7, 1.2 + each * n_rows)) if ax is None else ax
        # The intervals of a row stand a little apart.
        apart = 0.6 * ((np.cumsum(shown, axis=1) - 0.5) / np.maximum(shown.sum(axis=1, keepdims=True), 1) - 0.5)
        for k, colour in enumerate(colours(n_components)):
            seen = shown[:, k]
            at = (height + apart[:, k])[seen]
            ax.hlines(at, self.lower[seen, k], self.upper[seen, k], color=colour, linewidth=1.8, alpha=0.8)
            middle = self.probability[seen, k]
            ax.scatter(
                middle, at, color=[colour], s=22, zorder=3, edgecolors=[paper()], linewidths=0.6, marker=marker(k)
            )
        name_rows(ax, self.names)
        ax.set(xlim=(-0.02, 1.02), xlabel=f"probability, {percent(self.ci_prob)} interval", ylabel="row")
        for row in height[1::2]:
            ax.axhspan(row - 0.5, row + 0.5, color=behind(), alpha=0.5, linewidth=0, zorder=0)
        legend(ax, self.components, self.weights, above=True)
        finish(ax)
        return ax


@dataclass(frozen=True, eq=False)
class Coclustering:
    """The probabilities that rows share a component, in an order that puts like rows together.

    Parameters
    ----------
    matrix : (N, N) array
    labels : (N,) int array
        Each row's most probable component.
    n_components : int
    of_rows : int
        How many rows there are.
    """

    matrix: np.ndarray
    labels: np.ndarray
    n_components: int
    of_rows: int

    @classmethod
    def of(cls, fit: Fit, matrix: np.ndarray, labels: np.ndarray) -> "Coclustering":
        """Of the matrix and the labels of some rows in the data's order."""
        from scipy.cluster.hierarchy import leaves_list, linkage
        from scipy.spatial.distance import squareform

        order: np.ndarray = np.arange(len(matrix))
        if len(matrix) > 2:
            order = leaves_list(linkage(squareform(1 - matrix, checks=False), "average", optimal_ordering=True))
        return cls(matrix[np.ix_(order, order)], labels[order], fit.n_components, fit.table.n_rows)

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        ax = new_axes((6, 5.2)) if ax is None else ax
        image = ax.imshow(self.matrix, vmin=0, vmax=1, cmap=shades(), interpolation="nearest", aspect="equal")
        ax.figure.colorbar(image, ax=ax, label="probability of the same component", shrink=0.85)
        strip = ax.inset_axes((-0.045, 0, 0.03, 1))
        strip.imshow(colours(self.n_components)[self.labels][:, None], aspect="auto", interpolation="nearest")
        strip.set_axis_off()
        n = len(self.matrix)
        ax.set(xticks=[], yticks=[], xlabel=f"{n} of {self.of_rows} rows" if n < self.of_rows else f"{n} rows")
        return ax


def heat_rows(fit: Fit) -> np.ndarray:
    """Positions of as many rows as a heat map can show, evenly spaced."""
    return evenly(fit.table.n_rows, HEAT_ROWS)


def plot_assignments(
    dt: "xr.DataTree",
    *,
    n_rows: int = 30,
    soft: "xr.Dataset | None" = None,
    ci_prob: float | None = None,
    progressbar: bool = True,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "Axes":
    """The least certain rows: the probability of each component, with its interval.

    Rows are sorted by the entropy of their assignment, the least certain on top.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    n_rows : int, default 30
    soft : xr.Dataset, optional
        ``assignments(dt)``, where it is at hand, or ``assignments(dt, X)`` for new rows. Its intervals are drawn.
    ci_prob : float, optional
        Probability of the intervals without ``soft``. Default: ArviZ's ``rcParams["stats.ci_prob"]``.
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
    InvalidArgumentError, ModelError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_assignments(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    most = check_count(n_rows, "n_rows")
    soft = assignments(dt, ci_prob=ci_prob, progressbar=progressbar) if soft is None else soft
    return drawn(UnsureRows.of(Fit.of(dt), soft, most), ax, figsize)


def plot_coclustering(
    dt: "xr.DataTree",
    *,
    rows: Any = None,
    progressbar: bool = True,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "Axes":
    """The probabilities that rows share a component, as a heat map in an order that puts like rows together.

    The order is that of a hierarchical clustering (average linkage) of one minus the probability. Beside the map each
    row has the colour of its most probable component.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    rows : array of int, optional
        Positions of the rows to draw. Default: up to 400, evenly spaced.
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
    InvalidArgumentError, ModelError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_coclustering(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    fit = Fit.of(dt)
    chosen = heat_rows(fit) if rows is None else np.asarray(rows)
    matrix = np.asarray(coclustering(dt, rows=chosen, progressbar=progressbar))
    labels = fit.mixture.predictive(fit.observations[chosen])[1].argmax(axis=1)
    return drawn(Coclustering.of(fit, matrix, labels), ax, figsize)
