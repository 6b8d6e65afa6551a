"""The log evidence: published values, quadrature by brute force, orders of the components, and honest errors."""

import warnings

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from conftest import add_terms, draw_rows
from scipy import stats
from scipy.special import logsumexp
from test_diagnosis import scramble, two_clusterings

import bayesgmm as bg
from bayesgmm.exceptions import ModelError, MultipleModesWarning
from bayesgmm.posterior import evidence as evidence_module
from bayesgmm.posterior.bridge import Proposal, bridge

# Roeder's galaxies, 82 velocities in 1,000 km/s: 1e8 draws from the prior by Neal (1999), who corrects Chib (1995).
GALAXIES = [
    9.172, 9.350, 9.483, 9.558, 9.775, 10.227, 10.406, 16.084, 16.170, 18.419, 18.552, 18.600, 18.927, 19.052, 19.070,
    19.330, 19.343, 19.349, 19.440, 19.473, 19.529, 19.541, 19.547, 19.663, 19.846, 19.856, 19.863, 19.914, 19.918,
    19.973, 19.989, 20.166, 20.175, 20.179, 20.196, 20.215, 20.221, 20.415, 20.629, 20.795, 20.821, 20.846, 20.875,
    20.986, 21.137, 21.492, 21.701, 21.814, 21.921, 21.960, 22.185, 22.209, 22.242, 22.249, 22.314, 22.374, 22.495,
    22.746, 22.747, 22.888, 22.914, 23.206, 23.241, 23.263, 23.484, 23.538, 23.542, 23.666, 23.706, 23.711, 24.129,
    24.285, 24.289, 24.366, 24.717, 24.990, 25.633, 26.960, 26.995, 32.065, 32.789, 34.279,
]  # fmt: skip
PUBLISHED = [("tied", 2, -239.76), ("tied", 3, -226.84), ("full", 3, -226.80)]
# What 1e8 draws from the prior leave of an error, as far as two publications agree.
ROUGH = 0.03


def priors():
    return bg.Priors(means=pm.Normal.dist(20, 10), variances=pm.InverseGamma.dist(3, 20))


def galaxies(covariance_type, n_components, seed=1, draws=1000):
    x = np.array(GALAXIES)[:, None]
    model = bg.build_model(x, n_components, covariance_type=covariance_type, priors=priors(), resolution=None)
    return bg.sample(model, draws=draws, random_seed=seed, progressbar=False)


@pytest.mark.parametrize(("covariance_type", "n_components", "published"), PUBLISHED)
def test_evidence_of_the_galaxies_is_the_published_one(covariance_type, n_components, published, monkeypatch):
    dt = galaxies(covariance_type, n_components)
    found = bg.evidence(dt)
    assert found.standard_error < 0.05
    assert abs(found.log_evidence - published) < 3 * found.standard_error + ROUGH
    assert abs(found.reciprocal - published) < 3 * found.reciprocal_error + ROUGH
    assert found.reasons == ()
    # Negative control: who forgets that the labels are arbitrary is off by log K!, and the test above sees it.
    monkeypatch.setattr(Proposal, "of", classmethod(_without_orders(Proposal.of.__func__)))
    forgot = bg.evidence(dt)
    log_orders = np.log([0, 1, 2, 6][n_components])
    assert forgot.log_evidence == pytest.approx(found.log_evidence - log_orders, abs=5 * found.standard_error + 0.01)
    assert abs(forgot.log_evidence - published) > 10 * (3 * forgot.standard_error + ROUGH)


def _without_orders(of):
    return lambda cls, draws, orders, log_orders: of(cls, draws, orders[:1], 0.0)


