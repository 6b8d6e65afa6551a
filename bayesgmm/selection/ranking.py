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

# Rows of a component whose features do not correlate.
LEAST_UNCORRELATED = 6


def ranked(table: Table, climbed: Mapping[Model, Found]) -> "pd.DataFrame":
    """One row a model at its maximum, the least BIC first and those that are not sound last."""
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
                "sound": is_sound(table, model, found),
                "doubts": "; ".join(_doubts(table, model, found)),
            }
        )
    return pd.DataFrame(rows).sort_values(["sound", "bic"], ascending=[False, True], ignore_index=True)


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
    counts = maximum.mixture.weights * table.total
    if not maximum.collapsed and counts.min() < _least(table, model):
        doubts.append(
            f"a component holds {counts.min():.1f} rows, fewer than the {_least(table, model)} by which a maximum is "
            "told from an accident"
        )
    return doubts


def is_sound(table: Table, model: Model, found: Found) -> bool:
    """Whether the maximum found is one by which models can be compared.

    No component has collapsed, and those with a covariance of their own hold enough rows: by picking rows any few of
    which happen to lie close, or near a plane, the likelihood gains more than BIC charges.
    """
    counts = found.maximum.mixture.weights * table.total
    return not found.maximum.collapsed and bool(counts.min() >= _least(table, model))


def _least(table: Table, model: Model) -> int:
    """Rows that a component must hold at least: twice or three times as many as fix a covariance."""
    if not model.family.per_component or model.n_components == 1:
        return 0
    return 2 * (table.n_features + 1) if model.family.correlated else LEAST_UNCORRELATED


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
