"""The model in JAX: the Ops against the compiled kernel, other packages' samplers, and our own verbs."""

import os
import subprocess
import sys
from pathlib import Path

# Half of the time of these tests is LLVM's, on code that runs for a second. Before JAX is imported.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"

import arviz_stats as azs
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, MissingPackageError
from bayesgmm.graph import backends
from bayesgmm.mixture import kernel, patterns
from bayesgmm.search.problem import Problem

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402
from pymc.sampling.jax import get_jaxified_graph  # noqa: E402

import bayesgmm.graph.jax  # noqa: E402 (JAX in double precision, as PyTensor sets it)
from bayesgmm.mixture import jax_pass  # noqa: E402


def parameters(k, d, seed=0):
    rng = np.random.default_rng(seed)
    factors = np.tril(rng.normal(size=(k, d, d))) * 0.3 + np.eye(d)
    return rng.dirichlet(np.ones(k)), rng.normal(size=(k, d)), factors @ factors.swapaxes(1, 2)


def of_pass(function, rows, weights, means, covariances, diagonal, *others):
    mixture = jax_pass.Mixture(*map(jnp.asarray, (weights, means, covariances)), diagonal)
    found = function(jax_pass.Rows(*map(jnp.asarray, rows)), mixture, *map(jnp.asarray, others))
    return [np.asarray(v) for v in found] if isinstance(found, tuple) else np.asarray(found)


