"""Colours that colour-blind readers can tell apart, on light paper and on dark."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

# Okabe and Ito's palette (2008, https://jfly.uni-koeln.de/color/) without its yellow and black.
BASE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
# Further components take the same hues, mixed with this part of the text's colour, and points of another shape.
REPEATED = 0.5
MARKERS = ("o", "s", "^", "D", "v", "P")
# What is unsure is paper with this part of the text's colour.
UNSURE = 0.22
# So is what stands behind a curve, with less.
BEHIND = 0.1


def ink() -> np.ndarray:
    """The text's colour under matplotlib's present style, (3,)."""
    return _rgb("text.color")


def paper() -> np.ndarray:
    """The background's colour under matplotlib's present style, (3,)."""
    return _rgb("axes.facecolor")


def unsure() -> np.ndarray:
    """The colour of a row whose component is not known, (3,)."""
    return UNSURE * ink() + (1 - UNSURE) * paper()


def behind() -> np.ndarray:
    """The colour of what only stands behind the picture, (3,)."""
    return BEHIND * ink() + (1 - BEHIND) * paper()


def shades() -> "Colormap":
    """From paper (nothing) through blue towards the text's colour (all): darker on light paper, lighter on dark."""
    from matplotlib.colors import LinearSegmentedColormap

    blue = colours(1)[0]
    return LinearSegmentedColormap.from_list("shades", [0.06 * ink() + 0.94 * paper(), blue, 0.7 * ink() + 0.3 * blue])


def colours(n_components: int) -> np.ndarray:
    """RGB colours of the components, (K, 3)."""
    from matplotlib.colors import to_rgb

    base = np.array([to_rgb(c) for c in BASE])
    round_ = np.arange(n_components) // len(BASE)
    share = (1 - (1 - REPEATED) ** round_)[:, None]
    return (1 - share) * base[np.arange(n_components) % len(BASE)] + share * ink()


def hexadecimal(colour: np.ndarray) -> str:
    """A colour as every drawing library takes it."""
    from matplotlib.colors import to_hex

    return to_hex(colour)


def marker(component: int) -> str:
    """The shape of a component's points, by its place: colours of the same hue have different ones."""
    return MARKERS[component // len(BASE) % len(MARKERS)]


def certainty(probability: np.ndarray) -> np.ndarray:
    """1 where one component has it all, 0 where the two best tie, (N,)."""
    if probability.shape[1] == 1:
        return np.ones(len(probability))
    best = np.partition(probability, -2, axis=1)[:, -2:]
    return np.abs(best[:, 1] - best[:, 0])


def certainty_colours(probability: np.ndarray) -> np.ndarray:
    """A colour for every row, (N, 3): its component's where that is certain, through to grey where the best two tie."""
    own = colours(probability.shape[1])[probability.argmax(axis=1)]
    share = certainty(probability)[:, None]
    return share * own + (1 - share) * unsure()


def _rgb(name: str) -> np.ndarray:
    import matplotlib as mpl
    from matplotlib.colors import to_rgb

    return np.array(to_rgb(mpl.rcParams[name]))
