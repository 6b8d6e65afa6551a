"""How many of a mixture's components have rows: the number of occupied ones, and what is known of it."""

import numbers
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln, softmax

from bayesgmm.arguments import random_generator
from bayesgmm.data.table import Table
from bayesgmm.exceptions import ImportanceWarning, InvalidArgumentError, ModelError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.progress import progress
from bayesgmm.record.fit import Fit
from bayesgmm.record.trees import EACH

if TYPE_CHECKING:
    import xarray as xr

# Numbers that an array of responsibilities may hold at once: 16 MB.
AT_ONCE = 2_000_000
# Of fewer independent draws probabilities are rough.
LEAST_ESS = 100


def occupied(
    dt: "xr.DataTree", *, concentration: float | None = None, random_seed: Any = 0, progressbar: bool = True
) -> "xr.Dataset":
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
    concentration : float, optional
        Of the weights' Dirichlet prior, instead of the fit's own: what K+ would be under it, by importance weights.
        Given the allocations nothing else depends on it,

        .. math:: w \propto \frac{p(z \mid \alpha')}{p(z \mid \alpha)}, \qquad
                  p(z \mid \alpha) = \frac{\Gamma(K \alpha)}{\Gamma(N + K \alpha)}
                  \prod_k \frac{\Gamma(n_k + \alpha)}{\Gamma(\alpha)} .

        So one fit answers for several priors, also for such under which NUTS would not move between numbers.
    random_seed : int or numpy.random.Generator, default 0
    progressbar : bool, default True
        Show a bar where there is much to compute.

    Returns
    -------
    xr.Dataset
        ``probability`` (k_plus) of 1 to K occupied components, and ``n_occupied`` (chain, draw) of every draw. The
        attributes ``r_hat`` and ``ess`` say whether the chains agree on it and how many independent draws it is worth:
        a sampler that never moved between numbers of occupied components has seen one only. Where the number never
        changes they are NaN. With another ``concentration`` ``ess`` is less by the weights' efficiency; below 100
        the probabilities are rough.

    Raises
    ------
    InvalidArgumentError
        ``concentration`` is no positive number.
    ModelError
        The tree holds no mixture posterior or no observed data; or ``concentration`` is given and the weights' prior is
        no Dirichlet distribution of one concentration.

    Warns
    -----
    ImportanceWarning
        Under another ``concentration``, fewer than 100 draws' worth.

    Notes
    -----
    Rows of weight zero occupy nothing.

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
    counts = allocated(fit.table.counted, fit.every_draw, random_generator(random_seed), progressbar=progressbar)
    k, shape = counts.shape[1], (fit.n_chains, fit.n_draws)
    number = (counts > 0).sum(axis=1)
    attrs = {"r_hat": split_r_hat(number.reshape(shape)), "ess": np.nan}
    if np.ptp(number) > 0:
        attrs["ess"] = float(array_stats.ess(number.reshape(shape), chain_axis=0, draw_axis=1, method="mean"))
    weight = np.full(number.size, 1 / number.size)
    if concentration is not None:
        own = _own_concentration(fit)
        ratio = _log_probability(counts, _checked(concentration)) - _log_probability(counts, own)
        # They take few values and have no tail to smooth.
        weight = softmax(ratio)
        attrs["ess"] *= float(1 / (weight**2).sum()) / number.size
        if not attrs["ess"] >= LEAST_ESS:
            warnings.warn(
                f"concentration = {concentration:g} is so far from the fit's own, {own:g}, that its probabilities are "
                f"worth {attrs['ess']:.0f} draws. Draw more, or fit with a concentration nearer to it.",
                ImportanceWarning,
                stacklevel=2,
            )
    return xr.Dataset(
        {
            "probability": ("k_plus", np.bincount(number, weights=weight, minlength=k + 1)[1:]),
            "n_occupied": (EACH, number.reshape(shape)),
        },
        coords={"k_plus": np.arange(1, k + 1), "chain": fit.chain_names},
        attrs=attrs,
    )


def split_r_hat(number: np.ndarray) -> float:
    """R-hat of numbers (chain, draw); NaN where they are all the same."""
    from arviz_stats.base import array_stats

    if np.ptp(number) == 0:
        return np.nan
    # Not by ranks: of few values those folded at the median may all be one.
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(array_stats.rhat(number, chain_axis=0, draw_axis=1, method="split"))


def allocated(rows: Table, draws: Mixture, rng: np.random.Generator, *, progressbar: bool = False) -> np.ndarray:
    """The rows, by their weights, that one allocation of them gives every component under every draw, (S, K)."""
    k, n_draws = draws.n_components, len(draws)
    counts = np.zeros((n_draws, k))
    slab = max(1, AT_ONCE // (k * len(rows.values)))
    work = float(n_draws) * rows.values.size * k
    with progress("Counting", -(-n_draws // slab), work=work, show=progressbar) as done:
        for first in range(0, n_draws, slab):
            cumulative = draws[first : first + slab].memberships(rows.observations).cumsum(axis=-1)
            # Rounding may leave the last a little below 1. Beyond the components is noise.
            allocated = (rng.random((*cumulative.shape[:2], 1)) > cumulative[..., :-1]).sum(axis=-1)
            for own, z in zip(counts[first : first + slab], allocated, strict=True):
                own += np.bincount(z, weights=rows.row_weights, minlength=k)[:k]
            done()
    return counts


def _log_probability(counts: np.ndarray, concentration: float) -> np.ndarray:
    """log p(z | alpha) of allocations by their counts (S, K)."""
    k = counts.shape[1]
    whole = gammaln(k * concentration) - gammaln(counts.sum(axis=1) + k * concentration)
    return whole + (gammaln(counts + concentration) - gammaln(concentration)).sum(axis=1)


def _checked(concentration: Any) -> float:
    number = isinstance(concentration, numbers.Real) and not isinstance(concentration, bool)
    if not number or not 0 < float(concentration) < np.inf:
        raise InvalidArgumentError(f"concentration = {concentration!r} must be a positive number, such as 0.1.")
    return float(concentration)


def _own_concentration(fit: Fit) -> float:
    """The fit's own concentration, of which there is one."""
    prior = None if fit.specification is None else fit.specification.weights_prior
    if prior is None or prior.sticks or prior.concentration is None or np.ptp(prior.concentration) > 0:
        raise ModelError(
            "another concentration needs draws under a Dirichlet prior of the weights with one number for all "
            "components: fit with Priors(concentration=1)."
        )
    return float(prior.concentration[0])
