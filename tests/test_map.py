"""The posterior mode: known maxima, an independent optimiser, the starts' report, and the curvature."""

import warnings
from dataclasses import replace

import numpy as np
import pymc as pm
import pytest
from conftest import add_terms
from scipy.special import logsumexp
from sklearn.datasets import load_wine, make_blobs
from sklearn.metrics import adjusted_rand_score

import bayesgmm as bg
from bayesgmm.exceptions import (
    CollapsedComponentWarning,
    ConvergenceWarning,
    InvalidArgumentError,
    UnboundedPosteriorWarning,
)
from bayesgmm.graph.user_priors import INTERPRETED
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.model.em import ExpectationMaximisation
from bayesgmm.record.starts import Starts
from bayesgmm.search import (
    ascents as ascents_module,
    climb as climb_module,
    find_map as find_map_module,
    problem as problem_module,
    starts as starts_module,
)
from bayesgmm.search.ascents import AROUND, LEAST_STARTS, PATIENCE, Ascents
from bayesgmm.search.crossing import crossed, divergences
from bayesgmm.search.curvature import negative_hessian
from bayesgmm.search.problem import Problem
from bayesgmm.search.split_and_merge import merged
from bayesgmm.search.starts import StartingMixtures

# Maximum log-likelihoods of Old Faithful (mclust finds the same).
KNOWN = [("full", 2, -1130.264), ("tied", 3, -1126.316), ("diag", 2, -1147.806)]


def starts_of(model, n):
    starting = StartingMixtures.of(model.specification, model.table, np.random.default_rng(0))
    return [starting.make(i)[1] for i in range(n)]


def nearly_flat():
    return bg.Priors(means=pm.Normal.dist(0, 1e4), variances=pm.InverseGamma.dist(1e-3, 1e-3), lkj_eta=1.0)


@pytest.mark.parametrize(("covariance_type", "n_components", "known"), KNOWN)
def test_nearly_flat_priors_reach_the_known_maximum_likelihood(faithful, covariance_type, n_components, known):
    model = bg.build_model(
        faithful, n_components, covariance_type=covariance_type, priors=nearly_flat(), resolution=None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnboundedPosteriorWarning)
        estimate = bg.find_MAP(model, n_init=20, random_seed=1)
    assert abs(estimate.log_likelihood - known) < 0.05


def test_default_priors_stay_near_the_maximum_likelihood(faithful_map):
    assert -1130.264 - 3 < faithful_map.log_likelihood <= -1130.264
    assert faithful_map.converged
    assert faithful_map.gradient_norm < 1e-3
    assert faithful_map.starts.n_optima == 1
    assert len(faithful_map.starts) == len(faithful_map.starts.log_posterior)
    assert faithful_map.starts.moved[faithful_map.starts.optimum == 0].all()


def test_pymcs_own_optimiser_finds_nothing_better(faithful_model, faithful_map):
    """pm.find_MAP from a start beside our answer comes to the same point, node by node: compiling takes a minute."""
    beside = {rv.name: faithful_map.point[rv.name] for rv in faithful_model.free_RVs}
    beside["means"] = beside["means"] + [[0.1, 1.0], [-0.1, 2.0]]
    theirs = pm.find_MAP(
        model=faithful_model,
        initvals=beside,
        jitter=False,
        progressbar=False,
        return_inferencedata=True,
        compile_kwargs={"mode": INTERPRETED},
    )["posterior"].isel(chain=0, draw=0)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(theirs[name], faithful_map.point[name], rtol=2e-3, atol=2e-3)


def test_em_never_lowers_the_penalised_likelihood(faithful):
    model = bg.build_model(faithful, 3, resolution=None)
    em = ExpectationMaximisation(model.table, model.specification.covariance_step)
    [mixture] = starts_of(model, 1)
    prior = model.specification.relative_prior

    def penalised(mixture, log_likelihood):
        # what the M-step maximises: the likelihood and the prior of the covariances at its best reference
        common = prior.reference(mixture.covariances)
        trace = np.einsum("ij,kji->k", common, np.linalg.inv(mixture.covariances))
        log_det = np.linalg.slogdet(mixture.covariances)[1] - np.linalg.slogdet(common)[1]
        u = np.log(2 / trace)
        distance = log_det / 2 + np.log(trace / 2)
        shape = logsumexp(prior.log_constants - prior.rows * distance[:, None], axis=1)
        return log_likelihood + (shape - u**2 / (2 * prior.spread**2) - prior.wall * np.exp(-u)).sum()

    last = -np.inf
    for _ in range(50):
        following, log_likelihood = em.step(mixture)
        value = penalised(mixture, log_likelihood)
        assert value > last - 0.01  # 0.01: the weights' own small pseudo-count is not in the penalty above
        mixture, last = following, value


