"""Where to start: k-means++ on whitened data, and random rows, each followed by a few EM steps."""

from collections.abc import Iterator

import numpy as np

from bayesgmm.data.seeds import spread_positions, whitened
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.search.em import ExpectationMaximisation

# Enough for EM to settle on one optimum's hillside; the optimiser climbs the rest faster.
EM_STEPS = 30
EM_TOLERANCE = 1e-6


def starting_mixtures(em: ExpectationMaximisation, n_init: int, rng: np.random.Generator) -> Iterator[Mixture]:
    """``n_init`` starting points after a few EM steps, begun at k-means++ and at random rows in turn."""
    uncorrelated = whitened(em.table)
    steps = EM_STEPS if em.specification.n_components > 1 else 2
    for i in range(n_init):
        begin = _random_rows(em, rng) if i % 2 else _kmeans_plusplus(em, uncorrelated, rng)
        yield em.run(begin, max_steps=steps, tolerance=EM_TOLERANCE)


def _kmeans_plusplus(em: ExpectationMaximisation, uncorrelated: np.ndarray, rng: np.random.Generator) -> Mixture:
    table, k = em.table, em.specification.n_components
    x, weight, d = table.values, table.row_weights, table.n_features
    centres = uncorrelated[spread_positions(uncorrelated, k, weight, rng)]
    distance = ((uncorrelated**2).sum(axis=1)[:, None] - 2 * uncorrelated @ centres.T) + (centres**2).sum(axis=1)
    one_hot = np.eye(k)[distance.argmin(axis=1)] * weight[:, None]
    counts = one_hot.sum(axis=0)
    means = (one_hot.T @ x) / np.maximum(counts, 1e-300)[:, None]
    means[counts == 0] = table.moments[0]
    scatter = np.empty((k, d, d))
    for j in range(k):
        centred = x - means[j]
        scatter[j] = (one_hot[:, j] * centred.T) @ centred
    return em.maximise(counts, means, scatter)


def _random_rows(em: ExpectationMaximisation, rng: np.random.Generator) -> Mixture:
    table, k = em.table, em.specification.n_components
    weight = table.row_weights
    rows = rng.choice(table.n_rows, size=k, replace=False, p=weight / weight.sum())
    counts = np.full(k, weight.sum() / k)
    centred = table.values - table.moments[0]
    scatter = (weight * centred.T) @ centred / k
    return em.maximise(counts, table.values[rows], np.broadcast_to(scatter, (k, *scatter.shape)))
