"""The number of occupied components: by enumeration of all allocations, and whether chains move between numbers."""

import warnings
from itertools import product

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.exceptions import ImportanceWarning, InvalidArgumentError, ModelError
from bayesgmm.record.fit import Fit

NUMBER = "R-hat, number of occupied components"
CENTRES = ([0.0, 0.0], [8.0, 0.0], [0.0, 8.0])


@pytest.fixture(scope="module")
def few_rows():
    """Seven rows, three components: every number of occupied ones has some probability."""
    x = np.array([[-1.2], [-0.9], [-0.7], [0.1], [0.8], [1.3], [0.4]])
    return bg.sample(
        bg.build_model(x, 3, covariance_type="tied"), draws=500, chains=2, random_seed=1, progressbar=False
    )


def by_enumeration(dt):
    """Of every draw exactly: the probability of each number, over all K^N allocations."""
    fit = Fit.of(dt)
    x, draws = fit.x, fit.every_draw
    total = np.zeros(draws.n_components + 1)
    for s in range(len(draws)):
        responsibilities = draws[s].responsibilities(x)
        for z in product(range(draws.n_components), repeat=len(x)):
            total[len(set(z))] += responsibilities[np.arange(len(x)), z].prod()
    return total[1:] / len(draws)


def test_probabilities_are_those_of_all_allocations(few_rows):
    some = few_rows.isel(draw=slice(0, 20))
    exact = by_enumeration(some)
    assert exact.min() > 0.01, exact
    found = np.mean([bg.occupied(some, random_seed=s)["probability"].values for s in range(100)], axis=0)
    # 40 draws, 100 allocations of each: the error is at most that of 4,000 independent ones.
    assert (np.abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / 4_000)).all()


def test_labels_and_chunks_do_not_matter(few_rows, monkeypatch):
    from bayesgmm.posterior import occupied as module

    found = bg.occupied(few_rows)
    assert found["n_occupied"].dims == ("chain", "draw")
    assert float(found["probability"].sum()) == pytest.approx(1)
    counts = [(found["n_occupied"].values == k).mean() for k in found["k_plus"].values]
    np.testing.assert_allclose(found["probability"], counts)
    monkeypatch.setattr(module, "AT_ONCE", 100)
    again = bg.occupied(few_rows)
    np.testing.assert_allclose(again["probability"], found["probability"], atol=0.06)


def test_rows_without_weight_occupy_nothing():
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(size=(40, 1)), rng.normal(30, 1, size=(40, 1))]
    weight = np.r_[np.ones(40), np.ones(40)]
    model = bg.build_model(x, 2, sample_weight=weight)
    dt = bg.sample(model, draws=100, chains=2, random_seed=0, progressbar=False)
    both = bg.occupied(dt)
    assert both["n_occupied"].values.min() == 2
    # It never changed: nothing says whether it would.
    assert np.isnan(both.attrs["r_hat"])
    dt["constant_data"] = dt["constant_data"].dataset.assign(sample_weight=("obs_id", np.r_[np.ones(40), np.zeros(40)]))
    assert bg.occupied(dt)["n_occupied"].values.max() == 1


def test_chains_that_disagree_are_seen(few_rows):
    """One chain that keeps a component empty, as one that never moves would."""
    assert bg.occupied(few_rows).attrs["r_hat"] < 1.05
    assert bg.occupied(few_rows).attrs["ess"] > 100
    stuck = few_rows.copy()
    weights = few_rows["posterior"]["weights"].copy()
    weights[0, :, 2] = 1e-300
    stuck["posterior"] = few_rows["posterior"].dataset.assign(weights=weights / weights.sum("component"))
    assert bg.occupied(stuck).attrs["r_hat"] > 1.1
    # Under a prior that leaves no component empty it is no fault of the number.
    assert NUMBER not in bg.diagnose(stuck).table.index
    assert bg.occupied(stuck)["n_occupied"].values[0].max() == 2


def test_the_diagnosis_says_when_chains_do_not_move_between_numbers(three_of_ten):
    assert bg.diagnose(three_of_ten).table.loc[NUMBER, "passed"]
    stuck = three_of_ten.copy()
    weights = three_of_ten["posterior"]["weights"].copy()
    weights[0, :, 3:] = 1e-300
    stuck["posterior"] = three_of_ten["posterior"].dataset.assign(weights=weights / weights.sum("component"))
    diagnosis = bg.diagnose(stuck)
    assert diagnosis.verdict != "ok"
    assert any("hardly move between numbers" in reason for reason in diagnosis.reasons)