def test_starts_differ_and_are_reproducible(faithful):
    model = bg.build_model(faithful, 3)
    first = [m.means for m in starts_of(model, 6)]
    again = [m.means for m in starts_of(model, 6)]
    np.testing.assert_array_equal(first, again)
    assert len({tuple(np.round(m, 8).ravel()) for m in first}) > 1


def test_distinct_optima_are_counted_up_to_labels():
    """Four blobs on the corners of a square, two components: the two ways to pair them are two optima."""
    x, _ = make_blobs(400, centers=[[-5, -5], [-5, 5], [5, -5], [5, 5]], cluster_std=0.7, random_state=0)
    estimate = bg.find_MAP(bg.build_model(x, 2), n_init=30, random_seed=0)
    assert estimate.starts.n_optima >= 2
    assert estimate.starts.optima[0] == pytest.approx(estimate.log_posterior, abs=1e-3)
    assert (np.diff(estimate.starts.optima) <= 0).all()


def test_starts_that_come_together_share_a_climb(monkeypatch):
    x, _ = make_blobs(400, centers=[[-5, 0], [5, 0]], random_state=1)
    climbs, climb = [], ascents_module.climb_in_order
    monkeypatch.setattr(ascents_module, "climb_in_order", lambda *a, **k: climbs.append(climb(*a, **k)) or climbs[-1])
    estimate = bg.find_MAP(bg.build_model(x, 2), n_init=10, random_seed=1)
    assert 1 <= len(climbs) < 10
    assert len(estimate.starts.log_posterior) == 10
    assert estimate.starts.n_optima == 1
    assert estimate.log_posterior == pytest.approx(max(o.log_posterior for o in climbs), abs=1e-8)


def test_moves_reach_what_fresh_starts_do_not(monkeypatch):
    """A small dense cluster within a wide one: as many starts of the other kinds end 60 nats below."""
    rng = np.random.default_rng(0)
    wide, dense = 5.0 * rng.normal(size=(80, 4)), np.r_[6, 0, 0, 0] + 0.5 * rng.normal(size=(18, 4))
    x = np.concatenate([wide, dense, np.r_[-6, 0, 0, 0] + 2.0 * rng.normal(size=(40, 4))])
    model = bg.build_model(x, 2, resolution=None)
    estimate = bg.find_MAP(model, n_init=30, random_seed=0)
    starts = estimate.starts
    assert starts.kind[:3] == ("k-means", "whitened k-means", "random rows")
    assert starts.kind[starts.best] in ("split and merge", "reweighted rows")
    smaller = int(estimate.mixture.weights.argmin())
    assert (estimate.mixture.responsibilities(x)[80:98, smaller] > 0.9).all()
    # The control: the same search without moves.
    monkeypatch.setattr(starts_module, "MOVES_OF_FEW", ("reweighted rows",) * 2)
    monkeypatch.setattr(starts_module.StartingMixtures, "_reweighted", lambda self, best: self._random_rows())
    fresh = bg.find_MAP(model, n_init=30, random_seed=0)
    assert "split and merge" not in fresh.starts.kind
    assert fresh.log_posterior < estimate.log_posterior - 40


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_merging_keeps_the_moments_and_takes_those_least_missed(covariance_type):
    means = np.array([[0.0, 0, 0], [0.3, 0, 0], [9, 0, 0], [0, 9, 0], [0, 9, 0.4]])
    weights, family = np.array([0.1, 0.2, 0.3, 0.25, 0.15]), COVARIANCE_TYPES[covariance_type]
    full = np.broadcast_to(np.eye(3), (5, 3, 3))
    mixture = Mixture(weights, means, full if family.correlated else np.ones((5, 3)))
    fewer = merged(mixture, 3, family)
    assert fewer.diagonal == mixture.diagonal
    np.testing.assert_allclose(sorted(fewer.weights), [0.3, 0.3, 0.4])
    [alone] = np.flatnonzero(np.isclose(fewer.means[:, 0], 9))
    np.testing.assert_allclose(fewer.full_covariances[alone], np.eye(3))

    def moments(mixture):
        mean = mixture.weights @ mixture.means
        apart = mixture.means - mean
        own = mixture.full_covariances + apart[:, :, None] * apart[:, None, :]
        return mean, np.einsum("k,kii->i", mixture.weights, own)

    without = merged(mixture, 4, family, gone=2)  # it goes to whichever suits it, and no other does
    assert not np.isclose(without.means[:, 0], 9).any()
    assert without.n_components == 4
    for ours, before in zip(moments(fewer), moments(mixture), strict=True):
        np.testing.assert_allclose(ours, before)


