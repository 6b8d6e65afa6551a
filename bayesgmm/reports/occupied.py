"""The posterior of the number of occupied components."""

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.posterior.occupied import occupied
from bayesgmm.reports.axes import new_axes, open_frame
from bayesgmm.reports.palette import colours

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# Of a bar that is worth a number above it.
LEAST_SAID = 0.005


def plot_occupied(dt: "xr.DataTree", *, ax: "Axes | None" = None) -> "Axes":
    """The probability of every number of occupied components, as bars.

    Parameters
    ----------
    dt : xr.DataTree
        Draws from :func:`bayesgmm.sample`, or what :func:`bayesgmm.occupied` made of them.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ModelError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=3)
    >>> ax = bg.plot_occupied(bg.sample(model, draws=200, random_seed=1, progressbar=False))
    """
    found = dt if hasattr(dt, "data_vars") and "n_occupied" in dt else occupied(dt)
    number, probability = np.asarray(found["k_plus"]), np.asarray(found["probability"])
    ax = new_axes((max(3.4, 1.2 + 0.45 * len(number)), 3.0)) if ax is None else ax
    ax.bar(number, probability, width=0.7, color=colours(1)[0])
    for k, p in zip(number, probability, strict=True):
        if p >= LEAST_SAID:
            ax.annotate(f"{p:.2f}", (k, p), (0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=8)
    ax.set(
        xlabel="occupied components", ylabel="posterior probability", xticks=number,
        xlim=(0.3, len(number) + 0.7), ylim=(0, 1.12 * np.max(probability)),
    )  # fmt: skip
    open_frame(ax)
    return ax
