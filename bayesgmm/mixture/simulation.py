"""Rows drawn from a mixture: the one simulator, which NumPy's generators drive from Python and from PyTensor alike."""

import math

import numpy as np

from bayesgmm.mixture.elementary import jit


@jit
def simulate_row(rng, weights, means, covariances, row):
    """Fill ``row`` (D,) with a draw, and return its component.

    The component comes by inversion, then its mean plus its Cholesky factor times noise, a row of the factor at a time.
    """
    u = rng.random() * weights.sum()
    k = 0
    # The last component takes what rounding leaves.
    while k < weights.size - 1 and u >= weights[k]:
        u -= weights[k]
        k += 1
    n_features = row.size
    noise = rng.normal(0.0, 1.0, n_features)
    factor = np.zeros((n_features, n_features))
    for i in range(n_features):
        row[i] = means[k, i]
        for j in range(i + 1):
            s = covariances[k, i, j]
            for m in range(j):
                s -= factor[i, m] * factor[j, m]
            factor[i, j] = math.sqrt(s) if i == j else s / factor[j, j]
            row[i] += factor[i, j] * noise[j]
    return k


@jit
def simulate(rng, weights, means, covariances, n_rows):
    """Rows (n_rows, D) and their components (n_rows,); every row is of one of S mixtures, taken at random."""
    n_draws, _, n_features = means.shape
    rows, labels = np.empty((n_rows, n_features)), np.empty(n_rows, dtype=np.int64)
    for n in range(n_rows):
        s = rng.integers(0, n_draws) if n_draws > 1 else 0
        labels[n] = simulate_row(rng, weights[s], means[s], covariances[s], rows[n])
    return rows, labels


@jit
def draw_row(rng, weights, means, covariances, label, errors, share, low, high, row):
    """Fill ``row`` (D,) with a draw as it would be measured: of a component, which may be known, or of noise.

    ``errors`` is the covariance of its error (D, D), or (0, 0). Noise has none: its box is of what was measured.
    """
    if label < 0 and rng.random() < share:
        for j in range(row.size):
            row[j] = low[j] + (high[j] - low[j]) * rng.random()
        return
    if label >= 0:
        simulate_row(rng, np.ones(1), means[label : label + 1], covariances[label : label + 1], row)
    else:
        simulate_row(rng, weights, means, covariances, row)
    if errors.size > 0:
        factor = np.zeros((row.size, row.size))
        noise = rng.normal(0.0, 1.0, row.size)
        for i in range(row.size):
            for j in range(i + 1):
                s = errors[i, j]
                for m in range(j):
                    s -= factor[i, m] * factor[j, m]
                # Some features may be measured without.
                if i == j:
                    factor[i, i] = math.sqrt(max(s, 0.0))
                else:
                    factor[i, j] = s / factor[j, j] if factor[j, j] > 0.0 else 0.0
                row[i] += factor[i, j] * noise[j]
