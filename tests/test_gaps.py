"""The likelihood of rows of which not all was seen: against SciPy's densities of what was, and as a posterior."""

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from conftest import random_mixture
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from test_kernel import COVARIANCES, INTERPRETED, assert_close

import bayesgmm as bg
from bayesgmm.data.gaps import filled
from bayesgmm.data.observations import Observations
from bayesgmm.graph.ops import MixtureGradient, MixtureLogDensity
from bayesgmm.mixture import kernel, patterns
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.search.problem import Problem


def oracle(x, weights, means, covariances, labels=None, row_weights=None):
    """Log-densities, responsibilities, and statistics by Fisher's identity, a row at a time, by NumPy and SciPy."""
    n_components, d = means.shape
    log_density, shares = np.empty(len(x)), np.zeros((len(x), n_components))
    first, second = np.zeros((n_components, d)), np.zeros((n_components, d, d))
    row_weights = np.ones(len(x)) if row_weights is None else row_weights
    for n, row in enumerate(x):
        o = np.flatnonzero(~np.isnan(row))
        known = range(n_components) if labels is None or labels[n] < 0 else [labels[n]]
        joint = np.full(n_components, -np.inf)
        for k in known:
            joint[k] = np.log(weights[k])
            if o.size:
                joint[k] += multivariate_normal(means[k, o], covariances[k][np.ix_(o, o)]).logpdf(row[o])
        log_density[n] = logsumexp(joint)
        shares[n] = np.exp(joint - log_density[n])
        for k in known if o.size else ():
            precision = np.linalg.inv(covariances[k][np.ix_(o, o)])
            away = precision @ (row[o] - means[k, o])
            first[k, o] += row_weights[n] * shares[n, k] * away
            second[k][np.ix_(o, o)] += row_weights[n] * shares[n, k] * (np.outer(away, away) - precision)
    return log_density, shares, (row_weights @ log_density, row_weights @ shares, first, second)


def with_gaps(rng, x, share=0.3):
    """Rows with cells missing at random, some rows wholly."""
    x = np.where(rng.random(x.shape) < share, np.nan, x)
    x[::17] = np.nan
    return x


def example(covariance_type, n_components, n_features, n_rows=150, labelled=False):
    rng = np.random.default_rng([n_components, n_features, n_rows])
    weights, means, covariances = random_mixture(rng, n_components, n_features, covariance_type)
    x = with_gaps(rng, 2 * rng.normal(size=(n_rows, n_features)))
    labels = np.where(rng.random(n_rows) < 0.3, rng.integers(n_components, size=n_rows), -1) if labelled else None
    diagonal = covariance_type in ("diag", "spherical")
    own = np.einsum("kii->ki", covariances) if diagonal else covariances
    return Mixture(weights, means, own), covariances, Observations(x, labels)


# The pass ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (3, 1), (1, 3), (3, 2), (3, 6)])
@pytest.mark.parametrize("labelled", [False, True])
def test_densities_responsibilities_and_statistics_agree_with_an_oracle(
    covariance_type, n_components, n_features, labelled
):
    mixture, covariances, rows = example(covariance_type, n_components, n_features, labelled=labelled)
    weight = np.random.default_rng(0).uniform(0, 2, size=len(rows))
    for row_weights in (None, weight):
        log_density, shares, sums = oracle(
            rows.values, mixture.weights, mixture.means, covariances, rows.labels, row_weights
        )
        statistics = mixture.statistics(rows, row_weights)
        assert_close(np.array(statistics.log_likelihood), sums[0])
        assert_close(statistics.counts, sums[1])
        assert_close(statistics.first, sums[2])
        # Of what does not correlate the diagonal alone is computed.
        assert_close(statistics.second, sums[3] * np.eye(n_features) if mixture.diagonal else sums[3])
    assert_close(mixture.log_density(rows), log_density)
    assert_close(mixture.densities(rows)[0], log_density)
    assert_close(mixture.densities(rows)[1], shares)
    assert_close(mixture.responsibilities(rows), shares)


