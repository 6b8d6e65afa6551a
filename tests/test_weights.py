"""Priors of the weights: sticks, and a concentration that is a variable; what the search and the labels make of it."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pymc as pm
import pytest
from arviz_stats import ess
from scipy import integrate, stats
from scipy.optimize import approx_fprime, minimize
from scipy.special import betaln, logsumexp, softmax

import bayesgmm as bg
from bayesgmm.exceptions import InvalidPriorError
from bayesgmm.graph.log_posterior import LogPosterior
from bayesgmm.graph.orders import drawn_orders, sum_of_orders
from bayesgmm.graph.sticks import StickBreaking
from bayesgmm.graph.user_priors import INTERPRETED
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.paper import from_json, to_json
from bayesgmm.model.weights import WeightsPrior
from bayesgmm.search.problem import Problem

ALPHA = 0.7
# Written by the version before there was another prior of the weights.
OLD_JSON = (
    '{"format": 1, "features": ["x"], "n_components": 2, "covariance_type": "full", "resolution": [0.0], '
    '"typical_variance_scale": [1.0], "terms": [], "priors": ['
    '{"variable": "weights", "distribution": "Dirichlet", "numbers": {"concentration": [1.0, 2.0]}, "users": false, '
    '"words": "", "given": false}, '
    '{"variable": "means", "distribution": "Normal", "numbers": {"midrange": [0.0], "range": [4.0]}, "users": false, '
    '"words": "", "given": false}, '
    '{"variable": "variances", "distribution": "InverseGamma", "numbers": {"variance_scale": [1.0]}, "users": false, '
    '"words": "", "given": false}]}'
)


def sticks_of(weights):
    """v of weights, and what was left before each, by their definition."""
    left = 1 - np.concatenate([[0.0], np.cumsum(weights[:-2])])
    return weights[:-1] / left, left


def weights_of(sticks):
    return np.append(sticks, 1.0) * np.cumprod(np.append(1.0, 1 - sticks))


def log_density_of(weights, alpha):
    """Of all weights but the last, by SciPy's Beta: weight k is its stick times what was left."""
    sticks, left = sticks_of(weights)
    return stats.beta(1, alpha).logpdf(sticks).sum() - np.log(left).sum()


def ours(weights, alpha):
    """Log-densities (...) of weights (..., K)."""
    return pm.logp(StickBreaking.dist(weights.shape[-1], alpha, shape=weights.shape), weights).eval(mode=INTERPRETED)


# The distribution -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("n_components", [2, 3, 6])
def test_density_is_the_sticks_with_their_jacobian(n_components, alpha):
    weights = np.random.default_rng(n_components).dirichlet(np.ones(n_components))
    assert ours(weights, alpha) == pytest.approx(log_density_of(weights, alpha), abs=1e-9)
    assert ours(weights, alpha) != pytest.approx(log_density_of(weights, 1.1 * alpha), abs=1e-3)
    # The Jacobian also by finite differences, not knowing that it is triangular.
    sticks, step = sticks_of(weights)[0], 1e-6
    moved = [weights_of(sticks + step * e)[:-1] - weights_of(sticks - step * e)[:-1] for e in np.eye(len(sticks))]
    expected = stats.beta(1, alpha).logpdf(sticks).sum() - np.linalg.slogdet(np.array(moved) / (2 * step))[1]
    assert ours(weights, alpha) == pytest.approx(expected, abs=1e-6)


def test_density_integrates_to_one():
    """By Gauss's rule, of three components in the second stick, where no edge is unbounded: dp_2 = (1 - p_1) dv."""
    assert ours(np.ones(1), 2.5) == 0
    node, weight = np.polynomial.legendre.leggauss(30)
    node, weight = (node + 1) / 2, weight / 2
    two = np.c_[node, 1 - node]
    assert weight @ np.exp(ours(two, 3.0)) == pytest.approx(1, abs=1e-8)
    p, v = (grid.ravel() for grid in np.meshgrid(node, node))
    three = np.c_[p, (1 - p) * v, (1 - p) * (1 - v)]
    assert np.outer(weight, weight).ravel() @ ((1 - p) * np.exp(ours(three, 3.0))) == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("mode", ["NUMBA", "FAST_COMPILE"])
