"""Directions of least kurtosis, where starts look for groups."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

import bayesgmm as bg
from bayesgmm.data.seeds import whitened
from bayesgmm.data.table import Table
from bayesgmm.search.projections import Projections, _kurtosis


def apart(n=30, n_features=10, distance=12.0, seed=0):
    """Two clusters that lie apart in one slanted direction."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2 * n, n_features))
    x[n:, 0] += distance
    return x @ rng.normal(size=(n_features, n_features))


def test_the_direction_in_which_two_clusters_lie_apart():
    table = Table.of(apart())
    seen = Projections(whitened(table), table.row_weights, np.random.default_rng(0)).rows(1)[:, 0]
    low, high = sorted((seen[:30], seen[30:]), key=np.mean)
    assert low.max() < high.min()
    assert high.min() - low.max() > 2 * max(low.std(), high.std())


def test_directions_are_at_right_angles_and_no_more_than_there_are():
    rows = np.random.default_rng(1).normal(size=(50, 3))
    seen = Projections(rows, np.ones(50), np.random.default_rng(0)).rows(7)
    directions = np.linalg.lstsq(rows, seen, rcond=None)[0]
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-8)


def test_equal_rows_and_one_feature():
    assert Projections(np.ones((5, 2)), np.ones(5), np.random.default_rng(0)).rows(1).shape == (5, 1)
    one = Projections(np.arange(4.0)[:, None], np.ones(4), np.random.default_rng(0)).rows(1)[:, 0]
    np.testing.assert_allclose(abs(one), np.arange(4.0))


@pytest.mark.parametrize("n_rows", [50, 2500])  # of more than 2,000 some are drawn
def test_fewer_directions_are_the_first_of_more(n_rows):
    rows = np.random.default_rng(1).normal(size=(n_rows, 4))
    one, other = (Projections(rows, np.ones(n_rows), np.random.default_rng(0), tries=3) for _ in range(2))
    first = one.rows(1)
    np.testing.assert_allclose(first, one.rows(3)[:, :1])
    np.testing.assert_allclose(one.rows(3), other.rows(3), rtol=1e-6, atol=1e-8)


def test_kurtosis_and_its_gradient():
    rng = np.random.default_rng(2)
    rows, weight = rng.normal(size=(40, 3)), rng.integers(1, 4, size=40)
    direction = rng.normal(size=3)
    value, gradient = _kurtosis(direction, rows, weight / weight.sum())
    seen = np.repeat(rows, weight, axis=0) @ direction
    np.testing.assert_allclose(value, np.mean(seen**4) / np.mean(seen**2) ** 2)
    numeric = approx_fprime(direction, lambda d: _kurtosis(d, rows, weight / weight.sum())[0], 1e-7)
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


def test_few_rows_of_many_features_are_told_apart():
    """Distances between rows hardly show it: k-means in any metric does not find these."""
    x = apart(25, 10, 20.0, seed=3)
    estimate = bg.find_MAP(bg.build_model(x, 2), random_seed=0)
    labels = estimate.mixture.responsibilities(x).argmax(axis=1)
    assert len(set(labels[:25])) == len(set(labels[25:])) == 1
    assert labels[0] != labels[-1]
