"""Whether a feature that the mixture does not describe is found, and one that it describes is not."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import draw_rows
from scipy import stats

import bayesgmm as bg
from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.noise import Noise
from bayesgmm.posterior import misfit as misfit_module
from bayesgmm.posterior.misfit import FITTED, LEAST_PROBABILITY, by_chance, misfit
from bayesgmm.record.fit import Fit

WEIGHTS, MEANS = np.array([0.3, 0.7]), np.array([[0.0, 5.0], [4.0, 5.0]])
COVARIANCES = np.array([[[1.0, 0.5], [0.5, 2.0]], [[0.5, 0.0], [0.0, 1.0]]])
TRUTH = Mixture(WEIGHTS[None], MEANS[None], COVARIANCES[None])


def of_truth(seed, n=300):
    return draw_rows(np.random.default_rng(seed), n, WEIGHTS, MEANS, COVARIANCES)[0]


def below(x, errors=0.0):
    scales = np.sqrt(np.einsum("kii->ki", COVARIANCES)[:, 0] + errors)
    return stats.norm.cdf(x[:, None], MEANS[:, 0], scales) @ WEIGHTS


def test_a_distance_is_kolmogorovs_and_smirnovs():
    """But for the half of a row that ties count."""
    x = of_truth(0)
    found, expected = misfit(Table.of(x), TRUTH, 0), stats.kstest(below(x[:, 0]), "uniform")
    assert abs(found.share - expected.statistic) <= 0.5 / len(x) + 1e-12
    assert abs(found.rows_below - found.mixture_below) == pytest.approx(found.share)


@pytest.mark.parametrize("n", [30, 300, 3_000])
@pytest.mark.parametrize("features", [1, 8])
def test_a_limit_is_that_of_the_law_of_so_many_rows(n, features):
    """By Stephens's approximation, and nearer by a factor for what was fitted; rows that count twice are no two."""
    limit = FITTED * by_chance(np.ones(n), features)
    assert limit == pytest.approx(stats.kstwo.isf(LEAST_PROBABILITY / features, n), rel=0.01)
    assert FITTED * by_chance(np.full(n, 2.0), features) == pytest.approx(limit)


def test_a_true_mixture_is_seldom_above_the_limit_and_a_wrong_one_nearly_always(monkeypatch):
    monkeypatch.setattr(misfit_module, "LARGEST_SHARE", 0.0)
    monkeypatch.setattr(misfit_module, "FITTED", 1.0)  # the truth was not fitted to the rows
    assert sum(misfit(Table.of(of_truth(seed)), TRUTH, 0).found for seed in range(100)) <= 5  # one is expected
    wrong = replace(TRUTH, means=TRUTH.means + 0.5)
    assert sum(misfit(Table.of(of_truth(seed)), wrong, 0).found for seed in range(100)) > 90


def test_the_average_over_draws_is_what_counts():
    x = Table.of(of_truth(1))
    either = Mixture(*(np.concatenate([v, v]) for v in (TRUTH.weights, TRUTH.means, TRUTH.covariances)))
    either.means[0] -= 1.0
    either.means[1] += 1.0
    single = [misfit(x, either[[s]], 0).share for s in range(2)]
    assert misfit(x, either, 0).share < min(single)


def test_weights_rounding_errors_and_noise_are_allowed_for():
    rng = np.random.default_rng(2)
    x = of_truth(3, n=2_000)
    plain = misfit(Table.of(x), TRUTH, 0)
    assert misfit(replace(Table.of(x), weights=np.full(len(x), 2.0)), TRUTH, 0) == plain
    kept = rng.random(len(x)) < 0.3 + 0.7 * (x[:, 0] < 1)
    weighted = replace(Table.of(x[kept]), weights=1 / (0.3 + 0.7 * (x[kept, 0] < 1)))
    assert not misfit(weighted, TRUTH, 0).found
    assert misfit(Table.of(x[kept]), TRUTH, 0).found
    rounded = replace(Table.of(np.round(x)), resolution=np.ones(2))  # of standard deviations 0.7 and 1
    recorded = replace(TRUTH, covariances=TRUTH.covariances + np.eye(2) / 12)
    assert not misfit(rounded, recorded, 0).found
    assert misfit(replace(rounded, resolution=None), recorded, 0).share > 1.9 * misfit(rounded, recorded, 0).share
    errors = np.broadcast_to(np.diag([4.0, 0.0]), (len(x), 2, 2))
    measured = x + rng.normal(size=x.shape) * [2.0, 0.0]
    assert not misfit(replace(Table.of(measured), errors=errors), TRUTH, 0).found
    assert misfit(Table.of(measured), TRUTH, 0).found
    noisy = np.concatenate([x, rng.uniform([-30, -30], [30, 30], size=(500, 2))])
    noise = Noise(np.array([0.2]), np.array([-30.0, -30.0]), np.array([30.0, 30.0]))
    assert not misfit(Table.of(noisy), replace(TRUTH, noise=noise), 0).found
    assert misfit(Table.of(noisy), TRUTH, 0).found


def test_features_with_values_that_were_not_seen_are_passed_over():
    """Seen of rows that are small in another feature alone: missing at random, and of another distribution."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(400, 2)) @ np.array([[1, 0.8], [0, 0.6]]) + 4.0 * (rng.random((400, 1)) < 0.5)
    x[x[:, 0] < 2, 1] = np.nan
    dt = bg.find_MAP(bg.build_model(x, 2, missing="marginalise"), random_seed=0).laplace(200, random_seed=0)
    assert not any("does not describe" in reason for reason in bg.diagnose(dt).reasons)
    # The control: held against the mixture's margin they are far from it.
    fit = Fit.of(dt)
    seen = replace(fit.table.rows(~np.isnan(x[:, 1])), gaps=False)
    assert misfit(seen, fit.mixture.thinned(20), 1).found


def test_a_skewed_feature_is_named_and_its_logarithm_is_not():
    rng = np.random.default_rng(4)
    x = np.column_stack([rng.normal(size=400), rng.lognormal(sigma=1.0, size=400)])
    table = {"length": x[:, 0], "weight": x[:, 1]}

    def reasons(columns):
        import pandas as pd

        dt = bg.find_MAP(bg.build_model(pd.DataFrame(columns), 1), random_seed=0).laplace(200, random_seed=0)
        return [reason for reason in bg.diagnose(dt).reasons if "does not describe" in reason]

    [reason] = reasons(table)
    assert "the values of weight:" in reason
    assert "length" not in reason
    assert not reasons(table | {"weight": np.log(x[:, 1])})


@pytest.mark.slow
def test_fitted_tables_of_gaussian_clusters_are_not_reported():
    """Of 40 tables none, where the limit alone would allow 0.4."""
    for seed in range(40):
        rng = np.random.default_rng([5, seed])
        k, d = int(rng.integers(1, 5)), int(rng.integers(1, 5))
        means, factor = 3 * rng.normal(size=(k, d)), rng.normal(size=(k, d, d))
        x, _ = draw_rows(rng, 80 * k, np.full(k, 1 / k), means, factor @ factor.transpose(0, 2, 1) + 0.2 * np.eye(d))
        fit = bg.find_MAP(bg.build_model(x, k), random_seed=0).laplace(100, random_seed=0)
        check = bg.diagnose(fit).table.loc["rows on the wrong side of a value"]
        assert check["passed"], (seed, check["value"], check["limit"])
