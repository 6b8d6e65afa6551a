"""Rows that were measured with errors: their likelihood, what they truly were, and how unusual they are."""

import numpy as np
import pymc as pm
import pytest
from row_by_row import assert_agrees, example, row_by_row, slope
from test_kernel import COVARIANCES, assert_close

import bayesgmm as bg
from bayesgmm.data.errors import read_errors
from bayesgmm.data.observations import Observations
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.mixture import patterns
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.noise import Noise
from bayesgmm.record.fit import Fit

# Variances of the errors, the first feature's as large as the spread within clusters.
ERRORS = np.array([1.0, 0.25])


@pytest.fixture(scope="module")
def measured():
    """True rows of two clusters of unit spread, and what was measured of them."""
    rng = np.random.default_rng(1)
    truth = np.repeat([[-4.0, 0.0], [4.0, 1.0]], 150, axis=0) + rng.normal(size=(300, 2))
    return truth, truth + rng.normal(size=(300, 2)) * np.sqrt(ERRORS)


@pytest.fixture(scope="module")
def measured_map(measured):
    model = bg.build_model(measured[1], 2, measurement_covariance=np.tile(ERRORS, (300, 1)))
    return bg.find_MAP(model, random_seed=1, progressbar=False)


@pytest.fixture(scope="module")
def measured_draws(measured_map):
    return measured_map.laplace(200, random_seed=1)


# The pass ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("n_features", range(1, 7))
def test_pass_is_that_row_by_row(covariance_type, n_features):
    assert_agrees(*example(covariance_type, n_features, errors=True))


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_pass_over_rows_that_show_everything_is_that_row_by_row(covariance_type):
    assert_agrees(*example(covariance_type, 3, errors=True, gaps=True, labels=True, noise=True))


@pytest.mark.parametrize("n_rows", [1, 127, 128, 129, 300])
def test_blocks_do_not_show(n_rows):
    mixture, rows = example("full", 3, errors=True, n_rows=n_rows)
    apart = [mixture.log_density(rows[np.array([n])])[0] for n in range(n_rows)]
    np.testing.assert_allclose(mixture.log_density(rows), apart, rtol=1e-13)


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("asked", [{}, {"gaps": True, "labels": True, "noise": True}])
def test_errors_of_nothing_are_no_errors(covariance_type, asked):
    mixture, rows = example(covariance_type, 4, **asked)
    none = Observations(rows.values, rows.labels, np.zeros((len(rows), 4, 4)))
    assert_close(mixture.log_density(none), mixture.log_density(rows), 1e-10)
    assert_close(mixture.responsibilities(none), mixture.responsibilities(rows), 1e-10)
    for a, b in zip(mixture.statistics(none), mixture.statistics(rows), strict=True):
        assert_close(np.array(a), np.array(b), 1e-10)


def test_one_error_for_all_rows_is_a_wider_mixture():
    mixture, rows = example("full", 3)
    error = np.diag([0.5, 2.0, 0.0]) + 0.1
    wider = Mixture(mixture.weights, mixture.means, mixture.covariances + error)
    each = Observations(rows.values, None, np.tile(error, (len(rows), 1, 1)))
    assert_close(mixture.log_density(each), wider.log_density(rows.values), 1e-10)
    assert_close(mixture.statistics(each).second, wider.statistics(rows.values).second, 1e-10)


def test_slopes_are_those_of_differences():
    mixture, rows = example("full", 3, errors=True, gaps=True)
    arrays = mixture.arrays
    _, d_weights, d_means, d_covariances, _ = patterns.gradient(*rows.arrays, *mixture._noise, *arrays, np.ones(1))
    rng = np.random.default_rng(1)
    w, m, c = rng.normal(size=3), rng.normal(size=(3, 3)), rng.normal(size=(3, 3, 3))
    c = c + c.swapaxes(1, 2)

    def along(h):
        moved = Mixture(arrays[0] + h * w, arrays[1] + h * m, arrays[2] + h * c)
        return row_by_row(moved, rows)[2][0]

    ours = (d_weights * w).sum() + (d_means * m).sum() + (d_covariances * c).sum()
    np.testing.assert_allclose(ours, slope(along, 1e-4), rtol=1e-7)


