"""Covariances as seen from roots of their own: against matrices, differences, and chains that go without."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.graph.in_axes import InAxes
from bayesgmm.graph.roots import Roots
from bayesgmm.mixture import log_cholesky
from bayesgmm.search.climb import climb
from bayesgmm.search.problem import Problem

# A cluster so near a plane is named, rightly.
pytestmark = pytest.mark.filterwarnings("ignore::bayesgmm.exceptions.CollapsedComponentWarning")


def central(function, at, step=1e-5):
    """Central differences, one row an entry of ``at``."""
    return np.array([(function(at + move) - function(at - move)) / (2 * step) for move in step * np.eye(at.size)])


def two(n_features, seed=0):
    """The roots of two covariances among other entries, and flat vectors."""
    length, rng = log_cholesky.length(n_features), np.random.default_rng(seed)
    size = 3 + 2 * length
    entries = rng.permutation(size)[: 2 * length].reshape(2, length)
    return Roots.at(rng.normal(size=size), entries), rng.normal(size=(4, size))


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_they_are_the_coordinates_of_the_covariance_from_there(n_features):
    roots, z = two(n_features)
    q = roots.back(z)
    for factors, entries in zip(roots.factors, roots.entries, strict=True):
        seen, own = log_cholesky.triangles(z[:, entries]), log_cholesky.triangles(q[:, entries])
        np.testing.assert_allclose(own, factors @ seen, rtol=1e-12, atol=1e-12)
    others = np.setdiff1d(np.arange(z.shape[1]), roots.entries)
    np.testing.assert_array_equal(q[:, others], z[:, others])
    np.testing.assert_allclose(roots.there(q), z, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(roots.back(z[0]), q[0])
    at_hand = np.zeros(z.shape[1])
    np.testing.assert_allclose(
        log_cholesky.triangles(roots.back(at_hand)[roots.entries]), roots.factors, rtol=1e-13, atol=1e-14
    )


@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_no_volume_changes_and_slopes_are_derivatives(n_features):
    roots, (z, *_) = two(n_features)
    jacobian = central(roots.back, z)
    assert np.linalg.slogdet(jacobian)[1] == pytest.approx(0.0, abs=1e-8)
    gradient = np.random.default_rng(1).normal(size=z.size)
    np.testing.assert_allclose(roots.slopes(z, gradient), jacobian @ gradient, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_curvature_knows_how_the_coordinates_bend(n_features):
    roots, (z, *_) = two(n_features)
    z[roots.entries] = 0.0
    rng = np.random.default_rng(1)
    square = rng.normal(size=(z.size, z.size))
    square = square @ square.T

    def function(q):  # a quadratic, and what is no quadratic
        return -0.5 * q @ square @ q + np.sin(q).sum(), -square @ q + np.cos(q)

    seen, q = roots.seen(function), roots.back(z)
    expected = -central(lambda at: seen(at)[1], z)
    near = 1e-7 * np.abs(expected).max()
    found = roots.curvature(square + np.diag(np.sin(q)), function(q)[1])
    np.testing.assert_allclose(found, expected, atol=near)
    assert np.abs(roots.curvature(square + np.diag(np.sin(q)), np.zeros(z.size)) - expected).max() > 100 * near or (
        n_features == 1
    )


def test_without_covariances_nothing_changes():
    q = np.arange(3.0)
    roots = Roots.none()
    for same in (roots.there(q), roots.back(q), roots.slopes(q, q)):
        np.testing.assert_array_equal(same, q)
    np.testing.assert_array_equal(roots.curvature(np.eye(3), q), np.eye(3))
    for model in (
        bg.build_model(two_flat_clusters(), 2, covariance_type="diag"),
        bg.build_model(two_flat_clusters(), 2, priors=bg.Priors(reference=None)),
    ):
        problem = Problem.of(model)
        assert problem.roots(np.zeros(problem.n_parameters)).entries.size == 0


def test_chains_are_given_the_density_from_there():
    estimate = bg.find_MAP(bg.build_model(two_flat_clusters(0.1), 2), n_init=2, random_seed=1, progressbar=False)
    mode, density = estimate.mode.with_axes, estimate.problem.sampling_density
    u = np.random.default_rng(0).normal(size=mode.q.size)
    found, slopes = InAxes(density, mode)(u)
    assert found == pytest.approx(density(mode.unconstrained(u))[0], rel=1e-12)
    by_u = central(lambda at: density(mode.unconstrained(at))[0], u)
    np.testing.assert_allclose(slopes, by_u, atol=1e-6 * np.abs(by_u).max())


def two_flat_clusters(thin=1e-3):
    """The second lies near a plane across all features."""
    rng = np.random.default_rng(0)
    normal = np.ones(5) / np.sqrt(5)
    turned = rng.normal(size=(150, 5)) @ (np.eye(5) + 0.4 * rng.normal(size=(5, 5)))
    flat = turned - np.outer(turned @ normal - thin * rng.normal(size=150), normal)
    return np.concatenate([rng.normal(size=(150, 5)), flat + 6.0])


def test_a_cluster_near_a_plane_is_sampled_as_any_other(monkeypatch):
    """The negative control: in the model's own coordinates a draw takes hundreds of steps."""
    model = bg.build_model(two_flat_clusters(), 2)
    estimate = bg.find_MAP(model, n_init=3, random_seed=1, progressbar=False)
    settings = {"draws": 300, "chains": 2, "random_seed": 1, "progressbar": False}
    statistics = bg.sample(model, start=estimate, **settings)["sample_stats"]
    assert not statistics["diverging"].any()
    assert float(statistics["n_steps"].mean()) < 10
    monkeypatch.setattr(Problem, "roots", lambda self, q: Roots.none())
    monkeypatch.setattr(Problem, "round_axes", lambda self, q: None)
    again = bg.find_MAP(bg.build_model(two_flat_clusters(), 2), n_init=3, random_seed=1, progressbar=False)
    without = bg.sample(again.problem.model, start=again, **settings)["sample_stats"]
    assert float(without["n_steps"].mean()) > 200


