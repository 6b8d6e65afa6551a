"""What a search for the mode found: its starts and the optima they reached."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import ModelError
from bayesgmm.record.fit import Fit
from bayesgmm.record.provenance import Provenance, percentages
from bayesgmm.record.starts import GIVEN_UP, Starts
from bayesgmm.reports.axes import drawn, finish, legend_above, new_axes
from bayesgmm.reports.palette import MARKERS, colours, ink, unsure
from bayesgmm.search.estimate import MapEstimate

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# Lines of the legend at most; further optima share the last one.
MOST_NAMED = 4
# More starts than this are drawn smaller.
FEW_STARTS = 20
# Nats that a linear axis has room for.
LINEAR_RANGE = 30.0


@dataclass(frozen=True, eq=False)
class Search:
    """The starts, and the shares of the posterior of some of their optima."""

    starts: Starts
    shares: dict[int, float]

    @classmethod
    def of(cls, provenance: Provenance) -> "Search":
        """Of how draws came about.

        Raises
        ------
        ModelError
            There is no record of starts.
        """
        if provenance.starts is None:
            raise ModelError("the tree keeps no record of its starts: it was not made by bayesgmm.sample or laplace.")
        modes = provenance.modes
        return cls(provenance.starts, {} if modes is None else dict(zip(modes.optima, modes.shares, strict=True)))

    @property
    def words(self) -> str:
        """How many optima there are."""
        n = self.starts.n_optima
        return f"{n} distinct {'optimum' if n == 1 else 'optima'}"

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        ax = new_axes((7, 3.5)) if ax is None else ax
        reached, optimum = (v[self.starts.order] for v in (self.starts.log_posterior, self.starts.optimum))
        gap = reached[0] - reached
        colour_of = dict(zip(self.named, colours(len(self.named)), strict=True))
        for i in range(self.starts.n_optima):
            # A log posterior that is not finite has no place below the best.
            at = np.flatnonzero((optimum == i) & np.isfinite(gap))
            if len(at):
                drawn_as: dict[str, Any] = (
                    {"color": [colour_of[i]], "marker": MARKERS[self.named.index(i)], "label": self._words(i, len(at))}
                    if i in colour_of
                    else {"color": [unsure()], "edgecolors": [(*ink(), 0.6)], "linewidths": 0.5}
                )
                size = max(45 * min(1.0, (FEW_STARTS / len(reached)) ** 0.5), 12)
                ax.scatter(at + 1, -gap[at], s=size, zorder=3 + (i in colour_of), **drawn_as)
        ax.axhline(0, color=ink(), linewidth=0.6, alpha=0.6)
        lowest = float(gap[np.isfinite(gap)].max(initial=0.0))
        self._scale(ax, lowest)
        given_up, lost = int((optimum == GIVEN_UP).sum()), int((~np.isfinite(gap)).sum())
        said = [f"{given_up} given up far below"] * (given_up > 0)
        said += [f"{lost} without a finite log posterior"] * (lost > 0)
        ax.set(
            xlabel="start, best first" + (f" ({', '.join(said)})" if said else ""),
            xlim=(0.3 - 0.01 * len(reached), 0.7 + 1.01 * len(reached)),
        )  # fmt: skip
        ax.locator_params(axis="x", integer=True)
        self._legend(ax)
        finish(ax)
        return ax

    @property
    def named(self) -> list[int]:
        """The optima that the legend names: the best, and those that hold most of the posterior, in their order."""
        n = self.starts.n_optima
        if n <= MOST_NAMED:
            return list(range(n))
        by_share = sorted(range(1, n), key=lambda i: (-np.nan_to_num(self.shares.get(i, 0.0)), i))
        return [0, *sorted(by_share[: MOST_NAMED - 2])]

    def _scale(self, ax: "Axes", lowest: float) -> None:
        """A linear axis where it has room for all; else one that is logarithmic further down, and says so."""
        words = "log posterior \u2212 best (nats)"
        if lowest <= LINEAR_RANGE:
            ax.set(ylabel=words, ylim=(-1.15 * max(lowest, 1.0), 0.1 * max(lowest, 1.0)))
            return
        ax.set_yscale("symlog", linthresh=1.0)
        ax.set(ylabel=f"{words}, log below \u22121", ylim=(-2 * lowest, 0.3))
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\u2212"))

    def _legend(self, ax: "Axes") -> None:
        """Over the axes: within them its dots would be read as starts."""
        from matplotlib.lines import Line2D

        handles, _ = ax.get_legend_handles_labels()
        others = self.starts.n_optima - len(self.named)
        if others:
            style: dict[str, Any] = {"markerfacecolor": unsure(), "markeredgecolor": ink(), "markersize": 5}
            count = int((~np.isin(self.starts.optimum, self.named)).sum())
            words = f"{others} other optima: {count} starts"
            handles.append(Line2D([], [], marker="o", linestyle="", label=words, **style))
        legend_above(ax, handles=handles)

    def _words(self, optimum: int, count: int) -> str:
        share = f", {percentages([self.shares[optimum]])} of the posterior" if optimum in self.shares else ""
        return f"optimum {optimum}: {count} start{'s' * (count > 1)}{share}"


def plot_modes(
    fit: "xr.DataTree | MapEstimate", *, ax: "Axes | None" = None, figsize: tuple[float, float] | None = None
) -> "Axes":
    """The log posterior that every start reached, below the best: which optima there are, and how often each was found.

    Starts are sorted; those at the same optimum, up to the order of the components, have one colour. An optimum that
    holds a share of the posterior (Laplace) is named with it; of more than four optima those that hold least are grey.
    Where starts end more than 30 nats apart the axis is linear to 1 nat below the best, then logarithmic, and says so.

    Parameters
    ----------
    fit : xr.DataTree or MapEstimate
        From :func:`sample`, :func:`find_MAP` or ``MapEstimate.laplace``.
    ax : matplotlib Axes, optional
    figsize : (float, float), optional
        Width and height in inches, without ``ax``; (3.35, 2.5) suits a column of a journal.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ModelError
        The tree keeps no record of its starts.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_modes(bg.find_MAP(model, random_seed=1))
    """
    provenance = fit.provenance if isinstance(fit, MapEstimate) else Fit.of(fit).provenance
    return drawn(Search.of(provenance), ax, figsize)
