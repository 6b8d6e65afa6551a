"""Plots, judged by what is drawn."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy.stats import chi2

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.reports.plots import certainty_colours, colours, ellipse


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_ellipse_holds_its_probability():
    mean, covariance = np.array([1.0, -2.0]), np.array([[2.0, 0.9], [0.9, 1.0]])
    points = ellipse(mean, covariance, 0.95)
    distance = np.einsum("ni,ij,nj->n", points - mean, np.linalg.inv(covariance), points - mean)
    np.testing.assert_allclose(distance, chi2(2).ppf(0.95))


def test_points_ellipses_and_centres_are_the_posteriors(faithful_draws, faithful):
    ax = bg.plot_clusters(faithful_draws, n_draws=10)
    points, centres = ax.collections
    drawn = points.get_offsets()
    np.testing.assert_allclose(np.sort(drawn[:, 0]), np.sort(faithful["eruptions"]))
    np.testing.assert_allclose(centres.get_offsets(), faithful_draws["posterior"]["means"].mean(("chain", "draw")))
    assert len(ax.lines) == 10 * 2 * 2  # draws, components, levels
    own = colours(2)
    short = drawn[:, 0] < 2.5
    np.testing.assert_allclose(points.get_facecolors()[short][:, :3], np.tile(own[0], (short.sum(), 1)), atol=0.02)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("eruptions", "waiting")


def test_features_can_be_chosen(faithful_draws):
    _, ax = plt.subplots()
    assert bg.plot_clusters(faithful_draws, features=("waiting", "eruptions"), n_draws=2, ax=ax) is ax
    assert ax.get_xlabel() == "waiting"
    with pytest.raises(InvalidArgumentError, match="must name two of: eruptions, waiting"):
        bg.plot_clusters(faithful_draws, features=("waiting", "depth"))


def test_colours_fade_where_two_components_tie():
    mixed = certainty_colours(np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.75, 0.25]]))
    own = colours(3)
    np.testing.assert_allclose(mixed[0], own[0])
    np.testing.assert_allclose(mixed[1], 200 / 255)
    np.testing.assert_allclose(mixed[2], 0.5 * own[1] + 0.5 * 200 / 255)
    assert len({tuple(c) for c in colours(12)}) == 12


@pytest.mark.parametrize("n_components", [1, 3])
def test_a_single_feature_is_a_density(n_components):
    x = np.random.default_rng(0).normal([0.0], 1.0, size=(200, 1))
    dt = bg.find_MAP(bg.build_model(x, n_components), n_init=3, random_seed=0).laplace(20, random_seed=0)
    ax = bg.plot_clusters(dt, n_draws=5)
    mixture = ax.lines[0]
    assert np.trapezoid(mixture.get_ydata(), mixture.get_xdata()) == pytest.approx(1, abs=0.03)
    assert len(ax.lines) == 5 * (1 + n_components)
