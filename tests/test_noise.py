"""Rows of no component: their likelihood, their share, and all that is asked of a fit that may have some."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from row_by_row import assert_agrees, example, row_by_row, slope
from scipy.special import logsumexp
from scipy.stats import kstest
from sklearn.metrics import adjusted_rand_score
from test_kernel import COVARIANCES, INTERPRETED, assert_close

import bayesgmm as bg
from bayesgmm.data.observations import Observations
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.graph.ops import MixtureGradient, MixtureLogDensity
from bayesgmm.mixture import patterns
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.noise import Noise
from bayesgmm.record.fit import Fit
from bayesgmm.reports.tables import with_assignments
from bayesgmm.search.problem import Problem

SHARE = 0.15


@pytest.fixture(scope="module")
def noisy():
    """Two clusters and a background, 400 rows, and what each row is: 0, 1, or -1."""
    rng = np.random.default_rng(1)
    of = rng.choice([0, 1, -1], size=400, p=[0.45, 0.4, SHARE])
    x = np.array([[-3.0, 0.0], [4.0, 1.0], [0.0, 0.0]])[of] + rng.normal(size=(400, 2))
    x[of < 0] = rng.uniform([-10, -10], [10, 10], size=((of < 0).sum(), 2))
    return x, of


@pytest.fixture(scope="module")
def noisy_map(noisy):
    return bg.find_MAP(bg.build_model(noisy[0], 2, noise=True), random_seed=1, progressbar=False)


@pytest.fixture(scope="module")
def noisy_draws(noisy_map):
    return bg.sample(
        noisy_map.problem.model, start=noisy_map, draws=300, chains=2, cores=1, random_seed=1, progressbar=False
    )


# The pass ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("n_features", range(1, 7))
def test_pass_is_that_row_by_row(covariance_type, n_features):
    assert_agrees(*example(covariance_type, n_features, noise=True))


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_pass_over_rows_with_gaps_and_labels_is_that_row_by_row(covariance_type):
    assert_agrees(*example(covariance_type, 3, noise=True, gaps=True, labels=True))


def test_a_share_of_nothing_is_no_noise():
    mixture, rows = example("full", 3, noise=True)
    none = Mixture(mixture.weights, mixture.means, mixture.covariances)
    some = Mixture(*(getattr(mixture, n) for n in ("weights", "means", "covariances")), Noise(0.0, *mixture._noise[1:]))
    assert_close(some.log_density(rows), none.log_density(rows.values), 1e-10)
    for a, b in zip(some.statistics(rows), none.statistics(rows.values), strict=True):
        assert_close(np.array(a), np.array(b), 1e-10)
    np.testing.assert_array_equal(some.memberships(rows)[:, -1] < 1e-14, True)


def test_slopes_are_those_of_differences():
    mixture, rows = example("full", 3, noise=True, gaps=True, labels=True)
    values, order, labels, errors = rows.arrays
    weight = np.random.default_rng(0).uniform(size=len(rows))
    _, d_weights, d_means, _, d_share = patterns.gradient(
        values, order, labels, errors, *mixture._noise, *mixture.arrays, weight
    )

    def at(share, means=mixture.means):
        # The share of the components is held: that of noise alone moves.
        scaled = mixture.weights * (1 - 0.2) / (1 - share)
        return row_by_row(Mixture(scaled, means, mixture.covariances, mixture.noise), rows, weight, share)[2][0]

    np.testing.assert_allclose(d_share, slope(lambda h: at(0.2 + h)), rtol=1e-8)
    away = np.random.default_rng(1).normal(size=mixture.means.shape)
    np.testing.assert_allclose((d_means * away).sum(), slope(lambda h: at(0.2, mixture.means + h * away)), rtol=1e-7)
    assert d_weights.shape == (3,)


def test_draws_are_mixtures_each():
    mixture, rows = example("full", 2, noise=True)
    shares = np.array([0.0, 0.1, 0.5])
    draws = Mixture(
        np.tile(mixture.weights, (3, 1)), np.repeat(mixture.means[None], 3, axis=0),
        np.repeat(mixture.covariances[None], 3, axis=0), Noise(shares, mixture.noise.low, mixture.noise.high),
    )  # fmt: skip
    np.testing.assert_array_equal(draws.responsibilities(rows), [one.responsibilities(rows) for one in draws])
    each = np.array([row_by_row(mixture, rows, share=share)[0] for share in shares[1:]])
    assert_close(draws.log_density(rows)[1:], each)
    assert_close(draws.predictive(rows)[0], logsumexp(draws.log_density(rows), axis=0) - np.log(3), 1e-12)


@pytest.mark.parametrize("asked", [{}, {"noise": True}, {"errors": True}])
def test_compiled_op_equals_its_python_form_and_passes_the_data_once(asked):
    x, w, m, c, g = pt.matrix(), pt.vector(), pt.matrix(), pt.tensor3(), pt.vector()
    pattern = [pt.lvector(), pt.lvector(), pt.tensor3(), pt.scalar(), pt.vector(), pt.vector()]
    rows = MixtureLogDensity(partial=True)(x, w, m, c, *pattern)
    total = (g * rows).sum()
    graph = [x, w, m, c, *pattern, g], [total, *pt.grad(total, [w, m, c, pattern[3]])]
    compiled = pytensor.function(*graph, mode="NUMBA")
    ops = [node.op for node in compiled.maker.fgraph.apply_nodes]
    assert sum(isinstance(op, MixtureGradient) for op in ops) == 1
    assert not any(isinstance(op, MixtureLogDensity) for op in ops)
    python = pytensor.function(*graph, mode=INTERPRETED)
    mixture, data = example("full", 2, labels=True, gaps=True, **asked)
    weight = np.random.default_rng(7).uniform(size=len(data))
    values, order, labels, errors = data.arrays
    arguments = values, *mixture.arrays[:3], order, labels, errors, *mixture._noise, weight
    ours = compiled(*arguments)
    for a, b in zip(ours, python(*arguments), strict=True):
        assert_close(np.array(a), np.array(b), 1e-13)
    sums = row_by_row(mixture, data, weight)[2]
    assert_close(np.array(ours[0]), np.array(sums[0]))
    assert_close(ours[2], sums[2])
    assert_close(ours[3], sums[3] / 2)


# A mixture with noise ------------------------------------------------------------------------------------------------


def test_density_integrates_to_one_whatever_is_asked():
    mixture, _ = example("full", 2, noise=True)
    grid = np.linspace(-30, 30, 3001)
    line = mixture.marginal([1])
    np.testing.assert_allclose(np.trapezoid(np.exp(line.log_density(grid[:, None])), grid), 1, atol=2e-3)
    for value in (0.5, 2.4, 2.6, 20.0, 500.0):
        given = mixture.conditional([1], {0: value})
        np.testing.assert_allclose(np.trapezoid(np.exp(given.log_density(grid[:, None])), grid), 1, atol=2e-3)
        # The joint over the marginal, both by SciPy.
        points = np.column_stack([np.full(5, value), [-2.0, 0.0, 1.0, 2.0, 4.0]])
        if value < 10:
            joint = row_by_row(mixture, Observations(points))[0]
            whole = row_by_row(mixture.marginal([0]), Observations(points[:1, :1]))[0]
            assert_close(given.log_density(points[:, 1:]), joint - whole)
    # By the density nothing is noise out of the box.
    assert mixture.conditional([1], {0: 20.0}).noise.share == 0


def test_a_row_far_outside_the_box_is_of_no_component(noisy_map):
    """It was of the nearest for certain, as the density of noise is 0 there; a row of a cluster's tail still is."""
    far, near = noisy_map.mixture.noise.high + 100.0, noisy_map.mixture.means[0]
    np.testing.assert_allclose(noisy_map.mixture.memberships(np.array([far]))[0], [0, 0, 1], atol=1e-12)
    assert noisy_map.mixture.memberships(near[None])[0, 0] > 0.9
    assert noisy_map.mixture.log_density(np.array([far]))[0] < -1_000