def test_evidence_of_one_component_is_the_integral():
    """Given its variance the mean's integral is known in closed form; that over the variance is by quadrature."""
    x = np.random.default_rng(0).normal(1.0, 2.0, size=30)
    own = bg.Priors(means=pm.Normal.dist(0, 5), variances=pm.InverseGamma.dist(2, 3))
    dt = bg.sample(bg.build_model(x[:, None], 1, priors=own, resolution=None), random_seed=1, progressbar=False)
    u = np.linspace(-3, 6, 2_001)
    log_values = []
    for variance in np.exp(u):
        covariance = variance * np.eye(len(x)) + 25.0
        log_values.append(stats.multivariate_normal(np.zeros(len(x)), covariance).logpdf(x))
    log_values += stats.invgamma(2, scale=3).logpdf(np.exp(u)) + u
    found = bg.evidence(dt)
    assert found.method == "bridge sampling, of 1 order"
    assert abs(found.log_evidence - (logsumexp(log_values) + np.log(u[1] - u[0]))) < 3 * found.standard_error + 1e-3
    assert found.standard_error < 0.02


def test_evidence_of_two_components_is_the_integral_by_brute_force():
    """All five parameters on a grid: 20 rows, of which it is not clear that they are of two components."""
    rng = np.random.default_rng(3)
    x = np.r_[rng.normal(-1.5, 0.8, size=12), rng.normal(1.5, 1.0, size=8)]
    own = bg.Priors(means=pm.Normal.dist(0, 2), variances=pm.InverseGamma.dist(3, 2))
    dt = bg.sample(bg.build_model(x[:, None], 2, priors=own, resolution=None), random_seed=1, progressbar=False)
    means, u = np.linspace(-7, 7, 43), np.linspace(-3, 4, 29)
    mean, log_variance = (v.ravel() for v in np.meshgrid(means, u, indexing="ij"))
    variance = np.exp(log_variance)
    log_prior = stats.norm(0, 2).logpdf(mean) + stats.invgamma(3, scale=2).logpdf(variance) + log_variance
    prior = np.exp(log_prior) * (means[1] - means[0]) * (u[1] - u[0])
    assert prior.sum() == pytest.approx(1, abs=1e-3)
    density = stats.norm(mean[:, None], np.sqrt(variance)[:, None]).pdf(x) / stats.norm(0, 2).pdf(x)
    nodes, shares = np.polynomial.legendre.leggauss(16)
    total = 0.0
    for node, share in zip((nodes + 1) / 2, shares / 2, strict=True):
        for one, mass in zip(density, prior, strict=True):
            if mass > 1e-12:
                total += share * mass * (prior @ (node * one + (1 - node) * density).prod(axis=1))
    expected = np.log(total) + stats.norm(0, 2).logpdf(x).sum()
    found = bg.evidence(dt)
    assert "2 of which overlap and are summed" in found.method
    assert abs(found.log_evidence - expected) < 3 * found.standard_error + 2e-3
    assert found.standard_error < 0.05


def test_any_labels_have_the_same_evidence(faithful_draws):
    found = bg.evidence(faithful_draws)
    scrambled = scramble(faithful_draws, np.random.default_rng(0))[0]
    # Taken for what is in common order it is a proposal of two bumps for each component: worse, and as right.
    rough = bg.evidence(scrambled)
    assert abs(rough.log_evidence - found.log_evidence) < 4 * np.hypot(rough.standard_error, found.standard_error)
    scrambled["sample_stats"] = scrambled["sample_stats"].dataset.drop_vars("permutation")
    again = bg.evidence(scrambled)
    assert again.log_evidence == pytest.approx(found.log_evidence, abs=0.5 * found.standard_error)
    assert again.standard_error < rough.standard_error
    assert found.laplace == pytest.approx(found.log_evidence, abs=1)
    assert "no two overlap" in found.method
    assert "log evidence" in str(found)


def test_terms_of_a_users_own_count(faithful, faithful_draws):
    """A constant moves it by itself, and what tells components apart by the orders that it takes away."""
    model = add_terms(bg.build_model(faithful, 2))
    dt = bg.sample(model, draws=500, random_seed=1, progressbar=False)
    with pytest.raises(ModelError, match="model=model"):
        bg.evidence(dt)
    without, found = bg.evidence(faithful_draws), bg.evidence(dt, model=model)
    noise = 4 * np.hypot(without.standard_error, found.standard_error)
    assert found.log_evidence - without.log_evidence == pytest.approx(-3 - np.log(2), abs=noise)
    assert "of 1 order" in found.method