def test_draws_have_the_moments_of_sticks(mode):
    k, n, alpha = 4, 20_000, 1.5
    draws = pm.draw(StickBreaking.dist(k, alpha, shape=(n, k)), random_seed=1, mode=mode)
    np.testing.assert_allclose(draws.sum(axis=1), 1, rtol=1e-12)

    def z_scores(alpha):
        """Of the means, and of the first weight's square: E v = 1/(1+a), E v^2 = 2/((1+a)(2+a))."""
        rest = (alpha / (1 + alpha)) ** np.arange(k)
        expected = np.append(rest[:-1] / (1 + alpha), rest[-1])
        values, expected = np.c_[draws, draws[:, 0] ** 2], np.append(expected, 2 / ((1 + alpha) * (2 + alpha)))
        return np.abs(values.mean(axis=0) - expected) / (values.std(axis=0) / np.sqrt(n))

    assert z_scores(alpha).max() < 4.5
    assert z_scores(1.1 * alpha).max() > 4.5


@pytest.mark.parametrize("spread", [1.0, 0.05])
@pytest.mark.parametrize("alpha", [0.3, 1.0, 12.0])
@pytest.mark.parametrize("n_components", [1, 2, 6])
def test_the_sum_of_all_orders(n_components, alpha, spread):
    """Against all K!, also where weights differ by many orders of magnitude; and its gradient."""
    weights = np.random.default_rng(0).dirichlet(np.full(n_components, spread)) + 1e-12
    every = np.array([weights[list(order)] for order in permutations(range(n_components))])
    out = sum_of_orders(weights, alpha)
    assert out[-1] == pytest.approx(logsumexp(ours(every, alpha)), abs=1e-7)
    numeric = approx_fprime(np.log(weights), lambda v: sum_of_orders(np.exp(v), alpha)[-1], 1e-6)
    np.testing.assert_allclose(out[:-2] * weights, numeric, atol=2e-5)
    assert out[-2] == pytest.approx(approx_fprime([alpha], lambda a: sum_of_orders(weights, a[0])[-1])[0], abs=1e-4)


def test_drawn_orders_have_their_probabilities():
    n, alpha, weights = 40_000, 2.5, np.array([0.5, 0.3, 0.15, 0.05])
    uniforms = np.random.default_rng(0).random((n, 5))
    orders = drawn_orders(np.tile(weights, (n, 1)), np.full(n, alpha), uniforms)
    every = np.array(list(permutations(range(4))))
    counts = (orders[:, None] == every).all(axis=2).sum(axis=0)
    assert stats.chisquare(counts, n * softmax(ours(weights[every], alpha))).pvalue > 1e-3
    assert stats.chisquare(counts, n * softmax(ours(weights[every], 1.1 * alpha))).pvalue < 1e-3


# What the search makes of it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_the_m_step_is_the_best_there_is(alpha):
    counts = np.array([3.0, 0.0, 8.5, 0.4])

    def lost(z):
        weights = softmax(np.append(z, 0.0))
        return -((counts + 1) * np.log(weights)).sum() - log_density_of(weights, alpha)

    best = minimize(lost, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 5000})
    step = WeightsPrior(True, np.array(alpha)).step(counts)
    np.testing.assert_allclose(step, softmax(np.append(best.x, 0.0)), atol=1e-4)
    # Negative control: shares of the counts alone lose density.
    assert lost(np.log(step / step[-1])[:-1]) < lost(np.log((counts + 1e-3) / (counts[-1] + 1e-3))[:-1]) - 0.1


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.0, 6.0])
def test_one_of_the_orders_is_the_best_of_all(alpha):
    rng = np.random.default_rng(0)
    for k in (2, 3, 5):
        weights = rng.dirichlet(np.ones(k))
        every = ours(weights[np.array(list(permutations(range(k))))], alpha)
        tried = np.array(list(WeightsPrior(True, np.array(alpha)).orders(weights)))
        assert len(tried) == k
        assert ours(weights[tried], alpha).max() == pytest.approx(every.max(), abs=1e-9)


