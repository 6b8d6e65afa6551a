"""The mixture as a value: its statistics add up, its rows have its moments, its parts are SciPy's."""

import numpy as np
import pytest
from conftest import draw_rows, random_mixture
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.widths import named_rows, own_rows, widths
from bayesgmm.model.covariance import COVARIANCE_TYPES

TYPES = tuple(COVARIANCE_TYPES)


def mixture_of(rng, covariance_type="full", n_components=3, n_features=2, n_draws=None):
    """A mixture as a family lays it out: of one draw, or of several."""
    family = COVARIANCE_TYPES[covariance_type]
    draws = [random_mixture(rng, n_components, n_features, covariance_type) for _ in range(n_draws or 1)]
    weights, means, covariances = (np.array(parts) for parts in zip(*draws, strict=True))
    natural = np.array([family.pool(c, np.ones(n_components)) for c in covariances])
    batch = Mixture(weights, means, family.expand(natural, n_components, n_features))
    return batch[0] if n_draws is None else batch


def by_scipy(mixture, x):
    """Log-density of every row and component, (N, K)."""
    parts = zip(mixture.weights, mixture.means, mixture.full_covariances, strict=True)
    return np.column_stack([np.log(w) + multivariate_normal(m, c).logpdf(x).reshape(len(x)) for w, m, c in parts])


