"""Data simulated from the posterior, beside the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.record.fit import Fit
from bayesgmm.reports.axes import faint, finish, legend_above, new_axes, plain
from bayesgmm.reports.palette import colours, ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Replicated data sets, and rows of each, of a posterior predictive check.
REPLICATES = 30
REPLICATE_ROWS = 2_000
# So many standard deviations are drawn of a smoothed density beyond its data.
BEYOND = 0.6


@dataclass(frozen=True, eq=False)
class Replicates:
    """One feature's density, smoothed, in the data and in data sets simulated from the posterior.

    Parameters
    ----------
    feature : str
    observed : (2, G) array
        Grid and density.
    simulated : (S, 2, G) array
    """

    feature: str
    observed: np.ndarray
    simulated: np.ndarray

    @classmethod
    def of(cls, fit: Fit, axes: Sequence[int]) -> tuple["Replicates", ...]:
        """Of several features by position, in the same simulated data sets."""
        rng = np.random.default_rng(0)
        x, weights = fit.x, fit.table.weights
        if weights is not None:
            # Rows that count several times, or in part, as a sample of what they stand for.
            x = x[rng.choice(len(x), min(len(x), REPLICATE_ROWS), p=weights / weights.sum())]
        elif len(x) > REPLICATE_ROWS:
            x = x[rng.choice(len(x), REPLICATE_ROWS, replace=False)]
        simulated = [one.simulate(len(x), rng)[0] for one in fit.mixture.thinned(REPLICATES)]
        return tuple(
            cls(fit.features[j], _smoothed(x[:, j]), np.array([_smoothed(rows[:, j]) for rows in simulated]))
            for j in axes
        )

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        from matplotlib.collections import LineCollection
        from matplotlib.lines import Line2D

        ax = new_axes() if ax is None else ax
        blue = colours(1)[0]
        opacity = min(1.0, 2 * faint(len(self.simulated)))
        lines = LineCollection(
            list(np.swapaxes(self.simulated, 1, 2)), colors=[blue], alpha=opacity, linewidths=0.8, zorder=2
        )
        ax.add_collection(lines)
        ax.plot(*self.observed, color=ink(), linewidth=1.8, zorder=3)
        handles = [
            Line2D([], [], color=ink(), linewidth=1.8, label="data"),
            Line2D([], [], color=blue, linewidth=0.8, label=f"{len(self.simulated)} simulated data sets"),
        ]
        legend_above(ax, handles=handles)
        ax.autoscale_view()
        ax.set(xlabel=plain(self.feature), ylabel="density", ylim=(0, None))
        finish(ax)
        return ax


def _smoothed(column: np.ndarray) -> np.ndarray:
    """Grid and density of a column by ArviZ's kernel estimate, (2, G)."""
    from arviz_stats.base import array_stats

    column = column[~np.isnan(column)]
    # To beyond the ends: a line that is cut off there says that nothing lies further out.
    margin = BEYOND * column.std()
    limits = (column.min() - margin, column.max() + margin)
    return np.array(array_stats.kde(column, bound_correction=False, custom_lims=limits)[:2])
