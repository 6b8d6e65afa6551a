"""The report's pictures: drawn for light pages and for dark ones, as data to stand in the page itself."""

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.posterior.draws import Draws, observed
from bayesgmm.reports.charts import plot_assignments, plot_coclustering, plot_modes, plot_weights
from bayesgmm.reports.drawing import figure_of, plain
from bayesgmm.reports.plots import plot_clusters, plot_density, plot_uncertainty
from bayesgmm.reports.tables import SURE

if TYPE_CHECKING:
    import xarray as xr

DPI = 110
# Pairs of features that a page has room for, and single features.
MAX_PAIRS = 3
MAX_FEATURES = 6
# Replicated data sets, and rows of each, of the posterior predictive checks.
REPLICATES = 30
REPLICATE_ROWS = 2_000
DARK = {
    "figure.facecolor": "#14171b", "axes.facecolor": "#14171b", "savefig.facecolor": "#14171b", "text.color": "#e8e6e3",
    "axes.edgecolor": "#e8e6e3", "axes.labelcolor": "#e8e6e3", "xtick.color": "#e8e6e3", "ytick.color": "#e8e6e3",
    "grid.color": "#555b63", "legend.edgecolor": "#555b63",
}  # fmt: skip


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


def pictures(dt: "xr.DataTree", soft: "xr.Dataset") -> list[Picture]:
    """All pictures of a fit."""
    return [_both_themes(section, title, alt, draw) for section, title, alt, draw in _planned(dt, Draws.of(dt), soft)]


def _planned(dt: "xr.DataTree", draws: Draws, soft: "xr.Dataset") -> Iterator[tuple[str, str, str, Callable[[], Any]]]:
    """Section, title, words and drawing of every picture."""
    k, names = draws.n_components, draws.features
    brief_names = [brief(name) for name in names]
    unsure = int((soft["label_probability"] < SURE).sum())
    for pair in _telling_pairs(draws):
        named = " and ".join(brief_names[j] for j in pair)
        features = [names[j] for j in pair]
        yield (
            "components", f"Clusters by {named}",
            f"Data by {named}, coloured by component, with the 50 % and 95 % ellipses of each of the {k} components "
            "under 60 posterior draws. The components table says where they are.",
            partial(plot_clusters, dt, features=features, soft=soft),
        )  # fmt: skip
    if k > 1:
        weight = draws.weights.mean(axis=0)
        yield (
            "components", "Weights",
            "Each component's weight with its 50 % and 89 % intervals; means "
            + ", ".join(f"{w:.0%}" for w in weight) + ".",
            partial(plot_weights, dt, figure_kwargs={"figsize": (7, 1.6 + 0.4 * k)}),
        )  # fmt: skip
    if k > 1:
        features = [names[j] for j in _telling_pairs(draws)[0]]
        yield (
            "assignments", "Where the assignments are unsure",
            f"Data by {' and '.join(map(brief, features))}, darker and larger the more entropy their assignment has. "
            f"{unsure} of {soft.sizes['obs_id']} rows have less than {100 * SURE:.0f} % in their most probable "
            "component.",
            partial(plot_uncertainty, dt, features=features, soft=soft),
        )  # fmt: skip
        yield (
            "assignments", "The least certain rows",
            "Probability of each component, with its interval, of the rows whose assignment is least certain; the "
            "table below has the numbers.",
            partial(plot_assignments, dt, soft=soft, n_rows=25),
        )  # fmt: skip
        yield (
            "assignments", "Which rows belong together",
            "Heat map of the probability that two rows share a component; blocks on the diagonal are clusters.",
            partial(plot_coclustering, dt),
        )  # fmt: skip
    for j in range(min(draws.n_features, MAX_FEATURES)):
        yield (
            "density", f"Density of {brief_names[j]}",
            f"Posterior predictive density of {brief_names[j]} with its 89 % band over the histogram of the data.",
            partial(plot_density, dt, features=[names[j]]),
        )  # fmt: skip
    yield (
        "checks", "Posterior predictive checks",
        f"For each feature the density of the data beside those of {REPLICATES} data sets simulated from the "
        "posterior; the data's should look like one of them.",
        partial(_predictive_checks, dt, draws),
    )  # fmt: skip
    if "starts_log_posterior" in dt["posterior"].attrs:
        optima = np.atleast_1d(dt["posterior"].attrs["optima_log_posterior"])
        yield (
            "diagnosis", "What the starts found",
            f"Log posterior that each start reached, below the best: {len(optima)} distinct "
            f"{'optimum' if len(optima) == 1 else 'optima'}.",
            partial(plot_modes, dt),
        )  # fmt: skip