def test_rows_are_simulated_as_the_density_says():
    mixture, _ = example("full", 1, noise=True)
    rows, of = mixture.simulate(5_000, np.random.default_rng(1))
    # A binomial share: within four standard errors.
    assert abs((of == -1).mean() - 0.2) < 4 * np.sqrt(0.16 / 5_000)
    noise = rows[of == -1, 0]
    assert noise.min() >= -3
    assert noise.max() <= 2.5
    assert kstest(noise, "uniform", args=(-3.0, 5.5)).pvalue > 1e-3
    grid = np.linspace(-30, 30, 20_001)
    cdf = np.cumsum(np.exp(mixture.log_density(grid[:, None]))) * (grid[1] - grid[0])
    assert kstest(rows[:, 0], lambda t: np.interp(t, grid, cdf)).pvalue > 1e-3


# The mode ------------------------------------------------------------------------------------------------------------


def test_mode_has_no_slope_and_no_better_neighbour(noisy_map):
    assert noisy_map.converged
    problem = noisy_map.problem
    best, gradient = problem.parameter_density(noisy_map.q)
    np.testing.assert_allclose(gradient, 0, atol=1e-3)
    rng = np.random.default_rng(2)
    for size in (0.01, 0.1, 1.0):
        assert problem.parameter_density(noisy_map.q + size * rng.normal(size=noisy_map.q.size))[0] < best
    q = noisy_map.q + 0.01
    found = problem.sampling_density(q)[1]
    for j, unit in enumerate(np.eye(q.size)):
        by_differences = slope(lambda h, unit=unit: problem.sampling_density(q + h * unit)[0], 1e-4)
        np.testing.assert_allclose(found[j], by_differences, atol=1e-6 * np.abs(found).max())
    rows = noisy_map.problem.table.observations
    assert noisy_map.log_likelihood == pytest.approx(row_by_row(noisy_map.mixture, rows)[2][0], rel=1e-10)


