"""What rows of which not all is seen should give, a row and a component at a time, by NumPy and SciPy."""

import numpy as np
from conftest import random_mixture
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from test_kernel import assert_close

from bayesgmm.data.observations import Observations
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.noise import Noise


def row_by_row(mixture, rows, row_weights=None, share=None):
    """Log-densities, responsibilities, and the statistics by Fisher's identity; ``share`` of noise in mixture's place.

    Everything is recomputed from the definition: N(mu, Sigma + E_n) of what was seen, of known components one term,
    and the uniform term. Responsibilities are as if that went on outside the box, densities and statistics are not.
    """
    x, k, (n_components, d) = rows.values, range(mixture.n_components), mixture.means.shape
    noise = mixture.noise
    share = float(noise.share) if noise is not None and share is None else share or 0.0
    joint = np.full((len(x), n_components + 1), -np.inf)
    without_end = joint[:, -1].copy()
    first, second = np.zeros((len(x), n_components, d)), np.zeros((len(x), n_components, d, d))
    for n, row in enumerate(x):
        o = np.flatnonzero(~np.isnan(row))
        label = -1 if rows.labels is None else rows.labels[n]
        for j in k if label < 0 else [label]:
            joint[n, j] = np.log((1 - share) * mixture.weights[j])
            covariance = mixture.full_covariances[j] + (0 if rows.errors is None else rows.errors[n])
            covariance = covariance[np.ix_(o, o)]
            if o.size:
                joint[n, j] += multivariate_normal(mixture.means[j, o], covariance).logpdf(row[o])
                precision = np.linalg.inv(covariance)
                away = precision @ (row[o] - mixture.means[j, o])
                first[n, j, o] = away
                second[n, j][np.ix_(o, o)] = np.outer(away, away) - precision
        if noise is not None and label < 0 and share > 0:
            inside = ((noise.low[o] <= row[o]) & (row[o] <= noise.high[o])).all()
            without_end[n] = np.log(share / np.prod((noise.high - noise.low)[o]))
            joint[n, -1] = without_end[n] if inside else -np.inf
    log_density = logsumexp(joint, axis=1)
    counted = np.ones(len(x)) if row_weights is None else row_weights
    own = np.exp(joint - log_density[:, None])[:, :-1] * counted[:, None]
    total = log_density.sum() if row_weights is None else row_weights @ log_density
    sums = total, own.sum(axis=0), np.einsum("nk,nki->ki", own, first), np.einsum("nk,nkij->kij", own, second)
    joint[:, -1] = without_end
    shares = np.exp(joint - logsumexp(joint, axis=1)[:, None])
    return log_density, shares, sums


def example(covariance_type, n_features, *, labels=False, noise=False, errors=False, gaps=False, n_rows=80):
    """A mixture of three components, and rows that show what is asked for: of the labelled and measured rows some."""
    rng = np.random.default_rng([n_features, n_rows])
    weights, means, covariances = random_mixture(rng, 3, n_features, covariance_type)
    x = 2 * rng.normal(size=(n_rows, n_features))
    if gaps:
        x = np.where(rng.random(x.shape) < 0.3, np.nan, x)
        x[::17] = np.nan
    known = np.where(rng.random(n_rows) < 0.4, rng.integers(3, size=n_rows), -1) if labels else None
    factor = rng.normal(size=(n_rows, n_features, n_features)) * (rng.random(n_rows) < 0.8)[:, None, None]
    measured = factor @ factor.swapaxes(1, 2) * ~np.isnan(x[:, :, None] + x[:, None, :]) if errors else None
    # Some rows are out of the box.
    box = Noise(np.asarray(0.2), np.full(n_features, -3.0), np.full(n_features, 2.5)) if noise else None
    own = np.einsum("kii->ki", covariances) if covariance_type in ("diag", "spherical") else covariances
    return Mixture(weights, means, own, box), Observations(x, known, measured)


def assert_agrees(mixture, rows):
    """Densities, responsibilities and statistics, weighted and not, are those row by row."""
    log_density, shares, _ = row_by_row(mixture, rows)
    assert_close(mixture.log_density(rows), log_density)
    assert_close(mixture.responsibilities(rows), shares[:, :-1])
    assert_close(mixture.memberships(rows), shares if mixture.noise is not None else shares[:, :-1])
    for weight in (None, np.random.default_rng(0).uniform(0, 2, size=len(rows))):
        sums, ours = row_by_row(mixture, rows, weight)[2], mixture.statistics(rows, weight)
        # Of what does not correlate the diagonal alone is computed, but with errors all of it is at hand.
        eye = np.eye(mixture.n_features) if mixture.diagonal else 1.0
        for a, b in zip(ours, (*sums[:3], sums[3] * eye), strict=True):
            assert_close(np.array(a), np.array(b))


def slope(function, step=1e-3):
    """The derivative at 0, by central differences of the fourth order."""
    near, far = function(step) - function(-step), function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)
