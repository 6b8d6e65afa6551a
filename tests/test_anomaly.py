"""How unusual rows are; and fits of rows with everything at once: gaps, weights, errors, labels and noise."""

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import pytest
from row_by_row import row_by_row
from scipy.stats import kstest
from test_kernel import assert_close

import bayesgmm as bg
from bayesgmm.data.observations import Observations
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.record.fit import Fit
from bayesgmm.search.problem import Problem

# Kolmogorov-Smirnov at this level rejects one right answer in a thousand, and seeds are fixed.
LEVEL = 1e-3
CENTRES = np.array([[-4.0, 0.0], [4.0, 1.0]])


@pytest.fixture(scope="module")
def fitted():
    """A fit of 500 rows of two clusters, and 300 new rows that its own posterior makes."""
    rng = np.random.default_rng(1)
    x = CENTRES[rng.integers(2, size=500)] + rng.normal(size=(500, 2))
    dt = bg.find_MAP(bg.build_model(x, 2), random_seed=1, progressbar=False).laplace(60, random_seed=1)
    return dt, Fit.of(dt).mixture.simulate(300, rng)[0]


def test_tail_probabilities_of_the_mixtures_own_rows_are_uniform(fitted):
    dt, x = fitted
    found = bg.anomaly(dt, x, progressbar=False)
    assert kstest(found["tail_probability"], "uniform").pvalue > LEVEL
    # The control: rows of a wider spread are not.
    assert kstest(bg.anomaly(dt, 1.3 * x, progressbar=False)["tail_probability"], "uniform").pvalue < LEVEL


def test_log_density_is_the_predictive_one(fitted):
    dt, x = fitted
    found = bg.anomaly(dt, x[:20], ci_prob=0.5, progressbar=False)
    draws = [row_by_row(one, Observations(x[:20]))[0] for one in Fit.of(dt).mixture]
    assert_close(found["log_density"].values, np.log(np.mean(np.exp(draws), axis=0)))
    assert_close(np.array([found["lower"], found["upper"]]), np.quantile(draws, [0.25, 0.75], axis=0))
    assert found.attrs["ci_prob"] == 0.5
    assert "noise" not in found


def test_far_rows_get_the_floor_and_the_middle_of_a_cluster_nearly_one(fitted):
    found = bg.anomaly(fitted[0], [[50.0, 50.0], [0.0, 0.5]], simulated=999, progressbar=False)["tail_probability"]
    assert found[0] == 1 / 1000
    assert found[1] < 0.01
    means = Fit.of(fitted[0]).mixture.means.mean(axis=0)
    assert bg.anomaly(fitted[0], means, progressbar=False)["tail_probability"].max() > 0.95
    with pytest.raises(InvalidArgumentError, match="simulated"):
        bg.anomaly(fitted[0], simulated=0)


def test_rows_with_gaps_and_errors_have_uniform_tails():
    rng = np.random.default_rng(2)
    of = rng.integers(2, size=300)
    errors = rng.uniform(0.2, 2.0, size=(300, 2))
    x = CENTRES[of] + rng.normal(size=(300, 2)) * np.sqrt(1 + errors)
    x[rng.random(x.shape) < 0.2] = np.nan
    model = bg.build_model(x, 2, missing="marginalise", measurement_covariance=errors)
    dt = bg.find_MAP(model, random_seed=1, progressbar=False).laplace(15, random_seed=1)
    tail = bg.anomaly(dt, progressbar=False)["tail_probability"].values
    seen = ~np.isnan(x).all(axis=1)
    assert kstest(tail[seen], "uniform").pvalue > LEVEL
    np.testing.assert_array_equal(tail[~seen], 1)
    # The control: as if they had been measured without errors, too many are unusual.
    without = bg.anomaly(dt, x, progressbar=False)["tail_probability"].values
    assert kstest(without[seen], "uniform").pvalue < LEVEL


def test_plot_shows_the_least_likely_rows(fitted):
    dt, x = fitted
    with_far = np.vstack([x, [[50.0, 50.0]]])
    ax = bg.plot_anomaly(dt, with_far, most=7, progressbar=False)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert len(labels) == 7
    assert labels[0] == "300"
    axes = plt.figure().add_subplot()
    assert bg.plot_anomaly(dt, most=3, ax=axes, progressbar=False) is axes
    plt.close("all")


