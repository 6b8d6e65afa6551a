"""Soft assignments: which component a row belongs to, and how sure the posterior is of that."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_ci_prob
from bayesgmm.data.blocks import Blocks, are_elsewhere, check_in_memory
from bayesgmm.data.observations import Rows
from bayesgmm.data.table import rows_of_block
from bayesgmm.mixture.elementary import jit, log
from bayesgmm.mixture.mixture import NOISE, Mixture
from bayesgmm.mixture.threads import share
from bayesgmm.progress import progress
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    import xarray as xr

# Rows are taken in blocks for which the responsibilities of all draws fit in this many doubles (32 MB).
BLOCK_DOUBLES = 2**22


def row_entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy in nats over the last axis, with 0 log 0 = 0."""
    # Subtracted from 0.0, a certain row's sum gives 0.0 and not -0.0.
    return 0.0 - (probability * np.log(np.where(probability > 0, probability, 1.0))).sum(axis=-1)


def assignments(
    dt: "xr.DataTree",
    X: Any = None,
    *,
    measurement_covariance: Any = None,
    ci_prob: float | None = None,
    progressbar: bool = True,
) -> "xr.Dataset":
    r"""Every row's probability of every component, with its uncertainty.

    With :math:`r_{nk}^{(s)}` the responsibility under draw s, the posterior mean :math:`\bar r_{nk}` is the probability
    of the component, and its entropy splits into the part due to overlapping components and the part due to not
    knowing the components well:

    .. math:: \underbrace{H(\bar r_n)}_{\text{entropy}} = \underbrace{\tfrac1S \sum_s H(r_n^{(s)})}_{\text{expected
              entropy}} + \underbrace{I(z_n; \theta)}_{\text{mutual information}} .

    More data would lessen the second part, never the first. Rows are taken in blocks on all cores, so that memory does
    not grow with rows times draws.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws, from :func:`sample` or ``MapEstimate.laplace``.
    X : (N, D) array or data frame, optional
        New rows; a pandas frame's index becomes ``obs_id``. Default: the rows that were fitted. Of rows that are not in
        memory (a dask collection, a Zarr array, a path) the result holds dask arrays that are not computed yet.
    measurement_covariance : (N, D) or (N, D, D) array, optional
        Of the errors of new rows; see :func:`bayesgmm.build_model`.
    ci_prob : float, optional
        Probability of the equal-tailed intervals ``lower`` to ``upper``. Default: ArviZ's
        ``rcParams["stats.ci_prob"]``.
    progressbar : bool, default True
        Show a bar where there is much to compute.

    Returns
    -------
    xr.Dataset
        ``probability``, ``probability_sd``, ``lower``, ``upper`` (obs_id, component); ``label``, the name of the
        most probable component, ``label_probability``, ``entropy``, ``expected_entropy``, ``mutual_information``
        (obs_id), entropies in nats. Where rows may be of no component, ``noise`` (obs_id) is the probability of that,
        ``noise_lower`` and ``noise_upper`` its interval; the label of such rows is -1, or "noise" where components have
        names.
        ``to_dataframe()`` gives one line a row and component.

    Raises
    ------
    ModelError, InvalidDataError, InvalidArgumentError

    References
    ----------
    Depeweg et al. (2018), Decomposition of uncertainty in Bayesian deep learning for efficient and risk-sensitive
    learning, ICML, 1184-1193 (the split of the entropy).

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> dt = bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1)
    >>> soft = bg.assignments(dt, [[3.0, 65.0]])
    >>> soft.sizes["component"], int(soft["label"][0])
    (2, 1)
    """
    ci_prob = check_ci_prob(ci_prob)
    fit = Fit.of(dt)
    if are_elsewhere(X):
        check_in_memory(measurement_covariance)
        blocks, width = Blocks.of(X, fit.features), fit.mixture.n_components + (fit.mixture.noise is not None)
        stacked = blocks.lazily(partial(_stacked, fit.mixture, fit.features, ci_prob, fit.gaps), 4 * width + 1)
        columns = [stacked[:, i * width : (i + 1) * width].rechunk({1: -1}) for i in range(4)]
        mean, sd, lower, upper = columns
        return _dataset(fit, np.arange(blocks.n_rows), ci_prob, mean, sd, lower, upper, stacked[:, -1])
    rows_of = fit.rows(X, measurement_covariance)
    names = np.arange(rows_of.n_rows) if rows_of.names is None else rows_of.names
    parts = _summaries(fit.mixture, rows_of.observations, ci_prob, progressbar=progressbar)
    return _dataset(fit, names, ci_prob, *parts)


