"""The components' weights with their intervals: ArviZ's forest plot, and a plain one from numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_ci_prob
from bayesgmm.posterior.assignments import interval
from bayesgmm.record.fit import Fit
from bayesgmm.reports.axes import new_axes, open_frame, percent
from bayesgmm.reports.palette import colours, paper

if TYPE_CHECKING:
    import xarray as xr
    from arviz_plots import PlotCollection
    from matplotlib.axes import Axes

# The probability of the shorter interval, where that of the longer one allows it.
INNER = 0.5


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights' posterior means (K,), and their shorter and longer intervals (2, K)."""

    mean: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    ci_probs: tuple[float, float]

    @classmethod
    def of(cls, fit: Fit, ci_prob: float) -> "Weights":
        weights, probabilities = fit.mixture.weights, (min(INNER, ci_prob), ci_prob)
        inner, outer = (interval(weights, p) for p in probabilities)
        return cls(weights.mean(axis=0), inner, outer, probabilities)

    @property
    def words(self) -> str:
        """Which intervals these are."""
        inner, outer = map(percent, self.ci_probs)
        return f"{outer} interval" if inner == outer else f"{inner} and {outer} intervals"

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        k = len(self.mean)
        ax = new_axes((7, 1.4 + 0.4 * k)) if ax is None else ax
        at, own = np.arange(k), colours(k)
        ax.hlines(at, self.outer[0], self.outer[1], colors=own, linewidth=1.6)
        ax.hlines(at, self.inner[0], self.inner[1], colors=own, linewidth=5)
        ax.scatter(self.mean, at, c=own, s=110, edgecolors=[paper()], linewidths=1.5, zorder=3)
        ax.set_yticks(at, [f"component {i}" for i in at])
        ax.set(xlabel=f"weight, {self.words}", ylim=(k - 0.4, -0.6))
        open_frame(ax)
        return ax


def plot_weights(dt: "xr.DataTree", *, ci_prob: float | None = None, **kwargs: Any) -> "PlotCollection":
    """The components' weights with their 50 % and ``ci_prob`` intervals: ArviZ's forest plot.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    ci_prob : float, optional
        Probability of the longer equal-tailed interval. Default: ArviZ's ``rcParams["stats.ci_prob"]``.
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

    ci_prob = check_ci_prob(ci_prob)
    fit = Fit.of(dt)
    arguments: dict[str, Any] = {
        "var_names": ["weights"],
        "combined": True,
        "ci_kind": "eti",
        "ci_probs": (min(INNER, ci_prob), ci_prob),
        "point_estimate": "mean",
        "aes": {"color": ["component"]},
        "color": [tuple(c) for c in colours(fit.n_components)],
        "labels": ["component"],
    }
    pc = plot_forest(fit.in_proportion.tree, **(arguments | kwargs))
    if kwargs.get("backend") in (None, "matplotlib"):
        # Few components would stand on the axis itself.
        for ax in np.ravel(pc.viz["plot"].values):
            low, high = ax.get_ylim()
            ax.set_ylim(low - 0.3, high + 0.3)
        axes = pc.viz["plot"].sel(column="forest").item()
        axes.set_xlabel("weight")
        # The figure's margins were laid out before there was a word below its axis.
        axes.figure.set_layout_engine("constrained")
    return pc