# Everything at once --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything():
    """Rows of two clusters and a background, with gaps, weights, errors and some names."""
    rng = np.random.default_rng(3)
    of = rng.choice([0, 1, -1], size=300, p=[0.5, 0.4, 0.1])
    errors = rng.uniform(0.1, 1.0, size=(300, 2))
    x = CENTRES[of] + rng.normal(size=(300, 2)) * np.sqrt(1 + errors)
    x[of < 0] = rng.uniform(-12, 12, size=((of < 0).sum(), 2))
    x[rng.random(x.shape) < 0.15] = np.nan
    labels = np.full(300, None, dtype=object)
    labels[np.flatnonzero(of == 1)[:6]] = "right"
    model = bg.build_model(
        x, 2, missing="marginalise", sample_weight=rng.uniform(0.5, 1.5, size=300), labels=labels, noise=True,
        measurement_covariance=errors,
    )  # fmt: skip
    return of, model


@pytest.fixture(scope="module")
def all_draws(everything, tmp_path_factory):
    store = tmp_path_factory.mktemp("run") / "store"
    estimate = bg.find_MAP(everything[1], random_seed=1, progressbar=False)
    dt = bg.sample(
        everything[1], start=estimate, draws=150, chains=2, cores=1, random_seed=1, store=store, progressbar=False
    )
    return store, dt


def test_everything_has_the_likelihood_row_by_row(everything):
    _, model = everything
    estimate = bg.find_MAP(model, random_seed=1, progressbar=False)
    table = model.table
    own = row_by_row(estimate.mixture, table.observations, table.weights)[2][0]
    assert estimate.log_likelihood == pytest.approx(own, rel=1e-10)
    np.testing.assert_allclose(Problem.of(model).parameter_density(estimate.q)[1], 0, atol=1e-3)
    np.testing.assert_allclose(estimate.point["means"][0], CENTRES[1], atol=0.4)
    assert 0.02 < estimate.point["noise"] < 0.25


def test_everything_is_kept(everything, all_draws, tmp_path):
    store, dt = all_draws
    bg.save(dt, tmp_path / "fit.nc")
    again = bg.load(tmp_path / "fit.nc")
    run = bg.open_run(store)
    soft = bg.assignments(dt, progressbar=False)
    assert set(soft["label"].values) == {"right", "1", "noise"}
    np.testing.assert_array_equal(soft["component"], ["right", "1"])
    of = everything[0]
    named = np.array(["1", "right", "noise"])[of]
    assert (soft["label"].values == named).mean() > 0.85
    for other in (again, run):
        found = bg.assignments(other, progressbar=False)
        np.testing.assert_allclose(found["probability"], soft["probability"], rtol=1e-12)
        np.testing.assert_array_equal(found["label"], soft["label"])
        table, ours = Fit.of(other).table, Fit.of(dt).table
        for name in ("values", "weights", "labels", "errors"):
            np.testing.assert_array_equal(getattr(table, name), getattr(ours, name))
        np.testing.assert_array_equal(table.box, ours.box)
        assert other["posterior"]["noise"].equals(dt["posterior"]["noise"])


def test_everything_is_answered(everything, all_draws):
    _, dt = all_draws
    x = everything[1].table.values
    completed = bg.impute(dt, draws=5, progressbar=False)["x"].values
    assert np.isfinite(completed).all()
    np.testing.assert_array_equal(completed[:, ~np.isnan(x)], np.tile(x[~np.isnan(x)], (5, 1)))
    assert np.isfinite(bg.denoise(dt, draws=5, progressbar=False)["x"]).all()
    # The background stands out.
    found = bg.anomaly(dt, simulated=200, progressbar=False)
    assert found["tail_probability"].values[everything[0] < 0].mean() < 0.3
    assert found["noise"].values[everything[0] < 0].mean() > 5 * found["noise"].values[everything[0] >= 0].mean()
    assert bg.partition(dt, random_seed=1, progressbar=False).n_clusters >= 2


def test_pymc_draws_and_scores_rows_with_everything(everything, all_draws):
    _, model = everything
    dt = all_draws[1].sel(draw=slice(0, 3))
    with model:
        drawn = pm.sample_posterior_predictive(dt, random_seed=1, progressbar=False)["posterior_predictive"]["x"]
        terms = pm.compute_log_likelihood(dt, progressbar=False, extend_inferencedata=False)["x"].values
    assert np.isfinite(drawn).all()
    table = model.table
    expected = row_by_row(Fit.of(dt).every_draw[1], table.observations)[0]
    assert_close(terms[0, 1], table.weights * expected)
