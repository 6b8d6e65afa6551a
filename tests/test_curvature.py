"""The observed information of a mixture against central differences of the log posterior's gradient, and its use."""

from functools import partial

import numpy as np
import pymc as pm
import pytest

import bayesgmm as bg
from bayesgmm.graph.axes import axes, principal_axes, sampling_axes
from bayesgmm.graph.log_posterior import LogPosterior
from bayesgmm.search import climb as climb_module, curvature
from bayesgmm.search.climb import climb
from bayesgmm.search.curvature import negative_hessian
from bayesgmm.search.information import _Component
from bayesgmm.search.problem import Problem

# Of the differences themselves: their rounding and their step, in units of the curvature along the entries of q.
TOLERANCE = 1e-6


def rows(n, d, k, seed=0):
    """Clusters that overlap, so that many rows are in doubt."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(n // k, d)) @ rng.normal(size=(d, d)) + 2 * i for i in range(k)])


def differences(density, q, scales):
    hessian = np.empty((q.size, q.size))
    for i, h in enumerate(6e-6 * scales):
        step = np.where(np.arange(q.size) == i, h, 0.0)
        hessian[i] = (density(q - step)[1] - density(q + step)[1]) / (2 * h)
    return (hessian + hessian.T) / 2


def apart(density, q, scales):
    """The greatest difference between the two Hessians, as a part of the curvature along the entries."""
    expected = differences(density, q, scales) * np.outer(scales, scales)
    lengths = 1 / np.sqrt(np.maximum(np.abs(np.diag(expected)), 1.0))
    found = density.term.negative_hessian(q, scales)
    return np.abs((found - expected) * np.outer(lengths, lengths)).max()


def somewhere(problem, seed=1):
    """A point that is no optimum, with components that differ."""
    return problem.graph.initial + 0.2 * problem.scales * np.random.default_rng(seed).normal(size=problem.n_parameters)


MODELS = {
    "full": lambda: bg.build_model(rows(300, 3, 3), 3),
    "tied": lambda: bg.build_model(rows(300, 3, 3), 3, covariance_type="tied"),
    "diag": lambda: bg.build_model(rows(300, 3, 3), 3, covariance_type="diag"),
    "spherical": lambda: bg.build_model(rows(300, 3, 3), 3, covariance_type="spherical"),
    "one component": lambda: bg.build_model(rows(300, 3, 3), 1),
    "one feature": lambda: bg.build_model(rows(300, 1, 2), 2),
    "row weights": lambda: bg.build_model(
        rows(300, 3, 3), 3, sample_weight=np.random.default_rng(2).integers(0, 4, size=300)
    ),
    "resolution": lambda: bg.build_model(rows(300, 3, 3).round(), 2, resolution=1.0),
    "no reference": lambda: bg.build_model(rows(300, 3, 3), 2, priors=bg.Priors(reference=None)),
    "user priors": lambda: bg.build_model(
        rows(300, 3, 2),
        2,
        priors=bg.Priors(means=pm.Normal.dist(0, 5), variances=pm.InverseGamma.dist(2, 1), lkj_eta=4.0),
    ),
    "in other units": lambda: bg.build_model(rows(300, 3, 2) * [1e-6, 1.0, 1e5] + [0, 1e3, 0], 2, resolution=None),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_information_is_minus_the_second_derivatives(name):
    problem = Problem.of(MODELS[name]())
    q = somewhere(problem)
    for density in (problem.parameter_density, problem.sampling_density):
        assert apart(density, q, problem.scales) < TOLERANCE


def test_a_term_of_the_users_counts():
    model = bg.build_model(rows(300, 3, 2), 2)
    with model:
        pm.Potential("pull", -((model["means"][0] ** 2).sum()) - 5.0 * model["weights"][0] ** 2)
        slope = pm.Normal("slope")
        pm.Normal("seen", slope * model["weights"][1], 0.1, observed=0.4)
    problem = Problem.of(model)
    assert apart(problem.parameter_density, somewhere(problem), problem.scales) < TOLERANCE


@pytest.fixture
def many(monkeypatch):
    """Every model counts as one of many parameters."""
    monkeypatch.setattr(curvature, "MANY_SECONDS", 0.0)


@pytest.mark.usefixtures("many")
def test_a_term_that_the_parts_do_not_know_is_seen():
    """Components tied to each other: differences are taken after all."""
    model = bg.build_model(rows(300, 3, 2), 2)
    with model:
        pm.Potential("tie", -50.0 * ((model["means"][0] - model["means"][1]) ** 2).sum())
    problem = Problem.of(model)
    density, q = problem.parameter_density, somewhere(problem)
    assert apart(density, q, problem.scales) > 1e-2
    expected = differences(density, q, problem.scales)
    np.testing.assert_array_equal(negative_hessian(density, q, problem.scales), expected)


def with_rows(term):
    model = bg.build_model(rows(300, 3, 2), 2)
    with model:
        if term == "potential":
            pm.Potential("again", -0.5 * ((model["x_data"] - model["means"][0]) ** 2).sum())
        elif term == "likelihood":
            pm.Normal("seen", model["x_data"][:, 0] * model["weights"][0], 1.0, observed=np.ones(300))
        else:
            pm.Potential("pull", -((model["means"][0] ** 2).sum()))
    return model


@pytest.mark.parametrize(("term", "alone"), [("potential", False), ("likelihood", False), ("of no rows", True)])
def test_terms_of_the_rows_are_known(term, alone):
    assert LogPosterior(with_rows(term)).rows_alone == alone


@pytest.mark.usefixtures("many")
def test_other_terms_of_the_rows_keep_their_rows():
    """They are never asked for the density of no rows, at which compiled code would read past an array's end."""
    problem = Problem.of(with_rows("potential"))
    density, q = problem.parameter_density, somewhere(problem)
    expected = differences(density, q, problem.scales)
    np.testing.assert_array_equal(negative_hessian(density, q, problem.scales), expected)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("part", ["shift", "strain", "log_weight"])
