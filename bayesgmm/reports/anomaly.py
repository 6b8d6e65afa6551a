"""The rows that the fitted density hardly ever makes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count
from bayesgmm.posterior.anomaly import anomaly
from bayesgmm.reports.axes import drawn, finish, name_rows, new_axes, percent, ticked
from bayesgmm.reports.palette import behind, colours, ink, paper

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Unusual:
    """The least likely rows, the least likely first.

    Parameters
    ----------
    names : tuple of str
    log_density, lower, upper, tail : (N,) arrays
    others : (M,) array
        The log-densities of all rows.
    ci_prob, least : float
        Of the intervals; the least tail probability that the simulation can tell.
    """

    names: tuple[str, ...]
    log_density: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    tail: np.ndarray
    others: np.ndarray
    ci_prob: float
    least: float

    @classmethod
    def of(cls, found: "xr.Dataset", most: int) -> "Unusual":
        """Of what :func:`bayesgmm.anomaly` found."""
        rows = np.lexsort((found["log_density"].values, found["tail_probability"].values))[:most]
        value = {name: found[name].values for name in found}
        return cls(
            names=tuple(str(name) for name in found["obs_id"].values[rows]),
            log_density=value["log_density"][rows],
            lower=value["lower"][rows],
            upper=value["upper"][rows],
            tail=value["tail_probability"][rows],
            others=value["log_density"],
            ci_prob=float(found.attrs["ci_prob"]),
            least=float(found.attrs["least_tail"]),
        )

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        n = len(self.names)
        ax = new_axes((7, 1.3 + 0.2 * n)) if ax is None else ax
        height, colour = np.arange(n), colours(1)[0]
        # Where the middle half of all rows lies, for comparison.
        low, high = np.quantile(self.others, [0.25, 0.75])
        ax.axvspan(low, high, color=behind(), linewidth=0, zorder=0)
        ax.hlines(height, self.lower, self.upper, color=colour, linewidth=1.8)
        ax.scatter(self.log_density, height, color=[colour], s=22, zorder=3, edgecolors=[paper()], linewidths=0.6)
        name_rows(ax, self.names)
        ax.set(xlabel=f"log-density, nats, {percent(self.ci_prob)} interval; the middle half of all rows shaded")
        ax.set_ylabel("row")
        tails = ax.secondary_yaxis("right")
        own = ticked(ax, n)
        tails.set_yticks(own, [f"{'\u2264 ' * int(p <= self.least)}{p:.1g}" for p in self.tail[own]])
        tails.set_ylabel("tail probability")
        tails.tick_params(length=0)
        tails.spines["right"].set_visible(False)
        ax.grid(axis="y", linewidth=0.3, color=ink(), alpha=0.3)
        finish(ax)
        return ax


def plot_anomaly(
    dt: "xr.DataTree",
    X: Any = None,
    *,
    most: int = 20,
    measurement_covariance: Any = None,
    ci_prob: float | None = None,
    random_seed: Any = 0,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
    progressbar: bool = True,
) -> "Axes":
    """The least likely rows with their log-densities and tail probabilities; see :func:`bayesgmm.anomaly`.

    Parameters
    ----------
    dt : xr.DataTree
    X : (N, D) array or data frame, optional
        New rows. Default: the rows that were fitted.
    most : int, default 20
        Rows that are shown.
    measurement_covariance, ci_prob, random_seed, progressbar
        As for :func:`bayesgmm.anomaly`.
    ax : matplotlib Axes, optional
    figsize : (float, float), optional
        Width and height in inches, without ``ax``; (3.35, 2.5) suits a column of a journal.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ModelError, InvalidDataError, InvalidArgumentError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_anomaly(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    most = check_count(most, "most")
    found = anomaly(
        dt,
        X,
        measurement_covariance=measurement_covariance,
        ci_prob=ci_prob,
        random_seed=random_seed,
        progressbar=progressbar,
    )
    return drawn(Unusual.of(found, most), ax, figsize)
