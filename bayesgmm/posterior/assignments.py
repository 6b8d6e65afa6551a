"""Soft assignments: which component a row belongs to, and how sure the posterior is of that."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.likelihood import kernel
from bayesgmm.posterior.draws import Draws, observed
from bayesgmm.validation import check_probability

if TYPE_CHECKING:
    import xarray as xr

# Rows are taken in blocks for which the responsibilities of all draws fit in this many doubles (256 MB).
BLOCK_DOUBLES = 2**25


def row_entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy in nats over the last axis, with 0 log 0 = 0."""
    # Subtracted from 0.0, a certain row's sum gives 0.0 and not -0.0.
    return 0.0 - (probability * np.log(np.where(probability > 0, probability, 1.0))).sum(axis=-1)


def assignments(dt: "xr.DataTree", X: Any = None, *, ci_prob: float = 0.89) -> "xr.Dataset":
    r"""Every row's probability of every component, with its uncertainty.

    With :math:`r_{nk}^{(s)}` the responsibility under draw s, the posterior mean :math:`\bar r_{nk}` is the probability
    of the component, and its entropy splits into the part due to overlapping components and the part due to not
    knowing the components well:

    .. math:: \underbrace{H(\bar r_n)}_{\text{entropy}} = \underbrace{\tfrac1S \sum_s H(r_n^{(s)})}_{\text{expected
              entropy}} + \underbrace{I(z_n; \theta)}_{\text{mutual information}} .

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws, from :func:`sample` or ``MapEstimate.laplace``.
    X : (N, D) array or data frame, optional
        New rows; default: the rows that were fitted.
    ci_prob : float, default 0.89
        Probability of the equal-tailed intervals ``lower`` to ``upper``.

    Returns
    -------
    xr.Dataset
        ``probability``, ``probability_sd``, ``lower``, ``upper`` (obs_id, component); ``label``, ``entropy``,
        ``expected_entropy``, ``mutual_information`` (obs_id), entropies in nats.

    Raises
    ------
    ModelError, InvalidDataError, InvalidArgumentError

    References
    ----------
    Depeweg et al. (2018), Decomposition of uncertainty in Bayesian deep learning for efficient and risk-sensitive
    learning, ICML, 1184-1193 (the split of the entropy).
    """
    import xarray as xr

    ci_prob = check_probability(ci_prob, "ci_prob")
    draws = Draws.of(dt)
    x = observed(dt) if X is None else draws.table(X).values
    n_rows, n_components, n_draws = len(x), draws.n_components, len(draws)
    mixtures = [draws.mixture(s) for s in range(n_draws)]
    by_component = {
        name: np.empty((n_rows, n_components)) for name in ("probability", "probability_sd", "lower", "upper")
    }
    expected_entropy = np.empty(n_rows)
    tails = [(1 - ci_prob) / 2, (1 + ci_prob) / 2]
    block = max(1, BLOCK_DOUBLES // (n_draws * n_components))
    for start in range(0, n_rows, block):
        rows = slice(start, min(start + block, n_rows))
        part = np.ascontiguousarray(x[rows])
        r = np.stack([kernel.responsibilities(part, *mixture, draws.structure.diagonal)[1] for mixture in mixtures])
        by_component["probability"][rows] = r.mean(axis=0)
        by_component["probability_sd"][rows] = r.std(axis=0)
        by_component["lower"][rows], by_component["upper"][rows] = np.quantile(r, tails, axis=0)
        expected_entropy[rows] = row_entropy(r).mean(axis=0)
    entropy = row_entropy(by_component["probability"])
    obs_id = dt["observed_data"]["obs_id"].values if X is None else np.arange(n_rows)
    variables: dict[str, Any] = {name: (("obs_id", "component"), v) for name, v in by_component.items()}
    variables |= {
        "label": (("obs_id",), by_component["probability"].argmax(axis=1)),
        "entropy": (("obs_id",), entropy),
        "expected_entropy": (("obs_id",), expected_entropy),
        # Not negative by Jensen's inequality; rounding may say otherwise in the last digit.
        "mutual_information": (("obs_id",), np.maximum(entropy - expected_entropy, 0.0)),
    }
    coords = {"obs_id": obs_id, "component": dt["posterior"]["component"].values}
    return xr.Dataset(variables, coords, attrs={"ci_prob": ci_prob, "ci_kind": "eti"})