@pytest.mark.parametrize("scale", [1e-30, 1e45])
def test_errors_of_any_size_have_their_density(scale):
    """Eight features, so that pivots are multiplied up more than once."""
    mixture, rows = example("full", 8, errors=True)
    measured = Observations(rows.values, None, scale * (rows.errors + np.eye(8)))
    log_density, shares, _ = row_by_row(mixture, measured)
    assert_close(mixture.log_density(measured), log_density)
    assert_close(mixture.responsibilities(measured), shares[:, :-1], 1e-8)


def test_what_is_no_covariance_gives_nan():
    rows = Observations(np.zeros((1, 2)), None, np.array([[[0.0, 3.0], [3.0, 0.0]]]))
    mixture = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    assert np.isnan(mixture.log_density(rows)).all()


# What errors may be --------------------------------------------------------------------------------------------------


def test_variances_are_diagonal_covariances(measured):
    x = measured[1]
    variances = np.random.default_rng(2).uniform(0, 2, size=x.shape)
    np.testing.assert_array_equal(read_errors(variances, x), read_errors(variances[:, :, None] * np.eye(2), x))
    np.testing.assert_array_equal(read_errors(variances.tolist(), x)[3], np.diag(variances[3]))


def test_what_was_not_measured_has_no_error():
    x = np.array([[1.0, np.nan], [2.0, 3.0]])
    found = read_errors([[0.5, np.nan], [0.5, 0.5]], x)
    np.testing.assert_array_equal(found[0], [[0.5, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("errors", "says"),
    [
        (0.1, "shape \\(\\)"),
        (np.ones(4), "shape \\(4,\\)"),
        (np.ones((3, 2)), "shape \\(3, 2\\).*4 rows of 2 features"),
        (np.ones((4, 2, 3)), "shape \\(4, 2, 3\\)"),
        (np.full((4, 2), -1.0), "row 0 is no covariance"),
        (np.array([[1.0, 1.0], [1.0, np.nan], [1.0, 1.0], [1.0, 1.0]]), "row 1 holds NaN"),
        (np.full((4, 2), np.inf), "row 0 holds NaN or infinity"),
        (np.tile([[1.0, 0.5], [0.0, 1.0]], (4, 1, 1)), "row 0 is no covariance.*symmetric"),
        (np.tile([[1.0, 2.0], [2.0, 1.0]], (4, 1, 1)), "row 0 is no covariance.*negative"),
        ([["a", "b"]] * 4, "no number"),
        ([[1.0], [1.0, 2.0], [1.0], [1.0]], "no number"),
    ],
)
def test_errors_that_cannot_be_are_told_in_one_sentence(errors, says):
    x = np.array([[0.0, 1.0], [1.0, 3.0], [2.0, -1.0], [3.0, 2.0]])
    with pytest.raises(InvalidArgumentError, match=says) as error:
        bg.build_model(x, 1, measurement_covariance=errors)
    assert "\n" not in str(error.value)


def test_auto_knows_no_errors(measured):
    with pytest.raises(InvalidArgumentError, match="measurement_covariance and n_components = 'auto'"):
        bg.GaussianMixture("auto").fit(measured[1], measurement_covariance=np.ones((300, 2)))


# The mode ------------------------------------------------------------------------------------------------------------


def test_mode_has_no_slope_and_no_better_neighbour(measured_map):
    assert measured_map.converged
    problem = measured_map.problem
    best, gradient = problem.parameter_density(measured_map.q)
    np.testing.assert_allclose(gradient, 0, atol=1e-3)
    rng = np.random.default_rng(2)
    for size in (0.01, 0.1, 1.0):
        assert problem.parameter_density(measured_map.q + size * rng.normal(size=measured_map.q.size))[0] < best
    q = measured_map.q + 0.01
    found = problem.sampling_density(q)[1]
    for j, unit in enumerate(np.eye(q.size)):
        by_differences = slope(lambda h, unit=unit: problem.sampling_density(q + h * unit)[0], 1e-4)
        np.testing.assert_allclose(found[j], by_differences, atol=1e-6 * np.abs(found).max())
    own = row_by_row(measured_map.mixture, problem.table.observations)[2][0]
    assert measured_map.log_likelihood == pytest.approx(own, rel=1e-10)


def test_scales_are_of_what_was_measured_and_not_of_the_errors(measured, measured_map):
    np.testing.assert_allclose(measured_map.point["scales"], 1.0, atol=0.2)
    # The negative control: without the errors, those of 1 and 1/4 are part of the scales.
    plain = bg.find_MAP(bg.build_model(measured[1], 2), random_seed=1, progressbar=False)
    assert (plain.point["scales"][:, 0] > 1.25).all()
    np.testing.assert_allclose(plain.point["scales"] ** 2 - measured_map.point["scales"] ** 2, [ERRORS] * 2, atol=0.15)


def test_small_errors_change_no_mode(measured):
    x = measured[1]
    tiny = bg.find_MAP(bg.build_model(x, 2, measurement_covariance=np.full(x.shape, 1e-12)), random_seed=1)
    plain = bg.find_MAP(bg.build_model(x, 2), random_seed=1)
    for name in ("weights", "means", "scales"):
        np.testing.assert_allclose(tiny.point[name], plain.point[name], atol=1e-4)


# New rows and what they truly were -----------------------------------------------------------------------------------


def test_new_rows_with_and_without_errors(measured, measured_draws):
    x, errors = np.array([[0.0, 0.5], [-4.0, 0.0]]), np.array([[25.0, 25.0], [0.0, 0.0]])
    fit = Fit.of(measured_draws)
    without = bg.assignments(measured_draws, x, progressbar=False)["probability"].values
    known = bg.assignments(measured_draws, x, measurement_covariance=errors, progressbar=False)["probability"].values
    np.testing.assert_allclose(known[1], without[1], rtol=1e-10)
    # A row that was measured badly is of either cluster.
    assert known[0].max() < 0.6
    rows = Observations(x, None, read_errors(errors, x))
    assert_close(known, np.mean([row_by_row(one, rows)[1][:, :2] for one in fit.mixture], axis=0))


def test_estimator_takes_the_errors_of_new_rows(measured):
    x = measured[1]
    errors = np.tile(ERRORS, (300, 1))
    gmm = bg.GaussianMixture(2, inference="map", random_state=1).fit(x, measurement_covariance=errors)
    np.testing.assert_array_equal(gmm.predict(x, measurement_covariance=errors), np.repeat([0, 1], 150))
    rows = gmm.map_.problem.table.observations
    assert_close(gmm.score_samples(x, measurement_covariance=errors), row_by_row(gmm.map_.mixture, rows)[0])
    assert np.abs(gmm.score_samples(x) - gmm.score_samples(x, measurement_covariance=errors)).max() > 0.5
    found = gmm.fit_predict(x, measurement_covariance=errors)
    np.testing.assert_array_equal(found, gmm.predict_proba(x, measurement_covariance=errors).argmax(axis=1))
    with pytest.raises(InvalidArgumentError, match="shape"):
        gmm.predict(x[:3], measurement_covariance=errors)


def test_true_rows_are_drawn_as_the_conditional_of_one_component_says():
    """x given y has mean mu + S (S + E)^-1 (y - mu) and covariance S - S (S + E)^-1 S: of some features too."""
    rng = np.random.default_rng(3)
    mean, covariance = np.array([1.0, -2.0, 0.5]), np.array([[2.0, 0.8, 0.3], [0.8, 1.0, 0.2], [0.3, 0.2, 0.5]])
    mixture = Mixture(np.ones(1), mean[None], covariance[None])
    error = np.array([[1.0, 0.3, 0.0], [0.3, 0.5, 0.0], [0.0, 0.0, 0.0]])
    for y, o in (([3.0, -3.0, 1.0], [0, 1, 2]), ([np.nan, -3.0, 1.0], [1, 2]), ([3.0, np.nan, np.nan], [0])):
        gain = covariance[:, o] @ np.linalg.inv((covariance + error)[np.ix_(o, o)])
        expected = mean + gain @ (np.array(y)[o] - mean[o])
        spread = covariance - gain @ covariance[o]
        rows = Observations(np.tile(y, (20_000, 1)), None, np.tile(error, (20_000, 1, 1)))
        assert_close(mixture.expect_rows(rows)[0], expected)
        drawn = mixture.draw_rows(rows, rng)
        # Five standard errors of 20,000 draws.
        np.testing.assert_allclose(drawn.mean(axis=0), expected, atol=5 * np.sqrt(2 / 2e4))
        np.testing.assert_allclose(np.cov(drawn.T), spread, atol=5 * 2 * np.sqrt(2 / 2e4))
        if 2 in o:
            # What was measured without error is what it is.
            np.testing.assert_allclose(drawn[:, 2], 1.0, atol=1e-6)


def test_denoised_rows_are_nearer_the_truth(measured, measured_draws):
    truth, x = measured
    drawn = bg.denoise(measured_draws, draws=100, progressbar=False)["x"]
    assert dict(drawn.sizes) == {"draw": 100, "obs_id": 300, "feature": 2}
    mean, sd = drawn.mean("draw").values, drawn.std("draw").values
    before, after = np.sqrt(((x - truth) ** 2).mean(axis=0)), np.sqrt(((mean - truth) ** 2).mean(axis=0))
    # Of a spread of 1 and errors E what is left has sd sqrt(E / (1 + E)).
    np.testing.assert_allclose(after, np.sqrt(ERRORS / (1 + ERRORS)), atol=0.08)
    assert (after < before).all()
    # And the draws say so: truth less the mean, in their own units, has unit spread.
    np.testing.assert_allclose(((truth - mean) / sd).std(axis=0), 1, atol=0.15)
    new = bg.denoise(measured_draws, x[:4], measurement_covariance=np.tile(ERRORS, (4, 1)), draws=9, progressbar=False)
    assert new["x"].shape == (9, 4, 2)
    with pytest.raises(InvalidArgumentError, match="no errors"):
        bg.denoise(measured_draws, x[:4])


def test_rows_drawn_as_noise_stay_where_they_were_measured():
    mixture = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None], Noise(0.3, np.full(2, -50.0), np.full(2, 50.0)))
    rows = Observations(np.array([[40.0, 40.0], [0.1, 0.1]]), None, np.tile(np.eye(2), (2, 1, 1)))
    rng = np.random.default_rng(4)
    drawn = np.array([mixture.draw_rows(rows, rng) for _ in range(200)])
    np.testing.assert_array_equal(drawn[:, 0], 40.0)
    assert (drawn[:, 1] == 0.1).all(axis=1).mean() < 0.05


def test_noise_is_simulated_as_it_is_measured_within_its_box():
    """The box is of what was measured: a row of it has no error on top, or it would have no density."""
    x = np.random.default_rng(5).uniform(-5, 5, size=(400, 2))
    model = bg.build_model(x, 1, noise=True, measurement_covariance=np.full((400, 2), 4.0))
    with model:
        dt = bg.find_MAP(model, random_seed=1, progressbar=False).laplace(20, random_seed=1)
        dt["posterior"]["noise"][:] = 1 - 1e-9
        drawn = pm.sample_posterior_predictive(dt, random_seed=1, progressbar=False)["posterior_predictive"]["x"]
    assert drawn.values.min() >= x.min()
    assert drawn.values.max() <= x.max()
