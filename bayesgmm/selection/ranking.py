"""The table of a selection: criteria at the maximum of the likelihood, and beside them what posteriors say."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.search.maximum_likelihood import Found
from bayesgmm.selection.ladder import Model
from bayesgmm.selection.posteriors import Judgement, compared

if TYPE_CHECKING:
    import pandas as pd


def ranked(table: Table, climbed: Mapping[Model, Found]) -> "pd.DataFrame":
    """One row a model at its maximum, the least BIC first and those with a collapsed component last."""
    import pandas as pd

    rows = []
    for model, found in climbed.items():
        maximum, n_parameters = found.maximum, model.n_parameters(table.n_features)
        bic = model.bic(maximum.log_likelihood, table)
        log_certainty = np.log(maximum.mixture.responsibilities(table.values).max(axis=1))
        rows.append(
            {
                "n_components": model.n_components,
                "covariance_type": model.covariance_type,
                "log_likelihood": maximum.log_likelihood,
                "n_parameters": n_parameters,
                "bic": bic,
                "icl": bic - 2 * float(table.row_weights @ log_certainty),
                "aic": -2 * maximum.log_likelihood + 2 * n_parameters,
                "collapsed": bool(maximum.collapsed),
                "doubts": "; ".join(_doubts(table, model, found)),
            }
        )
    return pd.DataFrame(rows).sort_values(["collapsed", "bic"], ignore_index=True, kind="stable")


def _doubts(table: Table, model: Model, found: Found) -> list[str]:
    maximum = found.maximum
    doubts = []
    if maximum.collapsed:
        doubts.append(
            f"in all {found.n_starts} starts a component collapsed, on few rows or on one value of a feature: the "
            "likelihood there is an artefact"
        )
    elif not maximum.converged:
        doubts.append("nothing was found that fewer components or a simpler structure do not have, but for collapses")
    elif found.n_reached < 2 <= found.n_starts:
        doubts.append(f"one of {found.n_starts} starts reached this maximum: there may be a higher one")
    few = _few(table, model, maximum.mixture.weights * table.total)
    if few:
        doubts.append(few)
    return doubts


def _few(table: Table, model: Model, counts: np.ndarray) -> str:
    """Whether a component has hardly more rows than its own parameters need."""
    family = model.family
    least = 2 + (table.n_features if family.correlated else 1)
    if not family.per_component or counts.min() > least:
        return ""
    return f"a component holds {counts.min():.1f} rows, hardly enough for a covariance"


def models_of(rows: "pd.DataFrame") -> list[Model]:
    """The models of some rows of the table."""
    return [Model(int(k), str(name)) for k, name in zip(rows["n_components"], rows["covariance_type"], strict=True)]


def with_posteriors(
    rows: "pd.DataFrame", judged: Mapping[Model, Judgement], seconds: Mapping[Model, float]
) -> "pd.DataFrame":
    """The table with what the posteriors say beside."""
    models = models_of(rows)
    said = [judged.get(model) for model in models]
    beside = compared({str(model): one for model, one in judged.items()})
    beside = beside.reindex([str(model) for model in models])

    def column(of: Any) -> list[float]:
        return [np.nan if one is None else float(of(one)) for one in said]

    table = rows.drop(columns="doubts").assign(
        elpd=column(lambda one: np.nan if one.loo is None else one.loo.elpd),
        elpd_se=column(lambda one: np.nan if one.loo is None else one.loo.se),
        elpd_diff=beside["elpd_diff"].to_numpy(),
        elpd_diff_se=beside["dse"].to_numpy(),
        log_evidence=column(lambda one: one.log_evidence),
        log_evidence_se=column(lambda one: one.log_evidence_se),
        weight=beside["weight"].to_numpy(),
        verdict=["" if one is None else one.verdict for one in said],
        seconds=[seconds[model] for model in models],
    )
    more = ["" if one is None else "; ".join(one.doubts) for one in said]
    return table.assign(doubts=["; ".join(filter(None, pair)) for pair in zip(rows["doubts"], more, strict=True)])