def test_a_start_that_is_given_up_is_no_optimum(monkeypatch):
    x, _ = make_blobs(1000, centers=[(6 * i, 6 * j) for i in range(5) for j in range(5)], random_state=0)
    monkeypatch.setattr(ascents_module, "NATS_AHEAD", 50.0)
    monkeypatch.setattr(ascents_module, "STEPS_AHEAD", 0)
    starts = bg.find_MAP(bg.build_model(x, 25, covariance_type="spherical"), n_init=12, random_seed=0).starts
    given_up = starts.optimum < 0
    assert given_up.any()
    assert not starts.converged[given_up].any()
    assert (starts.log_posterior[given_up] < starts.optima[0] - 50).all()
    assert starts.n_optima == len(starts.optima) == starts.optimum.max() + 1


def test_an_automatic_number_of_starts(faithful_model):
    starts = bg.find_MAP(faithful_model, random_seed=1).starts
    anywhere = len(starts) - starts.kind.count("reweighted rows")
    assert anywhere == LEAST_STARTS
    assert 3 <= starts.at_best <= anywhere
    assert len(bg.find_MAP(bg.build_model(faithful_model.table.values, 1), random_seed=1).starts) == 1
    for bad in ("many", 0, 1.5):
        with pytest.raises(InvalidArgumentError, match="n_init"):
            bg.find_MAP(faithful_model, n_init=bad)


def test_starts_that_look_around_the_best_are_no_evidence_for_it():
    """They began there, but for the one that came to it first."""
    kinds = ("k-means", "reweighted rows", "reweighted rows", "random rows", "reweighted rows")

    def at_best(*optimum):
        n = len(optimum)
        done = np.ones(n, dtype=bool)
        starts = Starts(np.zeros(n), np.array(optimum), done, done, np.ones(n, dtype=int), kinds[:n])
        assert starts.at(2) == 0
        return starts.at_best

    assert at_best(0, 0, 0, 0, 0) == 2
    assert at_best(1, 0, 0, 0, 0) == 2
    assert at_best(1, 0, 0, 1, 0) == 1
    assert at_best(1, 1, 1, 0, 0) == 1


def test_a_search_goes_on_where_one_kind_of_start_alone_found_the_best(faithful_model, monkeypatch):
    """What begins at the best comes back to it, however often."""
    monkeypatch.setattr(ascents_module, "LEAST_STARTS", 12)
    ascents = Ascents(Problem.of(faithful_model), np.random.default_rng(1)).run(1, lambda: None)
    [first] = ascents.all

    def of_kinds(*kinds, then="k-means within clusters", n=12):
        ascents.all = [replace(first, kind=kind) for kind in (*kinds, *(then,) * (n - len(kinds)))]
        return ascents.enough

    assert of_kinds("k-means", "split and merge", "random rows")
    assert not of_kinds("k-means", "split and merge")
    assert not of_kinds("k-means", "k-means", "k-means within clusters")
    # Twice as long without anything better will do; those that look around the best are none of them.
    enough = 1 + 2 * 2 * PATIENCE
    assert not of_kinds("k-means", "k-means", n=enough - 1)
    assert of_kinds("k-means", "k-means", n=enough)
    assert not of_kinds("k-means", "random rows", then="reweighted rows", n=2 * enough)
    # What was found around the best has others around it.
    assert not of_kinds("reweighted rows", "k-means", "random rows")
    assert of_kinds("reweighted rows", "k-means", "random rows", *("reweighted rows",) * AROUND, n=15 + AROUND)