def test_a_climb_near_a_plane_takes_a_few_iterations():
    """From a draw of the posterior, wide; the negative control: in the model's coordinates thousands do not do."""
    problem = Problem.of(bg.build_model(two_flat_clusters(1e-4), 2))
    estimate = bg.find_MAP(problem.model, n_init=3, random_seed=1, progressbar=False)
    mode = estimate.mode.with_axes
    begin = mode.unconstrained(3 * np.random.default_rng(0).normal(size=mode.q.size))
    within, without = (
        climb(problem.parameter_density, begin, problem.scales, roots=roots, max_iter=2_500)
        for roots in (problem.roots, None)
    )
    assert within.converged
    assert within.log_posterior == pytest.approx(estimate.log_posterior, abs=1e-4)
    assert within.iterations < 200
    assert without.iterations > 2_000
    assert without.log_posterior < within.log_posterior - 0.5


def test_the_evidence_is_as_far_from_laplaces_in_axes_along_the_plane(monkeypatch):
    """The negative control: by a t distribution of the model's own coordinates it is not, across all features."""
    x = two_flat_clusters()
    along = np.linalg.qr(np.concatenate([np.ones((5, 1)), np.eye(5)[:, 1:]], axis=1))[0]

    def beyond_laplace(x):
        dt = bg.sample(bg.build_model(x, 2), draws=500, chains=2, random_seed=1, progressbar=False)
        found = bg.evidence(dt)
        return found.log_evidence - found.laplace, found.standard_error

    (ours, error), (theirs, other_error) = beyond_laplace(x), beyond_laplace(x @ along)
    assert error < 0.2
    assert ours == pytest.approx(theirs, abs=4 * np.hypot(error, other_error))
    monkeypatch.setattr(Problem, "roots", lambda self, q: Roots.none())
    monkeypatch.setattr(Problem, "round_axes", lambda self, q: None)
    assert abs(beyond_laplace(x)[0] - theirs) > 5
