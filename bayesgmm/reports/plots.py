"""Pictures of a mixture's posterior."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.posterior.assignments import assignments
from bayesgmm.posterior.draws import Draws, observed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which colour-blind readers can tell apart, without its yellow and with darker repeats.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00",
    "#004060", "#7A3500", "#005A42", "#75446A", "#2B6C8F", "#8A5F00",
)  # fmt: skip
UNSURE = "#C8C8C8"
ELLIPSE_LEVELS = (0.5, 0.95)


def colours(n_components: int) -> np.ndarray:
    """RGB colours of the components, (K, 3)."""
    from matplotlib.colors import to_rgb

    return np.array([to_rgb(COLOURS[k % len(COLOURS)]) for k in range(n_components)])


def certainty_colours(probability: np.ndarray) -> np.ndarray:
    """A colour for every row, (N, 3): its component's where that is certain, through to grey where it is not.

    The mix follows the share of the largest entropy, so that a row between two components fades whatever K is.
    """
    from matplotlib.colors import to_rgb

    n_components = probability.shape[1]
    own = colours(n_components)[probability.argmax(axis=1)]
    if n_components == 1:
        return own
    # 1 where one component has it all, 0 where the two best tie.
    best = np.sort(probability, axis=1)[:, -2:]
    certainty = (best[:, 1] - best[:, 0])[:, None]
    return certainty * own + (1 - certainty) * np.array(to_rgb(UNSURE))


def ellipse(mean: np.ndarray, covariance: np.ndarray, probability: float, n_points: int = 90) -> np.ndarray:
    """Points (n_points, 2) of the ellipse that holds ``probability`` of a two-dimensional normal distribution."""
    radius = np.sqrt(-2 * np.log1p(-probability))
    angle = np.linspace(0, 2 * np.pi, n_points)
    circle = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    return mean + circle @ np.linalg.cholesky(covariance).T


def _faint(n_draws: int) -> float:
    """Opacity at which many lines together still show where they agree."""
    return float(np.clip(3.0 / n_draws, 0.03, 1.0))


def _choose_features(names: tuple[str, ...], features: Any) -> list[int]:
    if features is None:
        return list(range(min(2, len(names))))
    unknown = [f for f in features if f not in names]
    if unknown or len(features) != 2:
        raise InvalidArgumentError(f"features = {features!r} must name two of: {', '.join(names)}.")
    return [names.index(f) for f in features]


def plot_clusters(
    dt: "xr.DataTree", *, features: tuple[str, str] | None = None, n_draws: int = 60, ax: "Axes | None" = None
) -> "Axes":
    """The data and the components, with the posterior's spread in both.

    Rows are coloured by their component and fade to grey as the two most probable ones draw level. Every component is
    drawn as its 50 % and 95 % ellipses under ``n_draws`` draws, so that the band they fill is the uncertainty of its
    place and shape. A single feature is drawn as its histogram with the density of every draw.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    features : (str, str), optional
        Which two features to draw. Default: the first two.
    n_draws : int, default 60
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidArgumentError
        ``features`` does not name two of the fitted ones.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_clusters(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    from matplotlib import pyplot as plt

    draws = Draws.of(dt)
    axes = _choose_features(draws.features, features)
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 5), layout="constrained")
    x = observed(dt)
    chosen = np.unique(np.linspace(0, len(draws) - 1, n_draws).astype(int))
    if len(axes) == 1:
        _draw_density(ax, draws, x, chosen)
        return ax
    probability = assignments(dt)["probability"].values
    order = np.argsort(probability.max(axis=1))[::-1]
    ax.scatter(
        x[order, axes[0]], x[order, axes[1]], c=certainty_colours(probability)[order], s=22,
        edgecolors="#404040", linewidths=0.3, zorder=3,
    )  # fmt: skip
    own = colours(draws.n_components)
    alpha = _faint(len(chosen))
    for s in chosen:
        _, means, covariances = draws.mixture(int(s))
        for k in range(draws.n_components):
            for level in ELLIPSE_LEVELS:
                points = ellipse(means[k, axes], covariances[k][np.ix_(axes, axes)], level)
                ax.plot(points[:, 0], points[:, 1], color=own[k], alpha=alpha, linewidth=1.0, zorder=2)
    centre = draws.means.mean(axis=0)[:, axes]
    ax.scatter(centre[:, 0], centre[:, 1], marker="+", s=90, c="black", linewidths=1.5, zorder=4)
    ax.set(xlabel=draws.features[axes[0]], ylabel=draws.features[axes[1]])
    _legend(ax, draws, own)
    return ax


def _draw_density(ax: "Axes", draws: Draws, x: np.ndarray, chosen: np.ndarray) -> None:
    """A single feature: histogram, and the mixture's and its components' densities under some draws."""
    own = colours(draws.n_components)
    ax.hist(x[:, 0], bins="auto", density=True, color="#E4E4E4", edgecolor="white", zorder=1)
    margin = 0.1 * np.ptp(x[:, 0])
    grid = np.linspace(x[:, 0].min() - margin, x[:, 0].max() + margin, 400)[:, None]
    for s in chosen:
        density = np.exp(draws.log_density(grid, int(s)))
        shares = density[:, None] * draws.responsibilities(grid, int(s))
        ax.plot(grid[:, 0], density, color="#404040", alpha=_faint(len(chosen)), linewidth=0.8, zorder=2)
        for k in range(draws.n_components):
            ax.plot(grid[:, 0], shares[:, k], color=own[k], alpha=_faint(len(chosen)), linewidth=0.8, zorder=2)
    ax.set(xlabel=draws.features[0], ylabel="density")
    _legend(ax, draws, own)


def _legend(ax: "Axes", draws: Draws, own: np.ndarray) -> None:
    from matplotlib.lines import Line2D

    weight = draws.weights.mean(axis=0)
    handles = [
        Line2D([], [], marker="o", color=own[k], markersize=6, label=f"component {k} ({weight[k]:.0%})")
        for k in range(draws.n_components)
    ]
    if draws.n_components > 1 and draws.n_features > 1:
        handles.append(
            Line2D([], [], marker="o", color="none", markerfacecolor=UNSURE, markeredgecolor="#404040", label="unsure")
        )
    ax.legend(handles=handles, frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
