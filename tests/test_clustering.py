"""Co-clustering and partitions, against brute force and exhaustive search."""

from itertools import product

import numpy as np
import pytest
from conftest import draw_rows
from sklearn.metrics import adjusted_rand_score, mutual_info_score
from test_posterior import constructed_tree, scramble

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.posterior import coclustering as module
from bayesgmm.posterior.partition import distances, minimise, sample_allocations
from bayesgmm.record.fit import Fit


def overlapping_tree(rng, n_rows=60, n_components=3, n_draws=40):
    """Draws whose components overlap and differ from draw to draw."""
    dt = constructed_tree(rng, n_components, n_draws=n_draws, n_rows=n_rows)
    posterior = dt["posterior"].to_dataset()
    posterior["means"] = 0.15 * posterior["means"] + rng.normal(0, 0.3, size=posterior["means"].shape)
    dt["posterior"] = posterior
    return dt


def brute_force_matrix(dt):
    draws, x = Fit.of(dt).mixture, Fit.of(dt).x
    r = np.array([one.responsibilities(x) for one in draws])
    matrix = np.einsum("sik,sjk->ij", r, r) / len(draws)
    np.fill_diagonal(matrix, 1)
    return matrix


def test_coclustering_equals_brute_force_and_knows_no_labels(monkeypatch):
    monkeypatch.setattr(module, "SLAB_DRAWS", 7)
    monkeypatch.setattr(module, "BLOCK_ROWS", 16)
    rng = np.random.default_rng(0)
    dt = overlapping_tree(rng)
    matrix = bg.coclustering(dt)
    np.testing.assert_allclose(matrix, brute_force_matrix(dt), atol=1e-10)
    assert matrix.dims == ("obs_id", "obs_id2")
    switched, _ = scramble(dt, rng)
    np.testing.assert_allclose(bg.coclustering(switched), matrix, atol=1e-12)
    rows = [50, 3, 17]
    part = bg.coclustering(dt, rows=rows)
    np.testing.assert_allclose(part, matrix.values[np.ix_(rows, rows)], atol=1e-12)
    assert part["obs_id"].values.tolist() == rows


