"""The models that were compared, by number of components and covariance structure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_choice
from bayesgmm.exceptions import ModelError
from bayesgmm.record.fit import Fit
from bayesgmm.reports.axes import drawn, finish, legend_above, new_axes
from bayesgmm.reports.palette import behind, colours, ink, paper
from bayesgmm.selection.ladder import HOLDS
from bayesgmm.selection.selection import BARE_MENTION, Selection

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CRITERIA = ("bic", "icl", "aic")
# Below this the axis is linear: differences that matter are.
LINEAR = 10.0


@dataclass(frozen=True, eq=False)
class Criteria:
    """Criteria of models, each as what it is above that of the first in rank, on the scale of -2 log density.

    Parameters
    ----------
    table : pandas.DataFrame
        Of a :class:`bayesgmm.Selection`.
    criterion : str
    """

    table: "pd.DataFrame"
    criterion: str

    @property
    def _values(self) -> np.ndarray:
        return self.table[self.criterion].to_numpy(dtype=float)

    @property
    def _penalty(self) -> np.ndarray:
        return self.table["spurious_penalty"].to_numpy(dtype=float)

    @property
    def _first(self) -> int:
        """The place of the model that ranks first, with the penalties of all."""
        # Where a component has collapsed the likelihood is an artefact.
        counts = self._sound | ~self._sound.any()
        return int(np.argmin(np.where(counts, self._values + self._penalty, np.inf)))

    @property
    def _sound(self) -> np.ndarray:
        return self.table["sound"].to_numpy(dtype=bool)

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        ax = new_axes((7.0, 4.2)) if ax is None else ax
        every = list(HOLDS)
        names = [name for name in every if (self.table["covariance_type"] == name).any()]
        above = self._values - self._values[self._first]
        few = self._penalty > 0
        ax.axhspan(0, BARE_MENTION, color=behind(), linewidth=0, zorder=0)
        for name in names:
            colour = colours(len(every))[every.index(name)]  # whatever else was compared
            own = (self.table["covariance_type"] == name).to_numpy() & self._sound
            k, value = self.table["n_components"].to_numpy()[own], above[own]
            order = np.argsort(k)
            ax.plot(k[order], value[order], "-o", color=colour, markersize=4, linewidth=1.2, label=name, zorder=2)
            ax.plot(k[few[own]], value[few[own]], "o", color=colour, markerfacecolor=paper(), markersize=4, zorder=2)
            self._sampled(ax, own, colour)
        if not self._sound.any():
            ax.text(
                0.5, 0.5, "no model is sound: in each one a component collapsed", ha="center", transform=ax.transAxes
            )
        else:
            first = self.table["n_components"].iloc[self._first]
            ax.plot(first, 0, "o", markersize=12, markerfacecolor="none", markeredgecolor=ink(), zorder=4)
        words = f"{self.criterion.upper()} above the ring's"
        if np.max(np.abs(above), where=self._sound, initial=0.0) > LINEAR:
            ax.set_yscale("symlog", linthresh=LINEAR)
            words += f", log beyond {LINEAR:g}"
            ticks = np.union1d(ax.get_yticks(), [-LINEAR / 2, LINEAR / 2])
            low, high = ax.get_ylim()
            ax.set_yticks(ticks[(ticks >= low) & (ticks <= high)])
        ax.set(xlabel="components", ylabel=words)
        ax.set_xticks(np.unique(self.table["n_components"]))
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\u2212"))
        self._legend(ax)
        finish(ax)
        return ax

    def _sampled(self, ax: "Axes", own: np.ndarray, colour: np.ndarray) -> None:
        """The evidence and the leave-one-out density of the models that were sampled, with two standard errors."""
        for shift, marker, value, error in (
            (-0.13, "D", *self._evidence),
            (0.13, "s", -2 * self.table["elpd_diff"].to_numpy(), 2 * self.table["elpd_diff_se"].to_numpy()),
        ):
            at = np.flatnonzero(own & np.isfinite(value))
            ax.errorbar(
                self.table["n_components"].to_numpy()[at] + shift, value[at], 2 * np.nan_to_num(error[at]),
                fmt=marker, color=colour, markerfacecolor=paper(), markersize=5, linewidth=1, capsize=2, zorder=3,
            )  # fmt: skip

    @property
    def _evidence(self) -> tuple[np.ndarray, np.ndarray]:
        value, error = self.table["log_evidence"].to_numpy(), self.table["log_evidence_se"].to_numpy()
        return -2 * (value - np.nanmax(value, initial=-np.inf)), 2 * error

    def _legend(self, ax: "Axes") -> None:
        from matplotlib.lines import Line2D

        handles, _ = ax.get_legend_handles_labels()
        style: dict[str, Any] = {"linestyle": "", "color": ink(), "markerfacecolor": paper(), "markersize": 5}
        if self._sound.any():
            ring = style | {"markerfacecolor": "none", "markersize": 9}
            handles.append(Line2D([], [], marker="o", label="ranks first", **ring))
        if (self._sound & (self._penalty > 0)).any():
            handles.append(Line2D([], [], marker="o", label="few rows in a component: ranked as if higher", **style))
        if self.table["log_evidence"].notna().any():
            handles += [
                Line2D([], [], marker="D", label="\u22122 log evidence, \u00b1 2 se", **style),
                Line2D([], [], marker="s", label="\u22122 elpd, \u00b1 2 se", **style),
            ]
        legend_above(ax, handles=handles)


def plot_selection(
    selection: Any,
    *,
    criterion: str = "bic",
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "Axes":
    """What each model's criterion is above that of the first in rank, by number of components and covariances.

    The first in rank has a ring, and what is less than 2 above it, no more than a bare mention, is shaded. Open points
    have a component of so few rows that these may lie close by chance: with their ``spurious_penalty``, by which models
    are ranked and which is not drawn, they stand behind, even where they lie below the ring. Of models that were
    sampled stand beside it, each above its own best and with two standard errors, -2 log evidence and -2 elpd. Models
    that are not ``sound`` are left out.

    Parameters
    ----------
    selection : Selection, or the tree of a fit that came from one
    criterion : {"bic", "icl", "aic"}, default "bic"
    ax : matplotlib Axes, optional
    figsize : (float, float), optional
        Width and height in inches, without ``ax``; (3.35, 2.5) suits a column of a journal.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidArgumentError
    ModelError
        The tree did not come from a selection.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> selection = bg.select(bg.datasets.load_faithful(), n_components=range(1, 4), shortlist=0, random_seed=1)
    >>> ax = bg.plot_selection(selection)
    """
    check_choice(criterion, "criterion", CRITERIA)
    table = selection.table if isinstance(selection, Selection) else Fit.of(selection).selection
    if table is None:
        raise ModelError("this fit did not come from a selection: give what bayesgmm.select returned.")
    return drawn(Criteria(table, criterion), ax, figsize)
