"""How many of a mixture's components have rows: the number of occupied ones, and what is known of it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.progress import progress
from bayesgmm.record.fit import EACH, Fit

if TYPE_CHECKING:
    import xarray as xr

# Numbers that an array of responsibilities may hold at once: 16 MB.
AT_ONCE = 2_000_000


def occupied(dt: "xr.DataTree", *, random_seed: Any = 0, progressbar: bool = True) -> "xr.Dataset":
    r"""The posterior of the number of components that have rows, K+.

    .. math:: K_+ = \sum_k 1\{n_k > 0\}, \qquad n_k = \sum_n 1\{z_n = k\}, \qquad
              z_n \sim \mathrm{Categorical}(r_{n1}, \dots, r_{nK}),

    with the responsibilities r of every draw, and an allocation z of the rows drawn once for each. A mixture of K
    components may leave some empty: K is what was assumed, K+ what the rows ask for under these priors, of which the
    weights' decides most (``Priors(concentration=...)``).

    Parameters
    ----------
    dt : xr.DataTree
        Draws from :func:`bayesgmm.sample`; they need not be relabelled.
    random_seed : int or numpy.random.Generator, default 0
    progressbar : bool, default True
        Show a bar where there is much to compute.

    Returns
    -------
    xr.Dataset
        ``probability`` (k_plus) of 1 to K occupied components, and ``n_occupied`` (chain, draw) of every draw. The
        attributes ``r_hat`` and ``ess`` say whether the chains agree on it and how many independent draws it is worth:
        a sampler that never moved between numbers of occupied components has seen one only. Where the number never
        changes they are NaN.

    Raises
    ------
    ModelError
        The tree holds no mixture posterior or no observed data.

    Notes
    -----
    Rows of weight zero occupy nothing; other weights do not matter.

    References
    ----------
    Malsiner-Walli, Fruehwirth-Schnatter and Gruen (2016), Model-based clustering based on sparse finite Gaussian
    mixtures, Statistics and Computing 26, 303-324, https://doi.org/10.1007/s11222-014-9500-2.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=3)
    >>> found = bg.occupied(bg.sample(model, draws=200, random_seed=1, progressbar=False))
    >>> found["probability"].sizes["k_plus"]
    3
    """
    import xarray as xr
    from arviz_stats.base import array_stats

    fit = Fit.of(dt).in_proportion
    draws, rng = fit.every_draw, np.random.default_rng(random_seed)
    rows = fit.table.counted
    k, n_draws = draws.n_components, len(draws)
    has_rows = np.zeros((n_draws, k), dtype=bool)
    chunks = [chunk.values for chunk in rows.chunks()]
    slab = max(1, AT_ONCE // (k * max(map(len, chunks))))
    work = float(n_draws) * rows.values.size * k
    with progress("Counting", len(chunks) * -(-n_draws // slab), work=work, show=progressbar) as done:
        for x in chunks:
            for first in range(0, n_draws, slab):
                cumulative = draws[first : first + slab].responsibilities(x).cumsum(axis=-1)
                # Rounding may leave the last a little below 1.
                allocated = (rng.random((*cumulative.shape[:2], 1)) > cumulative[..., :-1]).sum(axis=-1)
                for own, z in zip(has_rows[first : first + slab], allocated, strict=True):
                    own[z] = True
                done()
    number = has_rows.sum(axis=1).reshape(fit.n_chains, fit.n_draws)
    # Not by ranks: of few values those folded at the median may all be one.
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat = float(array_stats.rhat(number, chain_axis=0, draw_axis=1, method="split"))
    constant = bool((number == number.flat[0]).all())
    return xr.Dataset(
        {
            "probability": ("k_plus", np.bincount(number.ravel(), minlength=k + 1)[1:] / number.size),
            "n_occupied": (EACH, number),
        },
        coords={"k_plus": np.arange(1, k + 1), "chain": fit.chain_names},
        attrs={
            "r_hat": np.nan if constant else r_hat,
            "ess": np.nan if constant else float(array_stats.ess(number, chain_axis=0, draw_axis=1, method="mean")),
        },
    )