def test_statistics_are_the_slopes_of_the_log_likelihood():
    mixture, covariances, rows = example("full", 2, 3, labelled=True)
    _, d_weights, d_means, d_covariances = kernel.slopes(mixture.statistics(rows), mixture.weights)
    rng = np.random.default_rng(1)
    for _ in range(5):
        w, m = rng.normal(size=2), rng.normal(size=(2, 3))
        c = rng.normal(size=(2, 3, 3))
        c = c + c.transpose(0, 2, 1)

        def along(step, w=w, m=m, c=c):
            moved = mixture.weights + step * w, mixture.means + step * m, covariances + step * c
            return oracle(rows.values, *moved, rows.labels)[0].sum()

        slope = (8 * (along(1e-4) - along(-1e-4)) - (along(2e-4) - along(-2e-4))) / 12e-4
        ours = (d_weights * w).sum() + (d_means * m).sum() + (d_covariances * c).sum()
        np.testing.assert_allclose(ours, slope, rtol=1e-7)


def test_a_row_of_which_nothing_was_seen_says_nothing():
    mixture, _, _ = example("full", 3, 2)
    rows = Observations(np.full((4, 2), np.nan))
    log_density, shares = mixture.densities(rows)
    np.testing.assert_allclose(log_density, 0, atol=1e-15)
    np.testing.assert_allclose(shares, np.tile(mixture.weights, (4, 1)), rtol=1e-14)
    statistics = mixture.statistics(rows)
    assert not statistics.first.any()
    assert not statistics.second.any()
    np.testing.assert_allclose(statistics.counts, 4 * mixture.weights)


def test_complete_rows_have_the_densities_that_they_have_without_gaps():
    mixture, _, rows = example("full", 3, 4)
    x = np.random.default_rng(2).normal(size=(100, 4))
    np.testing.assert_array_equal(mixture.log_density(Observations(x)), mixture.log_density(x))
    np.testing.assert_array_equal(mixture.responsibilities(Observations(x)), mixture.responsibilities(x))
    assert rows[:3].shape == (3, 4)


