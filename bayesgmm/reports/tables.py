"""What a fit says, as tables."""

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.arguments import check_ci_prob
from bayesgmm.posterior.assignments import assignments
from bayesgmm.record.fit import Fit
from bayesgmm.record.trees import EACH

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# A row whose best component has less probability than this is called unsure.
SURE = 0.9


def parameter_table(dt: "xr.DataTree", ci_prob: float | None = None) -> "pd.DataFrame":
    """ArviZ's summary of weights, means and scales, with correlations where the covariances have them."""
    import arviz_stats
    import xarray as xr

    ci_prob = check_ci_prob(ci_prob)
    fit = Fit.of(dt)
    pooled = fit.in_proportion
    shown = pooled.parameters
    if pooled.covariance.correlated and pooled.n_features > 1:
        shown = shown.assign(_correlations(pooled))
    # Draws of chains that weigh differently are no chain: they have neither R-hat nor effective sample size.
    kind = "all" if fit.provenance.of_chains and fit.n_draws > 1 and pooled is fit else "stats"
    # What rounds to a constant (K = 1: the weight) has no effective sample size; ArviZ divides by zero for it.
    with np.errstate(invalid="ignore", divide="ignore"):
        table = arviz_stats.summary(
            xr.DataTree.from_dict({"posterior": shown}), kind=kind, ci_prob=ci_prob, ci_kind="eti", round_to="none"
        )
    ends = {"_lb": "lower", "_ub": "upper"}
    bounds = {name: ends[name[-3:]] for name in table.columns if name[:3] == "eti" and name[-3:] in ends}
    # Eighty columns have no room for Monte Carlo errors, and the effective sample sizes say the same.
    return table.drop(columns=["mcse_mean", "mcse_sd"], errors="ignore").rename(columns=bounds)


def _correlations(fit: Fit) -> dict[str, "xr.DataArray"]:
    """The correlations of every pair of features, named after the pair."""
    import xarray as xr

    draws, names = fit.every_draw, fit.features
    scales = draws.scales
    correlations = draws.covariances / (scales[..., None] * scales[..., None, :])
    by_chain = correlations.reshape(fit.n_chains, fit.n_draws, *correlations.shape[1:])
    dims: tuple[str, ...] = EACH
    coords: dict[str, np.ndarray] = {}
    if fit.covariance.per_component:
        dims, coords = (*EACH, "component"), {"component": fit.components}
    else:
        by_chain = by_chain[:, :, 0]
    return {
        f"corr({a}, {b})": xr.DataArray(by_chain[..., i, j], coords, dims)
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i < j
    }


def assignment_table(dt: "xr.DataTree", soft: "xr.Dataset | None" = None) -> "pd.DataFrame":
    """One row a component: the rows it holds, and how many of them are unsure."""
    import pandas as pd

    soft = assignments(dt) if soft is None else soft
    label, best = soft["label"].values, soft["label_probability"].values
    rows = []
    for name in soft["component"].values:
        own = label == name
        rows.append(
            {
                "component": name,
                "rows": int(own.sum()),
                f"sure (>= {SURE:g})": int((own & (best >= SURE)).sum()),
                "unsure": int((own & (best < SURE)).sum()),
                "mean probability": float(best[own].mean()) if own.any() else np.nan,
            }
        )
    if "noise" in soft:
        noise = ~np.isin(label, soft["component"].values)
        sure, unsure = f"sure (>= {SURE:g})", "unsure"
        rows.append(
            {
                "component": "noise", "rows": int(noise.sum()), sure: int((noise & (best >= SURE)).sum()),
                unsure: int((noise & (best < SURE)).sum()),
                "mean probability": float(best[noise].mean()) if noise.any() else np.nan,
            }
        )  # fmt: skip
    return pd.DataFrame(rows).set_index("component")


def least_certain(soft: "xr.Dataset", most: int = 5) -> "pd.DataFrame":
    """The rows whose assignment is least certain, with the interval of their best component's probability."""
    import pandas as pd

    table = pd.DataFrame(_most_probable(soft), index=pd.Index(soft["obs_id"].values, name="row"))
    return table.sort_values("entropy", ascending=False).head(most)


def with_assignments(frame: "pd.DataFrame", soft: "xr.Dataset") -> "pd.DataFrame":
    """A table with its rows' assignments beside it; columns of these names that it had are replaced."""
    each = {f"probability_{k}": soft["probability"].sel(component=k).values for k in soft["component"].values}
    if "noise" in soft:
        each["probability_noise"] = soft["noise"].values
    return frame.assign(**_most_probable(soft), **each)


def _most_probable(soft: "xr.Dataset") -> dict[str, np.ndarray]:
    """Every row's most probable component, or noise, that one's probability and interval, and how unsure the row is."""
    every = {name: soft[name].values for name in ("probability", "lower", "upper")}
    if "noise" in soft:
        also = {"probability": "noise", "lower": "noise_lower", "upper": "noise_upper"}
        every = {name: np.column_stack([value, soft[also[name]].values]) for name, value in every.items()}
    best = every["probability"].argmax(axis=1)
    rows = np.arange(best.size)
    return {
        "component": soft["label"].values,
        **{name: value[rows, best] for name, value in every.items()},
        **{name: soft[name].values for name in ("entropy", "mutual_information")},
    }
