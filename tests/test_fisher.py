"""Axes in closed form: against numerical derivatives, and against the curvature at modes."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.graph.in_axes import InAxes
from bayesgmm.graph.roots import Roots
from bayesgmm.mixture import log_cholesky
from bayesgmm.model.relative import RelativePrior
from bayesgmm.search.climb import climb
from bayesgmm.search.curvature import mixture_term
from bayesgmm.search.fisher import _axes, _contrasts
from bayesgmm.search.mode import Mode, rough_log_evidence
from bayesgmm.search.problem import Problem

# Of clusters apart, whose rows are not in doubt, how much the curvature may be in any direction.
NEARLY_ROUND = 0.125, 3.0


def blobs(n_rows, n_features, n_components, seed=0):
    """Clusters far apart, of covariances that differ somewhat, in units that differ much."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_components, n_features))
    centres[:, 0] += 12 * np.arange(n_components)
    mixing = rng.normal(size=(n_features, n_features)) * np.geomspace(1e-3, 1e3, n_features)
    turns = np.eye(n_features) + 0.1 * rng.normal(size=(n_components, n_features, n_features))
    labels = np.arange(n_rows) % n_components
    within = np.einsum("nij,nj->ni", turns[labels], rng.normal(size=(n_rows, n_features)))
    return (centres[labels] + within) @ mixing


def spectrum(model, n_init=3):
    """The curvature at the mode in the axes there, from the least on."""
    estimate = bg.find_MAP(model, n_init=n_init, random_seed=1, progressbar=False)
    mode = Mode.near(estimate.problem, estimate.q)
    axes = estimate.problem.round_axes(mode.q).toarray()
    return np.linalg.eigvalsh(axes.T @ mode.hessian @ axes)


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_axes_are_derivatives(n_features):
    """Of the coordinates of F (I + E), by E: below the diagonal entry by entry, along it the scale and contrasts."""
    rng = np.random.default_rng(n_features)
    y = rng.normal(size=log_cholesky.length(n_features))
    roots = Roots.at(y, np.arange(len(y))[None])
    rows, of_scale, follow = 7.0, 3.0, (0.5, 0.2)
    direction = rng.normal(size=len(y))
    i, j = np.tril_indices(n_features)
    e = np.zeros((n_features, n_features))
    e[i, j] = follow[0] * direction / np.sqrt(rows)
    lengths = np.full(n_features, follow[0] / np.sqrt(2 * rows))
    lengths[0] = follow[1] / np.sqrt(of_scale)
    e[np.diag_indices(n_features)] = _contrasts(n_features) @ (lengths * direction[i == j])
    moved = [
        roots.there(log_cholesky.coordinates(roots.factors[0] @ (np.eye(n_features) + h * e))) for h in (1e-6, -1e-6)
    ]
    np.testing.assert_allclose(
        _axes(n_features, True, rows, of_scale, follow) @ direction,
        (moved[0] - moved[1]) / 2e-6,
        rtol=1e-7,
        atol=1e-8,
    )


MODELS = {
    "full": lambda: bg.build_model(blobs(400, 4, 3), 3),
    "tied": lambda: bg.build_model(blobs(400, 4, 3), 3, covariance_type="tied"),
    "diag": lambda: bg.build_model(blobs(400, 4, 3) @ np.linalg.inv(blobs(4, 4, 1)), 3, covariance_type="diag"),
    "spherical": lambda: bg.build_model(
        np.random.default_rng(0).normal(size=(300, 3)) + 9 * np.eye(3)[np.arange(300) % 3], 3,
        covariance_type="spherical",
    ),
    "one component": lambda: bg.build_model(blobs(100, 4, 1), 1),
    "one feature": lambda: bg.build_model(blobs(100, 1, 2), 2),
    "noise": lambda: bg.build_model(blobs(400, 4, 3), 3, noise=True),
    "sticks": lambda: bg.build_model(blobs(400, 4, 3), 3, priors=bg.Priors(weights="stick-breaking")),
    "row weights": lambda: bg.build_model(blobs(400, 4, 3), 3, sample_weight=np.arange(400) % 5 / 4),
    "a given reference": lambda: bg.build_model(
        blobs(400, 4, 3), 3, priors=bg.Priors(reference=np.cov(blobs(400, 4, 1).T))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_posterior_is_nearly_round_in_them(name):
    found = spectrum(MODELS[name]())
    assert found[0] > NEARLY_ROUND[0]
    assert found[-1] < NEARLY_ROUND[1]


def test_without_what_the_prior_tells_it_is_not(monkeypatch):
    """The negative control: 30 rows a component, whose shapes the prior holds together."""
    model = bg.build_model(blobs(90, 6, 3), 3)
    assert spectrum(model)[-1] < NEARLY_ROUND[1]
    monkeypatch.setattr(RelativePrior, "expected_rows", lambda self, factors, around: np.full(len(factors), 1e-3))
    assert spectrum(model)[-1] > NEARLY_ROUND[1]


def test_a_climb_takes_a_few_iterations_in_them():
    problem = Problem.of(bg.build_model(blobs(1_000, 10, 5), 5))
    begin = bg.find_MAP(problem.model, random_seed=1, progressbar=False).q + 0.02 * problem.scales
    tops = [
        climb(problem.parameter_density, begin, problem.scales, roots=problem.roots, round_axes=axes)
        for axes in (problem.round_axes, None)
    ]
    assert all(top.converged for top in tops)
    assert tops[0].log_posterior == pytest.approx(tops[1].log_posterior, abs=1e-6)
    assert tops[0].iterations < 30 < tops[1].iterations


def test_chains_of_many_parameters_read_them():
    """What a chain is given is the density at mode + axes u, and the slopes by u."""
    estimate = bg.find_MAP(bg.build_model(blobs(600, 10, 4), 4), n_init=3, random_seed=1, progressbar=False)
    mode = estimate.optima.mode(0).with_axes
    assert mode.axes.matrix.nnz < 0.1 * mode.q.size**2
    density, u = estimate.problem.sampling_density, np.random.default_rng(0).normal(size=mode.q.size)
    value, gradient = mode.roots.seen(density)(mode.centre + mode.axes.moved(u))
    assert value == density(mode.unconstrained(u))[0]
    found, slopes = InAxes(density, mode)(u)
    assert found == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(slopes, gradient @ mode.axes.dense, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("n_rows", [300, 20_000])
def test_optima_under_other_priors_are_weighed(n_rows):
    """Priors for which no axes are known in closed form, of few parameters: with many rows too."""
    model = bg.build_model(blobs(n_rows, 3, 4), 4, priors=bg.Priors(reference=None))
    estimate = bg.find_MAP(model, n_init=1, random_seed=1, progressbar=False)
    problem = estimate.problem
    other = estimate.q + problem.scales * np.random.default_rng(0).normal(size=estimate.q.size)
    found = rough_log_evidence(problem, [estimate.q, other])
    many = mixture_term(problem.sampling_density) is not None
    assert many == (n_rows > 300)
    assert problem.round_axes(estimate.q) is None
    assert found[0] > found[1] if many else (found == 0).all()