def test_a_crossing_has_parts_of_both_and_may_be_right_where_each_is():
    """Two mixtures, each wrong in another place: one time in some the child is right in both."""
    rng = np.random.default_rng(1)
    means = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    truth = Mixture(np.full(4, 0.25), means, np.broadcast_to(np.eye(2), (4, 2, 2)))
    shifted = [replace(truth, means=means + 3 * np.eye(4)[[k]].T) for k in (0, 3)]
    order = rng.permutation(4)
    second = replace(shifted[1], means=shifted[1].means[order])
    children = [crossed(shifted[0], second, rng) for _ in range(20)]
    right = [child.matches(truth, 0.01) for child in children]
    wrong = [
        child.matches(replace(truth, means=means + 3 * np.eye(4)[[0, 3]].sum(axis=0)[:, None]), 0.01)
        for child in children
    ]
    assert any(right)
    assert all(a or b for a, b in zip(right, wrong, strict=True))
    assert crossed(truth, shifted[0], rng) is None  # they differ in one place
    # The same in other units.
    units = np.array([1e3, 1e-3])
    scaled = [replace(m, means=m.means * units, covariances=m.covariances * np.outer(units, units)) for m in shifted]
    np.testing.assert_allclose(divergences(*scaled), divergences(*shifted), atol=1e-9)


def test_rows_that_are_reweighted_lead_to_an_optimum_nearby():
    """Wine has optima 2 nats apart that differ in a few rows."""
    model = bg.build_model(load_wine().data, 3)
    ascents = Ascents(Problem.of(model), np.random.default_rng(1)).run(30, lambda: None)
    best, lower = ascents.distinct[:2]
    assert 1 < best.optimum.log_posterior - lower.optimum.log_posterior < 10
    labels = [a.mixture.responsibilities(model.table.values).argmax(axis=1) for a in (lower, best)]
    assert adjusted_rand_score(*labels) > 0.9
    ascents.all = [lower]
    for _ in range(20):  # of which 4 did
        kind, begin, gain = ascents._starting.make(5, [lower.mixture], around=True)
        ascents.all.append(ascents._ascent(kind, begin, gain))
    assert {ascent.kind for ascent in ascents.all[1:]} == {"reweighted rows"}
    assert ascents.best.same(best)


def test_the_highest_new_one_of_several_moves_is_gone_on_with(faithful_model, faithful_map, monkeypatch):
    """But the first stands if it leads back to the best, and one above the best ends them."""
    starting = StartingMixtures.of(faithful_model.specification, faithful_model.table, np.random.default_rng(0))
    best = faithful_map.mixture
    shifted = [
        replace(best, means=best.means + np.array([0.0, shift])) for shift in (40.0, 10.0, 5.0, 20.0, 30.0, 50.0)
    ]
    low, high = shifted[0], shifted[2]
    monkeypatch.setattr(starting, "_settled", lambda mixture: (mixture, 0.0))
    monkeypatch.setattr(starts_module, "VERY_MANY_COMPONENTS", 2)

    def gone_on_with(*moves):
        made = iter(moves)
        found, _ = starting._highest_new(lambda: next(made), [best])
        return found, len(list(made))

    # From the least shifted on they are likelier; five of six are made.
    assert gone_on_with(*shifted) == (high, 1)
    assert gone_on_with(best, high) == (best, 1)
    assert gone_on_with(low, best, best, best, best, high) == (low, 1)
    assert gone_on_with(low, best, high, best, best) == (high, 0)
    # A higher one than the best known ends them.
    monkeypatch.setattr(starting, "_height", lambda mixture: float(mixture is high))
    assert gone_on_with(low, high, low, low, low) == (high, 3)
    # Of few components there is one move.
    monkeypatch.setattr(starts_module, "VERY_MANY_COMPONENTS", 3)
    assert gone_on_with(low, high) == (low, 1)


