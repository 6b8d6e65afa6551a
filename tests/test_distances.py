"""Whether a component whose rows are no Gaussian's is found, and one whose rows are is not."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import draw_rows
from scipy import stats
from sklearn.datasets import make_moons

import bayesgmm as bg
from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.noise import Noise
from bayesgmm.posterior import distances as distances_module
from bayesgmm.posterior.distances import distances

WEIGHTS, MEANS = np.array([0.3, 0.7]), np.array([[0.0, 5.0], [4.0, 5.0]])
COVARIANCES = np.array([[[1.0, 0.5], [0.5, 2.0]], [[0.5, 0.0], [0.0, 1.0]]])
TRUTH = Mixture(WEIGHTS[None], MEANS[None], COVARIANCES[None])
NAME = "rows too near to their component or too far"


def of_truth(seed, n=300):
    return draw_rows(np.random.default_rng(seed), n, WEIGHTS, MEANS, COVARIANCES)[0]


def often(mixture, draws=20):
    """The same draw some times: what is simulated differs."""
    return Mixture(*(np.repeat(v, draws, axis=0) for v in (mixture.weights, mixture.means, mixture.covariances)))


def found(table, mixture=TRUTH):
    return [one.component for one in distances(table, often(mixture)) if one.share > one.limit]


def test_a_share_is_kolmogorovs_and_smirnovs_distance_from_chi_squared():
    """But for the half of a row that ties count."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 2.0]])
    mean, covariance = x.mean(axis=0), np.cov(x.T)
    [one] = distances(Table.of(x), often(Mixture(np.ones((1, 1)), mean[None, None], covariance[None, None])))
    squares = np.einsum("ni,ij,nj->n", x - mean, np.linalg.inv(covariance), x - mean)
    expected = stats.kstest(squares, stats.chi2(3).cdf).statistic
    assert abs(one.share - expected) <= 0.5 / len(x) + 1e-12
    assert abs(one.nearer - one.expected) == pytest.approx(one.share)


def test_rows_of_the_mixture_are_seldom_found_and_others_nearly_always(monkeypatch):
    monkeypatch.setattr(distances_module, "LARGEST_SHARE", 0.0)
    assert sum(bool(found(Table.of(of_truth(seed)))) for seed in range(40)) <= 2
    rng = np.random.default_rng(1)

    def heavy():
        labels = rng.choice(2, p=WEIGHTS, size=600)
        noise = rng.normal(size=(600, 2)) / np.sqrt(rng.chisquare(4, size=(600, 1)) / 4) / np.sqrt(2)
        return MEANS[labels] + np.einsum("nij,nj->ni", np.linalg.cholesky(COVARIANCES)[labels], noise)

    assert sum(bool(found(Table.of(heavy()))) for _ in range(20)) >= 18


def test_weights_rounding_and_noise_are_allowed_for(monkeypatch):
    x = of_truth(3, n=1_500)
    [plain, *_] = distances(Table.of(x), often(TRUTH))
    [weighted, *_] = distances(replace(Table.of(x), weights=np.full(len(x), 2.0)), often(TRUTH))
    assert weighted == plain
    rounded = replace(Table.of(np.round(x)), resolution=np.ones(2))  # of standard deviations 0.7 to 1.4
    recorded = replace(TRUTH, covariances=TRUTH.covariances + np.eye(2) / 12)
    assert found(rounded, recorded) == []
    with monkeypatch.context() as patch:
        patch.setattr(distances_module, "_recorded", lambda x, table: x)
        assert found(rounded, recorded) != []
    noisy = np.concatenate([x, np.random.default_rng(2).uniform([-30, -30], [30, 30], size=(400, 2))])
    box = np.array([-30.0, -30.0]), np.array([30.0, 30.0])
    with_noise = replace(often(TRUTH), noise=Noise(np.full(20, 400 / 1_900), *box))
    assert [one.component for one in distances(Table.of(noisy), with_noise) if one.share > one.limit] == []
    assert found(Table.of(noisy)) != []


def test_a_component_without_rows_has_no_shape():
    far = replace(TRUTH, means=TRUTH.means + np.array([[[0.0, 0.0], [1e3, 0.0]]]))
    assert [one.component for one in distances(Table.of(of_truth(0)), often(far))] == [0]


def test_moons_are_named_and_what_is_said_can_be_followed():
    """Components that stand for parts of the moons are Gaussians."""
    x, _ = make_moons(400, noise=0.08, random_state=0)

    def check(n_components):
        estimate = bg.find_MAP(bg.build_model(x, n_components), random_seed=0, progressbar=False)
        diagnosis = bg.diagnose(estimate.laplace(100, random_seed=0))
        return diagnosis.table.loc[NAME], [r for r in diagnosis.reasons if "not spread like" in r]

    few, [reason] = check(2)
    assert not few["passed"]
    assert "few in the middle, as of an arc or a ring" in reason
    assert "noise" not in reason
    many, reasons = check(8)
    assert many["passed"]
    assert reasons == []


def test_rows_of_which_not_all_is_known_are_passed_over():
    x, _ = make_moons(300, noise=0.08, random_state=0)
    gaps = x.copy()
    gaps[::7, 0] = np.nan
    for given in (
        bg.build_model(gaps, 2, missing="marginalise"),
        bg.build_model(x, 2, measurement_covariance=np.full(x.shape, 1e-4)),
    ):
        tree = bg.find_MAP(given, n_init=3, random_seed=0, progressbar=False).laplace(50, random_seed=0)
        assert bg.diagnose(tree).table.loc[NAME, "passed"]


def test_what_to_try_is_said_once():
    """Of two moons neither a feature's values nor the distances are a Gaussian's."""
    rows = make_moons(300, noise=0.05, random_state=0)[0]
    both = bg.diagnose(bg.find_MAP(bg.build_model(rows, 2), random_seed=0).laplace(200, random_seed=0))
    spread = next(reason for reason in both.reasons if "not spread like a Gaussian's" in reason)
    assert ("more components" in spread) == bool(both.table["passed"]["rows on the wrong side of a value"])
    skewed = np.exp(np.random.default_rng(0).normal(size=(400, 2)))
    both = bg.diagnose(bg.find_MAP(bg.build_model(skewed, 1), random_seed=0).laplace(200, random_seed=0))
    assert not both.table["passed"]["rows on the wrong side of a value"]
    assert sum("logarithm" in reason for reason in both.reasons) == 1
    assert any(reason.endswith("The same remedies hold.") for reason in both.reasons)
