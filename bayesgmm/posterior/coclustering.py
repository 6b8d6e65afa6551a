"""Which rows belong together, whatever their clusters are called: the posterior similarity matrix."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count
from bayesgmm.data.observations import Rows
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.progress import progress
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    import xarray as xr

# More rows than this have a matrix of more than 3.2 GB.
MAX_DENSE_ROWS = 20_000
# Draws whose responsibilities of all rows are held at once.
SLAB_DRAWS = 64
# Rows compared with each other at once in a search for neighbours, and rows whose neighbours are looked for.
BLOCK_ROWS = 1_000
QUERY_ROWS = 4_000


def coclustering(
    dt: "xr.DataTree", *, rows: Any = None, neighbours: int | None = None, progressbar: bool = True
) -> "xr.DataArray | xr.Dataset":
    r"""The probability that two rows belong to the same component, for pairs of the fitted rows.

    Components are summed out under every draw, so that the answer does not know labels:

    .. math:: \Pr[z_i = z_j \mid x] \approx \frac1S \sum_s \sum_k r_{ik}^{(s)} r_{jk}^{(s)} \quad (i \ne j).

    Parameters
    ----------
    dt : xr.DataTree
        Draws; they need not be relabelled. All of them are used: thin them (``dt.isel(draw=slice(None, None, 10))``)
        where N is large.
    rows : array of int, optional
        Positions of the rows to look at. Default: all.
    neighbours : int, optional
        Instead of the matrix, find for each row this many others, among all rows, that it most probably shares a
        component with.
    progressbar : bool, default True
        Show a bar where there is much to compute.

    Returns
    -------
    xr.DataArray
        The symmetric matrix (obs_id, obs_id2), with ones on its diagonal.
    xr.Dataset
        With ``neighbours``: ``neighbour``, the obs_id of the others, and ``probability`` (obs_id, rank), most probable
        first.

    Raises
    ------
    InvalidArgumentError
        A matrix of more than 20,000 rows is asked for, or a row that is not there.
    ModelError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> dt = bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1)
    >>> bg.coclustering(dt, rows=[0, 1, 2]).round(2).values
    array([[1., 0., 1.],
           [0., 1., 0.],
           [1., 0., 1.]])
    """
    import xarray as xr

    fit = Fit.of(dt)
    draws, x, names = fit.mixture, fit.observations, fit.row_names
    chosen = _check_rows(rows, len(x))
    if neighbours is not None:
        most = check_count(neighbours, "neighbours")
        if most >= len(x):
            raise InvalidArgumentError(f"neighbours = {most} must be below the number of rows, {len(x)}.")
        nearest, probability = _neighbours(draws, x, chosen, most, progressbar)
        both = ("obs_id", "rank")
        return xr.Dataset(
            {"neighbour": (both, names[nearest]), "probability": (both, probability)},
            coords={"obs_id": names[chosen], "rank": np.arange(most)},
        )
    if len(chosen) > MAX_DENSE_ROWS:
        raise InvalidArgumentError(
            f"the matrix of {len(chosen)} rows would take {8e-9 * len(chosen) ** 2:.0f} GB: choose at most "
            f"{MAX_DENSE_ROWS} rows (rows=range(0, {len(x)}, {-(-len(x) // MAX_DENSE_ROWS)})) or ask for neighbours=20."
        )
    coords = {"obs_id": names[chosen], "obs_id2": names[chosen]}
    matrix = similarity(draws, x[chosen], progressbar=progressbar)
    return xr.DataArray(matrix, coords, ("obs_id", "obs_id2"), name="coclustering")


def similarity(draws: Mixture, x: Rows, *, progressbar: bool = False) -> np.ndarray:
    """The matrix of ``x``, (N, N)."""
    from scipy.linalg.blas import dsyrk

    n = len(x)
    total = np.zeros((n, n), order="F")
    starts = range(0, len(draws), SLAB_DRAWS)
    work = n * n * len(draws) * draws.n_components / 8
    with progress("Co-clustering", len(starts), work=work, show=progressbar) as done:
        for start in starts:
            r = draws[start : start + SLAB_DRAWS].responsibilities(x)
            # One triangle of the sum over draws and components of r r', added in place.
            by_component = np.moveaxis(r, 1, 2).reshape(-1, n).T
            total = dsyrk(1.0 / len(draws), by_component, beta=1.0, c=total, lower=1, overwrite_c=1)
            done()
    for start in range(0, n, BLOCK_ROWS):
        own = slice(start, start + BLOCK_ROWS)
        square = total[own, own]
        square[:] = np.tril(square) + np.tril(square, -1).T
        total[own, start + BLOCK_ROWS :] = total[start + BLOCK_ROWS :, own].T
    # Sums of products of probabilities may round above 1.
    np.minimum(total, 1.0, out=total)
    np.fill_diagonal(total, 1.0)
    return total


def _neighbours(
    draws: Mixture, x: Rows, chosen: np.ndarray, most: int, progressbar: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and probabilities of the rows that each chosen one most probably goes with, (len(chosen), most)."""
    nearest = np.zeros((len(chosen), most), dtype=int)
    best = np.full((len(chosen), most), -1.0)
    own_blocks, other_blocks = range(0, len(chosen), QUERY_ROWS), range(0, len(x), BLOCK_ROWS)
    work = len(chosen) * len(x) * len(draws) * draws.n_components / 8
    with progress("Neighbours", len(own_blocks) * len(other_blocks), work=work, show=progressbar) as done:
        for first in own_blocks:
            queries = chosen[first : first + QUERY_ROWS]
            own = _by_row(draws, x[queries])
            found, at = best[first : first + QUERY_ROWS], nearest[first : first + QUERY_ROWS]
            for start in other_blocks:
                others = np.arange(start, min(start + BLOCK_ROWS, len(x)))
                probability = own @ _by_row(draws, x[others]).T / len(draws)
                probability[queries[:, None] == others] = -1.0
                # The best so far and the new ones, from which the best go on.
                pool = np.hstack([found, probability])
                keep = np.argpartition(-pool, most - 1, axis=1)[:, :most]
                known = np.take_along_axis(at, np.minimum(keep, most - 1), axis=1)
                at[:] = np.where(keep < most, known, start + keep - most)
                found[:] = np.take_along_axis(pool, keep, axis=1)
                done()
    # Most probable first; of equals the first row.
    order = np.lexsort((nearest, -best))
    nearest, best = (np.take_along_axis(v, order, axis=1) for v in (nearest, best))
    return nearest, np.minimum(best, 1.0)


def _by_row(draws: Mixture, x: Rows) -> np.ndarray:
    """Responsibilities of all draws and components side by side, (N, S K)."""
    return np.moveaxis(draws.responsibilities(x), 0, 1).reshape(len(x), -1)


def _check_rows(rows: Any, n_rows: int) -> np.ndarray:
    if rows is None:
        return np.arange(n_rows)
    chosen = np.asarray(rows)
    if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu":
        raise InvalidArgumentError(f"rows must be positions of rows, whole numbers from 0 to {n_rows - 1}.")
    beyond = chosen[(chosen < 0) | (chosen >= n_rows)]
    if beyond.size:
        raise InvalidArgumentError(f"rows holds {beyond[0]}, but there are rows 0 to {n_rows - 1}.")
    return chosen
