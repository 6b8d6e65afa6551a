"""What the drawings share: axes, names, legends, histograms, sizes. None of it knows a fit."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.reports.palette import behind, colours, ink, marker, paper, unsure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# More rows than this are drawn thinned.
MAX_POINTS = 20_000
# Figures narrower than this (inches), such as a column of a journal, have text of so many points at most.
NARROW, SMALL_TEXT = 5.0, 8.0
POINTS_AN_INCH = 72
# A character is so wide and a line so high, in the size of the text.
CHARACTER, LINE = 0.56, 1.1
# Axes narrower than this, in the size of the text, have legends above them.
SHORT_LINE = 36
# The part of a picture's width or height that words beside an axis may take.
WORDS = 0.8
# The part of a picture's height that names of rows may take, beside a legend above it.
ROWS = 0.65
# A number under a small picture has so much room (inches).
TICK = 0.85
# The sign before a name in a legend, and the gaps about it, in the size of the text.
GAPS = {"handlelength": 1.5, "handletextpad": 0.5, "columnspacing": 1.2}
# Area (square inches) of a picture in which points have their full size.
FULL_AREA = 24.0


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


def drawn(numbers: Drawable, ax: "Axes | None", figsize: Any) -> "Axes":
    """Numbers on a user's axes, or on a figure of the size that a user gave."""
    if ax is None and figsize is None:
        return numbers.draw()
    if ax is not None and figsize is not None:
        raise InvalidArgumentError(f"figsize = {figsize!r} and ax are both given, but axes have a size: leave one out.")
    with legible(figsize):
        return numbers.draw(new_axes(figsize) if ax is None else ax)


@contextmanager
def legible(figsize: Any) -> Iterator[None]:
    """Text that suits a figure's size in inches: in a narrow one it is small, as in a journal.

    Raises
    ------
    InvalidArgumentError
    """
    import matplotlib as mpl

    settings = {}
    if figsize is not None:
        size = np.asarray(figsize, dtype=object)
        if size.shape != (2,) or not all(isinstance(side, int | float | np.number) and side > 0 for side in size):
            raise InvalidArgumentError(f"figsize = {figsize!r} must be width and height in inches: (3.35, 2.5), say.")
        if size[0] < NARROW:
            settings["font.size"] = min(mpl.rcParams["font.size"], SMALL_TEXT)
    with mpl.rc_context(settings):
        yield


def finish(ax: "Axes") -> None:
    """Without the lines at the top and the right, which say nothing; long words on lines, numbers with room."""
    from matplotlib.ticker import AutoLocator

    ax.spines[["top", "right"]].set_visible(False)
    width = size_of(ax)[0]
    if width < NARROW and type(ax.xaxis.get_major_locator()) is AutoLocator:
        ax.locator_params(axis="x", nbins=max(1, int(width / TICK)))
    for axis, inches in zip((ax.xaxis, ax.yaxis), WORDS * size_of(ax), strict=True):
        letters = int(inches * POINTS_AN_INCH / (CHARACTER * float(axis.label.get_fontsize())))
        axis.set_label_text(textwrap.fill(axis.label.get_text(), max(letters, 12), break_long_words=False))


def size_of(ax: "Axes") -> np.ndarray:
    """Width and height in inches of the part of a figure that axes have, with the words beside them."""
    spec = ax.get_subplotspec()
    if spec is None:
        part = np.asarray(ax.get_position().size)
    else:
        rows, columns, *_ = spec.get_geometry()
        part = np.array([len(spec.colspan) / columns, len(spec.rowspan) / rows])
    return part * np.asarray(ax.figure.bbox.size) / ax.figure.dpi


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


def undrawn(points: np.ndarray) -> str:
    """How many rows (N, d) have no place in a picture, as a coordinate was not seen; nothing where all have one."""
    n = int(np.isnan(points).any(axis=1).sum())
    return f"{n:,} row{'s' * (n > 1)} with gaps not drawn" if n else ""


def remark(words: str) -> "Line2D":
    """Words for a legend, of no sign."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", label=words)


def legend(
    ax: "Axes",
    names: Sequence[Any] | np.ndarray,
    weights: np.ndarray,
    *,
    grey: str = "",
    more: Sequence["Line2D"] = (),
    above: bool = False,
) -> None:
    """Which colour is which component, and its weight; what is ``grey``; more; beside the picture, or ``above`` it."""
    from matplotlib.lines import Line2D

    narrow = is_narrow(ax)
    called = [plain(str(name), 20) if narrow else _called(name) for name in names]
    handles = [
        Line2D([], [], marker=marker(k), linestyle="", color=colour, markersize=6, label=f"{name} ({weight:.0%})")
        for k, (name, weight, colour) in enumerate(zip(called, weights, colours(len(weights)), strict=True))
    ]
    if grey:
        style: dict[str, Any] = {"markerfacecolor": unsure(), "markeredgecolor": ink()}
        handles.append(Line2D([], [], marker="o", linestyle="", markersize=4, label=grey, **style))
    handles += more
    if above or narrow:
        legend_above(ax, handles=handles)
        return
    ax.legend(handles=handles, frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))


def legend_above(ax: "Axes", **kwargs: Any) -> None:
    """A legend that stands over nothing that is drawn, in as many columns as there is room for."""
    from matplotlib.font_manager import FontProperties

    handles = kwargs.pop("handles", None) or ax.get_legend_handles_labels()[0]
    if not handles:
        return
    size = FontProperties(size="small").get_size_in_points()
    widths = np.array([len(str(handle.get_label())) * CHARACTER + sum(GAPS.values()) for handle in handles]) * size
    room = WORDS * size_of(ax)[0] * POINTS_AN_INCH
    # As many columns as fit, each as wide as its longest words.
    columns = (n for n in range(len(handles), 1, -1) if sum(w.max() for w in np.array_split(widths, n)) <= room)
    ax.legend(
        handles=handles, frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(-0.02, 1.0),
        ncols=next(columns, 1), **GAPS, **kwargs,
    )  # fmt: skip


def is_narrow(ax: "Axes") -> bool:
    """Whether a line of text that fits under axes is a short one."""
    import matplotlib as mpl

    return bool(size_of(ax)[0] * POINTS_AN_INCH < SHORT_LINE * mpl.rcParams["font.size"])


def name_rows(ax: "Axes", names: Sequence[str]) -> None:
    """Rows under each other from the top, the first of them and as many more as there is room for with their names."""
    own = ticked(ax, len(names))
    ax.set_yticks(own, [plain(names[row], 20) for row in own])
    ax.set_ylim(len(names) - 0.4, -0.6)


def ticked(ax: "Axes", n: int) -> np.ndarray:
    """The rows that have room for their names."""
    from matplotlib.font_manager import FontProperties

    lines = ROWS * size_of(ax)[1] * POINTS_AN_INCH / (LINE * FontProperties(size="medium").get_size_in_points())
    return np.arange(0, n, max(1, int(np.ceil(n / max(lines, 1)))))


def evenly(n: int, most: int) -> np.ndarray:
    """At most so many of n positions, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))


def point_size(n_points: int, ax: "Axes") -> float:
    """Area of a point, smaller where there are many, and in a small picture."""
    share = min(1.0, float(size_of(ax).prod()) / FULL_AREA)
    return float(np.clip(26 * (400 / n_points) ** 0.5 * share, 4, 30))


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
