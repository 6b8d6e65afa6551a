"""Where to start: k-means++ in two metrics, and random rows, each followed by a few EM steps."""

from collections.abc import Iterator

import numpy as np
from scipy.linalg import solve_triangular

from bayesgmm.data.seeds import spread_positions, whitened
from bayesgmm.data.table import Table
from bayesgmm.mixture.em import ExpectationMaximisation
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.specification import Specification

# Enough for EM to settle on one optimum's hillside; the optimiser climbs the rest faster.
EM_STEPS = 30
EM_TOLERANCE = 1e-6


def starting_mixtures(
    specification: Specification, table: Table, n_init: int, rng: np.random.Generator
) -> Iterator[Mixture]:
    """``n_init`` starting points after a few EM steps, begun at k-means++ and at random rows in turn."""
    em = ExpectationMaximisation(table, specification.covariance_step)
    n_components = specification.n_components
    metrics = _metrics(specification, table)
    steps = EM_STEPS if n_components > 1 else 2
    for i in range(n_init):
        if i % 2:
            begin = _random_rows(em, n_components, rng)
        else:
            rows = metrics[i // 2 % len(metrics)]
            begin = em.from_centres(rows, rows[spread_positions(rows, n_components, table.row_weights, rng)])
        yield em.run(begin, max_steps=steps, tolerance=EM_TOLERANCE)


def _metrics(specification: Specification, table: Table) -> list[np.ndarray]:
    """The rows in coordinates without correlation within the clusters, and in all."""
    metrics = [whitened(table)]
    prior = specification.relative_prior
    if prior is not None:
        centred = table.values - table.moments[0]
        factor = prior.reference_cholesky
        within = solve_triangular(factor, centred.T, lower=True).T if factor.ndim == 2 else centred / factor
        metrics.insert(0, within)
    return metrics


def _random_rows(em: ExpectationMaximisation, k: int, rng: np.random.Generator) -> Mixture:
    table = em.table
    weight = table.row_weights
    rows = rng.choice(table.n_rows, size=k, replace=False, p=weight / weight.sum())
    counts = np.full(k, weight.sum() / k)
    centred = table.values - table.moments[0]
    scatter = (weight * centred.T) @ centred / k
    return em.maximise(counts, table.values[rows], np.broadcast_to(scatter, (k, *scatter.shape)))
