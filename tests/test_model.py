"""The PyMC model: its graph, its priors, PyMC's verbs on it, and the compiled log posterior."""

import pkgutil
import warnings
from importlib import import_module

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from conftest import add_terms
from numba.core import event
from numba.core.dispatcher import Dispatcher
from pymc.distributions.transforms import CholeskyCorrTransform
from pymc.logprob.transforms import SimplexTransform as PyMCSimplexTransform
from pytensor.compile.mode import Mode
from scipy.stats import beta, dirichlet, invgamma, kstest, norm

import bayesgmm as bg
from bayesgmm.exceptions import InvalidPriorError, ModelError
from bayesgmm.graph import compiled
from bayesgmm.graph.lkj import LKJCholesky
from bayesgmm.graph.log_posterior import LogPosterior
from bayesgmm.graph.ops import MixtureGradient, MixtureLogDensity
from bayesgmm.graph.transforms import CorrelationCholeskyTransform, SimplexTransform
from bayesgmm.search.problem import Problem

INTERPRETED = Mode("py", "fast_compile")
SHAPES = {"full": (2, 2, 2), "tied": (2, 2), "diag": (2, 2), "spherical": (2,)}


@pytest.fixture(scope="module")
def prior_draws(faithful_model):
    """Node by node: compiled, as they are where ``mode`` is not given, they take a minute."""
    return pm.sample_prior_predictive(20, model=faithful_model, random_seed=1, compile_kwargs={"mode": INTERPRETED})


@pytest.mark.parametrize(("covariance_type", "shape"), SHAPES.items())
def test_variables_have_the_natural_shapes_and_named_dims(faithful, covariance_type, shape):
    model = bg.build_model(faithful, 2, covariance_type=covariance_type)
    assert tuple(model["covariances"].shape.eval(mode=INTERPRETED)) == shape
    assert tuple(model.coords["feature"]) == ("eruptions", "waiting")
    assert model.named_vars_to_dims["x"] == ("obs_id", "feature")
    assert [rv.name for rv in model.observed_RVs] == ["x"]
    assert not model.potentials
    own = bg.build_model(faithful, 2, covariance_type=covariance_type, priors=bg.Priors(reference=None))
    assert ("correlation_cholesky" in own.named_vars) == (covariance_type in ("full", "tied"))
    assert tuple(own["covariances"].shape.eval(mode=INTERPRETED)) == shape
    assert model.specification.covariance.name == covariance_type


@pytest.mark.parametrize("covariance_type", SHAPES)
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (3, 1), (1, 2)])
def test_one_feature_and_one_component_build(covariance_type, n_components, n_features):
    x = np.random.default_rng(0).normal(size=(30, n_features))
    assert bg.build_model(x, n_components, covariance_type=covariance_type).specification.n_components == n_components
    model = bg.build_model(x, n_components, covariance_type=covariance_type, priors=bg.Priors(reference=None))
    assert ("correlation_cholesky" in model.named_vars) == (n_features > 1 and covariance_type in ("full", "tied"))


def test_log_prior_without_a_reference_is_the_documented_one(faithful):
    """Every factor by SciPy, at a point; LKJ's for D = 2, where the correlation's density is a Beta on (-1, 1)."""
    model = bg.build_model(faithful, 2, priors=bg.Priors(reference=None))
    x = faithful.to_numpy()
    rng = np.random.default_rng(1)
    weights, means = np.array([0.3, 0.7]), rng.normal([3, 70], [1, 10], size=(2, 2))
    variances, correlation = rng.uniform(0.5, 20, size=(2, 2)), np.array([0.3, -0.6])
    chol = np.array([[[1, 0], [r, np.sqrt(1 - r**2)]] for r in correlation])
    low, high = x.min(axis=0), x.max(axis=0)
    eta = 2.5
    from scipy.stats import beta

    expected = (
        dirichlet([1, 1]).logpdf(weights)
        + norm((low + high) / 2, high - low).logpdf(means).sum()
        + invgamma(1.5, scale=x.var(axis=0) / (2 * 2)).logpdf(variances).sum()
        # the density of the correlation is that of the factor's lower entry
        + (beta(eta, eta).logpdf((correlation + 1) / 2) - np.log(2)).sum()
    )
    values = {"weights": weights, "means": means, "variances": variances, "correlation_cholesky": chol}
    problem = Problem.of(model)
    log_posterior, _ = problem.parameter_density(problem.graph.unconstrain(values))
    covariances = chol * np.sqrt(variances)[:, :, None] @ np.swapaxes(chol * np.sqrt(variances)[:, :, None], 1, 2)
    covariances = covariances + np.diag(np.array([1e-3, 1.0]) ** 2 / 12)
    from bayesgmm.mixture.kernel import log_density

    likelihood = log_density(np.ascontiguousarray(x), weights, means, covariances, False).sum()
    np.testing.assert_allclose(log_posterior, expected + likelihood, rtol=1e-10)