def test_neighbours_are_the_largest_of_the_matrix(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", 16)
    monkeypatch.setattr(module, "QUERY_ROWS", 24)
    dt = overlapping_tree(np.random.default_rng(1))
    matrix = brute_force_matrix(dt)
    np.fill_diagonal(matrix, -1)
    found = bg.coclustering(dt, neighbours=5)
    np.testing.assert_allclose(found["probability"], -np.sort(-matrix, axis=1)[:, :5], atol=1e-10)
    np.testing.assert_allclose(
        np.take_along_axis(matrix, found["neighbour"].values, axis=1), found["probability"], atol=1e-10
    )
    one = bg.coclustering(dt, rows=[7], neighbours=5)
    np.testing.assert_array_equal(one["neighbour"][0], found["neighbour"][7])


def test_a_matrix_that_is_too_large_says_what_to_do(monkeypatch, faithful_draws):
    monkeypatch.setattr(module, "MAX_DENSE_ROWS", 100)
    with pytest.raises(InvalidArgumentError, match=r"rows=range\(0, 272, 3\)"):
        bg.coclustering(faithful_draws)
    with pytest.raises(InvalidArgumentError, match="rows holds 272"):
        bg.coclustering(faithful_draws, rows=[272])
    with pytest.raises(InvalidArgumentError, match="neighbours = 272"):
        bg.coclustering(faithful_draws, neighbours=272)


def all_partitions(n):
    """Every partition of n rows, once each: the label of a row is at most one above those before it."""
    for labels in product(*(range(i + 1) for i in range(n))):
        if all(label <= max(labels[:i], default=-1) + 1 for i, label in enumerate(labels)):
            yield np.array(labels)


def variation_of_information(a, b):
    entropy = [mutual_info_score(c, c) for c in (a, b)]
    return sum(entropy) - 2 * mutual_info_score(a, b)


def binder(a, b):
    pairs = (a[:, None] == a) != (b[:, None] == b)
    return pairs.sum() / (len(a) * (len(a) - 1))


@pytest.mark.parametrize(("loss", "oracle"), [("vi", variation_of_information), ("binder", binder)])
@pytest.mark.parametrize("seed", range(4))
def test_partition_of_eight_rows_is_that_of_an_exhaustive_search(loss, oracle, seed):
    rng = np.random.default_rng(seed)
    dt = overlapping_tree(rng, n_rows=8)
    allocations = sample_allocations(Fit.of(dt).mixture, Fit.of(dt).x, rng)
    labels, expected = minimise(allocations, 3, loss, 10, rng)
    everything = list(all_partitions(8))
    assert len(everything) == 4140  # the eighth Bell number
    losses = np.array([distances(c, allocations, 3, loss).mean() for c in everything])
    assert expected == pytest.approx(losses.min(), abs=1e-12)
    # the distance itself, by scikit-learn and by counting pairs
    theirs = [oracle(labels, allocations[:, s].astype(int)) for s in range(allocations.shape[1])]
    np.testing.assert_allclose(distances(labels, allocations, 3, loss), theirs, atol=1e-12)


def test_a_sampled_allocation_has_the_posteriors_probabilities():
    dt = overlapping_tree(np.random.default_rng(3), n_rows=5, n_draws=4000)
    allocations = sample_allocations(Fit.of(dt).mixture, Fit.of(dt).x, np.random.default_rng(0))
    together = np.mean(allocations[:, None] == allocations[None], axis=2)
    # 4.5 standard errors of a share of 4,000
    np.testing.assert_allclose(together, brute_force_matrix(dt), atol=4.5 * 0.5 / np.sqrt(4000))


@pytest.mark.parametrize("loss", ["vi", "binder"])
def test_partition_of_separated_data_is_the_truth(loss):
    rng = np.random.default_rng(4)
    weights, means = np.array([0.5, 0.3, 0.2]), np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    x, truth = draw_rows(rng, 300, weights, means, np.array([np.eye(2)] * 3))
    dt = bg.find_MAP(bg.build_model(x, 3), n_init=5, random_seed=0).laplace(400, random_seed=0)
    best = bg.partition(dt, loss=loss, random_seed=0)
    assert adjusted_rand_score(truth, best.labels) == 1.0
    assert best.n_clusters == 3
    assert best.ball_n_clusters == (3, 3)
    assert np.bincount(best.labels).tolist() == sorted(np.bincount(best.labels), reverse=True)
    again = bg.partition(dt, loss=loss, random_seed=0)
    np.testing.assert_array_equal(best.labels, again.labels)


def test_components_that_cover_one_cluster_are_one_cluster():
    """Three components for two clusters of the data: partition() says 2, and the ball says how sure that is."""
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(0, 1, (150, 2)), rng.normal(9, 1, (150, 2))])
    dt = bg.find_MAP(bg.build_model(x, 3), n_init=5, random_seed=0).laplace(400, random_seed=0)
    best = bg.partition(dt, random_seed=0)
    assert best.n_clusters == 2
    assert adjusted_rand_score(np.repeat([0, 1], 150), best.labels) == 1.0
    draws = sample_allocations(Fit.of(dt).mixture, Fit.of(dt).x, np.random.default_rng(0))
    inside = np.mean(distances(best.labels, draws, 3, "vi") <= best.ball_radius)
    assert inside == pytest.approx(best.ci_prob, abs=4.5 * np.sqrt(0.89 * 0.11 / 200))


def test_partition_of_one_component_is_one_cluster():
    rng = np.random.default_rng(6)
    dt = bg.find_MAP(bg.build_model(rng.normal(size=(40, 1)), 1), random_seed=0).laplace(50, random_seed=0)
    best = bg.partition(dt, random_seed=0)
    assert (best.n_clusters, best.expected_loss, best.ball_radius) == (1, 0.0, 0.0)
    assert (bg.coclustering(dt) == 1).all()


def test_partition_refuses_what_it_cannot_use(faithful_draws):
    with pytest.raises(InvalidArgumentError, match="unknown loss 'ari'"):
        bg.partition(faithful_draws, loss="ari")
    with pytest.raises(InvalidArgumentError, match="n_init"):
        bg.partition(faithful_draws, n_init=0)