def _summaries(draws: Mixture, x: Rows, ci_prob: float, *, progressbar: bool) -> tuple[np.ndarray, ...]:
    """Mean, standard deviation and interval of the memberships, (N, K), and their mean entropy, (N,)."""
    mean, sd, lower, upper = (np.empty((len(x), draws.n_components + (draws.noise is not None))) for _ in range(4))
    expected_entropy = np.empty(len(x))
    block = max(1, BLOCK_DOUBLES // (len(draws) * draws.n_components))
    starts = range(0, len(x), block)

    with progress("Assignments", len(starts), work=len(draws) * mean.size, show=progressbar) as done:

        def summarise(task: int) -> None:
            rows = slice(starts[task], starts[task] + block)
            r = draws.memberships(x[rows])
            _moments(r, mean[rows], sd[rows], expected_entropy[rows])
            lower[rows], upper[rows] = interval(r, ci_prob)
            done()

        share(len(starts), summarise)
    return mean, sd, lower, upper, expected_entropy


def _stacked(draws: Mixture, features: tuple[str, ...], ci_prob: float, gaps: bool, block: np.ndarray) -> np.ndarray:
    """The summaries of a block of rows side by side."""
    x = rows_of_block(block, features, gaps)
    return np.column_stack(_summaries(draws, x, ci_prob, progressbar=False))


def _dataset(
    fit: Fit, names: Any, ci_prob: float, mean: Any, sd: Any, lower: Any, upper: Any, expected_entropy: Any
) -> "xr.Dataset":
    """The summaries, of whatever kind their arrays are, and what follows from them."""
    import xarray as xr

    k = fit.n_components
    entropy = row_entropy(mean)
    # Not above it by Jensen's inequality; rounding may say otherwise in the last digit.
    expected_entropy = np.minimum(expected_entropy, entropy)
    per_component = {"probability": mean, "probability_sd": sd, "lower": lower, "upper": upper}
    per_component = {name: values[:, :k] for name, values in per_component.items()}
    per_row = {
        "label": named(fit.components, mean),
        "label_probability": mean.max(axis=1),
        "entropy": entropy,
        "expected_entropy": expected_entropy,
        "mutual_information": entropy - expected_entropy,
    }
    if mean.shape[1] > k:
        per_row |= {"noise": mean[:, k], "noise_lower": lower[:, k], "noise_upper": upper[:, k]}
    soft = xr.Dataset(
        {name: (("obs_id", "component"), values) for name, values in per_component.items()}
        | {name: (("obs_id",), values) for name, values in per_row.items()},
        coords={"obs_id": names, "component": fit.components},
        attrs={"ci_prob": ci_prob, "ci_kind": "eti"},
    )
    for name in ("entropy", "expected_entropy", "mutual_information"):
        soft[name].attrs["units"] = "nats"
    return soft


def named(components: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The names (N,) of the most probable of components (K,), and of noise if it has a column, (N, K + 1)."""
    noise = NOISE if components.dtype.kind in "iu" else "noise"
    names, most = np.append(components, noise), probability.argmax(axis=1)
    # Of a dask array too, not computed yet.
    return names[most] if isinstance(most, np.ndarray) else most.map_blocks(names.__getitem__, dtype=names.dtype)


def interval(values: np.ndarray, ci_prob: float) -> np.ndarray:
    """Equal-tailed interval over the first axis: lower and upper, (2, ...)."""
    # Values of one quantity side by side, to be put in order in place: a copy, also where they stand so already.
    by_quantity = np.array(np.moveaxis(values, 0, -1), order="C")
    tails = [(1 - ci_prob) / 2, (1 + ci_prob) / 2]
    return np.quantile(by_quantity, tails, axis=-1, overwrite_input=True)


@jit
def _moments(r, mean, sd, expected_entropy):
    """Fill mean and standard deviation over draws, (N, K), and the draws' mean entropy, (N,), of ``r`` (S, N, K)."""
    n_draws, n_rows, n_components = r.shape
    mean[:], sd[:], expected_entropy[:] = 0.0, 0.0, 0.0
    for s in range(n_draws):
        for n in range(n_rows):
            for k in range(n_components):
                p = r[s, n, k]
                mean[n, k] += p
                if p > 0.0:
                    expected_entropy[n] -= p * log(p)
    mean /= n_draws
    expected_entropy /= n_draws
    for s in range(n_draws):
        for n in range(n_rows):
            for k in range(n_components):
                sd[n, k] += (r[s, n, k] - mean[n, k]) ** 2
    for n in range(n_rows):
        for k in range(n_components):
            sd[n, k] = np.sqrt(sd[n, k] / n_draws)