def test_features_that_nearly_determine_each_other_are_climbed_to_the_top():
    """Curvatures a factor 1e9 apart: in the data's units 10,000 iterations of L-BFGS do not do."""
    rng = np.random.default_rng(1)
    factor = np.eye(4)
    factor[3] = [0.7, 0.6, 0.3, 0.01]
    x = np.concatenate([rng.normal(size=(400, 4)) @ factor.T + shift for shift in (0.0, [4.0, 3.0, 0.0, 1.0])])
    estimate = bg.find_MAP(bg.build_model(x, 2), n_init=2, random_seed=1)
    assert estimate.converged
    assert estimate.starts.iterations.max() < 500
    # The top has no slope, in units of the posterior's own standard deviations.
    q, density = estimate.q, estimate.problem.parameter_density
    factor = np.linalg.cholesky(negative_hessian(density, q, estimate.problem.scales))
    _, slope = density(q)
    assert np.abs(np.linalg.solve(factor, slope)).max() < 1e-3


def test_many_rows_start_from_a_sample_and_climb_on_all(monkeypatch):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(m, 1, size=(1_500, 2)) for m in (-4, 4)])
    everything = bg.find_MAP(bg.build_model(x, 2), n_init=3, random_seed=1)
    monkeypatch.setattr(problem_module, "MANY_ROWS", 300)
    sampled = bg.find_MAP(bg.build_model(x, 2), n_init=3, random_seed=1)
    assert sampled.log_posterior == pytest.approx(everything.log_posterior, abs=1e-3)


def test_an_optimiser_cut_short_is_reported(faithful_model, monkeypatch):
    monkeypatch.setattr(climb_module, "ROUND_ITERATIONS", 1)
    monkeypatch.setattr(climb_module, "ROUNDS", 0)
    with pytest.warns(ConvergenceWarning, match="stopped before a maximum"):
        estimate = bg.find_MAP(faithful_model, n_init=2, random_seed=1)
    assert not estimate.converged


@pytest.mark.filterwarnings("ignore::bayesgmm.exceptions.UnboundedPosteriorWarning")
@pytest.mark.filterwarnings("ignore::bayesgmm.exceptions.ConvergenceWarning")
def test_a_collapsed_component_is_named_with_its_rows():
    """Three rows at one place, and priors that let a component shrink onto them."""
    x = np.random.default_rng(0).normal(size=(60, 2))
    x[[5, 17, 40]] = [3.0, 3.0]
    priors = bg.Priors(means=pm.Normal.dist(0, 9), variances=pm.InverseGamma.dist(1e-3, 1e-12), lkj_eta=1.0)
    model = bg.build_model(x, 2, priors=priors, resolution=None)
    with pytest.warns(CollapsedComponentWarning, match=r"has collapsed .* on rows 5, 17, 40:"):
        bg.find_MAP(model, n_init=20, random_seed=1)


def test_priors_without_a_mode_are_warned_about_before_the_search(faithful, monkeypatch):
    def stop(*arguments):
        raise InterruptedError  # before anything is compiled

    monkeypatch.setattr(find_map_module, "_search", stop)
    cases = [
        (bg.Priors(concentration=0.5), "concentration = 0.5 is below 1"),
        (bg.Priors(lkj_eta=1.5), r"lkj_eta = 1.5 is not above 1 \+ D/2 = 2"),
        (bg.Priors(scales=pm.HalfNormal.dist(5)), "prior of the scales .* does not keep them away from 0"),
    ]
    for priors, message in cases:
        model = bg.build_model(faithful, 2, priors=priors, resolution=None)
        with pytest.warns(UnboundedPosteriorWarning, match=message), pytest.raises(InterruptedError):
            bg.find_MAP(model, n_init=1, random_seed=0)


def conditional_scales(covariances):
    """Standard deviation of every feature given the others, per component: 1 / sqrt of the precision's diagonal."""
    return 1 / np.sqrt(np.einsum("kii->ki", np.linalg.inv(covariances)))


