"""ArviZ's figures for pictures of a tree's variables: the backend, the size, the names of axes, the legend."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError, MissingPackageError
from bayesgmm.reports.axes import finish, legend_above, legible, plain

if TYPE_CHECKING:
    import xarray as xr
    from arviz_plots import PlotCollection
    from matplotlib.axes import Axes

MATPLOTLIB = "matplotlib"
BACKENDS = (MATPLOTLIB, "plotly", "bokeh", "none")
# Dots an inch of the backends that measure in dots, and what these leave empty around a picture (inches).
DOTS, AROUND = 100, 1.2


@dataclass(frozen=True)
class Drawing:
    """How a user wants a picture: ArviZ's arguments, or matplotlib's axes to draw on.

    Parameters
    ----------
    backend : {"matplotlib", "plotly", "bokeh", "none"}, optional
        Default: ArviZ's ``rcParams["plot.backend"]``.
    visuals : mapping of str to mapping or False, optional
        Arguments of the parts of the picture by their names; False leaves one out.
    labeller : arviz_base.labels.BaseLabeller, optional
    ax : matplotlib Axes, optional
    pc_kwargs : mapping
        Passed to ``PlotCollection.wrap``.
    """

    backend: Any = None
    visuals: Mapping[str, Any] | None = None
    labeller: Any = None
    ax: "Axes | None" = None
    pc_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def checked_backend(self) -> str:
        """The backend's name.

        Raises
        ------
        InvalidArgumentError, MissingPackageError
        """
        from arviz_base import rcParams

        if self.ax is not None:
            if self.backend not in (None, MATPLOTLIB) or self.pc_kwargs:
                other = f"backend = {self.backend!r}" if not self.pc_kwargs else next(iter(self.pc_kwargs))
                raise InvalidArgumentError(f"ax and {other} are both given, but axes are in a figure: leave one out.")
            return MATPLOTLIB
        name = rcParams["plot.backend"] if self.backend is None else self.backend
        if name not in BACKENDS:
            raise InvalidArgumentError(f"unknown backend {name!r}: choose one of {', '.join(map(repr, BACKENDS))}.")
        if name != "none" and find_spec(name) is None:
            raise MissingPackageError(
                f"backend = {name!r} is not installed: pip install \"arviz-plots[{name}]\", or backend='matplotlib'."
            )
        return str(name)

    @contextmanager
    def figure(
        self, data: "xr.Dataset", size: tuple[float, float], names: Sequence[str], **arguments: Any
    ) -> Iterator["PlotCollection"]:
        """A collection of plots of ``size`` (inches) unless the user gave another; finished when all is drawn.

        ``names`` are the parts that ``visuals`` may name, ``arguments`` those of ``PlotCollection.wrap``.
        """
        backend = self.checked_backend
        unknown = set(self.visuals or {}) - set(names)
        if unknown:
            raise InvalidArgumentError(
                f"visuals names {sorted(unknown)[0]!r}; the parts of this picture are {', '.join(names)}."
            )
        from arviz_plots import PlotCollection

        given = dict(self.pc_kwargs.get("figure_kwargs") or {})
        user_size = given.get("figsize") if given.get("figsize_units", "inches") == "inches" else None
        with legible(user_size if backend == MATPLOTLIB else None):
            if self.ax is not None:
                yield (pc := _around(self.ax, data, arguments))
            else:
                options = arguments | dict(self.pc_kwargs)
                options["figure_kwargs"] = _sized(backend, size) | given
                yield (pc := PlotCollection.wrap(data, backend=backend, **options))
            if backend == MATPLOTLIB:
                for ax in np.ravel(pc.viz["plot"].values):
                    finish(ax)

    def columns(self, most: int, inches: float) -> int:
        """Plots in a row: so many, or as many of at least two thirds of a width as the user's figure has room for."""
        given = dict(self.pc_kwargs.get("figure_kwargs") or {})
        size = given.get("figsize") if given.get("figsize_units", "inches") == "inches" else None
        return most if size is None else int(np.clip(size[0] / (0.6 * inches), 1, most))

    def part(self, name: str, **defaults: Any) -> dict[str, Any] | None:
        """The arguments of one part of the picture; None where it is to be left out."""
        own = (self.visuals or {}).get(name, True)
        if own is False:
            return None
        return defaults | ({} if own is True else dict(own))

    def label(self, pc: "PlotCollection", plot: Any, *, x: str, y: str) -> None:
        """The names of a plot's axes, the parts "xlabel" and "ylabel"."""
        for name, words in (("xlabel", x), ("ylabel", y)):
            if words and (own := self.part(name)) is not None:
                of_backend(pc, name)(words, plot, **own)

    def name(self, pc: "PlotCollection", default: str, **selection: Any) -> str:
        """What something is called: by the user's labeller, or as it is called in the data."""
        if self.labeller is not None:
            places = {dim: list(np.asarray(pc.data[dim])).index(value) for dim, value in selection.items()}
            return str(self.labeller.make_label_flat(next(iter(pc.data.data_vars)), selection, places))
        return plain(default) if pc.backend == MATPLOTLIB else default


def of_backend(pc: "PlotCollection", name: str) -> Callable[..., Any]:
    """A function of the backend that a collection is drawn by, such as "xlabel" or "yticks"."""
    return getattr(import_module(f"arviz_plots.backend.{pc.backend}"), name)


def add_key(pc: "PlotCollection", entries: Mapping[str, Mapping[str, Any]]) -> None:
    """A legend of lines: what each is called, and its colour, width and the like in ArviZ's words."""
    plots = np.ravel(pc.viz["plot"].values)
    if pc.backend != MATPLOTLIB:
        styles = [dict(style) for style in entries.values()]
        of_backend(pc, "legend")(pc, styles, list(entries), legend_dim=(), update_visuals=False)
        return
    from matplotlib.lines import Line2D

    words = {"width": "linewidth"}
    handles = [
        Line2D([], [], label=label, **{words.get(name, name): value for name, value in style.items()})
        for label, style in entries.items()
    ]
    if len(plots) == 1:
        legend_above(plots[0], handles=handles)
        return
    plots[0].figure.legend(
        handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize="small"
    )


def _sized(backend: str, size: tuple[float, float]) -> dict[str, Any]:
    if backend == MATPLOTLIB:
        return {"figsize": size, "layout": "constrained"}
    return {"figsize": tuple(DOTS * (side + AROUND) for side in size), "figsize_units": "dots"}


def _around(ax: "Axes", data: "xr.Dataset", arguments: Mapping[str, Any]) -> "PlotCollection":
    """A collection of the one plot that a user made."""
    import xarray as xr
    from arviz_plots import PlotCollection

    dims = list(arguments.get("cols", ()))
    n_plots = int(np.prod([data.sizes[dim] for dim in dims]))
    if n_plots > 1:
        raise InvalidArgumentError(f"this picture has {n_plots} plots, and ax is one: leave ax out, or name a feature.")
    plots = np.empty([1] * len(dims), dtype=object)
    plots[...] = ax
    places = np.zeros(plots.shape, dtype=int)
    drawn = xr.Dataset(
        {
            "figure": np.array(ax.figure, dtype=object),
            "plot": (dims, plots), "row_index": (dims, places), "col_index": (dims, places),
        },
        coords={dim: data[dim] for dim in dims},
    )  # fmt: skip
    others = {name: value for name, value in arguments.items() if name not in ("cols", "col_wrap")}
    return PlotCollection(data, xr.DataTree(drawn), backend=MATPLOTLIB, **others)
