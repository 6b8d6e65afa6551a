"""EM to the same log-likelihood from the same start, against scikit-learn's."""

import warnings

import numpy as np
from measure import in_turn, keep, ratio, show
from problems import clusters
from sklearn.mixture import GaussianMixture

from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.em import ExpectationMaximisation

SHAPES = [(10_000, 2, 3, 20), (100_000, 10, 8, 10), (1_000_000, 2, 5, 10)]


def plain(counts, scatter, last):
    """Maximum likelihood: the M-step without the prior that keeps components from collapsing."""
    return scatter / counts[:, None, None]


def contest(n_rows: int, d: int, k: int, steps: int, repeats: int) -> dict[str, str]:
    x = clusters(n_rows, d, k)
    rng = np.random.default_rng(1)
    means = x[rng.choice(n_rows, k, replace=False)]
    begin = Mixture(np.full(k, 1 / k), means, np.tile(np.diag(x.var(axis=0)), (k, 1, 1)))
    table = Table.to_fit(x, resolution=None)
    em = ExpectationMaximisation(table, plain)
    reached = {}

    def ours():
        mixture = begin
        for _ in range(steps):
            mixture, reached["ours"] = em.step(mixture)
        mixture.responsibilities(x)  # scikit-learn's fit ends with an E-step

    def theirs():
        gmm = GaussianMixture(
            k,
            tol=0.0,
            reg_covar=0.0,
            max_iter=steps,
            weights_init=begin.weights,
            means_init=means,
            precisions_init=np.linalg.inv(begin.covariances),
            init_params="random_from_data",  # not its k-means, whose result it would not use
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gmm.fit(x)
        reached["theirs"] = gmm.lower_bound_ * n_rows

    times = in_turn({"theirs": theirs, "ours": ours}, repeats)
    np.testing.assert_allclose(reached["ours"], reached["theirs"], rtol=1e-9)
    return {
        "(N, D, K)": f"({n_rows}, {d}, {k})",
        "iterations": str(steps),
        "scikit-learn, s": f"{np.median(times['theirs']):.3g}",
        "bayesgmm, s": f"{np.median(times['ours']):.3g}",
        "scikit-learn / bayesgmm": show(ratio(times["theirs"], times["ours"])),
    }


if __name__ == "__main__":
    rows = [contest(n, d, k, steps, 5 if n < 1_000_000 else 3) for n, d, k, steps in SHAPES]
    keep(
        "em",
        rows,
        "The same start, the same number of iterations, the same log-likelihood to 9 digits, without priors or "
        "regularisation, all cores. Aim: 8.",
    )
