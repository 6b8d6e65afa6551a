"""Slow statistical evidence: run by `make evidence` when inference changes; its output stands in docs/evidence.md."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from arviz_stats import ess
from conftest import draw_rows
from sklearn.datasets import load_iris, load_wine
from xarray import DataArray

import bayesgmm as bg

pytestmark = pytest.mark.slow

TRUTH = (
    np.array([0.35, 0.65]),
    np.array([[-2.0, 0.0], [2.0, 1.0]]),
    np.array([[[1.0, 0.5], [0.5, 1.0]], [[0.6, -0.2], [-0.2, 1.5]]]),
)


def plain_pymc_model(x, log_variance_shift=0.0):
    """The same posterior by PyMC's own parts: a mixture of MvNormal, its own LKJ parametrisation, no code of ours."""
    n_features = x.shape[1]
    low, high, variance = x.min(axis=0), x.max(axis=0), x.var(axis=0)
    with pm.Model() as model:
        weights = pm.Dirichlet("weights", np.ones(2))
        means = pm.Normal("means", (low + high) / 2, high - low, shape=(2, n_features))
        variances = pm.InverseGamma("variances", 1.5, variance / (2 * 2 ** (2 / n_features)), shape=(2, n_features))
        components = []
        for k in range(2):
            chol = pm.LKJCorr(f"corr{k}", n=n_features, eta=(n_features + 3) / 2)
            scale = pt.sqrt(variances[k]) * np.exp(log_variance_shift / 2)
            components.append(pm.MvNormal.dist(mu=means[k], chol=scale[:, None] * chol))
        pm.Mixture("x", w=weights, comp_dists=components, observed=x)
    return model


def monte_carlo_error(draws):
    return draws.std() / np.sqrt(float(ess(DataArray(draws, dims=("chain", "draw")), method="mean")))


def largest_z(ours, theirs):
    """Largest difference of posterior means and of standard deviations, in combined Monte Carlo errors."""
    scores = []
    for name in ("weights", "means", "variances"):
        a, b = ours["posterior"][name], theirs["posterior"][name]
        a, b = (v.values.reshape(*v.shape[:2], -1) for v in (a, b))
        for j in range(a.shape[2]):
            for power in (1, 2):
                u = (a[..., j] - a[..., j].mean()) ** 2 if power == 2 else a[..., j]
                v = (b[..., j] - b[..., j].mean()) ** 2 if power == 2 else b[..., j]
                scores.append(abs(u.mean() - v.mean()) / np.hypot(monte_carlo_error(u), monte_carlo_error(v)))
    return max(scores)


def test_posterior_moments_agree_with_pymcs_own_mixture_and_nuts():
    """Within 4 combined MCSE; a model whose covariances are 10 % too large is rejected by the same bound."""
    x, _ = draw_rows(np.random.default_rng(11), 300, *TRUTH)
    model = bg.build_model(x, 2, resolution=None)
    estimate = bg.find_MAP(model, random_seed=1)
    ours = bg.sample(model, draws=4000, start=estimate, random_seed=1, progressbar=False)
    start = {name: estimate.point[name] for name in ("weights", "means", "variances")}
    arguments = {
        "draws": 1500, "tune": 1000, "chains": 2, "cores": 2, "nuts_sampler": "pymc", "random_seed": 1,
        "progressbar": False, "compute_convergence_checks": False, "initvals": start, "init": "adapt_diag",
    }  # fmt: skip
    with plain_pymc_model(x):
        theirs = pm.sample(**arguments)
    z = largest_z(ours, theirs)
    print(f"\nlargest difference from PyMC's own mixture and NUTS: {z:.2f} combined MCSE")
    with plain_pymc_model(x, log_variance_shift=np.log(1.1)):
        wrong = pm.sample(**arguments)
    z_wrong = largest_z(ours, wrong)
    print(f"the same with covariances 10 % too large (negative control): {z_wrong:.1f}")
    assert z < 4
    assert z_wrong > 4


def test_intervals_cover_the_truth_as_often_as_they_say():
    """89 % intervals over 100 simulated data sets, NUTS: between 85 % and 93 % (binomial error of dependent parts)."""
    rng = np.random.default_rng(12)
    hits, wrong = [], []
    for seed in range(100):
        x, _ = draw_rows(rng, 250, *TRUTH)
        dt = bg.sample(bg.build_model(x, 2, resolution=None), draws=250, random_seed=seed, progressbar=False)
        posterior = dt["posterior"].dataset
        for name, value in zip(("weights", "means", "covariances"), TRUTH, strict=True):
            low, high = (posterior[name].quantile(p, ("chain", "draw")).values for p in (0.055, 0.945))
            hits.append(((low < value) & (value < high)).ravel())
            middle, half = (low + high) / 2, (high - low) / 4
            wrong.append(((middle - half < value) & (value < middle + half)).ravel())
    coverage, halved = (100 * np.concatenate(v).mean() for v in (hits, wrong))
    print(
        f"\ncoverage of 89 % intervals: {coverage:.1f} %; of intervals half as wide (negative control): {halved:.1f} %"
    )
    assert 85 < coverage < 93
    assert not 85 < halved < 93


@pytest.mark.parametrize("name", ["faithful", "iris", "wine"])
def test_prior_predictive_covers_the_data_and_is_not_absurdly_wide(name):
    """98 % of prior predictive rows: a range that holds the data's, and is under 10 times as wide."""
    X, k = {
        "faithful": (bg.datasets.load_faithful(), 2),
        "iris": (load_iris(as_frame=True).data, 3),
        "wine": (load_wine(as_frame=True).data, 3),
    }[name]
    prior = pm.sample_prior_predictive(300, model=bg.build_model(X, k), random_seed=1)
    rows = prior["prior_predictive"]["x"].values.reshape(-1, X.shape[1])
    x = X.to_numpy(dtype=float)
    low, high = np.quantile(rows, [0.01, 0.99], axis=0)
    width = (high - low) / np.ptp(x, axis=0)
    print(f"\n{name}: 98 % of prior predictive rows span {width.min():.1f} to {width.max():.1f} times the data's range")
    assert (low < x.min(axis=0)).all()
    assert (high > x.max(axis=0)).all()
    assert (width < 10).all()