def test_share_and_rows_are_recovered(noisy, noisy_map, noisy_draws):
    x, of = noisy
    # Of 400 rows: three standard errors.
    assert abs(noisy_map.point["noise"] - SHARE) < 3 * np.sqrt(SHARE * (1 - SHARE) / 400)
    low, high = noisy_draws["posterior"]["noise"].quantile([0.005, 0.995])
    assert low < SHARE < high
    np.testing.assert_allclose(noisy_map.point["means"], [[-3, 0], [4, 1]], atol=0.3)
    np.testing.assert_allclose(noisy_map.point["scales"], 1, atol=0.2)
    gmm = bg.GaussianMixture(2, noise=True, inference="map", random_state=1).fit(x)
    found = gmm.predict(x)
    assert set(found) == {-1, 0, 1}
    assert adjusted_rand_score(of, found) > 0.85
    r = gmm.predict_proba(x)
    assert (r.sum(axis=1) <= 1 + 1e-12).all()
    np.testing.assert_array_equal(found == -1, 1 - r.sum(axis=1) > r.max(axis=1))
    assert np.isfinite(gmm.score_samples(x)).all()
    rows, components = gmm.sample(200)
    assert rows.shape == (200, 2)
    assert set(components) <= {-1, 0, 1}
    assert np.isfinite(gmm.bic(x))


def test_without_noise_components_swell(noisy, noisy_map):
    """The negative control."""
    plain = bg.find_MAP(bg.build_model(noisy[0], 2), random_seed=1, progressbar=False)
    assert plain.point["scales"].max() > 2 * noisy_map.point["scales"].max()


def test_assignments_add_up(noisy, noisy_draws):
    _, of = noisy
    soft = bg.assignments(noisy_draws, progressbar=False)
    np.testing.assert_allclose(soft["probability"].sum("component") + soft["noise"], 1, rtol=1e-12)
    np.testing.assert_array_equal(soft["label"].values[soft["noise"].values > 0.5], -1)
    assert adjusted_rand_score(of, soft["label"].values) > 0.85
    far = bg.assignments(noisy_draws, [[9.0, -9.0], [-3.0, 0.0]], progressbar=False)
    np.testing.assert_array_equal(far["label"], [-1, 0])
    assert (soft["mutual_information"] >= 0).all()