def test_draws_with_three_occupied_components_are_three_clusters(three_of_ten, tmp_path):
    alone = bg.relabel(three_of_ten, n_occupied=3)
    posterior = alone["posterior"].dataset
    assert dict(posterior.sizes)["component"] == 3
    number = bg.occupied(three_of_ten)["n_occupied"]
    assert alone.attrs["share_occupied"] == pytest.approx(float((number == 3).mean()))
    assert alone.attrs["share_identified"] > 0.95
    assert posterior.sizes["draw"] == round(alone.attrs["share_identified"] * float((number == 3).sum()))
    means = posterior["means"].mean(("chain", "draw")).values
    order = [int(np.argmin(((means - centre) ** 2).sum(axis=1))) for centre in CENTRES]
    # Fifty rows each: the error of a mean is 0.14, and no draw is of another cluster.
    np.testing.assert_allclose(means[order], CENTRES, atol=0.6)
    np.testing.assert_allclose(posterior["means"].std(("chain", "draw")), 0.14, atol=0.05)
    np.testing.assert_allclose(posterior["weights"].sum("component"), 1)
    labels = bg.assignments(alone)["label"].values
    assert (np.sort(np.bincount(labels)) == 50).all()
    bg.save(alone, tmp_path / "three.nc")
    assert bg.load(tmp_path / "three.nc").attrs["n_occupied"] == 3
    # Each draw keeps its own statistics of the sampler, by which the diagnosis goes.
    kept = np.isin(posterior["means"].values[0, :, 0, 0], three_of_ten["posterior"]["means"].values)
    assert kept.all()

    def pairs(statistics):
        return list(zip(statistics["lp"].values.ravel(), statistics["diverging"].values.ravel(), strict=True))

    # A transition that diverges at once leaves the chain where it was: one density, twice.
    assert set(pairs(alone["sample_stats"])) <= set(pairs(three_of_ten["sample_stats"]))
    assert bg.diagnose(alone).table.loc["divergent share", "value"] == pytest.approx(
        alone["sample_stats"]["diverging"].values.mean()
    )


def test_numbers_that_no_draws_have_are_refused(three_of_ten):
    with pytest.raises(ModelError, match=r"n_occupied = 1: 0 of 4000 draws"):
        bg.relabel(three_of_ten, n_occupied=1)
    with pytest.raises(InvalidArgumentError, match="n_occupied"):
        bg.relabel(three_of_ten, n_occupied=2.5)


def test_components_that_cannot_be_told_apart_are_not_identified(few_rows):
    """Of seven rows in one heap two components are in either place."""
    alone = bg.relabel(few_rows, n_occupied=2)
    assert alone.attrs["share_identified"] < 0.95


def test_another_concentration_is_a_fit_of_its_own(few_rows):
    """By importance weights, and by NUTS under that prior."""
    weighed = bg.occupied(few_rows, concentration=0.5)
    priors = bg.Priors(concentration=0.5)
    model = bg.build_model(Fit.of(few_rows).x, 3, covariance_type="tied", priors=priors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a maximum need not exist below 1
        fitted = bg.occupied(bg.sample(model, draws=1000, random_seed=2, progressbar=False))
    assert 50 < weighed.attrs["ess"] < bg.occupied(few_rows).attrs["ess"]
    p = fitted["probability"].values
    error = np.sqrt(p * (1 - p) * (1 / fitted.attrs["ess"] + 1 / weighed.attrs["ess"]))
    assert (np.abs(weighed["probability"].values - p) < 4 * error).all()
    # The control: without the weights it is another posterior.
    assert (np.abs(bg.occupied(few_rows)["probability"].values - p) > 4 * error).any()
    np.testing.assert_allclose(
        bg.occupied(few_rows, concentration=1.0)["probability"], bg.occupied(few_rows)["probability"], atol=1e-12
    )


@pytest.fixture(scope="module")
def three_of_ten():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(c, 1.0, size=(50, 2)) for c in CENTRES])
    model = bg.build_model(x, 10, covariance_type="diag", priors=bg.Priors(concentration="sparse"))
    np.testing.assert_allclose(model["concentration"].eval(), 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # At 0.02 worth 60 to 500 draws: chains move seldom, and what they do differs between machines.
        return bg.sample(model, draws=1000, random_seed=1, progressbar=False)


def test_three_clusters_are_three_of_ten_components(three_of_ten):
    """Under a sparser prior, which draws under a less sparse one answer for: there NUTS moves between numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportanceWarning)
        found = bg.occupied(three_of_ten, concentration=0.02)
    assert found.attrs["r_hat"] < 1.1  # up to 1.055 with ten seeds
    # It was 0.69 to 0.70 with three seeds.
    three = float(found["probability"].sel(k_plus=3))
    assert three + 3 * np.sqrt(three * (1 - three) / found.attrs["ess"]) > 0.69
    assert three > 0.5
    assert found["n_occupied"].values.min() == 3


def test_concentrations_that_make_no_sense(few_rows, faithful):
    for bad in (0, -1.0, np.nan, "sparse", True):
        with pytest.raises(InvalidArgumentError, match="concentration"):
            bg.occupied(few_rows, concentration=bad)
    sticks = bg.build_model(faithful, 2, priors=bg.Priors(weights="stick-breaking"))
    dt = bg.sample(sticks, draws=30, tune=50, chains=1, random_seed=0, progressbar=False)
    assert bg.occupied(dt)["probability"].values.sum() == pytest.approx(1)
    with pytest.raises(ModelError, match="Dirichlet"):
        bg.occupied(dt, concentration=0.1)


def test_the_plot_says_the_probabilities(few_rows):
    pc = bg.plot_occupied(few_rows)
    found = bg.occupied(few_rows)
    for k in (1, 2, 3):
        bar = pc.viz["bar"]["probability"].sel(k_plus=k).item().get_paths()[0].vertices
        assert bar[:, 1].max() == pytest.approx(found["probability"].sel(k_plus=k).item())
        assert bar[:, 0].mean() == pytest.approx(k, abs=0.1)
    ax = pc.viz["plot"].item()
    said = [text.get_text() for text in ax.texts]
    assert said == [f"{p:.2f}" if p >= 0.005 else "" for p in found["probability"].values]
    assert bg.plot_occupied(found, ax=ax).viz["plot"].item() is ax
    assert ax.get_xlabel() == "occupied components"