def test_the_larger_weight_goes_with_the_larger_concentration():
    weights, concentration = np.array([0.2, 0.5, 0.3]), np.array([3.0, 1.0, 2.0])
    [order] = WeightsPrior(False, concentration).orders(weights)
    np.testing.assert_array_equal(weights[order], [0.5, 0.2, 0.3])
    assert list(WeightsPrior(False, np.ones(3)).orders(weights)) == []
    assert list(WeightsPrior(False, None).orders(weights)) == []


def priors_of_one_feature(weights="stick-breaking"):
    """One structure, so that it is compiled once."""
    return bg.Priors(
        weights=weights,
        concentration=pm.Gamma.dist(3.0, 2.0),
        means=pm.Normal.dist(0.0, 4.0),
        scales=pm.LogNormal.dist(0.0, 0.5),
    )


@pytest.fixture(scope="module")
def three_groups():
    rng = np.random.default_rng(3)
    return np.concatenate([rng.normal(-5, 1, 6), rng.normal(0, 1, 25), rng.normal(6, 1, 12)])[:, None]


@pytest.fixture(scope="module")
def estimate(three_groups):
    return bg.find_MAP(bg.build_model(three_groups, 3, priors=priors_of_one_feature()), n_init=4, random_seed=0)


def log_posterior(x, weights, means, scales, alpha):
    """By SciPy, in the weights' softmax basis."""
    rows = np.log((weights * stats.norm(means, scales).pdf(x)).sum(axis=1)).sum()
    priors = stats.norm(0, 4).logpdf(means).sum() + stats.lognorm(0.5).logpdf(scales).sum()
    own = log_density_of(weights, alpha) + np.log(len(weights)) + np.log(weights).sum()
    return rows + priors + own + stats.gamma(3, scale=1 / 2).logpdf(alpha)


def test_map_is_the_best_of_all_orders(three_groups, estimate):
    point = {name: np.ravel(value) for name, value in estimate.point.items()}

    def lost(z):
        weights = softmax(np.append(z[:2], 0.0))
        return -log_posterior(three_groups, weights, z[2:5], np.exp(z[5:8]), np.exp(z[8]))

    reached = []
    for order in map(list, permutations(range(3))):
        weights = point["weights"][order]
        z = [*np.log(weights / weights[-1])[:-1], *point["means"][order], *np.log(point["scales"][order])]
        reached.append(-minimize(lost, [*z, np.log(point["concentration"][0])], method="L-BFGS-B").fun)
    assert estimate.log_posterior == pytest.approx(max(reached), abs=1e-3)
    assert np.sort(reached)[-2] < max(reached) - 0.05  # another order would not do
    assert estimate.converged


def test_gradients(estimate):
    problem, rng = estimate.problem, np.random.default_rng(0)
    q = estimate.q + 0.1 * rng.normal(size=problem.n_parameters)
    for density in (problem.parameter_density, problem.sampling_density):
        numeric = approx_fprime(q, lambda v: density(v)[0], 1e-7)  # noqa: B023
        np.testing.assert_allclose(density(q)[1], numeric, rtol=1e-4, atol=1e-4)