def test_coarsely_rounded_data_do_not_collapse(faithful):
    """Eruptions to whole minutes, waiting to tens, K = 4: every mode that holds some posterior."""
    rounded = faithful.assign(eruptions=faithful.eruptions.round(), waiting=(faithful.waiting / 10).round() * 10)
    model = bg.build_model(rounded, 4)
    np.testing.assert_array_equal(model["resolution"].get_value(), [1.0, 10.0])
    smallest = []
    for seed in range(4):
        for mode in bg.find_MAP(model, random_seed=seed).modes:
            smallest.append((conditional_scales(mode.point["covariances"]) / rounded.std(ddof=0).to_numpy()).min())
    assert min(smallest) > 0.05


def test_fine_rounding_does_not_show(faithful, faithful_map):
    rng = np.random.default_rng(0)
    exact = faithful + rng.uniform(-0.5, 0.5, size=faithful.shape) * [0.01, 1.0]
    rounded = exact.round(3)
    estimates = [bg.find_MAP(bg.build_model(x, 2), random_seed=1) for x in (exact, rounded)]
    assert abs(estimates[0].log_likelihood - estimates[1].log_likelihood) < 0.05
    for name in ("weights", "means", "scales"):
        ratio = (estimates[0].point[name] - estimates[1].point[name]) / estimates[0].standard_errors[name]
        assert np.abs(ratio).max() < 0.02


@pytest.mark.parametrize("scale", [1e-4, 1e6])
def test_units_do_not_matter(faithful, faithful_map, scale):
    estimate = bg.find_MAP(bg.build_model(faithful.to_numpy() * scale, 2, resolution=None), random_seed=1)
    unscaled = bg.find_MAP(bg.build_model(faithful, 2, resolution=None), random_seed=1)
    np.testing.assert_allclose(estimate.point["means"] / scale, unscaled.point["means"], rtol=1e-4)
    np.testing.assert_allclose(estimate.log_likelihood, unscaled.log_likelihood - 272 * 2 * np.log(scale), rtol=1e-6)


def test_standard_errors_of_one_component_are_the_textbook_ones():
    """K = 1 with 500 rows: the mean's standard error is s / sqrt(N), the scale's s / sqrt(2 N)."""
    x = np.random.default_rng(0).normal([1.0, -2.0], [1.0, 3.0], size=(500, 2))
    estimate = bg.find_MAP(bg.build_model(x, 1), random_seed=0)
    errors = estimate.standard_errors
    scale = estimate.point["scales"][0]
    np.testing.assert_allclose(errors["means"][0], scale / np.sqrt(500), rtol=0.01)
    np.testing.assert_allclose(errors["scales"][0], scale / np.sqrt(1000), rtol=0.03)
    np.testing.assert_allclose(errors["weights"], 0, atol=1e-12)


def test_laplace_draws_match_the_posterior(faithful_map, faithful_draws):
    """Means within a third of a posterior standard deviation, spreads within a fifth, of NUTS."""
    laplace = faithful_map.laplace(4000, random_seed=1)["posterior"].dataset
    nuts = faithful_draws["posterior"].dataset
    for name in ("weights", "means", "scales"):
        dims = ("chain", "draw")
        spread = nuts[name].std(dims)
        assert float((np.abs(laplace[name].mean(dims) - nuts[name].mean(dims)) / spread).max()) < 1 / 3
        assert float(np.abs(laplace[name].std(dims) / spread - 1).max()) < 0.2


def test_laplace_draws_are_reproducible(faithful_map):
    a, b, c = (faithful_map.laplace(20, random_seed=seed)["posterior"]["means"].values for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


# Of three rows in two components, one covariance for both sees one direction only: that is said.
@pytest.mark.filterwarnings("ignore::bayesgmm.exceptions.CollapsedComponentWarning")
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_hard_cases_finish_with_finite_answers(covariance_type):
    """More components than clusters, N = K + 1, one feature, ties: finite, without warnings from NumPy."""
    rng = np.random.default_rng(0)
    cases = [
        (rng.normal(size=(3, 2)), 2),
        (np.round(rng.normal(size=(60, 1)), 1), 3),
    ]
    if covariance_type in ("diag", "spherical"):
        # With correlations, ten rows on two points lie on a line, and no default prior bounds the density there.
        cases.append((np.repeat(rng.normal(size=(4, 2)), 5, axis=0), 2))
    for x, n_components in cases:
        estimate = bg.find_MAP(
            bg.build_model(x, n_components, covariance_type=covariance_type), n_init=4, random_seed=0
        )
        assert np.isfinite(estimate.log_posterior)
        assert all(np.isfinite(value).all() for value in estimate.point.values())


def test_sample_weights_count_rows(faithful):
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 3, size=len(faithful))
    weighted = bg.find_MAP(bg.build_model(faithful, 2, resolution=None, sample_weight=counts), random_seed=1)
    repeated = bg.find_MAP(
        bg.build_model(np.repeat(faithful.to_numpy(), counts, axis=0), 2, resolution=None), random_seed=1
    )
    np.testing.assert_allclose(weighted.point["means"], repeated.point["means"], rtol=1e-4)
    np.testing.assert_allclose(weighted.log_posterior, repeated.log_posterior, rtol=1e-8)


