"""What the pictures share: axes, names, legends, ellipses, sizes."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.posterior.draws import Draws
from bayesgmm.reports.palette import behind, colours, ink, paper, unsure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def ellipse(mean: np.ndarray, covariance: np.ndarray, probability: float, n_points: int = 90) -> np.ndarray:
    """Points (n_points, 2) of the ellipse that holds ``probability`` of a two-dimensional normal distribution."""
    radius = np.sqrt(-2 * np.log1p(-probability))
    angle = np.linspace(0, 2 * np.pi, n_points)
    circle = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    return mean + circle @ np.linalg.cholesky(covariance).T


def new_axes(size: tuple[float, float] = (7, 5)) -> "Axes":
    """Axes of a figure of their own."""
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def figure_of(drawn: Any) -> "Figure":
    """The figure that matplotlib's Axes or ArviZ's PlotCollection are in."""
    return drawn.viz["figure"].item() if hasattr(drawn, "viz") else drawn.figure


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


def legend(ax: "Axes", draws: Draws, *, unsure_too: bool, above: bool = False) -> None:
    """Which colour is which component, and its weight; ``above`` a picture that is full."""
    from matplotlib.lines import Line2D

    weight = draws.weights.mean(axis=0)
    own = colours(draws.n_components)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=own[k], markersize=6, label=f"component {k} ({weight[k]:.0%})")
        for k in range(draws.n_components)
    ]
    if unsure_too:
        handles.append(
            Line2D(
                [], [], marker="o", linestyle="", markersize=4, markerfacecolor=unsure(), markeredgecolor=ink(),
                label="unsure",
            )
        )  # fmt: skip
    place: dict[str, Any] = {}
    if above:
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": min(3, draws.n_components)}
    elif draws.n_components > 4:  # a long one stands beside the picture
        place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    ax.legend(handles=handles, frameon=False, fontsize="small", **place)
    ax.spines[["top", "right"]].set_visible(False)


def evenly(n: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))


def point_size(n_points: int) -> float:
    """Area of a point, smaller where there are many."""
    return float(np.clip(26 * (400 / n_points) ** 0.5, 4, 30))


def faint(n_draws: int) -> float:
    """Opacity at which many lines together still show where they agree."""
    return float(np.clip(3.0 / n_draws, 0.03, 1.0))


def histogram(ax: "Axes", column: np.ndarray) -> None:
    """The data behind a density. (Rice's rule: a width chosen by the data may ask for millions of bins.)"""
    bins = int(np.clip(2 * len(column) ** (1 / 3), 8, 60))
    ax.hist(column, bins=bins, density=True, color=behind(), edgecolor=paper(), zorder=1)


def name_components(ax: "Axes", centre: np.ndarray) -> None:
    """The components' numbers at their centres, so that no one has to go by colour."""
    from matplotlib.patheffects import withStroke

    for k, (a, b) in enumerate(centre):
        ax.annotate(
            str(k), (a, b), xytext=(6, 5), textcoords="offset points", fontweight="bold", fontsize="small", zorder=5,
            path_effects=[withStroke(linewidth=2.5, foreground=paper())],
        )  # fmt: skip
