"""Data that every benchmark shares, and the mixture as PyMC itself would have a user write it."""

from typing import Any

import numpy as np


def clusters(n_rows: int, n_features: int, n_components: int, seed: int = 0) -> np.ndarray:
    """Rows (N, D) of a mixture whose components lie 4 standard deviations apart on average, shapes random."""
    rng = np.random.default_rng([seed, n_features, n_components])
    directions = rng.normal(size=(n_components, n_features))
    means = 4.0 * np.sqrt(n_components) * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    means[:, 0] += 4.0 * np.arange(n_components)
    factors = np.eye(n_features) + 0.3 * rng.normal(size=(n_components, n_features, n_features))
    labels = rng.integers(n_components, size=n_rows)
    rows = np.empty((n_rows, n_features))
    for k in range(n_components):
        mine = labels == k
        rows[mine] = means[k] + rng.normal(size=(int(mine.sum()), n_features)) @ factors[k].T
    return rows


def prior_numbers(x: np.ndarray, n_components: int) -> dict[str, Any]:
    """The numbers of bayesgmm's priors without a reference, for the others to use the same."""
    d = x.shape[1]
    return {
        "midrange": (x.min(axis=0) + x.max(axis=0)) / 2,
        "range": np.ptp(x, axis=0),
        "beta": x.var(axis=0) / (2 * n_components ** (2 / d)),
        "eta": (d + 3) / 2,
    }


def pymc_mixture(x: np.ndarray, n_components: int) -> Any:
    """The same model from PyMC's own parts: ``pm.Mixture`` of ``MvNormal``."""
    import pymc as pm

    numbers, d = prior_numbers(x, n_components), x.shape[1]
    with pm.Model() as model:
        weights = pm.Dirichlet("weights", np.ones(n_components))
        means = pm.Normal("means", numbers["midrange"], numbers["range"], shape=(n_components, d))
        variances = pm.InverseGamma("variances", 1.5, numbers["beta"], shape=(n_components, d))
        factor = pm.LKJCorr("correlation_cholesky", n=d, eta=numbers["eta"], shape=(n_components, d, d))
        cholesky = variances[..., None] ** 0.5 * factor
        components = [pm.MvNormal.dist(mu=means[k], chol=cholesky[k]) for k in range(n_components)]
        pm.Deterministic("covariances", cholesky @ cholesky.mT)
        pm.Mixture("x", w=weights, comp_dists=components, observed=x)
    return model