def test_chains_in_several_modes_count_in_proportion():
    """Two equally good clusterings, chains at each: Laplace's sum over both modes, log 2 above that of one."""
    model = bg.build_model(two_clusterings(0), 2, covariance_type="diag", resolution=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultipleModesWarning)
        dt = bg.sample(model, draws=400, start="dispersed", random_seed=0, progressbar=False)
    assert "chain_weight" in dt["sample_stats"]
    found = bg.evidence(dt)
    assert any("several modes" in reason for reason in found.reasons)
    assert abs(found.log_evidence - found.laplace) < 0.3
    one = dt.attrs["mode_log_evidence"].max()
    assert found.log_evidence - one > 0.3


def test_sticks_have_an_evidence_over_all_their_orders(faithful):
    model = bg.build_model(faithful, 2, priors=bg.Priors(weights="stick-breaking"))
    found = bg.evidence(bg.sample(model, draws=500, random_seed=1, progressbar=False))
    assert "of all 2 orders" in found.method
    assert found.standard_error < 0.05
    assert abs(found.log_evidence - found.laplace) < 1
    assert abs(found.log_evidence - found.reciprocal) < 0.2


def test_draws_that_have_no_evidence(faithful_map, faithful_draws):
    with pytest.raises(ModelError, match="Laplace"):
        bg.evidence(faithful_map.laplace(100, random_seed=0))
    with pytest.raises(ModelError, match="at least 20"):
        bg.evidence(faithful_draws.isel(draw=slice(0, 10)))


def test_what_speaks_against_it_is_said(faithful_draws, monkeypatch):
    few = bg.evidence(faithful_draws.isel(draw=slice(0, 24)))
    assert any("draw more" in reason for reason in few.reasons)
    monkeypatch.setattr(evidence_module, "MOST_ORDERS", 1)
    monkeypatch.setattr(evidence_module, "OVERLAP", -1.0)
    assert any("orders of the components overlap" in reason for reason in bg.evidence(faithful_draws).reasons)


def test_a_bridge_between_two_gaussians():
    """The integral of a density that is 5 times a Gaussian's, from another that is wider and elsewhere."""
    rng = np.random.default_rng(0)
    target, other = stats.norm(0.0, 1.0), stats.norm(0.5, 1.5)

    def ratio(points):
        return np.log(5) + target.logpdf(points) - other.logpdf(points)

    logs, errors = [], []
    for _ in range(200):
        log_r, error = bridge(ratio(rng.normal(size=500)), ratio(rng.normal(0.5, 1.5, size=500)), len)
        logs.append(log_r)
        errors.append(error)
    assert np.mean(logs) == pytest.approx(np.log(5), abs=4 * np.std(logs) / np.sqrt(200))
    assert np.mean(errors) == pytest.approx(np.std(logs), rel=0.25)


@pytest.mark.slow
def test_standard_errors_are_honest():
    """Over 50 runs the mean of all lies within two standard errors of a run in 90 % or more."""
    found = [bg.evidence(galaxies("full", 3, seed=seed, draws=500)) for seed in range(50)]
    values = np.array([e.log_evidence for e in found])
    errors = np.array([e.standard_error for e in found])
    inside = np.abs(values - values.mean()) < 2 * errors
    print(f"\n{values.mean():.3f}, sd {values.std():.3f}, errors {errors.mean():.3f}, {inside.mean():.0%} within two")
    assert inside.mean() >= 0.9


def test_a_frame_of_names_has_an_evidence():
    rows, _ = draw_rows(
        np.random.default_rng(0), 80, np.array([0.5, 0.5]), np.array([[0.0, 0], [5, 5]]), np.array([np.eye(2)] * 2)
    )
    model = bg.build_model(pd.DataFrame(rows, columns=["a", "b"]), 2, covariance_type="diag")
    found = bg.evidence(bg.sample(model, draws=300, chains=2, random_seed=0, progressbar=False))
    assert found.standard_error < 0.1
    assert abs(found.log_evidence - found.laplace) < 2
