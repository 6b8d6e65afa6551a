"""The posterior of the number of occupied components."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.posterior.occupied import occupied
from bayesgmm.reports.collection import Drawing, of_backend
from bayesgmm.reports.palette import colours, hexadecimal

if TYPE_CHECKING:
    import xarray as xr
    from arviz_plots import PlotCollection
    from matplotlib.axes import Axes

# Of a bar that is worth a number above it.
LEAST_SAID = 0.005
# Half the width of a bar.
HALF = 0.35
# Numbers that have room for their names under the axis.
MOST_NAMED = 15
PARTS = ("bar", "value", "xlabel", "ylabel")


def plot_occupied(
    dt: "xr.DataTree",
    *,
    backend: str | None = None,
    visuals: Mapping[str, Any] | None = None,
    labeller: Any = None,
    ax: "Axes | None" = None,
    **pc_kwargs: Any,
) -> "PlotCollection":
    """The probability of every number of occupied components, as bars.

    Parameters
    ----------
    dt : xr.DataTree
        Draws from :func:`bayesgmm.sample`, or what :func:`bayesgmm.occupied` made of them.
    backend : {"matplotlib", "plotly", "bokeh", "none"}, optional
        Default: ArviZ's ``rcParams["plot.backend"]``.
    visuals : mapping of str to mapping or False, optional
        Of "bar", "value" (the number above a bar), "xlabel", "ylabel": arguments, or False to leave it out.
    labeller : arviz_base.labels.BaseLabeller, optional
        Names the numbers under the bars.
    ax : matplotlib Axes, optional
        To draw on, instead of a figure of its own.
    **pc_kwargs
        Passed to ``arviz_plots.PlotCollection.wrap``, such as ``figure_kwargs={"figsize": (3.35, 2.5)}``.

    Returns
    -------
    arviz_plots.PlotCollection

    Raises
    ------
    ModelError, InvalidArgumentError
    MissingPackageError
        The backend is not installed.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=3)
    >>> pc = bg.plot_occupied(bg.sample(model, draws=200, random_seed=1, progressbar=False))
    """
    from arviz_plots import visuals as draw

    drawing = Drawing(backend, visuals, labeller, ax, pc_kwargs)
    found: Any = dt if hasattr(dt, "data_vars") and "n_occupied" in dt else occupied(dt)
    probability: xr.DataArray = found["probability"]
    number = np.asarray(probability["k_plus"])
    size = (max(3.4, 1.2 + 0.45 * len(number)), 3.0)
    with drawing.figure(probability.to_dataset(), size, PARTS, aes={"overlay": ["k_plus"]}) as pc:
        plot = pc.viz["plot"].item()
        if (bar := drawing.part("bar", color=hexadecimal(colours(1)[0]))) is not None:
            pc.map(draw.hist, "bar", data=_bars(probability), **bar)
        if (value := drawing.part("value", vertical_align="bottom", horizontal_align="center")) is not None:
            pc.map(draw.annotate_xy, "value", x=probability["k_plus"], y=probability, text=_said, **value)
        drawing.label(pc, plot, x="occupied components", y="posterior probability")
        if len(number) <= MOST_NAMED:
            of_backend(pc, "xticks")(number, [drawing.name(pc, str(k), k_plus=k) for k in number], plot)
        of_backend(pc, "xlim")((0.3, len(number) + 0.7), plot)
        of_backend(pc, "ylim")((0, 1.12 * float(probability.max())), plot)
    return pc


def _bars(probability: "xr.DataArray") -> "xr.Dataset":
    """Heights and edges of the bars, as ArviZ has those of histograms."""
    import xarray as xr

    number = probability["k_plus"]
    sides = [probability, number - HALF, number + HALF]
    bars = xr.concat([xr.DataArray(side, name="probability") for side in sides], dim="plot_axis")
    named = bars.assign_coords(plot_axis=["histogram", "left_edges", "right_edges"])
    return named.expand_dims("bin", axis=-1).to_dataset(name="probability")


def _said(probability: float) -> str:
    return f"{probability:.2f}" if probability >= LEAST_SAID else ""
