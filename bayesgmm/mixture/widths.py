r"""How narrow components are, and which rows they rest on.

The width of a component is its least conditional scale as a share of the data's own in the same direction: the root of
the smallest eigenvalue of :math:`S^{-1} \Sigma_k`, S the covariance of the data. No change of units alters it.
"""

import numpy as np

from bayesgmm.mixture.mixture import Mixture

# The least width of a component, as a share of the data's own in the same direction, that is not a collapse.
COLLAPSED_WIDTH = 1e-3
# Directions that the data themselves lack count as theirs: the ridge keeps the ratio finite there.
RIDGE = 1e-14
# A width is shown by so many times as many different rows as a shape takes, whose own least is this part of it.
SHOWN_BY, SHOWN_SPREAD = 3, 0.5
# A row is a component's own if it is more probable than not.
OWN = 0.5


def widths(mixture: Mixture, x: np.ndarray) -> np.ndarray:
    """The width of every component, (K,), for data ``x`` (N, D)."""
    to_round = _to_round(x)
    return np.sqrt(np.maximum(np.linalg.eigvalsh(to_round @ mixture.full_covariances @ to_round.T)[:, 0], 0.0))


def narrowest(covariance: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray]:
    """A component's width, and the direction (D,) of it, for rows of ``x``."""
    to_round = _to_round(x)
    values, vectors = np.linalg.eigh(to_round @ covariance @ to_round.T)
    return float(np.sqrt(max(values[0], 0.0))), to_round.T @ vectors[:, 0]


def collapsed(mixture: Mixture, x: np.ndarray) -> np.ndarray:
    """Whether a component is narrow in a way that its own rows do not show, (K,) bool."""
    narrow = widths(mixture, x) < COLLAPSED_WIDTH
    return np.array([n and not shown(mixture, x, k) for k, n in enumerate(narrow)])


def shown(mixture: Mixture, x: np.ndarray, component: int) -> bool:
    """Whether a component's own rows are as wide as it is in the direction in which they are least, and are not few.

    A cluster may be as flat as that, or clusters so far apart that each is narrow beside them all. What collapsed is on
    few rows, which any plane meets, or on rows of one value.
    """
    own = np.unique(x[own_rows(mixture, x, component)], axis=0)
    if len(own) < SHOWN_BY * (x.shape[1] + 1):
        return False
    to_round = _to_round(x)
    least = np.linalg.eigvalsh(np.atleast_2d(np.cov(to_round @ own.T)))[0]
    return bool(np.sqrt(max(least, 0.0)) > SHOWN_SPREAD * widths(mixture, x)[component])


def _to_round(x: np.ndarray) -> np.ndarray:
    """The matrix (D, D) by which rows of ``x`` have variance 1 in all directions."""
    data = np.atleast_2d(np.cov(x, rowvar=False))
    scales = np.sqrt(np.diag(data))
    correlation = data / np.outer(scales, scales) + RIDGE * np.eye(len(data))
    return np.linalg.inv(np.linalg.cholesky(correlation)) / scales


def own_rows(mixture: Mixture, x: np.ndarray, component: int) -> np.ndarray:
    """The rows that are more probably of a component than not, (N,) bool."""
    return mixture.responsibilities(x)[:, component] > OWN


def named_rows(rows: np.ndarray, names: np.ndarray | None = None, most: int = 8) -> str:
    """The names of the rows of a (N,) bool array, in words; None: their numbers."""
    numbers = np.flatnonzero(rows)
    shown = ", ".join(str(n if names is None else names[n]) for n in numbers[:most])
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"


def against_collapse(default_priors: bool) -> str:
    """What to do about a component without width, as a sentence."""
    priors = "" if default_priors else "use the default priors, "
    return f"Give a resolution (--resolution), {priors}or try fewer components."
