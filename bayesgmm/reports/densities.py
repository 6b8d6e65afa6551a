"""The posterior predictive density over the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.posterior.density import density
from bayesgmm.record.fit import Fit
from bayesgmm.reports.axes import MAX_POINTS, Histogram, evenly, percent, plain, point_size, undrawn
from bayesgmm.reports.collection import MATPLOTLIB, Drawing, add_key, of_backend
from bayesgmm.reports.palette import behind, colours, hexadecimal, ink, paper

if TYPE_CHECKING:
    import xarray as xr
    from arviz_plots import PlotCollection
    from matplotlib.axes import Axes

# Shares of the probability that the lines of a two-dimensional density hold.
DENSITY_LEVELS = (0.95, 0.8, 0.5, 0.2)
# Plots in a row, and the size of each where there are several (inches).
COLUMNS, PANEL = 4, (2.6, 2.2)
SINGLE = (7.0, 5.0)
LINE_PARTS = ("data", "band", "density", "xlabel", "ylabel", "legend")
PLANE_PARTS = ("shade", *LINE_PARTS)
# Widths of lines; the legend shows an area by a line as wide as this.
LINE_WIDTH, EDGE_WIDTH, AREA_WIDTH = 1.6, 0.7, 6.0
SHADE_ALPHA, FAINT = 0.3, 0.5


@dataclass(frozen=True, eq=False)
class Lines:
    """The densities of features one by one with their bands, and the data's histograms where nothing is given.

    Parameters
    ----------
    grid : xr.Dataset
        ``density``, ``lower``, ``upper`` and the places ``at``, each (feature, point).
    data : xr.Dataset or None
        ``density`` (feature, plot_axis, bin): the histograms' heights and edges, as ArviZ has them.
    condition : str
        What is given, in words.
    """

    grid: "xr.Dataset"
    data: "xr.Dataset | None"
    condition: str = ""

    @classmethod
    def of(cls, fit: Fit, grids: Sequence["xr.Dataset"], given: Mapping[str, float] | None = None) -> "Lines":
        """Of what :func:`bayesgmm.density` returns of each feature."""
        import xarray as xr

        names = [str(grid["density"].dims[0]) for grid in grids]
        parts = [
            xr.Dataset(
                {key: ("point", grid[key].values) for key in ("density", "lower", "upper")}
                | {"at": ("point", grid[name].values)}
            )
            for name, grid in zip(names, grids, strict=True)
        ]
        whole = xr.concat(parts, dim="feature").assign_coords(feature=names).assign_attrs(grids[0].attrs)
        return cls(whole, None if given else _histograms(fit, names), _condition(given))

    @property
    def features(self) -> list[str]:
        return [str(name) for name in self.grid["feature"].values]

    def draw(self, ax: "Axes | None" = None) -> "PlotCollection":
        return self.drawn(Drawing(ax=ax))

    def drawn(self, drawing: Drawing) -> "PlotCollection":
        """As a user wants it."""
        n = len(self.features)
        columns = min(n, drawing.columns(COLUMNS, PANEL[0]))
        size = SINGLE if n == 1 else (PANEL[0] * columns, 0.4 + PANEL[1] * -(-n // columns))
        layout: dict[str, Any] = {"cols": ["feature"], "col_wrap": columns}
        with drawing.figure(self.grid[["density"]], size, LINE_PARTS, **layout) as pc:
            key = self._parts(drawing, pc)
            for i, name in enumerate(self.features):
                plot = pc.viz["plot"].sel(feature=name).item()
                words = f"density{self.condition}" if i % columns == 0 else ""
                drawing.label(pc, plot, x=drawing.name(pc, name, feature=name), y=words)
                of_backend(pc, "ylim")((0, 1.05 * self._highest(name)), plot)
            if drawing.part("legend") is not None:
                add_key(pc, key)
        return pc

    def _parts(self, drawing: Drawing, pc: "PlotCollection") -> dict[str, dict[str, Any]]:
        """The lines, bands and histograms, drawn; and what the legend says of each."""
        from arviz_plots import visuals as draw

        grid, blue, grey = self.grid, hexadecimal(colours(1)[0]), hexadecimal(behind())
        key: dict[str, dict[str, Any]] = {}
        # Matplotlib would draw bars over bands.
        behind_all = {"zorder": 0.5} if pc.backend == MATPLOTLIB else {}
        if self.data is not None and (part := drawing.part("data", color=grey, **behind_all)) is not None:
            pc.map(draw.hist, "data", data=self.data, **part)
            key["data"] = {"color": grey, "width": AREA_WIDTH}
        if (part := drawing.part("band", color=blue, alpha=SHADE_ALPHA)) is not None:
            ends = {"y_bottom": grid["lower"], "y_top": grid["upper"]}
            pc.map(draw.fill_between_y, "band", x=grid["at"], **ends, **part)
            light = hexadecimal(SHADE_ALPHA * colours(1)[0] + (1 - SHADE_ALPHA) * paper())
            key[f"{percent(grid.attrs['ci_prob'])} band"] = {"color": light, "width": AREA_WIDTH}
        if (part := drawing.part("density", color=blue, width=LINE_WIDTH)) is not None:
            pc.map(draw.line_xy, "density", x=grid["at"], **part)
            key["density"] = {"color": blue, "width": LINE_WIDTH}
        return key

    def _highest(self, feature: str) -> float:
        own = float(self.grid["upper"].sel(feature=feature).max())
        return own if self.data is None else max(own, float(self.data["density"].sel(feature=feature)[0].max()))


@dataclass(frozen=True, eq=False)
class Plane:
    """The density of two features with its band, and the rows where nothing is given.

    Parameters
    ----------
    names : tuple of two str
    grid : xr.Dataset
        ``density``, ``lower`` and ``upper`` (x, y), with the places as coordinates.
    levels : tuple of float
        The heights above which the density holds each of ``DENSITY_LEVELS``.
    points : (N, 2) array or None
    condition : str
        What is given, in words.
    note : str
        What is said of rows that have no place in the picture; empty where all have one.
    """

    names: tuple[str, ...]
    grid: "xr.Dataset"
    levels: tuple[float, ...]
    points: np.ndarray | None
    condition: str = ""
    note: str = ""

    @classmethod
    def of(cls, fit: Fit, grid: "xr.Dataset", given: Mapping[str, float] | None = None) -> "Plane":
        """Of what :func:`bayesgmm.density` returns of two features."""
        import xarray as xr

        heights = np.sort(grid["density"].values, axis=None)[::-1]
        held = np.cumsum(heights) / heights.sum()
        levels = tuple(float(heights[np.searchsorted(held, share)]) for share in DENSITY_LEVELS)
        names = tuple(str(name) for name in grid["density"].dims)
        x = fit.x[:, [fit.features.index(name) for name in names]]
        plane = xr.Dataset(
            {key: (("x", "y"), grid[key].values) for key in ("density", "lower", "upper")},
            coords={dim: grid[name].values for dim, name in zip("xy", names, strict=True)},
            attrs=grid.attrs,
        )
        if given:
            return cls(names, plane, levels, None, _condition(given))
        return cls(names, plane, levels, x[evenly(len(x), MAX_POINTS)], note=undrawn(x))

    def draw(self, ax: "Axes | None" = None) -> "PlotCollection":
        return self.drawn(Drawing(ax=ax))

    def drawn(self, drawing: Drawing) -> "PlotCollection":
        """As a user wants it."""
        with drawing.figure(self.grid[["density"]], SINGLE, PLANE_PARTS) as pc:
            key = self._parts(drawing, pc)
            x, y = (plain(name) if pc.backend == MATPLOTLIB else name for name in self.names)
            drawing.label(pc, pc.viz["plot"].item(), x=x, y=y)
            if drawing.part("legend") is not None:
                add_key(pc, key)
        return pc

    def _parts(self, drawing: Drawing, pc: "PlotCollection") -> dict[str, dict[str, Any]]:
        """The lines, shades and points, drawn; and what the legend says of them."""
        from arviz_plots import visuals as draw

        blue = hexadecimal(colours(1)[0])
        key: dict[str, dict[str, Any]] = {}
        if (part := drawing.part("shade", color=blue, alpha=SHADE_ALPHA / 2)) is not None:
            highest = 1.01 * float(self.grid["density"].max())
            for level in self.levels:  # one over the other: the denser, the darker
                self._lines(pc, "shade", "density", of_backend(pc, "contourf"), levels=[level, highest], **part)
        if self.points is not None and (part := drawing.part("data", **self._dots(pc))) is not None:
            pc.map(draw.scatter_xy, "data", x=self.points[:, 0], y=self.points[:, 1], **part)
        contour, levels = of_backend(pc, "contour"), list(self.levels)
        if (part := drawing.part("density", color=blue, **_stroke(pc, LINE_WIDTH, "solid"))) is not None:
            self._lines(pc, "density", "density", contour, levels=levels, **part)
            shares = ", ".join(f"{100 * share:.0f}" for share in sorted(DENSITY_LEVELS))
            key[f"lines that hold {shares} %{self.condition}"] = {"color": blue, "width": LINE_WIDTH}
        if (part := drawing.part("band", color=blue, **_stroke(pc, EDGE_WIDTH, "dashed"))) is not None:
            for end in ("lower", "upper"):
                self._lines(pc, f"band_{end}", end, contour, levels=levels, **part)
            style = {"linestyle": "dashed"} if pc.backend == MATPLOTLIB else {}
            key[f"{percent(self.grid.attrs['ci_prob'])} band"] = {"color": blue, "width": EDGE_WIDTH, **style}
        if self.note and drawing.part("data") is not None:
            key[self.note] = {"color": blue, "width": 0}
        return key

    def _dots(self, pc: "PlotCollection") -> dict[str, Any]:
        assert self.points is not None
        own = {"size": point_size(len(self.points), pc.viz["plot"].item()) / 4} if pc.backend == MATPLOTLIB else {}
        return {"color": hexadecimal(ink()), "alpha": 0.35, "width": 0, **own}

    def _lines(self, pc: "PlotCollection", label: str, quantity: str, draw: Any, **style: Any) -> None:
        """Lines of equal density, or what is between them."""

        def along(grid: "xr.DataArray", target: Any, **kwargs: Any) -> Any:
            return draw(grid["x"].values, grid["y"].values, grid.values, target, **kwargs)

        data = self.grid[[quantity]].rename({quantity: "density"} if quantity != "density" else {})
        # Some backends draw every line by itself, which are then not one thing to keep.
        pc.map(along, label, data=data, store_artist=pc.backend == MATPLOTLIB, **style)


def plot_density(
    dt: "xr.DataTree",
    *,
    features: Sequence[str] | None = None,
    given: Mapping[str, float] | None = None,
    ci_prob: float | None = None,
    progressbar: bool = True,
    backend: str | None = None,
    visuals: Mapping[str, Any] | None = None,
    labeller: Any = None,
    ax: "Axes | None" = None,
    **pc_kwargs: Any,
) -> "PlotCollection":
    """The posterior predictive density with its band, over the data.

    Of two features: lines that hold 20, 50, 80 and 95 % of the probability, drawn through the density and, dashed,
    through the ends of its band; the legend counts the rows that lack one of the two. Of one feature, or three and
    more: a plot for each with its density and band, over the histogram; the other features are integrated out.

    Parameters
    ----------
    dt : xr.DataTree
        Draws; they need not be relabelled.
    features : sequence of str, optional
        Default: all that are not given.
    given : mapping of str to float, optional
        Features held at a value: the density is conditional on them, and no data are drawn.
    ci_prob : float, optional
        Posterior probability of the band. Default: ArviZ's ``rcParams["stats.ci_prob"]``.
    progressbar : bool, default True
        Show a bar where there is much to compute.
    backend : {"matplotlib", "plotly", "bokeh", "none"}, optional
        Default: ArviZ's ``rcParams["plot.backend"]``.
    visuals : mapping of str to mapping or False, optional
        Of "data", "band", "density", "xlabel", "ylabel", "legend", and of two features "shade": arguments, or False to
        leave it out.
    labeller : arviz_base.labels.BaseLabeller, optional
        Names the features under the plots of one feature each.
    ax : matplotlib Axes, optional
        To draw on, instead of a figure of its own; of one feature or two.
    **pc_kwargs
        Passed to ``arviz_plots.PlotCollection.wrap``, such as ``figure_kwargs={"figsize": (3.35, 2.5)}``.

    Returns
    -------
    arviz_plots.PlotCollection

    Raises
    ------
    InvalidArgumentError
    MissingPackageError
        The backend is not installed.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> dt = bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1)
    >>> pc = bg.plot_density(dt, given={"waiting": 80})
    """
    fit, drawing = Fit.of(dt), Drawing(backend, visuals, labeller, ax, pc_kwargs)
    if features is None:
        held = set(given) if isinstance(given, Mapping) else set()
        features = [name for name in fit.features if name not in held]
    asked = [[name] for name in features] if len(features) > 2 and not isinstance(features, str) else [features]
    _check_room(asked)
    drawing.checked_backend  # noqa: B018  # before anything is computed
    grids = [density(dt, features=own or None, given=given, ci_prob=ci_prob, progressbar=progressbar) for own in asked]
    if len(grids) == 1 and grids[0]["density"].ndim == 2:
        return Plane.of(fit, grids[0], given).drawn(drawing)
    return Lines.of(fit, grids, given).drawn(drawing)


def _check_room(asked: Sequence[Any]) -> None:
    from arviz_base import rcParams

    most = rcParams["plot.max_subplots"]
    if most is not None and len(asked) > most:
        raise InvalidArgumentError(
            f"a plot of each of {len(asked)} features is more than ArviZ's rcParams['plot.max_subplots'] = {most}: "
            f"name up to {most} with features."
        )


def _condition(given: Mapping[str, float] | None) -> str:
    """On what a density is conditional, in words."""
    return " given " + ", ".join(f"{plain(n)} = {v:g}" for n, v in given.items()) if given else ""


def _stroke(pc: "PlotCollection", width: float, style: str) -> dict[str, Any]:
    """How lines of equal density are drawn: matplotlib has its own words, and other backends no dashes here."""
    if pc.backend == MATPLOTLIB:
        return {"linewidths": width, "linestyles": style}
    return {} if style == "solid" else {"alpha": FAINT}


def _histograms(fit: Fit, names: Sequence[str]) -> "xr.Dataset":
    """Heights and edges of the features' histograms, filled up with bars of no width to the same number."""
    import xarray as xr

    of_features = [Histogram.of(fit.x[:, fit.features.index(name)], fit.table.weights) for name in names]
    most = max(len(own.heights) for own in of_features)
    bars = np.empty((len(names), 3, most))
    for bar, own in zip(bars, of_features, strict=True):
        lacking = (0, most - len(own.heights))
        edges = np.pad(own.edges, lacking, "edge")
        bar[:] = np.pad(own.heights, lacking), edges[:-1], edges[1:]
    return xr.Dataset(
        {"density": (("feature", "plot_axis", "bin"), bars)},
        coords={"feature": list(names), "plot_axis": ["histogram", "left_edges", "right_edges"]},
    )
