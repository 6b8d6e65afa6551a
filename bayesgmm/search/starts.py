"""Where to start: k-means in three metrics, and random rows, each followed by a few EM steps."""

from collections.abc import Iterator

import numpy as np
from scipy.linalg import solve_triangular

from bayesgmm.data.seeds import spread_positions, whitened
from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.em import ExpectationMaximisation
from bayesgmm.model.specification import Specification

# Enough for EM to settle on one optimum's hillside; the optimiser climbs the rest faster.
EM_STEPS = 30
EM_TOLERANCE = 1e-6


def starting_mixtures(
    specification: Specification, table: Table, n_init: int, rng: np.random.Generator
) -> Iterator[Mixture]:
    """``n_init`` starting points after a few EM steps: k-means in three metrics and random rows in turn.

    The metrics are those of features in units of their standard deviations, where a cluster that shows in few of many
    features is not lost among the others; without correlation in all; and without correlation within the clusters of
    the best start so far, where long clusters are round.
    """
    em = ExpectationMaximisation(table, specification.covariance_step, specification.weights_prior.step)
    n_components = specification.n_components
    centre, variances = table.moments
    metrics = [(table.values - centre) / np.sqrt(variances), whitened(table)]
    metrics.append(metrics[1])
    highest = -np.inf
    steps = EM_STEPS if n_components > 1 else 2
    for i in range(n_init):
        kind = i % (len(metrics) + 1)
        if kind == len(metrics):
            begin = _random_rows(em, n_components, rng)
        else:
            rows = metrics[kind]
            begin = em.from_centres(rows, rows[spread_positions(rows, n_components, table.row_weights, rng)])
        mixture = em.run(begin, max_steps=steps, tolerance=EM_TOLERANCE)
        reached = em.expect(mixture).log_likelihood
        if reached > highest:
            highest, metrics[2] = reached, _within(mixture, table)
        yield mixture


def _within(mixture: Mixture, table: Table) -> np.ndarray:
    """The rows in coordinates in which the components' covariances, each at a common scale, are 1 on average."""
    covariances = mixture.full_covariances
    scales = np.exp(np.linalg.slogdet(covariances)[1] / table.n_features)
    pooled = np.einsum("k,kij->ij", mixture.weights / scales, covariances)
    return solve_triangular(np.linalg.cholesky(pooled), (table.values - table.moments[0]).T, lower=True).T


def _random_rows(em: ExpectationMaximisation, k: int, rng: np.random.Generator) -> Mixture:
    table = em.table
    weight = table.row_weights
    rows = rng.choice(table.n_rows, size=k, replace=False, p=weight / weight.sum())
    counts = np.full(k, weight.sum() / k)
    centred = table.values - table.moments[0]
    scatter = (weight * centred.T) @ centred / k
    return em.maximise(counts, table.values[rows], np.broadcast_to(scatter, (k, *scatter.shape)))