@pytest.mark.parametrize("covariance_type", TYPES)
def test_densities_and_responsibilities_are_scipys(covariance_type):
    rng = np.random.default_rng(0)
    draws, x = mixture_of(rng, covariance_type, n_draws=4), rng.normal(size=(50, 2))
    joint = np.array([by_scipy(one, x) for one in draws])
    log_density = logsumexp(joint, axis=2)
    responsibilities = np.exp(joint - log_density[..., None])
    np.testing.assert_allclose(draws.log_density(x), log_density, rtol=1e-10)
    np.testing.assert_allclose(draws.responsibilities(x), responsibilities, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(draws[2].log_density(x), log_density[2], rtol=1e-10)
    predictive = draws.predictive(x)
    np.testing.assert_allclose(predictive[0], logsumexp(log_density, axis=0) - np.log(4), rtol=1e-10)
    np.testing.assert_allclose(predictive[1], responsibilities.mean(axis=0), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_mixtures_shape_is_one_value_whatever_it_shares(covariance_type):
    draws = mixture_of(np.random.default_rng(1), covariance_type, n_draws=5)
    assert (len(draws), draws.n_components, draws.n_features) == (5, 3, 2)
    assert draws.diagonal == (covariance_type in ("diag", "spherical"))
    assert draws.full_covariances.shape == (5, 3, 2, 2)
    np.testing.assert_allclose(draws.scales**2, np.einsum("skii->ski", draws.full_covariances))
    assert len(draws.thinned(2)) == 2
    assert not draws[0].batched
    with pytest.raises(TypeError, match="no draws"):
        len(draws[0])
    # What components share is one array, not K of them.
    if covariance_type == "tied":
        assert draws.covariances.strides[1] == 0


def test_statistics_of_parts_add_up_and_are_the_gradient():
    rng = np.random.default_rng(2)
    mixture = mixture_of(rng)
    x, _ = draw_rows(rng, 300, mixture.weights, mixture.means + 0.3, mixture.full_covariances)
    weight = rng.uniform(0, 3, size=300)
    whole = mixture.statistics(x, weight)
    parts = sum(mixture.statistics(x[i::7], weight[i::7]) for i in range(7))
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
    assert whole.log_likelihood == pytest.approx(weight @ mixture.log_density(x))

    def log_likelihood(weights, means, covariances):
        return weight @ Mixture(weights, means, covariances).log_density(x)

    base, h = (mixture.weights, mixture.means, mixture.covariances), 1e-6
    for which, gradient in ((0, whole.counts / mixture.weights), (1, whole.first), (2, whole.second / 2)):
        direction = rng.normal(size=base[which].shape)
        if which == 2:
            direction = direction + np.swapaxes(direction, 1, 2)
        ends = [
            log_likelihood(*(v + s * h * direction if i == which else v for i, v in enumerate(base))) for s in (1, -1)
        ]
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx((gradient * direction).sum(), rel=1e-5)


def test_moments_are_those_of_the_weighted_rows():
    rng = np.random.default_rng(3)
    mixture = mixture_of(rng)
    x, weight = rng.normal(size=(200, 2)), rng.uniform(size=200)
    r = mixture.responsibilities(x) * weight[:, None]
    means, scatter = mixture.statistics(x, weight).moments(mixture.means, mixture.full_covariances)
    np.testing.assert_allclose(means, r.T @ x / r.sum(axis=0)[:, None], rtol=1e-9)
    for k in range(3):
        away = x - means[k]
        np.testing.assert_allclose(scatter[k], (r[:, k] * away.T) @ away, rtol=1e-8)


def test_a_component_without_rows_keeps_its_mean():
    mixture = Mixture(np.array([1.0, 0.0]), np.array([[0.0], [7.0]]), np.ones((2, 1, 1)))
    means, scatter = mixture.statistics(np.array([[0.1], [-0.2]])).moments(mixture.means, mixture.covariances)
    assert means[1] == 7.0
    assert scatter[1] == 0.0


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("n_draws", [None, 3])
def test_simulated_rows_have_the_mixtures_moments(covariance_type, n_draws):
    """Within 5 standard errors; rows of a mixture with covariances a tenth larger are rejected by the same bound."""
    rng = np.random.default_rng(4)
    mixture = mixture_of(rng, covariance_type, n_draws=n_draws)
    rows, labels = mixture.simulate(40_000, rng)
    all_draws = [mixture] if n_draws is None else list(mixture)
    weights = np.mean([one.weights for one in all_draws], axis=0)
    np.testing.assert_allclose(np.bincount(labels, minlength=3) / 40_000, weights, atol=5 * 0.5 / 200)

    def z(inflation):
        mean = np.mean([one.weights @ one.means for one in all_draws], axis=0)
        second = np.mean(
            [
                np.einsum("k,kij->ij", one.weights, inflation * one.full_covariances
                          + (one.means - mean)[:, :, None] * (one.means - mean)[:, None, :])
                for one in all_draws
            ], axis=0,
        )  # fmt: skip
        products = (rows - mean)[:, :, None] * (rows - mean)[:, None, :]
        first_z = np.abs(rows.mean(axis=0) - mean) / (rows.std(axis=0) / 200)
        return max(first_z.max(), (np.abs(products.mean(axis=0) - second) / (products.std(axis=0) / 200)).max())

    assert z(1.0) < 5
    assert z(1.1) > 5


def test_mixtures_match_whatever_the_order_of_their_components():
    mixture = mixture_of(np.random.default_rng(5))
    assert mixture.matches(
        Mixture(*(v[[2, 0, 1]] for v in (mixture.weights, mixture.means, mixture.covariances))), 1e-9
    )
    moved = Mixture(mixture.weights, mixture.means + 0.1 * mixture.scales, mixture.covariances)
    assert not mixture.matches(moved, 0.05)
    assert mixture.matches(moved, 0.2)
    # Whatever the units, and however far apart the components are.
    far = Mixture(mixture.weights, 1e6 * mixture.means, mixture.covariances)
    assert not far.matches(Mixture(far.weights, far.means + 0.1 * far.scales, far.covariances), 0.05)


def test_widths_do_not_depend_on_units_and_rows_are_named():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(100, 2))
    mixture = Mixture(np.array([0.5, 0.5]), np.zeros((2, 2)), np.array([np.eye(2), np.diag([1.0, 1e-8])]))
    units = np.array([1e3, 1e-5])
    scaled = Mixture(mixture.weights, mixture.means * units, mixture.covariances * np.outer(units, units))
    np.testing.assert_allclose(widths(mixture, x), widths(scaled, x * units), rtol=1e-6)
    assert widths(mixture, x)[1] < 2e-4
    rows = own_rows(mixture, np.array([[0.0, 0.0], [0.0, 1.0]]), 1)
    np.testing.assert_array_equal(rows, [True, False])
    assert named_rows(np.ones(12, dtype=bool)) == "0, 1, 2, 3, 4, 5, 6, 7 and 4 more"
