"""The maximum of the likelihood: its gradient, EM's own maxima, and components that collapse."""

import numpy as np
import pytest
from conftest import random_mixture
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.search.likelihood import Likelihood, Maximum, _Coordinates
from bayesgmm.search.maximum_likelihood import Found, LikelihoodSearch

TYPES = tuple(COVARIANCE_TYPES)


def likelihood(x, covariance_type, **kwargs):
    return Likelihood(Table.to_fit(x, **kwargs), COVARIANCE_TYPES[covariance_type])


def start(covariance_type, n_components=3, n_features=3):
    rng = np.random.default_rng(0)
    weights, means, covariances = random_mixture(rng, n_components, n_features, covariance_type)
    family = COVARIANCE_TYPES[covariance_type]
    natural = family.pool(covariances, weights)
    return Mixture(weights, means, family.expand(natural, n_components, n_features))


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("n_features", [1, 3])
def test_value_and_gradient_are_those_of_the_density(covariance_type, n_features):
    x = np.random.default_rng(1).normal(size=(40, n_features)) * 2
    weight = np.random.default_rng(2).uniform(0.5, 2, size=40)
    own = likelihood(x, covariance_type, sample_weight=weight, resolution=0.5)
    around = _Coordinates.around(own, start(covariance_type, 3, n_features))
    z = np.random.default_rng(3).normal(size=around.length) / 2
    value, gradient = around.objective(z)
    mixture = around.mixture(z)
    densities = [
        w * multivariate_normal(m, c).pdf(x).reshape(-1)
        for w, m, c in zip(mixture.weights, mixture.means, mixture.full_covariances, strict=True)
    ]
    np.testing.assert_allclose(-value, weight @ np.log(np.sum(densities, axis=0)), rtol=1e-10)
    numerical = approx_fprime(z, lambda at: around.objective(at)[0], 1e-6)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-4, atol=1e-4)
    # At least the floor in every direction.
    assert np.linalg.eigvalsh(mixture.full_covariances).min() >= 0.25 / 12


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_climb_begins_at_its_start(covariance_type):
    x = np.random.default_rng(1).normal(size=(40, 3)) * 2
    own, begin = likelihood(x, covariance_type), start(covariance_type)
    around = _Coordinates.around(own, begin)
    at_start = around.mixture(np.zeros(around.length))
    np.testing.assert_allclose(at_start.full_covariances, begin.full_covariances, rtol=1e-8)
    assert own.climb(begin).log_likelihood > begin.log_density(x).sum()


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("n_components", [2, 3])
def test_climbs_end_where_em_does(faithful, covariance_type, n_components):
    x = faithful.to_numpy()
    em = GaussianMixture(
        n_components, covariance_type=covariance_type, reg_covar=0, tol=1e-12, max_iter=20_000, random_state=0
    ).fit(x)
    family = COVARIANCE_TYPES[covariance_type]
    # From where its EM stands after a few steps.
    few = GaussianMixture(n_components, covariance_type=covariance_type, reg_covar=0, tol=1e-3, random_state=0).fit(x)
    begin = Mixture(few.weights_, few.means_, family.expand(few.covariances_, n_components, 2))
    ended = likelihood(x, covariance_type, resolution=None).climb(begin)
    assert ended.converged
    # EM creeps: it stops within a ten-thousandth of a nat of the maximum, from below.
    assert ended.log_likelihood == pytest.approx(em.score(x) * len(x), abs=1e-3)
    assert ended.log_likelihood > em.score(x) * len(x) - 1e-6


def test_a_component_on_one_row_has_collapsed():
    x = np.random.default_rng(0).normal(size=(60, 2))
    narrow = Mixture(np.array([0.95, 0.05]), np.array([[0.0, 0.0], x[0]]), np.stack([np.eye(2), 1e-4 * np.eye(2)]))
    ended = likelihood(x, "full").climb(narrow)
    assert ended.collapsed == (1,)
    assert likelihood(x, "tied").climb(narrow).collapsed == ()


def test_a_component_on_one_value_of_a_recorded_feature_has_collapsed():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=200), np.round(rng.normal(size=200) * 3)])
    x[:60, 1] = 9.0
    table = Table.to_fit(x, resolution=[0.0, 1.0])
    begin = Mixture(np.array([0.7, 0.3]), np.array([[0.0, 0.0], [0.0, 9.0]]), np.stack([np.eye(2), 0.2 * np.eye(2)]))
    ended = Likelihood(table, COVARIANCE_TYPES["full"]).climb(begin)
    assert ended.collapsed == (1,)
    assert np.isfinite(ended.log_likelihood)
    # What rounding explains is left.
    assert ended.mixture.full_covariances[1, 1, 1] == pytest.approx(1 / 12, rel=1e-3)


def test_what_collapsed_is_no_maximum_while_there_is_another():
    one = start("full")
    low, high = Maximum(one, -10.0, True), Maximum(one, 50.0, True, (0,))
    found = Found.among([high, low, high])
    assert (found.maximum, found.n_starts, found.n_reached, found.n_collapsed) == (low, 3, 1, 2)
    assert Found.among([high]).maximum is high
    both = Found.among([high]).joined(Found.among([low]))
    assert (both.maximum, both.n_starts, both.n_reached, both.n_collapsed) == (low, 2, 1, 1)


@pytest.mark.parametrize("scale", [1e-6, 1e8])
def test_units_do_not_matter(faithful, scale):
    def found(x):
        search = LikelihoodSearch(likelihood(x, "full", resolution=None), 3, np.random.default_rng(0))
        search.run()
        return search.found.maximum

    one, other = found(faithful.to_numpy()), found(faithful.to_numpy() * scale)
    shift = 2 * len(faithful) * np.log(scale)
    assert other.log_likelihood + shift == pytest.approx(one.log_likelihood, abs=1e-3)


def test_many_components_on_few_rows_end_and_say_that_they_collapsed():
    x = np.random.default_rng(0).normal(size=(12, 3))
    search = LikelihoodSearch(likelihood(x, "full", resolution=None), 6, np.random.default_rng(0))
    search.run()
    assert search.found.maximum.collapsed
    assert np.isfinite(search.found.maximum.log_likelihood)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("n_rows", [4, 6])
def test_as_many_components_as_rows_and_rows_of_a_plane_are_climbed(faithful, covariance_type, n_rows):
    x = faithful.to_numpy()[:n_rows]
    on_a_line = np.column_stack([x, x @ [2.0, 3.0], x[:, 0]])
    for rows in (x, on_a_line):
        search = LikelihoodSearch(likelihood(rows, covariance_type, resolution=None), 4, np.random.default_rng(0))
        search.run()
        assert np.isfinite(search.found.maximum.log_likelihood)
