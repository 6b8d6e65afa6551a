"""What a fit says, as tables and sentences for a terminal."""

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.posterior.assignments import assignments
from bayesgmm.posterior.draws import Draws, in_proportion

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# A row whose best component has less probability than this is called unsure.
SURE = 0.9


def parameter_table(dt: "xr.DataTree", ci_prob: float = 0.89) -> "pd.DataFrame":
    """ArviZ's summary of weights, means and scales, with correlations where the covariances have them."""
    import arviz_stats
    import xarray as xr

    several = dt["posterior"].attrs.get("inference_method") == "nuts" and in_proportion(dt) is dt
    dt = in_proportion(dt)
    draws = Draws.of(dt)
    shown = dt["posterior"].dataset[["weights", "means", "scales"]]
    if draws.structure.correlated and draws.n_features > 1:
        shown = shown.assign(_correlations(dt))
    # Draws of chains that weigh differently are no chain: they have neither R-hat nor effective sample size.
    kind = "all" if several else "stats"
    # What rounds to a constant (K = 1: the weight) has no effective sample size; ArviZ divides by zero for it.
    with np.errstate(invalid="ignore", divide="ignore"):
        table = arviz_stats.summary(
            xr.DataTree.from_dict({"posterior": shown}), kind=kind, ci_prob=ci_prob, ci_kind="eti", round_to="none"
        )
    # Eighty columns have no room for them, and the effective sample sizes say the same.
    bounds = {f"eti{100 * ci_prob:.0f}_lb": "lower", f"eti{100 * ci_prob:.0f}_ub": "upper"}
    return table.drop(columns=["mcse_mean", "mcse_sd"], errors="ignore").rename(columns=bounds)


def _correlations(dt: "xr.DataTree") -> dict[str, "xr.DataArray"]:
    """The correlations of every pair of features, named after the pair."""
    covariances = dt["posterior"].dataset["covariances"]
    names = covariances["feature"].values
    variances = {f: covariances.sel(feature=f, feature2=f, drop=True) for f in names}
    return {
        f"corr({a}, {b})": covariances.sel(feature=a, feature2=b, drop=True) / np.sqrt(variances[a] * variances[b])
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }


def assignment_table(dt: "xr.DataTree", soft: "xr.Dataset | None" = None) -> "pd.DataFrame":
    """One row a component: the rows it holds, and how many of them are unsure."""
    import pandas as pd

    soft = assignments(dt) if soft is None else soft
    label, best = soft["label"].values, soft["label_probability"].values
    rows = []
    for k, name in enumerate(soft["component"].values):
        own = label == k
        rows.append(
            {
                "component": name,
                "rows": int(own.sum()),
                f"sure (>= {SURE:g})": int((own & (best >= SURE)).sum()),
                "unsure": int((own & (best < SURE)).sum()),
                "mean probability": float(best[own].mean()) if own.any() else np.nan,
            }
        )
    return pd.DataFrame(rows).set_index("component")


def least_certain(soft: "xr.Dataset", most: int = 5) -> "pd.DataFrame":
    """The rows whose assignment is least certain, with the interval of their best component's probability."""
    import pandas as pd

    table = pd.DataFrame(_most_probable(soft), index=pd.Index(soft["obs_id"].values, name="row"))
    return table.sort_values("entropy", ascending=False).head(most)


def with_assignments(frame: "pd.DataFrame", soft: "xr.Dataset") -> "pd.DataFrame":
    """A table with its rows' assignments beside it; columns of these names that it had are replaced."""
    each = {f"probability_{k}": soft["probability"].sel(component=k).values for k in soft["component"].values}
    return frame.assign(**_most_probable(soft), **each)


def _most_probable(soft: "xr.Dataset") -> dict[str, np.ndarray]:
    """Every row's most probable component, that one's probability and interval, and how unsure the row is."""
    label = soft["label"].values
    rows = np.arange(label.size)
    return {
        "component": soft["component"].values[label],
        **{name: soft[name].values[rows, label] for name in ("probability", "lower", "upper")},
        **{name: soft[name].values for name in ("entropy", "mutual_information")},
    }