@pytest.mark.parametrize("order", ["reversed", "shuffled", "empty", "of other rows", "in 32 bits"])
def test_any_order_gives_the_same_numbers(order):
    mixture, _, rows = example("full", 3, 4, labelled=True)
    n = len(rows)
    orders = {
        "reversed": np.arange(n)[::-1].copy(), "shuffled": np.random.default_rng(3).permutation(n),
        "empty": np.arange(0), "of other rows": np.arange(n + 5), "in 32 bits": rows.order.astype(np.int32),
    }  # fmt: skip
    values, _, labels, errors = rows.arrays
    rest = labels, errors, 0.0, np.empty(0), np.empty(0)  # no errors, no noise
    log_density, shares = patterns.responsibilities(values, orders[order], *rest, *mixture.arrays)
    assert_close(log_density, mixture.log_density(rows), 1e-13)
    assert_close(shares, mixture.responsibilities(rows), 1e-13)
    other = patterns.statistics(values, orders[order], *rest, *mixture.arrays, np.ones(1))
    for ours, theirs in zip(other, mixture.statistics(rows), strict=True):
        assert_close(np.array(ours), np.array(theirs), 1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_draws_of_mixtures_are_mixtures_each(covariance_type):
    mixture, _, rows = example(covariance_type, 3, 2)
    shifts = np.random.default_rng(4).normal(size=(5, 3, 2))
    draws = Mixture(
        np.tile(mixture.weights, (5, 1)), mixture.means + shifts, np.repeat(mixture.covariances[None], 5, axis=0)
    )
    each = [one.densities(rows) for one in draws]
    np.testing.assert_array_equal(draws.log_density(rows), [own[0] for own in each])
    np.testing.assert_array_equal(draws.responsibilities(rows), [own[1] for own in each])
    log_density, shares = draws.predictive(rows)
    assert_close(log_density, logsumexp([own[0] for own in each], axis=0) - np.log(5), 1e-13)
    assert_close(shares, np.mean([own[1] for own in each], axis=0), 1e-13)
    assert_close(draws.expect_rows(rows), np.mean([one.expect_rows(rows) for one in draws], axis=0), 1e-13)


def test_unseen_values_are_expected_and_drawn_as_the_conditional_says():
    """Against `Mixture.conditional`, which knows nothing of patterns."""
    mixture, _, _ = example("full", 3, 3)
    row = np.array([np.nan, 0.7, np.nan])
    given = mixture.conditional([0, 2], {1: 0.7})
    mean = given.weights @ given.means
    assert_close(mixture.expect_rows(Observations(row[None]))[0, [0, 2]], mean, 1e-12)
    drawn = mixture.draw_rows(Observations(np.tile(row, (40_000, 1))), np.random.default_rng(5))
    np.testing.assert_array_equal(drawn[:, 1], 0.7)
    apart = given.means - mean
    covariance = np.einsum("k,kij->ij", given.weights, given.covariances + apart[:, :, None] * apart[:, None, :])
    np.testing.assert_allclose(drawn[:, [0, 2]].mean(axis=0), mean, atol=4 * np.sqrt(np.diag(covariance) / 4e4).max())
    np.testing.assert_allclose(np.cov(drawn[:, [0, 2]].T), covariance, atol=0.05 * np.diag(covariance).max())


def test_means_in_the_place_of_what_was_not_seen_are_another_likelihood():
    """The negative control: what the oracle must reject."""
    mixture, covariances, rows = example("full", 3, 3)
    plugged = np.where(np.isnan(rows.values), np.nanmean(rows.values, axis=0), rows.values)
    right = oracle(rows.values, mixture.weights, mixture.means, covariances)[0]
    assert np.abs(mixture.log_density(plugged) - right).max() > 1
    assert np.abs(mixture.log_density(mixture.expect_rows(rows)) - right).max() > 1


def test_values_to_start_from_are_the_conditional_expectations_of_one_normal_distribution():
    rng = np.random.default_rng(6)
    covariance = np.array([[1.0, 0.9], [0.9, 1.0]])
    x = rng.multivariate_normal([3.0, -2.0], covariance, size=3000)
    gaps = np.where(rng.random(x.shape) < [0.0, 0.4], np.nan, x)
    z, own = filled(gaps, np.ones(len(x)), np.nanmean(gaps, axis=0), np.nanvar(gaps, axis=0))
    np.testing.assert_array_equal(z[~np.isnan(gaps)], gaps[~np.isnan(gaps)])
    unseen = np.isnan(gaps[:, 1])
    np.testing.assert_allclose(z[unseen, 1], -2 + 0.9 * (x[unseen, 0] - 3), atol=0.1)
    np.testing.assert_allclose(own, covariance, atol=0.1)


# The graph -----------------------------------------------------------------------------------------------------------


def test_compiled_op_equals_its_python_form_and_passes_the_data_once():
    x, w, m, c, g = pt.matrix(), pt.vector(), pt.matrix(), pt.tensor3(), pt.vector()
    order, labels = pt.lvector(), pt.lvector()
    rest = pt.tensor3(), pt.scalar(), pt.vector(), pt.vector()
    rows = MixtureLogDensity(partial=True)(x, w, m, c, order, labels, *rest)
    total = (g * rows).sum()
    graph = [x, w, m, c, order, labels, *rest, g], [total, *pt.grad(total, [w, m, c, rest[1]])]
    compiled = pytensor.function(*graph, mode="NUMBA")
    ops = [node.op for node in compiled.maker.fgraph.apply_nodes]
    assert sum(isinstance(op, MixtureGradient) for op in ops) == 1
    assert not any(isinstance(op, MixtureLogDensity) for op in ops)
    python = pytensor.function(*graph, mode=INTERPRETED)
    mixture, covariances, data = example("full", 3, 2, labelled=True)
    weight = np.random.default_rng(7).uniform(size=len(data))
    values, order, labels, errors = data.arrays
    none = errors, 0.0, np.empty(0), np.empty(0)
    arguments = values, mixture.weights, mixture.means, covariances, order, labels, *none, weight
    for a, b in zip(compiled(*arguments), python(*arguments), strict=True):
        assert_close(a, b, 1e-13)
    expected = oracle(values, *arguments[1:4], labels, weight)[2]
    np.testing.assert_allclose(compiled(*arguments)[0], expected[0], rtol=1e-12)
    assert_close(compiled(*arguments)[2], expected[2])


def test_op_counts_its_inputs():
    with pytest.raises(ValueError, match="0 inputs besides"):
        MixtureLogDensity(partial=True)(pt.matrix(), pt.vector(), pt.matrix(), pt.tensor3())


def partial_ops(model):
    return [n.op for n in pytensor.graph.traversal.applys_between([], [model.logp()]) if getattr(n.op, "partial", 0)]


def test_complete_data_have_the_same_posterior_either_way(faithful):
    plain, marginal = bg.build_model(faithful, 2), bg.build_model(faithful, 2, missing="marginalise")
    assert not partial_ops(plain)
    assert partial_ops(marginal)
    point = plain.initial_point()
    np.testing.assert_allclose(
        marginal.compile_logp(mode=INTERPRETED)(point), plain.compile_logp(mode=INTERPRETED)(point), rtol=1e-10
    )
    q = np.random.default_rng(8).normal(scale=0.1, size=Problem.of(plain).n_parameters)
    a, b = Problem.of(plain).sampling_density(q), Problem.of(marginal).sampling_density(q)
    np.testing.assert_allclose(a[0], b[0], rtol=1e-10)
    assert_close(b[1], a[1])


# The posterior -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gappy(faithful):
    return faithful.astype(float).mask(np.random.default_rng(9).random(faithful.shape) < 0.15)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_mode_has_no_slope(gappy, covariance_type):
    model = bg.build_model(gappy, 2, covariance_type=covariance_type, missing="marginalise")
    estimate = bg.find_MAP(model, random_seed=1, progressbar=False)
    assert estimate.converged
    assert estimate.gradient_norm < 1e-4
    problem = Problem.of(model)
    np.testing.assert_allclose(problem.parameter_density(estimate.q)[1], 0, atol=1e-3)
    # And it is that of finite differences.
    q = estimate.q + 0.01
    slope = problem.sampling_density(q)[1]
    for j in range(q.size):
        step = 1e-5 * np.eye(q.size)[j]
        by_differences = (problem.sampling_density(q + step)[0] - problem.sampling_density(q - step)[0]) / 2e-5
        np.testing.assert_allclose(slope[j], by_differences, atol=1e-4 * np.abs(slope).max())


@pytest.mark.parametrize("n_components", [1, 2])
def test_missing_rows_of_one_feature_change_no_mode(faithful, n_components):
    waiting = faithful[["waiting"]].astype(float)
    more = pd.concat([waiting, pd.DataFrame({"waiting": np.full(40, np.nan)})], ignore_index=True)
    a = bg.find_MAP(bg.build_model(waiting, n_components), random_seed=1, progressbar=False)
    b = bg.find_MAP(bg.build_model(more, n_components, missing="marginalise"), random_seed=1, progressbar=False)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(np.sort(b.point[name], axis=0), np.sort(a.point[name], axis=0), rtol=1e-4)
    assert b.log_likelihood == pytest.approx(a.log_likelihood, abs=1e-5)


def test_one_component_of_rows_with_gaps_is_that_of_em_by_hand():
    """Under nearly flat priors, EM for one normal distribution (Little and Rubin), written out here."""
    rng = np.random.default_rng(10)
    x = rng.multivariate_normal([0.0, 5.0], [[1.0, 0.8], [0.8, 2.0]], size=400)
    x[rng.random(400) < 0.3, 1] = np.nan
    mean, covariance = np.nanmean(x, axis=0), np.diag(np.nanvar(x, axis=0))
    unseen = np.isnan(x[:, 1])
    for _ in range(500):
        slope = covariance[0, 1] / covariance[0, 0]
        z = x.copy()
        z[unseen, 1] = mean[1] + slope * (x[unseen, 0] - mean[0])
        left = np.diag([0.0, unseen.mean() * (covariance[1, 1] - slope * covariance[0, 1])])
        mean, covariance = z.mean(axis=0), np.cov(z.T, bias=True) + left
    model = bg.build_model(x, 1, missing="marginalise")
    estimate = bg.find_MAP(model, random_seed=1, progressbar=False)
    np.testing.assert_allclose(estimate.point["means"][0], mean, atol=0.02)
    np.testing.assert_allclose(estimate.point["covariances"][0], covariance, atol=0.05)
    # Dropping the rows with gaps, or the means put in, is another answer.
    assert np.cov(x[~unseen].T, bias=True)[0, 0] != pytest.approx(estimate.point["covariances"][0, 0, 0], abs=1e-3)
    plugged = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    assert np.var(plugged[:, 1]) < 0.8 * estimate.point["covariances"][0, 1, 1]


def test_a_feature_seen_in_few_rows_is_a_caution():
    """What is said of it is mostly the prior; of as many rows as tell its mean and spread nothing is said."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 2)) + 6 * rng.integers(2, size=(200, 1))
    for seen, told in ((12, True), (40, False)):
        gappy = x.copy()
        gappy[seen:, 1] = np.nan
        estimate = bg.find_MAP(bg.build_model(gappy, 2, missing="marginalise"), n_init=3, random_seed=1)
        reasons = " ".join(bg.diagnose(estimate.laplace(100, random_seed=1)).reasons)
        assert (f"x1 was seen in {seen} of 200 rows" in reasons) is told