def assert_close(found, expected, tolerance=1e-10):
    """Each array to a part of its largest entry."""
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(initial=1e-300))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 rows, of 2 features and 3 components."""
    monkeypatch.setattr(jax_pass, "CPU_NUMBERS", 64 * 6)
    monkeypatch.setattr(jax_pass, "GPU_NUMBERS", 64 * 6)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("n_rows", [0, 1, 7, 63, 64, 65, 200])
def test_the_pass_is_the_kernels(small_blocks, n_rows, diagonal):
    rng = np.random.default_rng(n_rows)
    x, mixture = rng.normal(size=(n_rows, 2)), parameters(3, 2)
    for row_weights in (np.full(1, 1.5), rng.uniform(size=n_rows))[: 1 + (n_rows > 0)]:
        expected = kernel.gradient(x, *mixture, diagonal, row_weights)
        assert_close(of_pass(jax_pass.gradient, [x], *mixture, diagonal, row_weights), expected)
    expected = kernel.log_density(x, *mixture, diagonal)
    assert_close([of_pass(jax_pass.log_density, [x], *mixture, diagonal)], [expected])


@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 4), (5, 1), (4, 9)])
def test_the_pass_has_any_number_of_components_and_features(k, d):
    x, mixture = np.random.default_rng(0).normal(size=(50, d)), parameters(k, d)
    expected = kernel.gradient(x, *mixture, False, np.ones(1))
    assert_close(of_pass(jax_pass.gradient, [x], *mixture, False, np.ones(1)), expected)


def test_far_rows_and_empty_components_give_no_nan():
    x = np.array([[0.0, 0.0], [1e9, -1e9], [1e200, 0.0]])
    weights, means, covariances = parameters(3, 2)
    weights[1] = 0.0
    total, *gradients = of_pass(jax_pass.gradient, [x], weights, means, covariances, False, np.ones(1))
    assert total == -np.inf
    assert all(np.isfinite(g).all() for g in gradients)
    found = of_pass(jax_pass.log_density, [x], weights, means, covariances, False)
    expected = kernel.log_density(x, weights, means, covariances, False)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_a_matrix_that_is_no_covariance_gives_nan():
    weights, means, covariances = parameters(2, 2)
    covariances[1] = [[1.0, 2.0], [2.0, 1.0]]
    assert np.isnan(of_pass(jax_pass.gradient, [np.zeros((3, 2))], weights, means, covariances, False, np.ones(1))[0])


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_pass_over_partial_rows_is_the_kernels(small_blocks, diagonal):
    rng = np.random.default_rng(3)
    x, (weights, means, covariances) = rng.normal(size=(90, 2)), parameters(3, 2)
    covariances = covariances * np.eye(2) if diagonal else covariances
    x[rng.random(x.shape) < 0.3] = np.nan
    labels = rng.integers(-1, 3, size=90)
    errors = np.eye(2) * rng.uniform(0.1, 0.5, size=(90, 1, 1))
    order = np.lexsort((labels, *np.isnan(x).T))
    for own, share in ((errors, 0.1), (np.empty((1, 0, 0)), 0.1), (np.empty((1, 0, 0)), 0.0)):
        box = (np.full(2, -1.0), np.full(2, 2.0))
        rows, parts = (x, labels, own, share, *box), ((1 - share) * weights, means, covariances)
        g = rng.uniform(size=90)
        expected = patterns.gradient(x, order, labels, own, share, *box, *parts, diagonal, g)
        assert_close(of_pass(jax_pass.gradient, rows, *parts, diagonal, g), expected)
        expected = patterns.responsibilities(x, order, labels, own, share, *box, *parts, diagonal)[0]
        assert_close([of_pass(jax_pass.log_density, rows, *parts, diagonal)], [expected])


def test_chains_side_by_side_are_one_after_another():
    x, each = jnp.asarray(np.random.default_rng(0).normal(size=(70, 2))), [parameters(3, 2, s) for s in range(4)]

    def gradient(*mixture):
        return jax_pass.gradient(jax_pass.Rows(x), jax_pass.Mixture(*mixture, False), jnp.ones(1))

    together = jax.jit(jax.vmap(gradient))(*(jnp.stack(v) for v in zip(*each, strict=True)))
    for s, mixture in enumerate(each):
        assert_close([np.asarray(v[s]) for v in together], kernel.gradient(np.asarray(x), *mixture, False, np.ones(1)))


def test_single_precision_errs_by_its_rounding():
    x, mixture = np.random.default_rng(0).normal(size=(200_000, 3)), parameters(4, 3)
    total, *slopes = kernel.gradient(x, *mixture, False, np.ones(1))
    found, *others = of_pass(jax_pass.gradient, [x.astype(np.float32)], *mixture, False, np.ones(1))
    # 1e-8 and 6e-8 as measured.
    assert 0 < abs(found / total - 1) < 5e-8
    assert_close(others, slopes, tolerance=3e-7)
    # Summed one row after another in single precision much more would be lost.
    naive = np.cumsum(kernel.log_density(x, *mixture, False).astype(np.float32), dtype=np.float32)[-1]
    assert abs(naive / total - 1) > 1e-6


# Models -----------------------------------------------------------------------------------------------------------


def table(n=41, d=2):
    return np.random.default_rng(0).normal(size=(n, d)) + 3.0 * (np.arange(n) % 2)[:, None]


def partial_model():
    x = table()
    x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    labels = np.where(np.arange(41) < 8, np.arange(41) % 2, -1)
    errors = np.full(x.shape, 0.1)
    return bg.build_model(x, 2, missing="marginalise", labels=labels, noise=True, measurement_covariance=errors)


MODELS = {
    "full": lambda: bg.build_model(table(), 2),
    "tied": lambda: bg.build_model(table(), 2, covariance_type="tied"),
    "diag": lambda: bg.build_model(table(), 2, covariance_type="diag"),
    "spherical": lambda: bg.build_model(table(), 2, covariance_type="spherical"),
    "sticks": lambda: bg.build_model(table(), 3, priors=bg.Priors(weights="stick-breaking")),
    "variances": lambda: bg.build_model(table(), 2, priors=bg.Priors(reference=None)),
    "weights": lambda: bg.build_model(table(), 2, sample_weight=np.linspace(0.5, 2, 41)),
    "one": lambda: bg.build_model(table(5, 1), 1),
    "partial": partial_model,
}


@pytest.mark.parametrize("name", MODELS)
def test_both_gradients_of_a_model_are_the_compiled_ones(name):
    model = MODELS[name]()
    problem = Problem.of(model)
    q = problem._somewhere
    # Sticks as the model has them, in their order: other samplers know no other.
    value, gradient = problem.graph.densities(any_order=False)[1](q)
    point = [np.asarray(v) for v in problem.graph.named(q).values()]
    logp = model.logp()
    of_value = get_jaxified_graph(model.value_vars, [logp])
    found, slopes = jax.jit(jax.value_and_grad(lambda p: of_value(*p)[0]))(point)
    assert found == pytest.approx(value, rel=1e-10)
    assert_close([np.concatenate([np.ravel(s) for s in slopes])], [gradient])
    if name in ("full", "variances", "partial"):  # PyTensor's pullbacks, as nutpie asks for them
        both = jax.jit(get_jaxified_graph(model.value_vars, [logp, *pt.grad(logp, model.value_vars)]))
        found, *slopes = both(*point)
        assert found == pytest.approx(value, rel=1e-10)
        assert_close([np.concatenate([np.ravel(s) for s in slopes])], [gradient])


@pytest.mark.parametrize("name", ["sticks", "weights", "partial"])
def test_a_problem_in_jax_has_the_same_densities(name):
    problem = Problem.of(MODELS[name]())
    other, q = problem.on("jax"), problem._somewhere
    for ours, theirs in (
        (problem.parameter_density, other.parameter_density),
        (problem.sampling_density, other.sampling_density),
    ):
        assert_close(theirs(q), ours(q))
    assert other.is_current


def test_a_rows_term_with_weights_that_are_estimated_has_their_gradient():
    x, mixture = table(), parameters(2, 2)
    from bayesgmm.graph.ops import MixtureLogDensity

    w = pt.vector("w")
    function = get_jaxified_graph([w], [(w * MixtureLogDensity()(x, *mixture)).sum()])
    slopes = jax.grad(lambda w: function(w)[0])(jnp.ones(41))
    assert_close([np.asarray(slopes)], [kernel.log_density(x, *mixture, False)])


# Other packages' samplers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return bg.build_model(bg.datasets.load_faithful().to_numpy()[:, :1], 2, covariance_type="tied")


@pytest.fixture(scope="module")
def ours(model):
    return bg.sample(model, random_seed=1, progressbar=False)


def means_and_errors(dt):
    """What does not depend on labels: the mean of the lower and of the higher mean, and of the variance."""
    lower = dt["posterior"]["means"].min("component").squeeze(drop=True)
    upper = dt["posterior"]["means"].max("component").squeeze(drop=True)
    each = [lower, upper, dt["posterior"]["covariances"].squeeze(drop=True)]
    return np.array([[float(v.mean()), float(azs.mcse(v.rename("v").to_dataset())["v"])] for v in each]).T


def assert_same_posterior(found, expected, sds=5.0):
    (a, error_a), (b, error_b) = means_and_errors(found), means_and_errors(expected)
    assert np.all(np.abs(a - b) < sds * np.hypot(error_a, error_b))


@pytest.mark.filterwarnings("ignore:.*pmap:DeprecationWarning")
@pytest.mark.parametrize("sampler", ["numpyro", "blackjax"])
def test_pymc_samples_in_jax(model, ours, sampler):
    pytest.importorskip(sampler)
    with model:
        dt = pm.sample(
            200, tune=200, chains=2, nuts_sampler=sampler, random_seed=1, progressbar=False,
            compute_convergence_checks=False, nuts={"chain_method": "vectorized"},
        )  # fmt: skip
    assert_same_posterior(dt, ours)
    moved = dt.copy(deep=True)
    moved["posterior"]["means"] += 0.1  # must not pass
    with pytest.raises(AssertionError):
        assert_same_posterior(moved, ours)


@pytest.mark.parametrize("gradient", ["jax", "pytensor"])
def test_nutpie_samples_in_jax(model, ours, gradient):
    import nutpie

    compiled = nutpie.compile_pymc_model(model, backend="jax", gradient_backend=gradient)
    dt = nutpie.sample(compiled, draws=300, tune=300, chains=2, cores=1, seed=1, progress_bar=False)
    assert_same_posterior(dt, ours)


# Our own verbs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def estimate(model):
    return bg.find_MAP(model, random_seed=1, progressbar=False, backend="jax")


def test_find_map_reaches_the_same_optimum(model, estimate):
    other = bg.find_MAP(model, random_seed=1, progressbar=False)
    assert estimate.log_posterior == pytest.approx(other.log_posterior, abs=1e-6)
    np.testing.assert_allclose(estimate.point["means"], other.point["means"], rtol=1e-5)
    assert estimate.share == pytest.approx(other.share, abs=1e-3)


@pytest.mark.parametrize("backend", ["jax", "jax-float32"])
def test_sample_gives_the_same_kind_of_tree(model, ours, estimate, backend):
    dt = bg.sample(model, draws=400, chains=2, estimate=estimate, random_seed=1, progressbar=False, backend=backend)
    assert_same_posterior(dt, ours)
    assert list(dt.children) == list(ours.children)
    assert set(dt["posterior"].data_vars) == set(ours["posterior"].data_vars)
    assert set(ours["sample_stats"].data_vars) - set(dt["sample_stats"].data_vars) == {"energy_error"}
    assert set(dt.attrs) - set(ours.attrs) == {"backend", "map_random_seed"}  # that of the estimate, which ours had not
    assert dt.attrs["inference_library"] == "numpyro"
    assert dt.attrs["inference_library_version"]
    assert bg.diagnose(dt).verdict != "fail"
    assert_same_posterior(bg.relabel(dt, method="ecr"), ours)
    assert bg.assignments(dt)["probability"].sizes["component"] == 2


def test_an_estimate_from_jax_starts_our_own_sampler(model, ours, estimate):
    dt = bg.sample(model, draws=300, start=estimate, random_seed=2, progressbar=False)
    assert dt.attrs["inference_library"] == "nutpie"
    assert_same_posterior(dt, ours)


def test_what_cannot_be_is_said(model, estimate, tmp_path, monkeypatch):
    with pytest.raises(InvalidArgumentError, match="unknown backend 'torch'"):
        bg.find_MAP(model, backend="torch")
    with pytest.raises(InvalidArgumentError, match="unknown backend 'jax-float32'"):
        bg.find_MAP(model, backend="jax-float32")
    with pytest.raises(InvalidArgumentError, match="leave store out"):
        bg.sample(model, estimate=estimate, backend="jax", store=tmp_path / "run.zarr")
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r'pip install "bayesgmm\[jax\]"'):
        bg.sample(model, backend="jax")


def test_the_benchmark_of_devices_runs():
    script = Path(__file__).parents[1] / "benchmarks" / "devices.py"
    options = ["--rows", "300", "--features", "2", "--components", "2", "--bandwidth", "10"]
    done = subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("| (N, D, K) | what | gradients a second | GB a second | of the bandwidth |")
    assert len(lines) == 5


def test_jax_is_imported_only_where_it_is_used():
    code = (
        "import sys, bayesgmm as bg\n"
        "bg.build_model([[1.0], [2.0], [2.5], [4.0]], 1)\n"
        "assert not {'jax', 'numpyro', 'blackjax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