def test_compiled_log_posterior_is_pymcs(faithful_model):
    problem = Problem.of(faithful_model)
    q = 0.1 * np.random.default_rng(0).normal(size=problem.n_parameters)
    point, at = {}, 0
    for name, initial in faithful_model.initial_point().items():
        point[name] = q[at : at + initial.size].reshape(initial.shape)
        at += initial.size
    for jacobian, density in ((False, problem.parameter_density), (True, problem.sampling_density)):
        value, gradient = density(q)
        logp = faithful_model.logp(jacobian=jacobian)
        function = pytensor.function(
            list(faithful_model.value_vars), [logp, *pt.grad(logp, faithful_model.value_vars)], mode=INTERPRETED
        )
        oracle, *parts = function(*(point[v.name] for v in faithful_model.value_vars))
        np.testing.assert_allclose(value, oracle, rtol=1e-12)
        np.testing.assert_allclose(gradient, np.concatenate([p.ravel() for p in parts]), rtol=1e-9)


def test_constrain_and_unconstrain_are_inverse(faithful_model):
    target = LogPosterior(faithful_model)
    q = np.random.default_rng(0).normal(size=(5, target.n_parameters))
    values = target.constrain(q)
    np.testing.assert_allclose(values["weights"].sum(axis=1), 1)
    assert (np.linalg.eigvalsh(values["covariances"]) > 0).all()
    for i in range(5):
        np.testing.assert_allclose(target.unconstrain({k: v[i] for k, v in values.items()}), q[i], atol=1e-10)


def test_a_second_data_set_compiles_nothing_new(faithful):
    rng = np.random.default_rng(2)
    target = LogPosterior(bg.build_model(faithful, 2))
    target.constrain(np.zeros((1, target.n_parameters)))
    before = dict(compiled._functions)
    for x in (faithful + 5.25, rng.normal(size=(57, 2)) * 1e5):
        other = LogPosterior(bg.build_model(x, 2))
        other.constrain(np.zeros((1, other.n_parameters)))
        assert other.function.function is target.function.function
    assert compiled._functions.keys() == before.keys()


@pytest.mark.parametrize(("n_components", "n_features"), [(2, 2), (1, 2), (3, 4)])
@pytest.mark.filterwarnings("ignore::bayesgmm.exceptions.MultipleModesWarning")
def test_a_second_fit_compiles_nothing(faithful, faithful_draws, n_components, n_features):
    """Data to draws and assignments, on other data and at other K and D: Numba compiles nothing at all."""
    bg.assignments(faithful_draws)  # the first fit's
    with event.install_recorder("numba:compile") as compilations:
        model = bg.build_model(1e3 * np.random.default_rng(5).normal(size=(60, n_features)), n_components)
        dt = bg.sample(model, draws=20, tune=20, chains=2, random_seed=1, progressbar=False)
        bg.assignments(dt)
    assert len(compilations.buffer) == 0


def test_what_is_compiled_does_not_depend_on_its_first_caller():
    """Numba gives a function without flags of its own its caller's, and keeps it on disk under its name alone."""
    modules = [import_module(name) for _, name, _ in pkgutil.walk_packages(bg.__path__, "bayesgmm.")]
    functions = {id(f): f for module in modules for f in vars(module).values() if isinstance(f, Dispatcher)}
    assert len(functions) > 20
    for function in functions.values():
        assert {"fastmath", "error_model"} <= set(function.targetoptions), function