def test_names_of_components_name_noise_too(noisy):
    x, of = noisy
    labels = np.full(400, None, dtype=object)
    for k, name in enumerate(("left", "right")):
        labels[np.flatnonzero(of == k)[:5]] = name
    gmm = bg.GaussianMixture(2, noise=True, inference="map", random_state=1).fit(x, labels=labels)
    assert set(gmm.predict(x)) == {"left", "right", "noise"}
    # A row that is known to be of a component is no noise.
    soft = bg.assignments(gmm, progressbar=False)
    known = np.flatnonzero([name is not None for name in labels])
    np.testing.assert_array_equal(soft["noise"].values[known], 0)


def test_what_is_asked_of_a_fit_is_answered(noisy, noisy_draws, tmp_path):
    _, of = noisy
    clusters = bg.partition(noisy_draws, random_seed=1, progressbar=False)
    core = of >= 0
    assert adjusted_rand_score(of[core], clusters.labels[core]) > 0.85
    together = bg.coclustering(noisy_draws, progressbar=False)
    assert np.isfinite(np.asarray(together)).all()
    found = bg.occupied(noisy_draws, progressbar=False)
    assert found["probability"].sel(k_plus=2) > 0.99
    assert bg.diagnose(noisy_draws).verdict != "fail"
    band = bg.density(noisy_draws, features=["x0"], given={"x1": 0.5}, progressbar=False)
    assert (band["lower"] > 0).all()
    curve = bg.regression(noisy_draws, "x0", given={"x1": [0.0, 1.0]}, progressbar=False)
    assert np.isfinite(curve["mean"]).all()
    assert "noise" in bg.report(noisy_draws, tmp_path / "report.html", progressbar=False).read_text(encoding="utf-8")
    bg.plot_density(noisy_draws, features=["x0"])
    bg.plot_anomaly(noisy_draws, most=5)
    plt.close("all")


def test_conditional_is_of_what_is_simulated():
    mixture, _ = example("full", 2, noise=True)
    rows, _ = mixture.simulate(400_000, np.random.default_rng(3))
    near = rows[np.abs(rows[:, 0] - 1.0) < 0.05, 1]
    given = mixture.conditional([1], {0: 1.0})
    mean = (1 - given.noise.share) * (given.weights @ given.means[:, 0]) + given.noise.share * -0.25
    assert abs(near.mean() - mean) < 4 * near.std() / np.sqrt(near.size) + 0.02


def test_pymc_draws_and_scores_rows(noisy, noisy_map):
    dt = noisy_map.laplace(50, random_seed=1)
    with noisy_map.problem.model:
        drawn = pm.sample_posterior_predictive(dt, random_seed=1, progressbar=False)["posterior_predictive"]["x"]
        terms = pm.compute_log_likelihood(dt, progressbar=False, extend_inferencedata=False)["x"].values
    # Rows out of the clusters' reach are noise: a share of those that were seen there, to sampling error.
    outer = (np.abs(drawn.values) > 7).any(axis=-1).mean()
    assert abs(outer - (np.abs(noisy[0]) > 7).any(axis=-1).mean()) < 0.03
    draws = Fit.of(dt).every_draw
    assert_close(terms[0, 7], row_by_row(draws[7], noisy_map.problem.table.observations)[0])


def test_auto_knows_no_noise(noisy):
    with pytest.raises(InvalidArgumentError, match="noise and n_components = 'auto'"):
        bg.GaussianMixture("auto", noise=True).fit(noisy[0])


def test_problem_keeps_the_share_on_the_way_there_and_back(noisy_map):
    problem = Problem.of(noisy_map.problem.model)
    assert problem.mixture(noisy_map.q).noise.share == pytest.approx(noisy_map.point["noise"])


def test_the_probability_of_a_row_is_that_of_what_it_is_said_to_be(noisy, noisy_draws):
    soft = bg.assignments(noisy_draws)
    table = with_assignments(pd.DataFrame(noisy[0]), soft)
    assert (table["component"] == -1).sum() > 20
    np.testing.assert_array_equal(table["probability"], soft["label_probability"])
    assert ((table["lower"] <= table["probability"]) & (table["probability"] <= table["upper"])).mean() > 0.95
