"""The components' weights with their intervals: ArviZ's forest plot."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_ci_prob
from bayesgmm.record.fit import Fit
from bayesgmm.reports.axes import percent
from bayesgmm.reports.collection import Drawing, of_backend
from bayesgmm.reports.palette import colours, hexadecimal

if TYPE_CHECKING:
    import xarray as xr
    from arviz_plots import PlotCollection
    from matplotlib.axes import Axes

# The probability of the shorter interval, where that of the longer one allows it.
INNER = 0.5
# The column of ArviZ's forest plot that the intervals are in; names stand at the axis, not in a column of their own.
FOREST = {"column": ["forest"]}
PARTS = ("trunk", "twig", "point_estimate", "xlabel", "ylabel", "ticklabels")


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights' posterior, and the probabilities of the shorter and the longer interval to draw.

    Parameters
    ----------
    draws : xr.Dataset
        ``weights`` (chain, draw, component).
    mean, inner, outer : xr.Dataset
        ``weights``: (component), and the intervals' ends (component, ci_bound).
    ci_probs : (float, float)
    """

    draws: "xr.Dataset"
    mean: "xr.Dataset"
    inner: "xr.Dataset"
    outer: "xr.Dataset"
    ci_probs: tuple[float, float]

    @classmethod
    def of(cls, fit: Fit, ci_prob: float) -> "Weights":
        import arviz_stats  # noqa: F401  # the accessor `azstats`

        draws = fit.in_proportion.tree["posterior"].dataset[["weights"]]
        dims, probabilities = ["chain", "draw"], (min(INNER, ci_prob), ci_prob)
        inner, outer = (draws.azstats.eti(prob=p, dim=dims) for p in probabilities)
        return cls(draws, draws.mean(dims), inner, outer, probabilities)

    @property
    def words(self) -> str:
        """Which intervals these are."""
        inner, outer = map(percent, self.ci_probs)
        return f"{outer} interval" if inner == outer else f"{inner} and {outer} intervals"

    def draw(self, ax: "Axes | None" = None) -> "PlotCollection":
        return self.drawn(Drawing(ax=ax))

    def drawn(self, drawing: Drawing) -> "PlotCollection":
        """As a user wants it."""
        from arviz_plots import plot_forest

        components = self.mean["component"].values
        k = len(components)
        parts = {name: drawing.part(name, **style) for name, style in STYLES.items()}
        layout: dict[str, Any] = {
            "cols": ["column"], "aes": {"y": ["component"], "color": ["component"]}, "y": -np.arange(k),
            "color": [hexadecimal(colour) for colour in colours(k)],
        }  # fmt: skip
        with drawing.figure(self.draws.expand_dims(FOREST), (7.0, 1.2 + 0.3 * k), PARTS, **layout) as pc:
            plot_forest(
                self.draws, combined=True, point_estimate="mean", ci_kind="eti", ci_probs=self.ci_probs, labels=[],
                plot_collection=pc, stats={"trunk": self.inner, "twig": self.outer, "point_estimate": self.mean},
                visuals={name: False if part is None else part for name, part in parts.items()}
                | {"ticklabels": False, "remove_axis": False},
            )  # fmt: skip
            plot = pc.viz["plot"].item()
            if (ticks := drawing.part("ticklabels")) is not None:
                names = [drawing.name(pc, str(name), component=name) for name in components]
                of_backend(pc, "yticks")(-np.arange(k), names, plot, **ticks)
            drawing.label(pc, plot, x=f"weight, {self.words}", y="component")
            of_backend(pc, "ylim")((-k + 0.4, 0.6), plot)
        return pc


STYLES: dict[str, dict[str, Any]] = {
    "trunk": {"width": 4},
    "twig": {"width": 1.5},
    "point_estimate": {"size": 60, "width": 1.5},
}


def plot_weights(
    dt: "xr.DataTree",
    *,
    ci_prob: float | None = None,
    backend: str | None = None,
    visuals: Mapping[str, Any] | None = None,
    labeller: Any = None,
    ax: "Axes | None" = None,
    **pc_kwargs: Any,
) -> "PlotCollection":
    """The components' weights with their 50 % and ``ci_prob`` intervals: ArviZ's forest plot.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    ci_prob : float, optional
        Probability of the longer equal-tailed interval. Default: ArviZ's ``rcParams["stats.ci_prob"]``.
    backend : {"matplotlib", "plotly", "bokeh", "none"}, optional
        Default: ArviZ's ``rcParams["plot.backend"]``.
    visuals : mapping of str to mapping or False, optional
        Of "trunk" and "twig" (the shorter and the longer interval), "point_estimate", "xlabel", "ylabel" and
        "ticklabels": arguments, or False to leave it out.
    labeller : arviz_base.labels.BaseLabeller, optional
        Names the components.
    ax : matplotlib Axes, optional
        To draw on, instead of a figure of its own.
    **pc_kwargs
        Passed to ``arviz_plots.PlotCollection.wrap``, such as ``figure_kwargs={"figsize": (3.35, 2.5)}``.

    Returns
    -------
    arviz_plots.PlotCollection

    Raises
    ------
    InvalidArgumentError, ModelError
    MissingPackageError
        The backend is not installed.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> pc = bg.plot_weights(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    numbers = Weights.of(Fit.of(dt), check_ci_prob(ci_prob))
    return numbers.drawn(Drawing(backend, visuals, labeller, ax, pc_kwargs))
