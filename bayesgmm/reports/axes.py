"""What the drawings share: axes, names, legends, histograms, sizes. None of it knows a fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bayesgmm.reports.palette import behind, colours, ink, paper, unsure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More rows than this are drawn thinned.
MAX_POINTS = 20_000


class Drawable(Protocol):
    """Numbers that can be drawn, as often as there are themes."""

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        """Draw them on axes of their own, or on those given."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """The data behind a density: heights (B,) between edges (B + 1,)."""

    heights: np.ndarray
    edges: np.ndarray

    @classmethod
    def of(cls, column: np.ndarray, row_weights: np.ndarray | None = None) -> "Histogram":
        """Of a column, whose rows may weigh differently; values that were not seen are left out."""
        seen = ~np.isnan(column)
        column, row_weights = column[seen], None if row_weights is None else row_weights[seen]
        # Rice's rule: a width chosen by the data may ask for millions of bins.
        bins = int(np.clip(2 * len(column) ** (1 / 3), 8, 60))
        return cls(*np.histogram(column, bins=bins, density=True, weights=row_weights))

    def draw(self, ax: "Axes") -> None:
        ax.bar(
            self.edges[:-1], self.heights, np.diff(self.edges), align="edge", color=behind(), edgecolor=paper(),
            linewidth=0.8, zorder=1, label="data",
        )  # fmt: skip


def new_axes(size: tuple[float, float] = (7, 5)) -> "Axes":
    """Axes of a figure of their own."""
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def figure_of(drawn: Any) -> "Figure":
    """The figure that matplotlib's Axes or ArviZ's PlotCollection are in."""
    return drawn.viz["figure"].item() if hasattr(drawn, "viz") else drawn.figure


def open_frame(ax: "Axes") -> None:
    """Without the lines at the top and the right, which say nothing."""
    ax.spines[["top", "right"]].set_visible(False)


def plain(name: str, most: int = 60) -> str:
    """A name from the data as matplotlib can show it: on one line, not too long, and not read as mathematics.

    What the font has no glyph for, such as most emoji, becomes a replacement character.
    """
    import matplotlib as mpl

    families = tuple(mpl.rcParams["font.family"])
    known = _glyphs(tuple(f for family in families for f in mpl.rcParams.get(f"font.{family}", [family])))
    printable = "".join(c if ord(c) in known else "\ufffd" if c.isprintable() else " " for c in name)
    short = printable if len(printable) <= most else printable[: most - 1] + "\u2026"
    return short.replace("$", r"\$")


@lru_cache(maxsize=8)
def _glyphs(families: tuple[str, ...]) -> frozenset[int]:
    """The characters that the fonts have."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known: set[int] = set()
    for family in families:
        try:
            known |= set(get_font(findfont(FontProperties(family=[family]), fallback_to_default=False)).get_charmap())
        except ValueError:  # not installed
            continue
    return frozenset(known)


def percent(probability: float) -> str:
    """A probability that was chosen, as a percentage."""
    return f"{100 * probability:g} %"


def legend(
    ax: "Axes", names: Sequence[Any] | np.ndarray, weights: np.ndarray, *, grey: str = "", above: bool = False
) -> None:
    """Which colour is which component, and its weight; what is ``grey``; ``above`` a picture that is full."""
    from matplotlib.lines import Line2D

    own = colours(len(weights))
    handles = [
        Line2D([], [], marker="o", linestyle="", color=colour, markersize=6, label=f"{_called(name)} ({weight:.0%})")
        for name, weight, colour in zip(names, weights, own, strict=True)
    ]
    if grey:
        style: dict[str, Any] = {"markerfacecolor": unsure(), "markeredgecolor": ink()}
        handles.append(Line2D([], [], marker="o", linestyle="", markersize=4, label=grey, **style))
    place: dict[str, Any] = {}
    if above:
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": min(3, len(weights))}
    elif len(weights) > 4:  # a long one stands beside the picture
        place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    ax.legend(handles=handles, frameon=False, fontsize="small", **place)


def legend_above(ax: "Axes", **kwargs: Any) -> None:
    """A legend that stands over nothing that is drawn."""
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, **kwargs)


def evenly(n: int, most: int) -> np.ndarray:
    """At most so many of n positions, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))


def point_size(n_points: int) -> float:
    """Area of a point, smaller where there are many."""
    return float(np.clip(26 * (400 / n_points) ** 0.5, 4, 30))


def faint(n_draws: int) -> float:
    """Opacity at which many lines together still show where they agree."""
    return float(np.clip(5.0 / n_draws, 0.03, 1.0))


def _called(name: Any) -> str:
    return plain(name, 20) if isinstance(name, str) else f"component {name}"


def name_components(ax: "Axes", names: Sequence[Any] | np.ndarray, centre: np.ndarray) -> None:
    """The components' names at their centres, so that no one has to go by colour."""
    from matplotlib.patheffects import withStroke

    for name, at in zip(names, centre, strict=True):
        ax.annotate(
            plain(str(name), 20), at, xytext=(6, 5), textcoords="offset points", fontweight="bold", fontsize="small",
            zorder=5, path_effects=[withStroke(linewidth=2.5, foreground=paper())],
        )  # fmt: skip
