"""Densities, marginals, conditionals and regressions against SciPy and numerical integration."""

import numpy as np
import pytest
from conftest import random_mixture
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm
from test_posterior import constructed_tree

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.record.fit import Fit


def three_features(covariance_type="full"):
    """Two draws of a mixture of two components and three features."""
    rng = np.random.default_rng(0)
    structure = COVARIANCE_TYPES[covariance_type]
    draws = [random_mixture(rng, 2, 3, covariance_type) for _ in range(2)]
    weights, means, covariances = (np.array(parts) for parts in zip(*draws, strict=True))
    natural = np.array([structure.pool(c, np.ones(2)) for c in covariances])
    return Mixture(weights, means, structure.expand(natural, 2, 3))


def scipy_density(draws, s, x):
    one = draws[s]
    parts = zip(one.weights, one.means, one.full_covariances, strict=True)
    return sum(w * multivariate_normal(m, c).pdf(x) for w, m, c in parts)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_marginals_are_integrals(covariance_type):
    draws = three_features(covariance_type)
    marginal = draws.conditional([2, 0], {})
    for s in range(2):
        c, a = 0.3, -0.4
        integral, _ = quad(lambda b, s=s: scipy_density(draws, s, [-0.4, b, 0.3]), -30, 30, epsabs=1e-12, limit=200)
        assert np.exp(marginal[s].log_density(np.array([[c, a]]))[0]) == pytest.approx(integral, abs=1e-10)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_conditionals_are_ratios_of_integrals(covariance_type):
    draws = three_features(covariance_type)
    part = draws.conditional([1], {0: 0.7, 2: -0.2})
    for s in range(2):
        joint = lambda b, s=s: scipy_density(draws, s, [0.7, b, -0.2])  # noqa: E731
        evidence, _ = quad(joint, -30, 30, epsabs=1e-13, limit=200)
        for b in (-1.0, 0.4):
            assert np.exp(part[s].log_density(np.array([[b]]))[0]) == pytest.approx(joint(b) / evidence, abs=1e-10)
        # and with a feature integrated out besides
        narrower = draws.conditional([1], {0: 0.7})
        both, _ = quad(lambda c, s=s: scipy_density(draws, s, [0.7, 0.4, c]), -30, 30, epsabs=1e-13, limit=200)
        # The trapezoidal rule, which converges faster than any power of the step where the ends are flat.
        line, step = np.linspace(-25, 25, 1001, retstep=True)
        plane = np.stack([np.full((1001, 1001), 0.7), *np.meshgrid(line, line)], axis=-1)
        all_b = scipy_density(draws, s, plane).sum() * step**2
        assert np.exp(narrower[s].log_density(np.array([[0.4]]))[0]) == pytest.approx(both / all_b, abs=1e-10)


def test_a_conditional_far_from_all_data_is_finite():
    part = three_features().conditional([1], {0: 1e8})
    assert np.isfinite(part.means).all()
    np.testing.assert_allclose(part.weights.sum(axis=1), 1)


