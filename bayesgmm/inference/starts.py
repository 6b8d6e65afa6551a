"""Where to start: k-means++ on whitened data, and random rows, each followed by a few EM steps."""

from collections.abc import Iterator

import numpy as np

from bayesgmm.inference.em import ExpectationMaximisation, Mixture
from bayesgmm.model.build import MixtureFacts

# Enough for EM to settle on one optimum's hillside; the optimiser climbs the rest faster.
EM_STEPS = 30
EM_TOLERANCE = 1e-6
# Where there are more rows, the hillsides are found, and climbed first, on this many of them.
MAX_ROWS = 20_000


def fewer_rows(facts: MixtureFacts, rng: np.random.Generator) -> np.ndarray | None:
    """Rows, of those that count, on which to find the hillsides; None: all of them."""
    counted = np.flatnonzero(facts.row_weights)
    return rng.choice(counted, size=MAX_ROWS, replace=False) if len(counted) > MAX_ROWS else None


def starting_mixtures(em: ExpectationMaximisation, n_init: int, rng: np.random.Generator) -> Iterator[Mixture]:
    """``n_init`` starting points after a few EM steps, begun at k-means++ and at random rows in turn."""
    facts = em.facts
    whitened = _whiten(em)
    for i in range(n_init):
        begin = _random_rows(em, rng) if i % 2 else _kmeans_plusplus(em, whitened, rng)
        yield em.run(begin, max_steps=EM_STEPS if facts.n_components > 1 else 2, tolerance=EM_TOLERANCE)


def _whiten(em: ExpectationMaximisation) -> np.ndarray:
    x = (em.facts.x - em.centre) / np.sqrt(em.spread)
    weight = em.facts.row_weights
    correlation = (weight * x.T) @ x / weight.sum()
    # The small ridge leaves exactly collinear features finite; they count once instead of blowing up.
    return np.linalg.solve(np.linalg.cholesky(correlation + 1e-3 * np.eye(x.shape[1])), x.T).T


def _kmeans_plusplus(em: ExpectationMaximisation, whitened: np.ndarray, rng: np.random.Generator) -> Mixture:
    facts, k = em.facts, em.facts.n_components
    centres = whitened[_spread_rows(whitened, k, facts.row_weights, rng)]
    distance = ((whitened**2).sum(axis=1)[:, None] - 2 * whitened @ centres.T) + (centres**2).sum(axis=1)
    one_hot = np.eye(k)[distance.argmin(axis=1)] * facts.row_weights[:, None]
    counts = one_hot.sum(axis=0)
    means = (one_hot.T @ facts.x) / np.maximum(counts, 1e-300)[:, None]
    means[counts == 0] = em.centre
    scatter = np.empty((k, *np.diag(em.spread).shape))
    for j in range(k):
        centred = facts.x - means[j]
        scatter[j] = (one_hot[:, j] * centred.T) @ centred
    return em.maximise(counts, means, scatter)


def _spread_rows(x: np.ndarray, k: int, weight: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Greedy k-means++: each row drawn by its squared distance to those before it, the best of a few draws kept.

    scikit-learn's takes half a second to import, and scipy's knows no weights and fails on ties.
    """
    rows = [int(rng.choice(len(x), p=weight / weight.sum()))]
    nearest = ((x - x[rows[0]]) ** 2).sum(axis=1)
    while len(rows) < k:
        potential = weight * nearest
        if potential.sum() == 0:  # fewer distinct rows than components
            potential = weight
        candidates = rng.choice(len(x), size=2 + int(np.log(k)), p=potential / potential.sum())
        distances = [np.minimum(nearest, ((x - x[c]) ** 2).sum(axis=1)) for c in candidates]
        best = int(np.argmin([weight @ distance for distance in distances]))
        rows.append(int(candidates[best]))
        nearest = distances[best]
    return rows


def _random_rows(em: ExpectationMaximisation, rng: np.random.Generator) -> Mixture:
    facts, k = em.facts, em.facts.n_components
    weight = facts.row_weights
    rows = rng.choice(len(facts.x), size=k, replace=False, p=weight / weight.sum())
    counts = np.full(k, weight.sum() / k)
    centred = facts.x - em.centre
    scatter = (weight * centred.T) @ centred / k
    return em.maximise(counts, facts.x[rows], np.broadcast_to(scatter, (k, *scatter.shape)))
