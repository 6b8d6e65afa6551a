"""Labels that are known of rows: their likelihood, what users meet, and the mode."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from row_by_row import assert_agrees, example, row_by_row
from test_kernel import COVARIANCES, assert_close

import bayesgmm as bg
from bayesgmm.data.known import read_labels
from bayesgmm.data.observations import Observations
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.record.fit import Fit
from bayesgmm.search.problem import Problem

CENTRES = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])


@pytest.fixture(scope="module")
def three():
    """Three clusters of 60 rows, and their names."""
    rng = np.random.default_rng(1)
    of = np.repeat([0, 1, 2], 60)
    return CENTRES[of] + rng.normal(size=(180, 2)), np.array(["pine", "ash", "oak"], dtype=object)[of]


def some(names, of, unknown=None):
    """Labels of the first five rows of some classes."""
    labels = np.full(len(names), unknown, dtype=object)
    for name in of:
        labels[np.flatnonzero(names == name)[:5]] = name
    return labels


@pytest.fixture(scope="module")
def all_named(three):
    x, names = three
    model = bg.build_model(x, 3, labels=some(names, ("pine", "ash", "oak")))
    return model, bg.find_MAP(model, random_seed=1, progressbar=False)


# The pass ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("n_features", range(1, 7))
def test_pass_is_that_row_by_row(covariance_type, n_features):
    assert_agrees(*example(covariance_type, n_features, labels=True))


def test_without_known_rows_labels_change_nothing():
    mixture, rows = example("full", 3)
    unknown = Observations(rows.values, np.full(len(rows), -1))
    np.testing.assert_array_equal(mixture.log_density(unknown), mixture.log_density(rows.values))


def test_ignoring_labels_is_another_density():
    """The negative control: where components overlap, a row of a known one has less density than of any."""
    mixture, rows = example("full", 3, labels=True)
    known = rows.labels >= 0
    with_labels, without = mixture.log_density(rows), mixture.log_density(rows.values)
    assert (with_labels[known] < without[known]).all()
    assert (without - with_labels)[known].mean() > 0.5
    np.testing.assert_allclose(with_labels[~known], without[~known], rtol=1e-12)


def test_the_log_likelihood_of_a_known_row_is_of_its_component_alone():
    mixture, rows = example("full", 2, labels=True)
    shares = row_by_row(mixture, rows)[1][:, :-1]
    known = rows.labels >= 0
    np.testing.assert_array_equal(mixture.responsibilities(rows)[known], np.eye(3)[rows.labels[known]])
    assert_close(mixture.responsibilities(rows)[~known], shares[~known])


# What labels may be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "codes", "names"),
    [
        ([0, 2, -1], [0, 2, -1], None),
        ([0.0, np.nan, 1.0], [0, -1, 1], None),
        ([None, 1, -1], [-1, 1, -1], None),
        (pd.array([1, None, 0], dtype="Int64"), [1, -1, 0], None),
        (["b", None, "a"], [1, -1, 0], ("a", "b")),
        ([True, False, None], [1, 0, -1], None),
        (["b", float("nan"), -1], [0, -1, -1], ("b",)),
        (pd.Series(["b", pd.NA, "a"], index=[5, 6, 7]), [1, -1, 0], ("a", "b")),
        (["b", pd.NA, np.float64(-1)], [0, -1, -1], ("b",)),
        (pd.Categorical(["b", None, "a"]), [1, -1, 0], ("a", "b")),
        (np.array(["a", "b", "a"]), [0, 1, 0], ("a", "b")),
        # NumPy makes text of the -1.
        (np.array(["a", -1, "c"]), [0, -1, 1], ("a", "c")),
        # Text is a name, whatever it says.
        (["7", "10", None], [1, 0, -1], ("10", "7")),
        ([None, None, None], [-1, -1, -1], None),
    ],
)
def test_what_labels_may_be(given, codes, names):
    found, classes = read_labels(given, 3)
    np.testing.assert_array_equal(found, codes)
    assert classes == names


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 1], "2.* rows"),
        ([0, 1, 0.5, 1], "0.5"),
        ([0, 1, -2, 1], "-2"),
        ([0, 1, np.inf, 1], "inf"),
        ([0, 1, 2, -1], "from 0 to 1"),
        (["a", "b", "c", None], "more than n_components = 2"),
        ([[0], [1], [0], [1]], "shape"),
    ],
)
def test_labels_that_cannot_be_are_told_in_one_sentence(labels, says):
    with pytest.raises(InvalidArgumentError, match=says) as error:
        bg.build_model([[0.0], [1.0], [2.5], [4.0]], 2, labels=labels)
    assert "\n" not in str(error.value)


def test_numbers_of_components_and_auto(three):
    x, names = three
    with pytest.raises(InvalidArgumentError, match="labels and n_components = 'auto'"):
        bg.GaussianMixture("auto").fit(x, labels=some(names, ("pine",)))


# The mode ------------------------------------------------------------------------------------------------------------


def test_mode_has_no_slope_and_no_better_neighbour(three, all_named):
    model, estimate = all_named
    assert estimate.converged
    problem = Problem.of(model)
    np.testing.assert_allclose(problem.parameter_density(estimate.q)[1], 0, atol=1e-3)
    best = problem.parameter_density(estimate.q)[0]
    rng = np.random.default_rng(2)
    for size in (0.01, 0.1, 1.0):
        assert problem.parameter_density(estimate.q + size * rng.normal(size=estimate.q.size))[0] < best
    # Another naming of the same components is a worse one.
    mixture, table = estimate.mixture, model.table
    swapped = replace(mixture, means=mixture.means[[1, 0, 2]], covariances=mixture.covariances[[1, 0, 2]])
    there, here = (one.log_density(table.observations).sum() for one in (swapped, mixture))
    assert here - there > 100
    # Rows of known components add their own density, recomputed here, to the likelihood.
    assert_close(np.array(here), np.array(row_by_row(mixture, table.observations)[2][0]))
    assert here == pytest.approx(estimate.log_likelihood, rel=1e-10)


def test_classes_are_coordinates_and_their_components_lie_at_their_rows(three, all_named):
    x, names = three
    model, estimate = all_named
    assert list(model.coords["component"]) == ["ash", "oak", "pine"]
    for k, name in enumerate(("ash", "oak", "pine")):
        # Three standard errors of a mean of 60 rows, and what the prior draws.
        np.testing.assert_allclose(estimate.point["means"][k], x[names == name].mean(axis=0), atol=0.4)


def test_known_rows_are_certain_and_draws_know_the_names(three, all_named):
    x, names = three
    dt = all_named[1].laplace(100, random_seed=1)
    np.testing.assert_array_equal(dt["posterior"]["component"], ["ash", "oak", "pine"])
    soft = bg.assignments(dt, progressbar=False)
    labels = some(names, ("pine", "ash", "oak"))
    known = np.flatnonzero([name is not None for name in labels])
    for n in known:
        assert soft["probability"].sel(component=labels[n]).values[n] == 1.0
    assert (soft["label"].values == names).mean() > 0.95
    assert (soft["probability"].values[np.setdiff1d(np.arange(180), known)] < 1).any()
    # As new rows nothing is known of them.
    assert (bg.assignments(dt, x, progressbar=False)["probability"].values[known] < 1).any()


def test_components_that_rows_are_known_to_belong_to_are_not_relabelled(three):
    x, names = three
    estimate = bg.find_MAP(bg.build_model(x, 3, labels=some(names, ("oak",))), random_seed=1, progressbar=False)
    fit = Fit.of(estimate.laplace(60, random_seed=1))
    assert [str(c) for c in fit.components] == ["oak", "1", "2"]
    np.testing.assert_array_equal(fit.free, [1, 2])
    order = np.tile([0, 1, 2], (1, 60, 1))
    order[:, ::2] = [0, 2, 1]
    again = Fit.of(bg.relabel(fit.relabelled(order, "none").tree))
    np.testing.assert_allclose(again.every_draw.means, fit.every_draw.means)
    # The control: were the known one moved too, it would stay moved.
    order[:, ::2] = [1, 0, 2]
    moved = Fit.of(bg.relabel(fit.relabelled(order, "none").tree))
    np.testing.assert_array_equal(moved.every_draw.means[::2, 0], fit.every_draw.means[::2, 1])


def test_one_class_of_three_and_more_components_than_classes(three):
    x, names = three
    gmm = bg.GaussianMixture(3, inference="map", random_state=1).fit(x, labels=some(names, ("oak",)))
    found = gmm.predict(x)
    assert (found[names == "oak"] == "oak").mean() > 0.95
    # The other components hold one class each, whichever they are.
    for name in ("pine", "ash"):
        own, counts = np.unique(found[names == name].astype(str), return_counts=True)
        assert counts.max() / counts.sum() > 0.95
        assert own[counts.argmax()] != "oak"
    assert gmm.predict_proba(x).sum(axis=1) == pytest.approx(1.0)


def test_numbers_are_components(three):
    x, names = three
    labels = np.full(180, -1)
    labels[np.flatnonzero(names == "oak")[:5]] = 0
    labels[np.flatnonzero(names == "pine")[:5]] = 2
    gmm = bg.GaussianMixture(3, inference="map", random_state=1).fit(x, labels=labels)
    found = gmm.predict(x)
    assert found.dtype.kind == "i"
    codes = pd.Series(names).map({"oak": 0, "ash": 1, "pine": 2}).to_numpy()
    assert (found == codes).mean() > 0.95


def test_weighted_labels_count_rows():
    """A row of a known component that counts twice is two such rows."""
    mixture, rows = example("full", 2, labels=True)
    counts = np.random.default_rng(3).integers(0, 3, size=len(rows))
    each = np.repeat(np.arange(len(rows)), counts)
    for a, b in zip(mixture.statistics(rows, counts.astype(float)), mixture.statistics(rows[each]), strict=True):
        assert_close(np.array(a), np.array(b), 1e-12)


def test_drawn_rows_are_of_their_known_components(three, all_named):
    """What is drawn beside a row whose component is known is of that component."""
    import pymc as pm

    x, names = three
    labels = some(names, ("pine", "ash", "oak"))
    model, estimate = all_named
    dt = estimate.laplace(100, random_seed=1)
    with model:
        drawn = pm.sample_posterior_predictive(dt, random_seed=1, progressbar=False)["posterior_predictive"]["x"]
        terms = pm.compute_log_likelihood(dt, progressbar=False, extend_inferencedata=False)["x"]
    for name in ("pine", "ash", "oak"):
        of_class = drawn.values[0][:, labels == name].reshape(-1, 2)
        # Of 500 rows of unit spread: 5 standard errors, and the posterior's own.
        np.testing.assert_allclose(of_class.mean(axis=0), x[names == name].mean(axis=0), atol=0.5)
    one = Fit.of(dt).every_draw[7]
    assert_close(terms.values[0, 7], row_by_row(one, model.table.observations)[0])


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_are_a_caution(seed):
    """Three clusters 6 apart, 40 labels: none wrong, and eight of another cluster than the row's."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, 3, 200)
    x = 1.2 * CENTRES[of] + rng.normal(size=(200, 2))
    labels = np.where(np.arange(200) < 40, of, -1)
    wrong = np.where(np.arange(200) < 8, (of + 1) % 3, labels)
    for given, expected in ((labels, False), (wrong, True)):
        mode = bg.find_MAP(bg.build_model(x, 3, labels=given), random_seed=1, progressbar=False)
        reasons = " ".join(bg.diagnose(mode.laplace(200, random_seed=1)).reasons)
        assert ("contradict their values" in reasons) is expected