def brief(name: str, most: int = 60) -> str:
    """A name that is not too long for a heading."""
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"


def _telling_pairs(draws: Draws) -> list[tuple[int, ...]]:
    """The pairs of features in which the components lie furthest apart, relative to their widths."""
    if draws.n_features == 1:
        return [(0,)]
    middle = len(draws) // 2
    weights, means, covariances = draws.mixture(middle)
    centre = weights @ means
    between = weights @ (means - centre) ** 2
    within = weights @ np.einsum("kii->ki", covariances)
    apart = between / within
    pairs = sorted(combinations(range(draws.n_features), 2), key=lambda pair: -float(apart[list(pair)].sum()))
    return list(pairs[:MAX_PAIRS])


def _predictive_checks(dt: "xr.DataTree", draws: Draws) -> Any:
    """ArviZ's posterior predictive check of every feature, on data simulated here (a saved fit has no model)."""
    import xarray as xr
    from arviz_plots import plot_ppc_dist

    rng = np.random.default_rng(0)
    x = observed(dt)
    x = x[np.sort(rng.permutation(len(x))[:REPLICATE_ROWS])]
    chosen = draws.thinned(REPLICATES)
    replicates = np.array([chosen.simulate(len(x), s, rng) for s in range(len(chosen))])
    shown = min(draws.n_features, MAX_FEATURES)
    # Names must differ also where they were cut short.
    names = [f"{plain(name, 24)}" for name in draws.features[:shown]]
    names = [name if names.count(name) == 1 else f"{j}: {name}" for j, name in enumerate(names)]
    dims = ("chain", "draw", "obs_id", "feature")
    tree = xr.DataTree.from_dict(
        {
            "posterior_predictive": xr.Dataset({"x": (dims, replicates[None, ..., :shown])}, {"feature": names}),
            "observed_data": xr.Dataset({"x": (dims[2:], x[:, :shown])}, {"feature": names}),
        }
    )
    from matplotlib import rcParams

    return plot_ppc_dist(
        tree, cols=["feature"], col_wrap=3, num_samples=len(chosen),
        figure_kwargs={"figsize": (10, 3.4 * -(-shown // 3))},
        visuals={"observed_dist": {"color": rcParams["text.color"]}},
    )  # fmt: skip


def _both_themes(section: str, title: str, alt: str, draw: Callable[[], Any]) -> Picture:
    from matplotlib import style

    images = []
    for theme in ({}, DARK):
        with style.context(["default", {"figure.dpi": DPI, "font.size": 12.0, **theme}]):
            images.append(_png(draw))
    (light, size), (dark, _) = images
    return Picture(section, title, alt, light, dark, *size)


def _png(draw: Callable[[], Any]) -> tuple[str, tuple[int, int]]:
    """A picture as PNG of 256 colours, a third of the size of one of all colours."""
    from matplotlib import pyplot as plt
    from PIL import Image

    before = set(plt.get_fignums())
    try:
        raw = io.BytesIO()
        figure_of(draw()).savefig(raw, format="png", dpi=DPI, bbox_inches="tight")
    finally:
        # Figures that are not the user's.
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
    image = Image.open(raw).convert("RGB").quantize(256)
    packed = io.BytesIO()
    image.save(packed, format="png", optimize=True)
    return base64.b64encode(packed.getvalue()).decode("ascii"), image.size
