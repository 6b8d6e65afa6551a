"""The page's pictures: drawn on light paper and on dark, as data to stand in the page itself."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bayesgmm.model.prior import shortened
from bayesgmm.progress import progress
from bayesgmm.reports.axes import Drawable, figure_of, percent
from bayesgmm.reports.clusters import SHOWN_DRAWS, Clusters
from bayesgmm.reports.findings import Findings
from bayesgmm.reports.replicates import REPLICATES
from bayesgmm.reports.tables import SURE

DPI = 110
# Two pictures stand side by side on a page, at about half their size.
FONT_SIZE = 15.0
DARK = {
    "figure.facecolor": "#14171b", "axes.facecolor": "#14171b", "savefig.facecolor": "#14171b", "text.color": "#e8e6e3",
    "axes.edgecolor": "#e8e6e3", "axes.labelcolor": "#e8e6e3", "xtick.color": "#e8e6e3", "ytick.color": "#e8e6e3",
    "grid.color": "#555b63", "legend.edgecolor": "#555b63",
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A picture to be drawn: its section and title, what it shows in words, and its numbers."""

    section: str
    title: str
    alt: str
    numbers: Drawable


@dataclass(frozen=True)
class Picture:
    """One figure of the page: PNG images in base64, and what they show, in words."""

    section: str
    title: str
    alt: str
    light: str
    dark: str
    width: int
    height: int


def pictures(found: Findings, *, progressbar: bool = False) -> list[Picture]:
    """All pictures of a fit."""
    each = (_of_components, _of_assignments, _of_density, _of_search, _of_selection)
    planned = [plan for of in each for plan in of(found)]
    # Drawing takes longer than most of the numbers, whatever the fit.
    with progress("Pictures", len(planned), work=np.inf, show=progressbar) as done:
        drawn = []
        for plan in planned:
            drawn.append(_both_themes(plan))
            done()
    return drawn


def _of_components(found: Findings) -> Iterator[Plan]:
    for numbers in found.clusters:
        if isinstance(numbers, Clusters):
            named = " and ".join(shortened(name) for name in numbers.features)
            seen = f"Data by {named}, coloured by component, with the 50 % and 95 % ellipses of"
        else:
            named = shortened(numbers.feature)
            seen = f"Histogram of {named} with the density of the mixture and of"
        yield Plan(
            "components", f"Clusters by {named}",
            f"{seen} each of the {len(numbers.weights)} components under {SHOWN_DRAWS} posterior draws. The components "
            "table says where they are.",
            numbers,
        )  # fmt: skip
    if found.weights is not None:
        means = ", ".join(f"{w:.0%}" for w in found.weights.mean["weights"].values)
        yield Plan(
            "components", "Weights", f"Each component's weight with its {found.weights.words}; means {means}.",
            found.weights,
        )  # fmt: skip


def _of_assignments(found: Findings) -> Iterator[Plan]:
    if found.uncertainty is not None:
        named = " and ".join(map(shortened, found.uncertainty.features))
        yield Plan(
            "assignments", "Where the assignments are unsure",
            f"Data by {named}, darker and larger the more entropy their assignment has. {found.n_unsure} of "
            f"{found.soft.sizes['obs_id']} rows have less than {percent(SURE)} in their most probable component.",
            found.uncertainty,
        )  # fmt: skip
    if found.unsure_rows is not None:
        yield Plan(
            "assignments", "The least certain rows",
            f"Probability of each component, with its {percent(found.ci_prob)} interval, of the rows whose assignment "
            "is least certain; the table below has the numbers.",
            found.unsure_rows,
        )  # fmt: skip
    if found.coclustering is not None:
        yield Plan(
            "assignments", "Which rows belong together",
            "Heat map of the probability that two rows share a component; blocks on the diagonal are clusters.",
            found.coclustering,
        )  # fmt: skip


def _of_density(found: Findings) -> Iterator[Plan]:
    for line in found.densities:
        name = shortened(line.features[0])
        yield Plan(
            "density", f"Density of {name}",
            f"Posterior predictive density of {name} with its {percent(found.ci_prob)} band over the histogram of the "
            "data.",
            line,
        )  # fmt: skip
    for check in found.checks:
        name = shortened(check.feature)
        yield Plan(
            "checks", f"Simulated {name}",
            f"The density of {name} in the data beside those in {REPLICATES} data sets simulated from the posterior; "
            "the data's should look like one of them.",
            check,
        )  # fmt: skip


def _of_search(found: Findings) -> Iterator[Plan]:
    if found.search is not None:
        yield Plan(
            "diagnosis", "What the starts found",
            f"Log posterior that each start reached, below the best: {found.search.words}.",
            found.search,
        )  # fmt: skip


def _of_selection(found: Findings) -> Iterator[Plan]:
    if found.selection is not None:
        yield Plan(
            "selection", "The models that were compared",
            "BIC of every model above that of the first in rank, by number of components and covariance structure; the "
            "table has the numbers.",
            found.selection,
        )  # fmt: skip


def _both_themes(plan: Plan) -> Picture:
    from matplotlib import style

    images = []
    for theme in ({}, DARK):
        with style.context(["default", {"figure.dpi": DPI, "font.size": FONT_SIZE, **theme}]):
            images.append(_png(plan.numbers))
    (light, size), (dark, _) = images
    return Picture(plan.section, plan.title, plan.alt, light, dark, *size)


def _png(numbers: Drawable) -> tuple[str, tuple[int, int]]:
    """A picture as PNG of 256 colours, a third of the size of one of all colours."""
    from matplotlib import pyplot as plt
    from PIL import Image

    before = set(plt.get_fignums())
    try:
        raw = io.BytesIO()
        figure_of(numbers.draw()).savefig(raw, format="png", dpi=DPI, bbox_inches="tight")
    finally:
        # Figures that are not the user's.
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
    image = Image.open(raw).convert("RGB").quantize(256)
    packed = io.BytesIO()
    image.save(packed, format="png", optimize=True)
    return base64.b64encode(packed.getvalue()).decode("ascii"), image.size
