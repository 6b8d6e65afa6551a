"""Doubt in the data's space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.arguments import check_choice
from bayesgmm.posterior.assignments import assignments
from bayesgmm.record.fit import Fit
from bayesgmm.reports.axes import (
    MAX_POINTS,
    drawn,
    evenly,
    finish,
    legend_above,
    new_axes,
    plain,
    point_size,
    remark,
    undrawn,
)
from bayesgmm.reports.clusters import chosen_features
from bayesgmm.reports.palette import ink, shades

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

ENTROPIES = {
    "entropy": "entropy (nats)",
    "expected_entropy": "expected entropy: overlap (nats)",
    "mutual_information": "mutual information: ignorance (nats)",
}


# The scale of entropies ends no lower than this part of the largest there can be, log K.
LEAST_SCALE = 0.1


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Rows in one or two features and how unsure their assignment is.

    Parameters
    ----------
    features : tuple of one or two str
    points : (N, 1 or 2) array
        Rows, the surest first.
    entropy : (N,) array
        Or a part of it, in nats.
    label : str
    n_components : int
    note : str
        What is said of rows that have no place in the picture; empty where all have one.
    """

    features: tuple[str, ...]
    points: np.ndarray
    entropy: np.ndarray
    label: str
    n_components: int
    note: str = ""

    @classmethod
    def of(cls, fit: Fit, axes: Sequence[int], soft: "xr.Dataset", quantity: str = "entropy") -> "Uncertainty":
        """Of features by position and the rows' assignments."""
        entropy = soft[quantity].values
        rows = np.argsort(entropy, kind="stable")
        rows = rows[evenly(len(rows), MAX_POINTS)]
        features = tuple(fit.features[j] for j in axes)
        x = fit.x[:, axes]
        return cls(features, x[rows], entropy[rows], ENTROPIES[quantity], fit.n_components, undrawn(x))

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        ax = new_axes() if ax is None else ax
        both = len(self.features) == 2
        greatest = np.log(self.n_components) if self.n_components > 1 else 1.0
        # The scale ends with the data: of many components no row is unsure among all. But nearly none is not much.
        most = float(np.clip(self.entropy.max(initial=0.0), LEAST_SCALE * greatest, greatest))
        points = ax.scatter(
            self.points[:, 0], self.points[:, 1] if both else self.entropy, c=self.entropy, cmap=shades(), vmin=0,
            vmax=most, s=point_size(len(self.entropy), ax) * (0.3 + 2 * self.entropy / most),
            edgecolors=[(*ink(), 0.7)], linewidths=0.4,
        )  # fmt: skip
        if both:
            ax.figure.colorbar(points, ax=ax, label=self.label)
            ax.set(xlabel=plain(self.features[0]), ylabel=plain(self.features[1]))
        else:
            ax.set(xlabel=plain(self.features[0]), ylabel=self.label, ylim=(-0.03 * most, 1.05 * most))
        if self.note:
            legend_above(ax, handles=[remark(self.note)])
        finish(ax)
        return ax


def plot_uncertainty(
    dt: "xr.DataTree",
    *,
    features: Sequence[str] | None = None,
    quantity: str = "entropy",
    soft: "xr.Dataset | None" = None,
    progressbar: bool = True,
    ax: "Axes | None" = None,
    figsize: tuple[float, float] | None = None,
) -> "Axes":
    """Where in the data the assignments are unsure: rows coloured and sized by the entropy of their assignment.

    The scale ends at the largest value in the data. The largest that there can be is log K. Rows that lack a feature
    that is drawn have no place in the picture; they are counted above it.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws.
    features : sequence of one or two str, optional
        Which features to draw. Default: the first two. Of a single one, the quantity itself is the other axis.
    quantity : {"entropy", "expected_entropy", "mutual_information"}, default "entropy"
        All of it, the part due to overlapping components, or the part due to not knowing the components well.
    soft : xr.Dataset, optional
        ``assignments(dt)``, where it is at hand.
    progressbar : bool, default True
        Show a bar where there is much to compute.
    ax : matplotlib Axes, optional
    figsize : (float, float), optional
        Width and height in inches, without ``ax``; (3.35, 2.5) suits a column of a journal.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidArgumentError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> ax = bg.plot_uncertainty(bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1))
    """
    check_choice(quantity, "quantity", tuple(ENTROPIES))
    fit = Fit.of(dt)
    axes = chosen_features(fit.features, features)
    soft = assignments(dt, progressbar=progressbar) if soft is None else soft
    return drawn(Uncertainty.of(fit, axes, soft, quantity), ax, figsize)
