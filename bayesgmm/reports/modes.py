"""What a search for the mode found: its starts and the optima they reached."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import ModelError
from bayesgmm.record.fit import Fit
from bayesgmm.record.provenance import Provenance, percentages
from bayesgmm.record.starts import Starts
from bayesgmm.reports.axes import new_axes, open_frame
from bayesgmm.reports.palette import colours, ink
from bayesgmm.search.estimate import MapEstimate

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


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
        ax = new_axes((7.5, 3.5)) if ax is None else ax
        reached, optimum = (v[self.starts.order] for v in (self.starts.log_posterior, self.starts.optimum))
        gap = reached[0] - reached
        own = colours(self.starts.n_optima)
        for i, colour in enumerate(own):
            # A log posterior that is not finite has no place below the best.
            at = np.flatnonzero((optimum == i) & np.isfinite(gap))
            if len(at):
                ax.scatter(at + 1, -gap[at], color=[colour], s=45, zorder=3, label=self._named(i, len(at)))
        ax.axhline(0, color=ink(), linewidth=0.6, alpha=0.6)
        ax.set_yscale("symlog", linthresh=1.0)
        lowest = max(float(gap[np.isfinite(gap)].max(initial=0.0)), 1.0)
        lost = int((~np.isfinite(gap)).sum())
        ax.set(
            xlabel="start, best first" + (f" ({lost} without a finite log posterior)" if lost else ""),
            ylabel="log posterior \u2212 best (nats)", xlim=(0.3, len(reached) + 0.7), ylim=(-2 * lowest, 0.2),
        )  # fmt: skip
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\u2212"))
        ax.locator_params(axis="x", integer=True)
        # Within the axes its dots would be read as starts.
        beside: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0)}
        if len(own) > 3:
            beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        ax.legend(frameon=False, fontsize="small", **beside)
        open_frame(ax)
        return ax

    def _named(self, optimum: int, count: int) -> str:
        share = f", {percentages([self.shares[optimum]])} of the posterior" if optimum in self.shares else ""
        return f"optimum {optimum}: {count} start{'s' * (count > 1)}{share}"


def plot_modes(fit: "xr.DataTree | MapEstimate", *, ax: "Axes | None" = None) -> "Axes":
    """The log posterior that every start reached, below the best: which optima there are, and how often each was found.

    Starts are sorted; those at the same optimum, up to the order of the components, have one colour. An optimum that
    holds a share of the posterior (Laplace) is named with it. The axis is linear to 1 nat, then logarithmic.

    Parameters
    ----------
    fit : xr.DataTree or MapEstimate
        From :func:`sample`, :func:`find_MAP` or ``MapEstimate.laplace``.
    ax : matplotlib Axes, optional

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
    return Search.of(fit.provenance if isinstance(fit, MapEstimate) else Fit.of(fit).provenance).draw(ax)