def test_only_orders_of_the_same_density_count_in_the_evidence(faithful, three_groups, estimate):
    """Sticks are not exchangeable, but sampled in any order; unless something else tells the components apart."""
    problem = estimate.problem
    assert not problem.exchangeable(estimate.q)
    assert problem.in_any_order
    assert problem.is_current
    assert problem.log_orders(estimate.q) == pytest.approx(np.log(6))
    values, expected = [], []
    for order in map(list, permutations(range(3))):
        q = problem.graph.reordered(estimate.q[None], order)
        point = {name: value[0] for name, value in problem.constrain(q).items()}
        np.testing.assert_allclose(point["weights"], estimate.point["weights"][order])
        np.testing.assert_allclose(point["means"], estimate.point["means"][order])
        np.testing.assert_allclose(point["covariances"], estimate.point["covariances"][order])
        values.append(problem.sampling_density(q[0])[0])
        expected.append(ours(point["weights"], point["concentration"]))
    plain = problem.graph.densities(any_order=False)[1]
    gain = logsumexp(expected) - np.log(6) - ours(estimate.point["weights"], estimate.point["concentration"])
    np.testing.assert_allclose(values, plain(estimate.q)[0] + gain, atol=1e-7)
    # Other numbers for each component, which compile nothing.
    middles = 1e-3 * np.arange(3.0)[:, None]
    apart = replace(priors_of_one_feature(), means=pm.Normal.dist(middles, 4.0))
    problem = Problem.of(bg.build_model(three_groups, 3, priors=apart))
    assert not problem.in_any_order
    assert problem.log_orders(estimate.q) == 0
    means = estimate.point["means"]
    gain = (stats.norm(middles, 4.0).logpdf(means) - stats.norm(0.0, 4.0).logpdf(means)).sum()
    assert abs(gain) > 1e-6
    assert problem.sampling_density(estimate.q)[0] == pytest.approx(plain(estimate.q)[0] + gain, abs=1e-8)
    several = Problem.of(bg.build_model(faithful, 4, priors=bg.Priors(concentration=[2.0, 3.0, 2.0, 2.0])))
    q = several.graph.initial + 0.3 * np.random.default_rng(0).normal(size=several.n_parameters)
    assert several.log_orders(q) == pytest.approx(np.log(6))


def test_two_sticks_of_concentration_one_are_a_dirichlet(faithful, faithful_map):
    """The same posterior: the same evidence, all orders counted."""
    model = bg.build_model(faithful, 2, priors=bg.Priors(weights="stick-breaking"))
    found = bg.find_MAP(model, n_init=2, random_seed=1)
    assert found.problem.exchangeable(found.q)
    assert found.mode.log_evidence == pytest.approx(faithful_map.mode.log_evidence, abs=1e-3)


def test_a_dirichlets_free_concentration(faithful):
    problem = Problem.of(bg.build_model(faithful, 3, priors=bg.Priors(concentration=pm.Gamma.dist(2.0, 1.0))))
    fixed = Problem.of(bg.build_model(faithful, 3, priors=bg.Priors(concentration=1.0)))
    rng = np.random.default_rng(0)
    q = fixed.graph.initial + 0.2 * rng.normal(size=fixed.n_parameters)
    point = {name: value[0] for name, value in fixed.constrain(q).items()} | {"concentration": np.array(0.4)}
    ours = problem.parameter_density(problem.graph.unconstrain(point))[0]
    ratio = stats.dirichlet(np.full(3, 0.4)).logpdf(point["weights"]) - stats.dirichlet(np.ones(3)).logpdf(
        point["weights"]
    )
    expected = fixed.parameter_density(q)[0] + ratio + stats.gamma(2).logpdf(0.4)
    # In the softmax basis.
    expected += np.log(3) + np.log(point["weights"]).sum()
    assert ours == pytest.approx(expected, abs=1e-8)
    assert problem.exchangeable(problem.graph.unconstrain(point))
    assert problem.specification.unbounded_because == ()


# Draws ----------------------------------------------------------------------------------------------------------------