def test_a_part_left_out_is_rejected(monkeypatch, part):
    """The negative control of the check against a difference along one direction."""
    problem = Problem.of(bg.build_model(rows(300, 3, 2), 2))
    density, q = problem.parameter_density, somewhere(problem)
    hessian = density.term.negative_hessian(q, problem.scales)
    assert curvature._apart(density, q, hessian, problem.scales) < curvature.APART
    of = _Component.of.__func__

    def without(cls, *arguments):
        one = of(cls, *arguments)
        getattr(one, part)[...] = 0.0
        return one

    monkeypatch.setattr(_Component, "of", classmethod(without))
    hessian = density.term.negative_hessian(q, problem.scales)
    assert curvature._apart(density, q, hessian, problem.scales) > curvature.APART


@pytest.mark.parametrize("name", [name for name in MODELS if name != "resolution"])
def test_all_ways_up_lead_to_one_top(monkeypatch, name):
    """By the curvature alone, by what rows and the default prior tell, and by the rows' information in blocks."""
    monkeypatch.setattr(curvature, "MANY", 0)
    monkeypatch.setattr(curvature, "MANY_SECONDS", 0.0)
    problem = Problem.of(MODELS[name]())
    start = bg.find_MAP(problem.model, n_init=1, random_seed=1).q + 0.02 * problem.scales
    blocks = partial(problem.parameter_density.term.information_axes, scales=problem.scales)
    tops = [
        climb(problem.parameter_density, start, problem.scales, roots=problem.roots, round_axes=round_axes)
        for round_axes in (None, problem.round_axes, blocks)
    ]
    assert all(top.converged for top in tops)
    for top in tops[1:]:
        assert top.log_posterior == pytest.approx(tops[0].log_posterior, abs=1e-6)


def test_many_parameters_are_climbed_without_their_curvature(monkeypatch):
    """Breast cancer, 569 x 30, K = 2: 1,456 parameters."""
    from sklearn.datasets import load_breast_cancer

    taken = []
    monkeypatch.setattr(climb_module, "negative_hessian", lambda *a: taken.append(a) or negative_hessian(*a))
    estimate = bg.find_MAP(bg.build_model(load_breast_cancer().data, 2), n_init=2, random_seed=2, progressbar=False)
    assert estimate.converged
    assert not taken
    problem = estimate.problem
    hessian = negative_hessian(problem.parameter_density, estimate.q, problem.scales)
    slope = problem.parameter_density(estimate.q)[1]
    # The top, in units of the posterior's own standard deviations; the default prior curves every direction.
    b = axes(hessian, problem.scales)
    assert np.abs(b.T @ slope).max() < 1e-2
    np.testing.assert_allclose(b.T @ hessian @ b, np.eye(len(b)), atol=1e-6)


def test_very_many_parameters_need_no_second_derivatives(monkeypatch):
    """Wine, with the limit put below its parameters: the same top, and shares by the rough evidence."""
    from sklearn.datasets import load_wine

    from bayesgmm.search import mode, optima

    model = bg.build_model(load_wine().data, 3)
    usual = bg.find_MAP(model, n_init=4, random_seed=1, progressbar=False)
    for module in (climb_module, optima):
        monkeypatch.setattr(module, "VERY_MANY", 300)
    taken = []
    for module in (climb_module, mode):
        monkeypatch.setattr(module, "negative_hessian", lambda *a: taken.append(a) or negative_hessian(*a))
    estimate = bg.find_MAP(model, n_init=4, random_seed=1, progressbar=False)
    assert estimate.converged
    assert estimate.log_posterior == pytest.approx(usual.log_posterior, abs=1e-3)
    assert sum(one.share for one in estimate.modes) == pytest.approx(1, abs=0.02)
    assert not taken
    # Draws need them, whatever they cost.
    estimate.laplace(10, random_seed=1)
    assert taken


def test_triangular_axes_and_principal_axes_are_one_metric():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(600, 300))
    hessian, scales = root.T @ root, np.exp(rng.normal(size=300))
    one, other = axes(hessian, scales), principal_axes(hessian, scales)
    assert (np.triu(one, 1) == 0).all()
    np.testing.assert_allclose(one @ one.T, other @ other.T, rtol=1e-6, atol=1e-9)
    # What the sampler reads is near, and no more than that.
    near = sampling_axes(hessian, scales).dense
    assert 0 < np.linalg.norm(near.T @ hessian @ near - np.eye(300)) < 0.1


def test_a_saddle_has_finite_axes():
    hessian = np.diag(np.r_[np.full(299, 4.0), -1e-9])
    np.testing.assert_allclose(np.sort(np.linalg.norm(axes(hessian, np.ones(300)), axis=0))[-2:], [0.5, 10])


def test_components_that_share_no_rows_do_not_meet_in_the_axes():
    """Entries of one component leave alone those of another: columns end where their component does."""
    k, own, shared = 4, 80, 20
    rng = np.random.default_rng(0)
    n = shared + k * own
    hessian = np.zeros((n, n))
    for i in range(k):
        at = np.r_[:shared, shared + i * own : shared + (i + 1) * own]
        root = rng.normal(size=(2 * len(at), len(at)))
        hessian[np.ix_(at, at)] += root.T @ root
    found = sampling_axes(hessian, np.ones(n)).dense
    block = np.repeat(np.arange(k), own)
    across = found[shared:, shared:][block[:, None] != block]
    assert (across == 0).all()