def test_density_is_the_mean_and_band_over_draws(faithful_draws):
    points = np.array([[2.0, 55.0], [3.0, 70.0], [4.5, 80.0]])
    ours = bg.density(faithful_draws, points, ci_prob=0.5)
    draws = Fit.of(faithful_draws).mixture
    each = np.array([scipy_density(draws, s, points) for s in range(len(draws))])
    np.testing.assert_allclose(ours["density"], each.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(ours["density_sd"], each.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(ours["lower"], np.quantile(each, 0.25, axis=0), rtol=1e-10)
    np.testing.assert_allclose(ours["upper"], np.quantile(each, 0.75, axis=0), rtol=1e-10)
    np.testing.assert_array_equal(ours["waiting"], points[:, 1])


def test_grids_integrate_to_one(faithful_draws):
    both = bg.density(faithful_draws)
    assert both["density"].dims == ("eruptions", "waiting")
    # the grid ends a tenth of the range beyond the data
    assert both["density"].integrate(["eruptions", "waiting"]) == pytest.approx(1, abs=5e-3)
    one = bg.density(faithful_draws, features=["waiting"])
    assert one["density"].integrate("waiting") == pytest.approx(1, abs=5e-3)
    np.testing.assert_allclose(
        bg.density(faithful_draws, [70.0], features=["waiting"])["density"],
        quad(lambda e: bg.density(faithful_draws, [[e, 70.0]])["density"].item(), 0, 8, epsabs=1e-6)[0],
        rtol=1e-4,
    )
    given = bg.density(faithful_draws, given={"waiting": 80})
    assert given["density"].integrate("eruptions") == pytest.approx(1, abs=5e-3)
    assert given.attrs["given waiting"] == 80


def test_points_of_a_frame_are_taken_by_name(faithful_draws, faithful):
    rows = faithful.iloc[:3]
    expected = bg.density(faithful_draws, rows.to_numpy())["density"]
    np.testing.assert_allclose(bg.density(faithful_draws, rows[["waiting", "eruptions"]])["density"], expected)
    with pytest.raises(InvalidDataError, match="points have 1 column"):
        bg.density(faithful_draws, rows[["waiting"]])


@pytest.mark.parametrize("given", [{"a": 0.5}, {"b": [0.1, -0.3], "c": 1.0}])
def test_regression_is_the_mean_of_the_conditional_density(given):
    rng = np.random.default_rng(1)
    dt = constructed_tree(rng, 2, n_draws=6)
    if "c" in given:  # constructed trees have two features
        given = {"b": given["b"]}
    (target,) = {"a", "b"} - set(given)
    curve = bg.regression(dt, target, given=given, ci_prob=0.5)
    fit = Fit.of(dt)
    draws = fit.mixture
    (name,) = given
    values = np.atleast_1d(given[name])
    assert curve.sizes["point"] == len(values)
    for i, value in enumerate(values):
        part = draws.conditional([fit.features.index(target)], {fit.features.index(name): float(value)})
        means, seconds = [], []
        for s in range(len(draws)):
            weights, m, v = part.weights[s], part.means[s, :, 0], part.covariances[s, :, 0, 0]
            components = [norm(m[k], np.sqrt(v[k])) for k in range(2)]
            means.append(sum(w * c.expect(lambda t: t) for w, c in zip(weights, components, strict=True)))
            seconds.append(sum(w * c.expect(lambda t: t**2) for w, c in zip(weights, components, strict=True)))
        assert curve["mean"][i] == pytest.approx(np.mean(means), rel=1e-8)
        assert curve["lower"][i] == pytest.approx(np.quantile(means, 0.25), rel=1e-8)
        assert curve["sd"][i] == pytest.approx(np.sqrt(np.mean(seconds) - np.mean(means) ** 2), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"features": ["depth"]}, "no feature 'depth'"),
        ({"features": "waiting"}, r"must be a list of names: \['waiting'\]"),
        ({"features": ["waiting"], "given": {"waiting": 3}}, "named twice"),
        ({"given": {"waiting": 80, "eruptions": 2}}, "every feature is given"),
        ({"given": {"waiting": [70, 80]}}, "use bayesgmm.regression"),
        ({"given": {"waiting": np.nan}}, "must be a finite number"),
        ({"given": {"waiting": "soon"}}, "must be a finite number"),
        ({"ci_prob": 2}, "ci_prob"),
    ],
)
def test_density_says_what_is_wrong(faithful_draws, arguments, words):
    with pytest.raises(InvalidArgumentError, match=words):
        bg.density(faithful_draws, **arguments)


def test_three_features_need_points():
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(0, 1, (40, 3)), rng.normal(6, 1, (40, 3))])
    dt = bg.find_MAP(bg.build_model(x, 2), n_init=3, random_seed=0).laplace(20, random_seed=0)
    with pytest.raises(InvalidArgumentError, match="give points, or choose one or two"):
        bg.density(dt)
    assert bg.density(dt, features=["x0", "x2"])["density"].shape == (60, 60)
    with pytest.raises(InvalidArgumentError, match="different lengths"):
        bg.regression(dt, "x0", given={"x1": [1.0, 2.0], "x2": [1.0, 2.0, 3.0]})
    with pytest.raises(InvalidArgumentError, match="at least one feature"):
        bg.regression(dt, "x0", given={})