def test_nuts_against_quadrature(tmp_path):
    """Two components whose means and scales are as good as known: the first weight and alpha by integration."""
    x = np.append(np.random.default_rng(5).normal(-1, 1, 3), np.random.default_rng(6).normal(1, 1, 7))[:, None]
    priors = bg.Priors(
        weights="stick-breaking", concentration=pm.Gamma.dist(2.0, 1.0),
        means=pm.Normal.dist([[-1.0], [1.0]], 1e-3), scales=pm.LogNormal.dist(0.0, 1e-3),
    )  # fmt: skip
    model = bg.build_model(x, 2, priors=priors)
    options = {"chains": 2, "draws": 2_000, "random_seed": 1, "progressbar": False, "relabel": None}
    dt = bg.sample(model, start=bg.find_MAP(model, n_init=2, random_seed=0), store=tmp_path / "run.zarr", **options)
    # On a grid of the weight and alpha, by Gauss's rule.
    node, weight = np.polynomial.legendre.leggauss(200)
    p, alpha = ((node + 1) / 2)[:, None], (20 * (node + 1) / 2)[None]
    rows = np.log(p[..., None] * stats.norm(-1, 1).pdf(x[:, 0]) + (1 - p[..., None]) * stats.norm(1, 1).pdf(x[:, 0]))
    log_joint = rows.sum(axis=-1) + stats.gamma(2).logpdf(alpha)
    own = {"sticks": stats.beta(1, alpha).logpdf(p), "dirichlet": stats.beta(alpha, alpha).logpdf(p)}

    def means(prior):
        mass = np.outer(weight, weight) * np.exp(log_joint + own[prior])
        return [(of * mass).sum() / mass.sum() for of in (p, alpha)]

    def worst(prior):
        drawn = dt["posterior"]["weights"].isel(component=0, drop=True), dt["posterior"]["concentration"]
        errors = [float(v.std()) / np.sqrt(float(ess(v, method="mean"))) for v in drawn]
        return max(abs(float(v.mean()) - m) / e for v, m, e in zip(drawn, means(prior), errors, strict=True))

    assert worst("sticks") < 4
    assert worst("dirichlet") > 4
    again = bg.open_run(tmp_path / "run.zarr", relabel=None)
    np.testing.assert_array_equal(again["posterior"]["concentration"], dt["posterior"]["concentration"])
    # Under other labels the concentration stays, the weights are those of clusters, and the way back is kept.
    other = bg.relabel(dt)
    np.testing.assert_array_equal(other["posterior"]["concentration"], dt["posterior"]["concentration"])
    order = np.argsort(other["sample_stats"]["permutation"].values, axis=2)
    back = np.take_along_axis(other["posterior"]["weights"].values, order, axis=2)
    np.testing.assert_array_equal(back, dt["posterior"]["weights"].values)
    assert "in the sampler's labels" in other["posterior"].attrs["prior_weights"]


def test_alpha_of_clusters_that_no_sampler_lets_trade_places(tmp_path):
    """Far apart, so that counts are known: the average over all orders, and not alpha in the order of the start."""
    counts, grid = np.array([25, 15, 10]), np.linspace(1e-3, 40, 8_000)
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(mean, 1, n) for mean, n in zip((-20, 0, 20), counts, strict=True)])[:, None]
    given_order = []
    for order in permutations(counts):
        later = np.cumsum(order[::-1])[::-1] - order
        sticks = [betaln(1 + n, grid + after) - betaln(1, grid) for n, after in zip(order[:2], later[:2], strict=True)]
        given_order.append(stats.gamma(3, scale=1 / 2).logpdf(grid) + sum(sticks))
    expected = grid @ softmax(logsumexp(given_order, axis=0))
    in_best_order = grid @ softmax(max(given_order, key=logsumexp))
    model = bg.build_model(x, 3, priors=replace(priors_of_one_feature(), means=pm.Normal.dist(0.0, 20.0)))
    options = {"chains": 2, "draws": 1_500, "random_seed": 1, "progressbar": False, "relabel": None}
    dt = bg.sample(model, store=tmp_path / "run.zarr", **options)
    alpha = dt["posterior"]["concentration"].values
    error = alpha.std() / np.sqrt(float(ess(dt["posterior"]["concentration"], method="mean")))
    assert abs(alpha.mean() - expected) < 4 * error
    assert abs(alpha.mean() - in_best_order) > 4 * error
    # Every draw has an order of its own, and the same one when it is read again.
    means = dt["posterior"]["means"].values.reshape(-1, 3)
    order = np.argsort(means, axis=1)
    assert len(np.unique(order, axis=0)) == 6
    weights = np.take_along_axis(dt["posterior"]["weights"].values.reshape(-1, 3), order, axis=1)
    np.testing.assert_allclose(weights.mean(axis=0), counts / 50, atol=0.03)
    again = bg.open_run(tmp_path / "run.zarr", relabel=None)["posterior"]
    np.testing.assert_array_equal(again["weights"], dt["posterior"]["weights"])
    # Relabelled, a component is a cluster.
    clusters = bg.relabel(dt)["posterior"]
    assert clusters["means"].std(("chain", "draw")).max() < 2


