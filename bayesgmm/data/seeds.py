"""Rows far apart from each other, where clusters may be looked for (k-means++)."""

import numpy as np

from bayesgmm.data.table import Table

# Added to the features' correlations: exactly collinear features stay finite, and count once instead of blowing up.
RIDGE = 1e-3


def whitened(table: Table) -> np.ndarray:
    """The rows in units in which the features have no correlation, (N, D)."""
    centre, spread = table.moments
    x = (table.filled - centre) / np.sqrt(spread)
    correlation = (table.row_weights * x.T) @ x / table.total
    return np.linalg.solve(np.linalg.cholesky(correlation + RIDGE * np.eye(table.n_features)), x.T).T


def spread_rows(table: Table, n: int, rng: np.random.Generator) -> np.ndarray:
    """The values of ``n`` rows far apart from each other, (n, D)."""
    return table.filled[spread_positions(whitened(table), n, table.row_weights, rng)]


def spread_positions(x: np.ndarray, n: int, weight: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Greedy k-means++: each row drawn by its squared distance to those before it, the best of a few draws kept.

    scikit-learn's takes half a second to import, and scipy's knows no weights and fails on ties.

    Arthur and Vassilvitskii (2007), k-means++: the advantages of careful seeding, SODA, 1027-1035.
    """
    rows = [int(rng.choice(len(x), p=weight / weight.sum()))]
    nearest = ((x - x[rows[0]]) ** 2).sum(axis=1)
    while len(rows) < n:
        potential = weight * nearest
        if potential.sum() == 0:  # fewer distinct rows than components
            potential = weight
        candidates = rng.choice(len(x), size=2 + int(np.log(n)), p=potential / potential.sum())
        distances = [np.minimum(nearest, ((x - x[c]) ** 2).sum(axis=1)) for c in candidates]
        best = int(np.argmin([weight @ distance for distance in distances]))
        rows.append(int(candidates[best]))
        nearest = distances[best]
    return rows
