"""The likelihood pass against SciPy's densities and PyMC's autodiff, and the invariances that any mixture has."""

import os
import warnings
from functools import cache

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from conftest import draw_rows, random_mixture
from pytensor.compile.mode import Mode
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from bayesgmm.data import cores
from bayesgmm.graph.ops import MixtureGradient, MixtureLogDensity
from bayesgmm.mixture import elementary, kernel, threads

COVARIANCES = ("full", "tied", "diag", "spherical")
INTERPRETED = Mode("py", "fast_compile")


def scipy_log_density(x, weights, means, covariances):
    parts = [
        np.log(w) + multivariate_normal(m, c, allow_singular=False).logpdf(x).reshape(len(x))
        for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    return logsumexp(parts, axis=0)


@cache
def pymc_mixture(n_components):
    """Value and gradient of the summed log-density of PyMC's own mixture, by PyTensor's autodiff."""
    x, w, m, c = pt.matrix(), pt.vector(), pt.matrix(), pt.tensor3()
    dists = [pm.MvNormal.dist(mu=m[k], chol=pt.linalg.cholesky(c[k])) for k in range(n_components)]
    # PyMC's mixture needs two components; one alone is its own mixture.
    logp = (
        pm.logp(pm.Mixture.dist(w=w, comp_dists=dists), x) if n_components > 1 else pt.log(w[0]) + pm.logp(dists[0], x)
    )
    total = logp.sum()
    return pytensor.function([x, w, m, c], [total, *pt.grad(total, [w, m, c])], mode=INTERPRETED)


def pymc_gradient(x, weights, means, covariances):
    value, d_weights, d_means, d_covariances = pymc_mixture(len(weights))(x, weights, means, covariances)
    # Autodiff through a Cholesky factor leaves its gradient on the triangle that is read.
    return value, d_weights, d_means, (d_covariances + d_covariances.transpose(0, 2, 1)) / 2


def assert_close(ours, oracle, relative=1e-10):
    """Relative to the largest entry: an entry that cancels to 0 has no relative precision of its own."""
    np.testing.assert_allclose(ours, oracle, rtol=relative, atol=relative * np.abs(oracle).max())


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("n_features", [1, 2, 5])
@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize(("scale", "separation"), [(1.0, 1.0), (1.0, 50.0), (1e-4, 1.0), (1e6, 1.0)])
def test_density_and_gradient_agree_with_independent_oracles(
    covariance_type, n_features, n_components, scale, separation
):
    rng = np.random.default_rng([n_features, n_components])
    parameters = random_mixture(rng, n_components, n_features, covariance_type, scale, separation)
    x, _ = draw_rows(rng, 300, *parameters)
    diagonal = covariance_type in ("diag", "spherical")

    assert_close(kernel.log_density(x, *parameters, diagonal), scipy_log_density(x, *parameters))

    log_likelihood, *gradient = kernel.gradient(x, *parameters, diagonal, np.ones(len(x)))
    value, *oracle = pymc_gradient(x, *parameters)
    assert_close(log_likelihood, np.array(value))
    if diagonal:  # off the diagonal nothing is computed, nor needed
        oracle[2] = oracle[2] * np.eye(n_features)
    for ours, theirs in zip(gradient, oracle, strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("separation", [0.3, 6.0])
def test_statistics_of_many_features_are_sums_over_all_rows(tied, separation):
    """Also where rows of one component alone are summed, rows without weight, and a covariance that all share."""
    rng = np.random.default_rng(0)
    n, d, k = 700, 13, 4
    means = separation * rng.normal(size=(k, d))
    roots = np.eye(d) + 0.2 * rng.normal(size=(1 if tied else k, d, d))
    covariances = np.ascontiguousarray(np.broadcast_to(roots @ roots.transpose(0, 2, 1), (k, d, d)))
    x = means[rng.integers(0, k, n)] + rng.normal(size=(n, d))
    weights, row_weights = np.array([0.1, 0.2, 0.3, 0.4]), rng.integers(0, 3, n).astype(float)
    found = kernel.statistics(x, weights, means, covariances, False, row_weights)
    joint = np.stack([multivariate_normal(m, c).logpdf(x) for m, c in zip(means, covariances, strict=True)], axis=1)
    joint += np.log(weights)
    log_density = logsumexp(joint, axis=1)
    parts = row_weights[:, None] * np.exp(joint - log_density[:, None])
    assert (parts < 1e-20 * row_weights[:, None]).mean() > 0.3 if separation > 1 else (parts > 1e-20).mean() > 0.5
    assert_close(found.log_likelihood, row_weights @ log_density)
    assert_close(found.counts, parts.sum(axis=0))
    for j, inverse in enumerate(np.linalg.inv(covariances)):
        apart = x - means[j]
        scatter = (parts[:, j] * apart.T) @ apart - parts[:, j].sum() * covariances[j]
        assert_close(found.first[j], inverse @ (parts[:, j] @ apart))
        assert_close(found.second[j], inverse @ scatter @ inverse)
    # A covariance that is none is not passed over.
    spoilt = covariances.copy()
    spoilt[1] = -spoilt[1]
    assert np.isnan(kernel.statistics(x, weights, means, spoilt, False, row_weights).log_likelihood)


def test_responsibilities_are_bayes_rule():
    rng = np.random.default_rng(3)
    weights, means, covariances = random_mixture(rng, 4, 3)
    x, _ = draw_rows(rng, 400, weights, means, covariances)
    log_joint = np.column_stack(
        [np.log(w) + multivariate_normal(m, c).logpdf(x) for w, m, c in zip(weights, means, covariances, strict=True)]
    )
    expected = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
    log_density, ours = kernel.responsibilities(x, weights, means, covariances, False)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(ours.sum(axis=1), 1.0, rtol=1e-14)
    assert_close(log_density, logsumexp(log_joint, axis=1))


def test_row_weights_count_rows():
    rng = np.random.default_rng(4)
    parameters = random_mixture(rng, 2, 2)
    x, _ = draw_rows(rng, 50, *parameters)
    counts = rng.integers(0, 4, size=50)
    weighted = kernel.gradient(x, *parameters, False, counts.astype(float))
    repeated = np.repeat(x, counts, axis=0)
    plain = kernel.gradient(repeated, *parameters, False, np.ones(len(repeated)))
    for a, b in zip(weighted, plain, strict=True):
        assert_close(a, b, 1e-12)
    twice = kernel.gradient(x, *parameters, False, np.array([2.0]))
    for a, b in zip(twice, kernel.gradient(x, *parameters, False, np.full(50, 2.0)), strict=True):
        assert_close(a, b, 1e-13)


def test_statistics_at_a_stationary_point_reproduce_the_parameters():
    """One EM step from the exact maximum of a single component moves nothing."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(700, 3)) @ rng.normal(size=(3, 3)) + 5
    mean, covariance = x.mean(axis=0), np.cov(x.T, bias=True)
    statistics = kernel.statistics(x, np.ones(1), mean[None], covariance[None], False, np.ones(len(x)))
    np.testing.assert_allclose(statistics.counts, [700])
    np.testing.assert_allclose(statistics.first / 700, 0, atol=1e-12)
    np.testing.assert_allclose(statistics.second / 700, 0, atol=1e-12)
    means, scatter = statistics.moments(mean[None], covariance[None])
    np.testing.assert_allclose(means[0], mean, rtol=1e-12)
    np.testing.assert_allclose(scatter[0] / 700, covariance, rtol=1e-10)


@pytest.mark.parametrize("n_rows", [1, 31, 255, 256, 257, 1000])
def test_blocks_do_not_show(n_rows):
    rng = np.random.default_rng(6)
    parameters = random_mixture(rng, 3, 2)
    x = rng.normal(size=(n_rows, 2))
    np.testing.assert_allclose(
        kernel.log_density(x, *parameters, False),
        np.concatenate([kernel.log_density(row[None], *parameters, False) for row in x]),
        rtol=1e-14,
    )


def test_far_rows_have_finite_densities_and_gradients():
    rng = np.random.default_rng(7)
    parameters = random_mixture(rng, 3, 2)
    x = np.vstack([rng.normal(size=(20, 2)), [[1e3, -1e3], [-1e3, 0.0]]]) * np.sqrt(parameters[2].max())
    log_likelihood, *gradient = kernel.gradient(x, *parameters, False, np.ones(len(x)))
    assert_close(kernel.log_density(x, *parameters, False), scipy_log_density(x, *parameters))
    np.testing.assert_allclose(log_likelihood, scipy_log_density(x, *parameters).sum())
    assert all(np.isfinite(g).all() for g in gradient)
    _, responsibility = kernel.responsibilities(x, *parameters, False)
    assert not ((responsibility > 0) & (responsibility < 1e-201)).any()  # no denormals


def test_infinitely_far_and_nan_rows_are_said_to_be_so():
    parameters = (np.array([0.5, 0.5]), np.zeros((2, 1)), np.ones((2, 1, 1)))
    x = np.array([[0.0], [1e200], [np.nan]])
    log_density, responsibility = kernel.responsibilities(x, *parameters, True)
    assert np.isfinite(log_density[0])
    assert log_density[1] == -np.inf
    assert np.isnan(log_density[2])
    np.testing.assert_array_equal(responsibility[1], 0.0)
    assert np.isnan(responsibility[2]).all()


def test_a_covariance_that_is_not_positive_definite_gives_nan():
    covariances = np.array([[[1.0, 2.0], [2.0, 1.0]]])
    assert np.isnan(kernel.log_density(np.zeros((1, 2)), np.ones(1), np.zeros((1, 2)), covariances, False)).all()


def test_permuting_translating_and_scaling():
    rng = np.random.default_rng(8)
    weights, means, covariances = random_mixture(rng, 3, 2)
    x, _ = draw_rows(rng, 100, weights, means, covariances)
    plain = kernel.log_density(x, weights, means, covariances, False)
    order = [2, 0, 1]
    assert_close(kernel.log_density(x, weights[order], means[order], covariances[order], False), plain, 1e-13)
    assert_close(kernel.log_density(x + 3, weights, means + 3, covariances, False), plain, 1e-11)
    scaled = kernel.log_density(7 * x, weights, 7 * means, 49 * covariances, False)
    assert_close(scaled, plain - 2 * np.log(7), 1e-12)


def test_diagonal_is_full_with_zeros_off_the_diagonal():
    rng = np.random.default_rng(9)
    parameters = random_mixture(rng, 3, 4, "diag")
    x, _ = draw_rows(rng, 100, *parameters)
    full = kernel.gradient(x, *parameters, False, np.ones(100))
    diag = kernel.gradient(x, *parameters, True, np.ones(100))
    for a, b in zip(full[:3], diag[:3], strict=True):
        assert_close(b, a, 1e-13)
    assert_close(diag[3], full[3] * np.eye(4), 1e-13)


def test_exp_and_log_are_within_two_units_in_the_last_place():
    rng = np.random.default_rng(11)
    t = np.concatenate([-rng.uniform(0, 690, size=5000), rng.normal(size=5000), [0.0, -460.0, -690.0]])
    assert elementary.exp(0.0) == 1.0
    exp = np.array([elementary.exp(v) for v in t])
    assert (np.abs(exp - np.exp(t)) <= 2 * np.spacing(np.exp(t))).all()
    x = np.concatenate([np.exp(rng.normal(scale=50, size=5000)), 1 + rng.uniform(size=5000), [1.0, 2.0, 1e-300]])
    log = np.array([elementary.log(v) for v in x])
    assert (np.abs(log - np.log(x)) <= 2 * np.spacing(np.abs(np.log(x)))).all()
    assert np.isnan(elementary.exp(np.nan))


def test_number_of_threads_does_not_change_a_bit():
    rng = np.random.default_rng(12)
    parameters = random_mixture(rng, 4, 5)
    x = rng.normal(size=(60_000, 5))
    results = []
    for n in (1, 2, 3, 1):
        with cores.limited_to(n):
            results.append(
                [
                    *kernel.gradient(x, *parameters, False, np.ones(len(x))),
                    *kernel.responsibilities(x, *parameters, False),
                    kernel.log_density(x, *parameters, False),
                ]
            )
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_portions_do_not_show():
    """A pass over 60,000 rows, which is cut into portions, is the sum of short passes, which are not."""
    rng = np.random.default_rng(13)
    parameters = random_mixture(rng, 4, 3)
    x, weight = rng.normal(size=(60_000, 3)), rng.uniform(size=60_000)
    whole = kernel.gradient(x, *parameters, False, weight)
    parts = [kernel.gradient(x[i::60], *parameters, False, weight[i::60].copy()) for i in range(60)]
    for i in range(4):
        assert_close(whole[i], sum(part[i] for part in parts), 1e-12)
    _, responsibility = kernel.responsibilities(x, *parameters, False)
    assert_close(responsibility[7::60], kernel.responsibilities(x[7::60].copy(), *parameters, False)[1], 1e-13)


def test_a_forked_process_has_threads_of_its_own():
    rng = np.random.default_rng(14)
    parameters = random_mixture(rng, 4, 5)
    x = rng.normal(size=(60_000, 5))
    with cores.limited_to(2):
        expected = kernel.log_density(x, *parameters, False).sum()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of forking beside threads
            child = os.fork()
        if child == 0:
            os._exit(0 if kernel.log_density(x, *parameters, False).sum() == expected else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_an_interrupt_during_a_pass_is_raised_after_it(monkeypatch):
    """The pass is finished first, as an exception cannot pass through compiled code."""
    rng = np.random.default_rng(15)
    parameters = random_mixture(rng, 4, 5)
    x = rng.normal(size=(60_000, 5))
    expected = kernel.log_density(x, *parameters, False)
    share, calls = threads.share, []

    def interrupted_once(n, task):
        calls.append(n)
        if len(calls) == 1:
            task(0)
            raise KeyboardInterrupt
        share(n, task)

    monkeypatch.setattr(threads, "share", interrupted_once)
    np.testing.assert_array_equal(kernel.log_density(x, *parameters, False), expected)
    assert len(calls) == 2
    with pytest.raises(KeyboardInterrupt):
        threads.raise_interrupt()
    threads.raise_interrupt()  # once


@pytest.mark.parametrize("weighted", [False, True])
def test_compiled_op_equals_its_python_form_and_passes_the_data_once(weighted):
    x, w, m, c, g = pt.matrix(), pt.vector(), pt.matrix(), pt.tensor3(), pt.vector()
    rows = MixtureLogDensity()(x, w, m, c)
    total = (g * rows).sum() if weighted else rows.sum()
    graph = [x, w, m, c, g], [total, *pt.grad(total, [w, m, c])]
    compiled = pytensor.function(*graph, mode="NUMBA", on_unused_input="ignore")
    ops = [node.op for node in compiled.maker.fgraph.apply_nodes]
    assert sum(isinstance(op, MixtureGradient) for op in ops) == 1
    assert not any(isinstance(op, MixtureLogDensity) for op in ops)
    python = pytensor.function(*graph, mode=INTERPRETED, on_unused_input="ignore")
    rng = np.random.default_rng(10)
    parameters = random_mixture(rng, 3, 2)
    data, _ = draw_rows(rng, 300, *parameters)
    weights = rng.uniform(size=300)
    for a, b in zip(compiled(data, *parameters, weights), python(data, *parameters, weights), strict=True):
        assert_close(a, b, 1e-13)
    expected = (weights if weighted else np.ones(300)) @ scipy_log_density(data, *parameters)
    np.testing.assert_allclose(compiled(data, *parameters, weights)[0], expected, rtol=1e-12)


def test_rows_and_their_gradient_both_come_out_of_a_graph_that_wants_both():
    x, w, m, c = pt.matrix(), pt.vector(), pt.matrix(), pt.tensor3()
    rows = MixtureLogDensity()(x, w, m, c)
    function = pytensor.function([x, w, m, c], [rows, pt.exp(rows).sum(), pt.grad(pt.exp(rows).sum(), w)], mode="NUMBA")
    rng = np.random.default_rng(16)
    parameters = random_mixture(rng, 3, 2)
    data, _ = draw_rows(rng, 40, *parameters)
    log_density, density, slope = function(data, *parameters)
    assert_close(log_density, scipy_log_density(data, *parameters))
    np.testing.assert_allclose(density, np.exp(log_density).sum())
    # The density is linear in the weights.
    np.testing.assert_allclose(slope @ parameters[0], density)


def test_op_refuses_wrong_ranks():
    with pytest.raises(ValueError, match="covariances \\(K, D, D\\)"):
        MixtureLogDensity()(pt.matrix(), pt.vector(), pt.matrix(), pt.matrix())