def test_prior_predictive_weights(three_groups):
    model = bg.build_model(three_groups, 3, priors=priors_of_one_feature())
    with model:
        drawn = pm.sample_prior_predictive(2_000, var_names=["weights"], random_seed=1)
    first = drawn["prior"]["weights"].values[0, :, 0]
    expected, _ = integrate.quad(lambda a: stats.gamma(3, scale=1 / 2).pdf(a) / (1 + a), 0, 50)
    error = first.std() / np.sqrt(len(first))
    assert abs(first.mean() - expected) < 4 * error
    assert abs(first.mean() - 1 / 3) > 4 * error  # a Dirichlet's


# In words, on paper -------------------------------------------------------------------------------------------------

CASES = [
    ({"weights": "stick-breaking"}, "sticks of Beta(1, 1), broken in the order of the components"),
    (
        {"weights": "stick-breaking", "concentration": 2.5},
        "sticks of Beta(1, 2.5), broken in the order of the components",
    ),
    ({"concentration": "hyper"}, "Dirichlet(concentration, ..., concentration)"),
    (
        {"weights": "stick-breaking", "concentration": "hyper"},
        "sticks of Beta(1, concentration), broken in the order of the components",
    ),
]


@pytest.mark.parametrize(("arguments", "words"), CASES)
def test_in_words_and_python_and_on_paper(faithful, arguments, words):
    if "concentration" in arguments and arguments["concentration"] == "hyper":
        arguments = arguments | {"concentration": pm.Gamma.dist(2, 3)}
    model = bg.build_model(faithful, 2, priors=bg.Priors(**arguments))
    specification = model.specification
    assert dict(specification.in_words())["weights"] == words
    assert specification.n_parameters == 11
    call = f"bg.build_model(X, {', '.join(specification.arguments())})"
    assert eval(call, {"bg": bg, "pm": pm, "X": faithful}).specification.in_words() == specification.in_words()
    again = from_json(to_json(specification))
    assert again.in_words() == specification.in_words()
    assert Problem.of(again.build(model.table)).graph.layout == Problem.of(model).graph.layout


def test_what_was_written_before_opens_as_what_it_was():
    specification = from_json(OLD_JSON)
    assert dict(specification.in_words())["weights"] == "Dirichlet(1, 2)"
    assert not specification.weights_prior.sticks
    table = bg.build_model(np.arange(9.0)[:, None], 2).table
    assert [v.name for v in specification.build(table).free_RVs] == ["weights", "means", "variances"]


def test_what_does_not_go_together_is_refused(faithful):
    with pytest.raises(InvalidPriorError, match=r"weights = 'sticks' must be one of 'dirichlet', 'stick-breaking'"):
        bg.Priors(weights="sticks")
    with pytest.raises(InvalidPriorError, match=r"concentration = \[1, 2\] must be one number under stick-breaking"):
        bg.Priors(weights="stick-breaking", concentration=[1, 2])
    with pytest.raises(InvalidPriorError, match="or an unnamed PyMC distribution"):
        bg.Priors(weights="stick-breaking", concentration="sparse")
    with pytest.raises(InvalidPriorError, match="prior of the concentration allows negative values"):
        bg.build_model(faithful, 2, priors=bg.Priors(concentration=pm.Normal.dist(1, 1)))
    with pytest.raises(InvalidPriorError, match=r"prior of the concentration has shape \(2,\)"):
        bg.build_model(faithful, 2, priors=bg.Priors(concentration=pm.Gamma.dist([1, 2], 1)))


