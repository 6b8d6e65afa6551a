"""The table of a selection: criteria at the maximum of the likelihood, and beside them what posteriors say."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln

from bayesgmm.data.table import Chunk, Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.search.maximum_likelihood import Found
from bayesgmm.selection.ladder import Model
from bayesgmm.selection.posteriors import Judgement, compared

if TYPE_CHECKING:
    import pandas as pd


def ranked(table: Table, climbed: Mapping[Model, Found]) -> "pd.DataFrame":
    """One row a model at its maximum, the least BIC with its penalty first and those that are not sound last."""
    import pandas as pd

    rows = []
    for model, found in climbed.items():
        maximum, n_parameters = found.maximum, model.n_parameters(table.n_features)
        bic = model.bic(maximum.log_likelihood, table)
        log_certainty = table.sum_over(partial(_log_certainty, maximum.mixture))
        rows.append(
            {
                "n_components": model.n_components,
                "covariance_type": model.covariance_type,
                "log_likelihood": maximum.log_likelihood,
                "n_parameters": n_parameters,
                "bic": bic,
                "icl": bic - 2 * log_certainty,
                "aic": -2 * maximum.log_likelihood + 2 * n_parameters,
                "spurious_penalty": spurious_penalty(table, model, found),
                "sound": is_sound(table, model, found),
                "doubts": "; ".join(_doubts(table, model, found)),
            }
        )
    table_of_all = pd.DataFrame(rows)
    order = np.lexsort([table_of_all["bic"] + table_of_all["spurious_penalty"], ~table_of_all["sound"]])
    return table_of_all.iloc[order].reset_index(drop=True)


def _log_certainty(mixture: Mixture, chunk: Chunk) -> float:
    """The sum over rows of the log of the greatest responsibility."""
    logs = np.log(mixture.responsibilities(chunk.values).max(axis=1))
    return float(np.broadcast_to(chunk.weights, logs.shape) @ logs)


def _doubts(table: Table, model: Model, found: Found) -> list[str]:
    maximum = found.maximum
    doubts = []
    if maximum.collapsed:
        doubts.append(
            f"in all {found.n_starts} starts a component collapsed, on few rows or on one value of a feature: the "
            "likelihood there is an artefact"
        )
    elif not maximum.converged:
        doubts.append(
            "no maximum was reached that fewer components or a simpler structure do not have, but by collapse"
        )
    elif found.n_reached < 2 <= found.n_starts:
        doubts.append(f"one of {found.n_starts} starts reached this maximum: there may be a higher one")
    if not maximum.collapsed and not is_sound(table, model, found):
        left = table.total - model.n_components
        doubts.append(f"{left:g} rows more than there are components are too few for a shared covariance")
    penalty = spurious_penalty(table, model, found)
    if penalty > 0 and not maximum.collapsed:
        doubts.append(
            f"a component holds {float(_counts(table, found).min()):.1f} rows, which may lie close by chance: ranked "
            f"as if BIC were {penalty:.1f} higher"
        )
    return doubts


def is_sound(table: Table, model: Model, found: Found) -> bool:
    """Whether no component has collapsed, and a shared covariance has rows left beside those that fix the means."""
    enough = model.family.per_component or model.n_components == 1
    left = table.total - model.n_components
    return not found.maximum.collapsed and (enough or left >= _few(table, model))


def spurious_penalty(table: Table, model: Model, found: Found) -> float:
    r"""What is added to BIC for components of few rows, which may be spurious maximisers of the likelihood.

    .. math:: 2 \log \binom{N}{m}

    for each of fewer than D + 5 rows (6 where features do not correlate), with the m rows that fix its place and width:
    D + 1, two where features do not correlate, one where the covariance is shared. BIC charges for parameters as if
    there were many rows to each; that any few of N rows lie close, or near a plane, has as many chances as
    there are ways to pick them. The penalty is this package's own; on spurious maximisers see McLachlan and Peel
    (2000), Finite mixture models, chapter 3, https://doi.org/10.1002/0471721182.
    """
    if model.n_components == 1:
        return 0.0
    counts, n = _counts(table, found), table.total
    fix = (table.n_features + 1 if model.family.correlated else 2) if model.family.per_component else 1
    # Row weights may add up to less than the rows that fix a component.
    m = np.minimum(np.clip(counts[counts < _few(table, model)], 1.0, fix), n)
    return float(2 * (gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)).sum())


def _counts(table: Table, found: Found) -> np.ndarray:
    return found.maximum.mixture.weights * table.total


def _few(table: Table, model: Model) -> int:
    return table.n_features + 5 if model.family.correlated else 6


def distinct(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The table without rows that are an earlier one under another name: one component, or one feature, has several."""
    same = rows.assign(log_likelihood=rows["log_likelihood"].round(6)).duplicated(
        ["n_components", "log_likelihood", "n_parameters"]
    )
    return rows[~same]


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