@pytest.mark.parametrize("covariance_type", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient_pass_the_data_once(faithful, monkeypatch, covariance_type, weighted):
    ops = []

    def look(graph, values):
        raise InterruptedError  # before anything is compiled

    function = pytensor.function

    def record(*arguments, **options):
        compiled_function = function(*arguments, **options)
        ops.extend(node.op for node in compiled_function.maker.fgraph.apply_nodes)
        return compiled_function

    model = bg.build_model(
        faithful, 2, covariance_type=covariance_type, sample_weight=np.ones(272) if weighted else None
    )
    monkeypatch.setattr(compiled, "_functions", {})
    monkeypatch.setattr(compiled, "_c_function", look)
    monkeypatch.setattr(compiled.pytensor, "function", record)
    with pytest.raises(InterruptedError):
        _ = LogPosterior(model).function
    assert sum(isinstance(op, MixtureGradient) for op in ops) == 1
    assert not any(isinstance(op, MixtureLogDensity) for op in ops)


@pytest.mark.parametrize("n_features", [2, 3, 5])
def test_correlation_transform_has_pymcs_jacobian_and_inverse(n_features):
    """Rows are filled in another order than PyMC's, so values are compared through the matrix, at D = 2 directly."""
    rng = np.random.default_rng(n_features)
    size = n_features * (n_features - 1) // 2
    y = rng.normal(size=(3, size))
    ours, theirs = CorrelationCholeskyTransform(), CholeskyCorrTransform(n_features)
    chol = ours.backward(pt.as_tensor(y))
    matrix = chol.eval(mode=INTERPRETED)
    np.testing.assert_allclose((matrix**2).sum(axis=-1), 1)
    np.testing.assert_allclose(ours.forward(chol).eval(mode=INTERPRETED), y)
    in_their_order = theirs.forward(chol).eval(mode=INTERPRETED)
    np.testing.assert_allclose(theirs.backward(pt.as_tensor(in_their_order)).eval(mode=INTERPRETED), matrix)
    np.testing.assert_allclose(
        ours.log_jac_det(pt.as_tensor(y)).eval(mode=INTERPRETED),
        theirs.log_jac_det(pt.as_tensor(in_their_order)).eval(mode=INTERPRETED),
    )
    assert_pullback_is_the_slope(ours, y)


def assert_pullback_is_the_slope(transform, y):
    """The gradient of a transform, against central differences of the map itself."""
    value = pt.matrix()
    image = transform.backward(value)
    weight = np.random.default_rng(1).normal(size=transform.backward(pt.as_tensor(y)).eval(mode=INTERPRETED).shape)
    total = (image * weight).sum() + (transform.log_jac_det(value) * np.arange(len(y))).sum()
    function = pytensor.function([value], [total, pt.grad(total, value)], mode=INTERPRETED)
    for i, j in np.ndindex(y.shape):
        step = np.zeros_like(y)
        step[i, j] = 1e-6
        slope = (function(y + step)[0] - function(y - step)[0]) / 2e-6
        np.testing.assert_allclose(function(y)[1][i, j], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_simplex_transform_is_pymcs(n_components):
    y = np.random.default_rng(n_components).normal(size=(3, n_components - 1))
    ours, theirs = SimplexTransform(), PyMCSimplexTransform()
    weights = ours.backward(pt.as_tensor(y)).eval(mode=INTERPRETED)
    np.testing.assert_allclose(weights, theirs.backward(pt.as_tensor(y)).eval(mode=INTERPRETED))
    np.testing.assert_allclose(ours.forward(pt.as_tensor(weights)).eval(mode=INTERPRETED), y, atol=1e-14)
    np.testing.assert_allclose(
        ours.log_jac_det(pt.as_tensor(y)).eval(mode=INTERPRETED),
        theirs.log_jac_det(pt.as_tensor(y)).eval(mode=INTERPRETED),
        atol=1e-13,
    )
    assert_pullback_is_the_slope(ours, y)


def test_simplex_transform_holds_at_extremes():
    y = np.array([[800.0, -3.0], [-1e4, 1e4], [0.0, 0.0]])
    transform = SimplexTransform()
    weights = transform.backward(pt.as_tensor(y)).eval(mode=INTERPRETED)
    log_jacobian = transform.log_jac_det(pt.as_tensor(y)).eval(mode=INTERPRETED)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(log_jacobian[:2], [np.log(3) - 3 * 800, np.log(3) - 3e4])


@pytest.mark.parametrize("n_features", [2, 3, 6])
def test_lkj_is_pymcs(n_features):
    eta = 2.5
    draws = pm.draw(LKJCholesky.dist(n_features, eta), draws=4000, random_seed=1, mode=INTERPRETED)
    factor = pt.as_tensor(draws[:50])
    ours = pm.logp(LKJCholesky.dist(n_features, eta, size=50), factor).eval(mode=INTERPRETED)
    theirs = pm.logp(pm.LKJCorr.dist(n=n_features, eta=eta, size=50), factor).eval(mode=INTERPRETED)
    np.testing.assert_allclose(ours, theirs)
    # Every correlation is 2 Beta(a, a) - 1 with a = eta + D/2 - 1.
    correlation = np.einsum("sij,skj->sik", draws, draws)
    a = eta + n_features / 2 - 1
    for i in range(1, n_features):
        for j in range(i):
            assert kstest((correlation[:, i, j] + 1) / 2, beta(a, a).cdf).pvalue > 1e-3
    wrong = beta(1.5 * a, 1.5 * a).cdf
    assert kstest((correlation[:, 1, 0] + 1) / 2, wrong).pvalue < 1e-3


@pytest.mark.parametrize("covariance_type", ["spherical", pytest.param("full", marks=pytest.mark.slow)])
def test_prior_predictive_works_with_no_help(faithful, prior_draws, covariance_type):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = pm.sample_prior_predictive(
            20, model=bg.build_model(faithful, 2, covariance_type=covariance_type), random_seed=1
        )
    for drawn in (compiled, prior_draws):
        assert drawn["prior_predictive"]["x"].shape == (1, 20, 272, 2)
        assert np.isfinite(drawn["prior_predictive"]["x"]).all()


def test_posterior_predictive_and_log_likelihood_work_with_no_help(faithful_model, prior_draws):
    tree = prior_draws.copy()
    tree["posterior"] = tree["prior"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pm.sample_posterior_predictive(
            tree, model=faithful_model, random_seed=1, extend_inferencedata=True, progressbar=False
        )
        pm.compute_log_likelihood(tree, model=faithful_model, progressbar=False)
    assert tree["posterior_predictive"]["x"].shape == (1, 20, 272, 2)
    pointwise = tree["log_likelihood"]["x"]
    assert pointwise.shape == (1, 20, 272)
    from bayesgmm.mixture.kernel import log_density

    posterior = tree["posterior"].isel(chain=0, draw=3)
    ours = log_density(
        faithful_model.table.values,
        *(np.ascontiguousarray(posterior[name].values) for name in ("weights", "means", "covariances")),
        False,
    )
    np.testing.assert_allclose(pointwise[0, 3], ours, rtol=1e-12)


def test_graphviz_works_with_no_help(faithful_model):
    source = pm.model_to_graphviz(faithful_model).source
    assert all(name in source for name in ("weights", "means", "log_cholesky", "reference_log_cholesky", "x"))


@pytest.mark.parametrize("mode", ["NUMBA", INTERPRETED], ids=["numba", "numpy"])
def test_forward_draws_have_the_mixtures_moments(mode):
    """Mean and covariance of 40,000 rows within 5 standard errors; a wrong covariance is rejected by the same bound."""
    from bayesgmm.graph.marginal import MarginalGaussianMixture

    weights, means = np.array([0.2, 0.8]), np.array([[0.0, 5.0], [3.0, -1.0]])
    covariances = np.array([[[1.0, 0.6], [0.6, 2.0]], [[0.5, -0.2], [-0.2, 0.3]]])
    rv = MarginalGaussianMixture.dist(weights, means, covariances, size=40_000)
    x = pm.draw(rv, random_seed=3, mode=mode)
    mean = weights @ means
    spread = means - mean
    covariance = np.einsum("k,kij->ij", weights, covariances + spread[:, :, None] * spread[:, None, :])

    def z_scores(mean, covariance):
        products = (x - mean)[:, :, None] * (x - mean)[:, None, :]
        first = (x.mean(axis=0) - mean) / (x.std(axis=0) / 200)
        second = (products.mean(axis=0) - covariance) / (products.std(axis=0) / 200)
        return max(np.abs(first).max(), np.abs(second).max())

    assert z_scores(mean, covariance) < 5
    assert z_scores(mean, 1.1 * covariance) > 5


def test_users_can_add_terms(faithful):
    estimate = bg.find_MAP(add_terms(bg.build_model(faithful, 2)), n_init=4, random_seed=1)
    assert estimate.point["means"][1, 0] > estimate.point["means"][0, 0]
    np.testing.assert_allclose(estimate.point["shift"], 0, atol=1e-4)
    dt = estimate.laplace(50, random_seed=1)
    assert dt["posterior"]["gap"].dims == ("chain", "draw")


def test_users_priors_are_used(faithful):
    priors = bg.Priors(
        concentration=[2.0, 3.0],
        means=pm.Normal.dist([3, 70], [1, 10]),
        scales=pm.HalfNormal.dist(5),
        lkj_eta=4,
    )
    model = bg.build_model(faithful, 2, priors=priors)
    assert [rv.name for rv in model.free_RVs] == ["weights", "means", "scales", "correlation_cholesky"]
    assert "variances" in [d.name for d in model.deterministics]
    np.testing.assert_allclose(model["means"].owner.inputs[2].eval(mode=INTERPRETED), [[3, 70], [3, 70]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"concentration": -1.0}, "concentration = -1.0 must be positive"),
        ({"concentration": 0}, "concentration = 0 must be positive"),
        ({"concentration": "flat"}, "concentration = 'flat' with weights = 'dirichlet': the one word"),
        ({"concentration": "sparse", "weights": "stick-breaking"}, "with weights = 'stick-breaking'"),
        ({"concentration": np.inf}, "must be finite"),
        ({"lkj_eta": -2}, "lkj_eta = -2 must be positive"),
        ({"means": 3.0}, "means = 3.0 must be an unnamed PyMC distribution"),
    ],
)
def test_bad_priors_are_refused_when_made(arguments, message):
    with pytest.raises(InvalidPriorError, match=message):
        bg.Priors(**arguments)


def test_priors_that_do_not_fit_are_refused(faithful):
    with pytest.raises(InvalidPriorError, match="the prior of the means is of whole numbers"):
        bg.build_model(faithful, 2, priors=bg.Priors(means=pm.Poisson.dist(3)))
    with pytest.raises(InvalidPriorError, match="not both"):
        bg.Priors(variances=pm.HalfNormal.dist(1), scales=pm.HalfNormal.dist(1))
    with pytest.raises(InvalidPriorError, match="the prior of the scales allows negative values"):
        bg.build_model(faithful, 2, priors=bg.Priors(scales=pm.Normal.dist(0, 1)))
    with pytest.raises(InvalidPriorError, match="the prior of the means"):
        bg.build_model(faithful, 2, priors=bg.Priors(means=pm.Normal.dist([1, 2, 3], 1)))
    with pytest.raises(InvalidPriorError, match="concentration has 3 values for 2 components"):
        bg.build_model(faithful, 2, priors=bg.Priors(concentration=[1, 1, 1]))


def test_other_models_are_refused():
    with pm.Model() as other:
        pm.Normal("y")
    with pytest.raises(ModelError, match=r"not made by bayesgmm.build_model"):
        bg.find_MAP(other)


def test_prior_sensitivity_needs_another_name_for_the_components(faithful_model, faithful_draws):
    """ArviZ 1.3 calls a dimension of its own "component": a fit's, renamed, is no obstacle (docs/trust.md)."""
    import arviz_stats

    dt = faithful_draws.isel(draw=slice(None, None, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Node by node: compiling the priors takes twenty seconds.
        options = {"model": faithful_model, "progressbar": False, "compile_kwargs": {"mode": INTERPRETED}}
        pm.compute_log_likelihood(dt, **options)
        pm.compute_log_prior(dt, **options)
        with pytest.raises(ValueError, match="conflicting sizes for dimension 'component'"):
            arviz_stats.psense_summary(dt, var_names=["weights"])
        renamed = dt.map_over_datasets(
            lambda group: group.rename(component="k") if "component" in group.dims else group
        )
        summary = arviz_stats.psense_summary(renamed, var_names=["weights", "means"])
    assert {"prior", "likelihood"} <= set(summary.columns)
    assert len(summary) == 6


def test_a_model_built_within_anothers_context_is_one_of_its_own(faithful, faithful_model):
    with faithful_model:
        inner = bg.build_model(faithful, 3)
    assert inner.specification.n_components == 3
    assert faithful_model.specification.n_components == 2
    assert inner.parent is None
