"""Values in the place of those that were not seen, so that starts can be looked for among complete rows."""

import numpy as np

# EM's steps for one normal distribution of all rows, and what is added to the features' correlations.
STEPS, RIDGE = 10, 1e-3
# Rows whose matrices are held at once: 64 MB with 30 features.
AT_ONCE = 8_192


def filled(
    values: np.ndarray, weights: np.ndarray, centre: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows with their expectation, under one normal distribution of all, where a value is NaN, (N, D).

    Also the covariance of that distribution, (D, D).

    Where clusters are is not known yet. What is computed of such rows is a place to start from and no estimate.
    """
    n_features = values.shape[1]
    scales = np.sqrt(variances)
    z = (values - centre) / scales
    seen = ~np.isnan(z)
    z[~seen] = 0.0
    patterns, pattern = np.unique(seen, axis=0, return_inverse=True)
    counts = np.bincount(pattern, weights=weights, minlength=len(patterns))
    mean, correlation = np.zeros(n_features), np.eye(n_features)
    complete = z
    for _ in range(STEPS):
        whole = correlation + RIDGE * np.eye(n_features)
        complete, left = np.empty_like(z), np.zeros_like(whole)
        for start in range(0, len(patterns), AT_ONCE):
            some = patterns[start : start + AT_ONCE].astype(float)
            # The identity in the place of what was not seen: matrices of one size.
            own = some[:, :, None] * whole * some[:, None, :] + (1 - some)[:, :, None] * np.eye(n_features)
            gain = np.linalg.solve(own, some[:, :, None] * whole).swapaxes(1, 2)
            left += np.einsum("p,pij->ij", counts[start : start + AT_ONCE], whole - gain @ (some[:, :, None] * whole))
            rows = np.flatnonzero((pattern >= start) & (pattern < start + len(some)))
            away = np.where(seen[rows], z[rows] - mean, 0.0)
            complete[rows] = mean + np.einsum("nij,nj->ni", gain[pattern[rows] - start], away)
        complete[seen] = z[seen]
        mean = weights @ complete / weights.sum()
        apart = complete - mean
        correlation = ((weights * apart.T) @ apart + left) / weights.sum()
    return np.where(seen, values, centre + scales * complete), correlation * np.outer(scales, scales)
