"""scikit-learn's mixture and this package's under flat priors, from the same starts: how far apart they end.

    python benchmarks/parity.py

Iris and wine (standardised) with K = 3, Old Faithful with K = 2, the four covariance types, scikit-learn's k-means
starts of seeds 0 to 4. scikit-learn with reg_covar=0 and tol=1e-14, as its default of 1e-3 ends EM early. Prints the
largest difference over the five seeds; parameters are in units of the features' standard deviations. Aim: 1e-6.
"""

import warnings

import numpy as np
from sklearn.datasets import load_iris, load_wine
from sklearn.mixture import GaussianMixture as PlugIn
from sklearn.preprocessing import scale

import bayesgmm as bg

SEEDS = range(5)
NAMES = ("weights_", "means_", "covariances_")


def tables():
    yield "iris", load_iris().data, 3
    yield "wine", scale(load_wine().data), 3
    yield "Old Faithful", bg.datasets.load_faithful().to_numpy(dtype=float), 2


def compared(X, n_components, covariance_type, seed):
    """Differences of the log-likelihood and of NAMES."""
    given = {"covariance_type": covariance_type, "random_state": seed}
    theirs = PlugIn(n_components, reg_covar=0, tol=1e-14, max_iter=100_000, **given).fit(X)
    ours = bg.GaussianMixture(
        n_components, inference="map", priors=bg.Priors.flat(), resolution=None, init_params="kmeans", n_init=1, **given
    ).fit(X)
    orders = [np.argsort(gmm.means_[:, 0]) for gmm in (theirs, ours)]
    difference = [len(X) * (ours.score(X) - theirs.score(X))]
    for name in NAMES:
        pair = [getattr(gmm, name) for gmm in (theirs, ours)]
        if not (name == "covariances_" and covariance_type == "tied"):
            pair = [value[order] for value, order in zip(pair, orders, strict=True)]
        difference.append(np.abs(pair[0] - pair[1]).max())
    return difference


def main():
    warnings.simplefilter("ignore")  # flat priors guarantee no maximum
    print("| table | covariances | log-likelihood, nats | weights | means | covariances |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, X, n_components in tables():
        X = X / X.std(axis=0)
        for covariance_type in ("full", "tied", "diag", "spherical"):
            found = [compared(X, n_components, covariance_type, seed) for seed in SEEDS]
            numbers = [f"{value:.0e}" for value in np.abs(found).max(axis=0)]
            print(f"| {name} | {covariance_type} | {' | '.join(numbers)} |")


if __name__ == "__main__":
    main()