def test_em_ends_where_the_density_is_highest_by_the_weights():
    """The step's fixed point is stationary in the density that find_MAP climbs."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-4, 1, 30), rng.normal(4, 1, 10)])[:, None]
    prior = WeightsPrior(True, np.array(ALPHA))
    mixture = Mixture(np.array([0.5, 0.5]), np.array([[-4.0], [4.0]]), np.ones((2, 1, 1)))
    for _ in range(50):
        counts = mixture.statistics(x, None).counts
        mixture = Mixture(prior.step(counts), mixture.means, mixture.covariances)

    def density(p):
        rows = np.log(p * stats.norm(-4, 1).pdf(x) + (1 - p) * stats.norm(4, 1).pdf(x)).sum()
        return rows + stats.beta(1, ALPHA).logpdf(p) + np.log(p * (1 - p))

    best = minimize(lambda p: -density(p[0]), [0.5], bounds=[(1e-3, 1 - 1e-3)], tol=1e-12).x[0]
    assert mixture.weights[0] == pytest.approx(best, abs=1e-5)
    assert best != pytest.approx(0.75, abs=1e-3)


# The variances' scale -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_a_hyperprior_of_the_variances_scale(faithful, covariance_type):
    """The density is that of a fixed scale, with the scale's own."""
    hyper = bg.Priors(variance_scale=pm.InverseGamma.dist(2.0, 3.0))
    model = bg.build_model(faithful, 2, covariance_type=covariance_type, priors=hyper)
    fixed = bg.build_model(faithful, 2, covariance_type=covariance_type, priors=bg.Priors(reference=None))
    graph, given = LogPosterior(model), Problem.of(fixed)
    q = given.graph.initial + 0.2 * np.random.default_rng(0).normal(size=given.n_parameters)
    point = {name: value[0] for name, value in given.constrain(q).items()}
    scale = np.array(fixed["variance_scale"].get_value())
    both = graph.named(graph.unconstrain(point | {"variance_scale": scale}))
    expected = given.parameter_density(q)[0] + stats.invgamma(2, scale=3).logpdf(scale).sum()
    # Node by node, as it is evaluated once.
    found = model.compile_logp(jacobian=False, mode=INTERPRETED)(both)
    assert found == pytest.approx(expected, abs=1e-8)
    specification = from_json(to_json(model.specification))
    assert dict(specification.in_words())["variances"] == "InverseGamma(1.5, variance_scale)"
    assert specification.arguments() == model.specification.arguments()
    call = f"bg.build_model(X, {', '.join(specification.arguments())})"
    assert eval(call, {"bg": bg, "pm": pm, "X": faithful}).specification.in_words() == specification.in_words()
    assert specification.unbounded_because == ()


def test_a_scale_that_may_vanish_keeps_no_variance_away_from_nothing(faithful):
    model = bg.build_model(faithful, 2, resolution=None, priors=bg.Priors(variance_scale=pm.Gamma.dist(2, 1)))
    assert "prior of the variance_scale" in model.specification.unbounded_because[0]
    with pytest.raises(InvalidPriorError, match="give variance_scale, or a prior for variances or scales, not both"):
        bg.Priors(variance_scale=pm.Gamma.dist(2, 1), scales=pm.HalfNormal.dist(1))
    with pytest.raises(InvalidPriorError, match="a reference or variance_scale, not both"):
        bg.Priors(variance_scale=pm.Gamma.dist(2, 1), reference=np.eye(2))