def test_the_convergence_warning_is_scikit_learns():
    """So that its users' filters see it."""
    import sklearn.exceptions

    assert issubclass(ConvergenceWarning, sklearn.exceptions.ConvergenceWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        warnings.warn("stopped", ConvergenceWarning, stacklevel=1)


def test_a_start_that_is_not_a_number_does_not_win():
    none = np.zeros(3, dtype=bool)
    starts = bg.Starts(np.array([np.nan, -2.0, -1.0]), np.array([2, 1, 0]), none, none, np.array([9, 8, 7]))
    assert starts.best == 2
    np.testing.assert_array_equal(starts.order, [2, 1, 0])
    np.testing.assert_array_equal(starts.optima, [-1.0, -2.0, -np.inf])


def test_the_evidence_of_a_mode_is_the_textbooks_for_one_component():
    """K = 1, D = 1: the integral over mean and variance by quadrature; Laplace is within a tenth of a nat, N = 200."""
    from scipy.integrate import trapezoid
    from scipy.stats import invgamma, norm

    x = np.random.default_rng(0).normal(1.0, 2.0, size=200)
    model = bg.build_model(x[:, None], 1, resolution=None, priors=bg.Priors(reference=None))
    mode = bg.find_MAP(model, n_init=1, random_seed=0).mode
    means, variances = (model.specification.prior(name).numbers for name in ("means", "variances"))
    peak = norm(x.mean(), x.std()).logpdf(x).sum()

    # The integrand is negligible at the ends, where the trapezoidal rule is then exact.
    mean = np.linspace(x.mean() - x.std() / 2, x.mean() + x.std() / 2, 101)[:, None]
    log_variance = np.linspace(-0.8, 0.8, 101) + 2 * np.log(x.std())
    variance = np.exp(log_variance)
    value = norm(mean[..., None], np.sqrt(variance)[..., None]).logpdf(x).sum(axis=-1) - peak
    value += norm(means["midrange"][0], means["range"][0]).logpdf(mean)
    value += invgamma(1.5, scale=float(np.ravel(variances["variance_scale"])[0])).logpdf(variance) + log_variance
    integral = trapezoid(trapezoid(np.exp(value), log_variance, axis=1), mean[:, 0])
    assert mode.log_evidence == pytest.approx(peak + np.log(integral), abs=0.1)


def test_every_order_of_exchangeable_components_counts_in_the_evidence(faithful_model, faithful_map):
    """log K! for the default priors; nothing where a term tells components apart."""
    assert faithful_map.problem.exchangeable(faithful_map.q)
    told_apart = add_terms(bg.build_model(faithful_model.table.values, 2, resolution=[1e-3, 1.0]))
    estimate = bg.find_MAP(told_apart, n_init=2, random_seed=1)
    assert not estimate.problem.exchangeable(estimate.q)
    assert faithful_map.mode.log_evidence - estimate.mode.log_evidence == pytest.approx(3 + np.log(2), abs=0.05)


def test_no_generated_source_is_left_in_the_temporary_folder(tmp_path):
    """A process that builds and climbs; PyTensor's files have a folder of their own, which it cleans."""
    import os
    import subprocess
    import sys

    code = "import bayesgmm as bg; bg.find_MAP(bg.build_model(bg.datasets.load_faithful(), 2), n_init=1, random_seed=0)"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
    assert list(tmp_path.iterdir()) == []
