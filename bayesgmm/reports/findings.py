"""All numbers of the page about a fit, computed once."""

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.mixture.mixture import NOISE
from bayesgmm.posterior.assignments import assignments, interval
from bayesgmm.posterior.coclustering import coclustering
from bayesgmm.posterior.density import density
from bayesgmm.posterior.diagnosis import Diagnosis, diagnose
from bayesgmm.record.fit import Fit
from bayesgmm.reports.clusters import Clusters, Curves
from bayesgmm.reports.densities import Lines
from bayesgmm.reports.modes import Search
from bayesgmm.reports.replicates import Replicates
from bayesgmm.reports.rows import Coclustering, UnsureRows, heat_rows
from bayesgmm.reports.selection import Criteria
from bayesgmm.reports.tables import SURE, assignment_table
from bayesgmm.reports.uncertainty import Uncertainty
from bayesgmm.reports.weights import Weights

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Pairs of features that a page has room for, and single features.
MAX_PAIRS = 3
MAX_FEATURES = 6
# Rows in the picture of the least certain ones.
PICTURED_ROWS = 25


@dataclass(frozen=True, eq=False)
class Component:
    """A component's parameters, each as mean, lower and upper end along the last axis.

    Parameters
    ----------
    weight : (3,) array
    means, scales : (D, 3) arrays
    covariances : (D, D, 3) array
    rows : int
        How many rows are most probably of it.
    """

    weight: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    covariances: np.ndarray
    rows: int

    @classmethod
    def all_of(cls, fit: Fit, ci_prob: float, labels: np.ndarray) -> tuple["Component", ...]:
        """Every component of a fit; ``labels`` (N,) are the rows' most probable ones."""

        def summary(values: np.ndarray) -> np.ndarray:
            return np.stack([values.mean(axis=0), *interval(values, ci_prob)], axis=-1)

        draws = fit.mixture
        weights, means, scales = map(summary, (draws.weights, draws.means, draws.scales))
        covariances = summary(draws.full_covariances)
        rows = np.bincount(labels[labels != NOISE], minlength=fit.n_components)
        return tuple(
            cls(weights[k], means[k], scales[k], covariances[k], int(rows[k])) for k in range(fit.n_components)
        )


@dataclass(frozen=True, eq=False)
class Findings:
    """What a page says and shows of a fit.

    Parameters
    ----------
    fit : Fit
    ci_prob : float
        Of all intervals.
    diagnosis : Diagnosis
    soft : xr.Dataset
        The rows' assignments.
    allocated : pandas.DataFrame
        Rows by component.
    components : tuple of Component
    clusters : tuple of Clusters or Curves
        Of the pairs of features that tell the components apart.
    densities, checks : tuples of Lines and of Replicates
        Of every feature, as far as there is room.
    weights, uncertainty, unsure_rows, coclustering
        None of a single component.
    search : Search or None
        None where there is no record of starts.
    selection : Criteria or None
        None where the model did not come from a selection.
    """

    fit: Fit
    ci_prob: float
    diagnosis: Diagnosis
    soft: "xr.Dataset"
    allocated: "pd.DataFrame"
    components: tuple[Component, ...]
    clusters: tuple[Clusters | Curves, ...]
    densities: tuple[Lines, ...]
    checks: tuple[Replicates, ...]
    weights: Weights | None
    uncertainty: Uncertainty | None
    unsure_rows: UnsureRows | None
    coclustering: Coclustering | None
    search: Search | None
    selection: Criteria | None

    @classmethod
    def of(cls, dt: "xr.DataTree", ci_prob: float, *, progressbar: bool = False) -> "Findings":
        """Everything, from a tree of relabelled draws."""
        fit = Fit.of(dt)
        # Where chains weigh differently they are brought into proportion here, and nowhere again.
        pooled = fit.in_proportion
        soft = assignments(pooled.tree, ci_prob=ci_prob, progressbar=progressbar)
        labels, several = soft["probability"].values.argmax(axis=1), fit.n_components > 1
        if "noise" in soft:
            labels[soft["noise"].values > soft["probability"].values.max(axis=1)] = NOISE
        pairs = telling_pairs(pooled)
        single = range(min(fit.n_features, MAX_FEATURES))
        chosen = heat_rows(fit)
        return cls(
            fit=fit,
            ci_prob=ci_prob,
            diagnosis=diagnose(dt),
            soft=soft,
            allocated=assignment_table(dt, soft),
            components=Component.all_of(pooled, ci_prob, labels),
            clusters=tuple(_clusters(pooled, pair, soft) for pair in pairs),
            densities=tuple(_density(pooled, j, ci_prob, progressbar) for j in single),
            checks=Replicates.of(pooled, single),
            weights=Weights.of(pooled, ci_prob) if several else None,
            uncertainty=Uncertainty.of(pooled, pairs[0], soft) if several else None,
            unsure_rows=UnsureRows.of(pooled, soft, PICTURED_ROWS) if several else None,
            coclustering=_together(pooled, chosen, labels[chosen], progressbar) if several else None,
            search=None if fit.provenance.starts is None else Search.of(fit.provenance),
            selection=None if fit.selection is None else Criteria(fit.selection, "bic"),
        )

    @property
    def n_unsure(self) -> int:
        """Rows whose most probable component has less than ``SURE``."""
        return int((self.soft["label_probability"] < SURE).sum())


def telling_pairs(fit: Fit) -> list[tuple[int, ...]]:
    """The pairs of features in which the components lie furthest apart, relative to their widths."""
    if fit.n_features == 1:
        return [(0,)]
    one = fit.mixture[len(fit.mixture) // 2]
    between = one.weights @ (one.means - one.weights @ one.means) ** 2
    apart = between / (one.weights @ one.scales**2)
    pairs = sorted(combinations(range(fit.n_features), 2), key=lambda pair: -float(apart[list(pair)].sum()))
    return list(pairs[:MAX_PAIRS])


def _clusters(fit: Fit, axes: tuple[int, ...], soft: "xr.Dataset") -> Clusters | Curves:
    return Curves.of(fit, axes[0]) if len(axes) == 1 else Clusters.of(fit, axes, soft["probability"].values)


def _density(fit: Fit, axis: int, ci_prob: float, progressbar: bool) -> Lines:
    grid = density(fit.tree, features=[fit.features[axis]], ci_prob=ci_prob, progressbar=progressbar)
    return Lines.of(fit, [grid])


def _together(fit: Fit, rows: np.ndarray, labels: np.ndarray, progressbar: bool) -> Coclustering:
    matrix = np.asarray(coclustering(fit.tree, rows=rows, progressbar=progressbar))
    return Coclustering.of(fit, matrix, labels)
