"""Relabelling, soft assignments and the diagnosis, on draws whose right answer is known."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import draw_rows, random_mixture
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError, InvalidDataTypeError, ModelError
from bayesgmm.mixture.labels import ecr, stephens


def constructed_tree(rng, n_components, n_draws=60, n_rows=120, noise=0.02):
    """Draws around one well-separated mixture, as a tree."""
    from arviz_base import from_dict

    weights, means, covariances = random_mixture(rng, n_components, 2, separation=8.0)
    means = means[np.argsort(means[:, 0])]
    x, _ = draw_rows(rng, n_rows, weights, means, covariances)
    shape = (2, n_draws // 2)
    posterior = {
        "weights": np.broadcast_to(weights, (*shape, n_components)),
        "means": means + noise * rng.normal(size=(*shape, *means.shape)),
        "covariances": np.broadcast_to(covariances, (*shape, *covariances.shape)),
    }
    return from_dict(
        {"posterior": posterior, "sample_stats": {"lp": rng.normal(size=shape)}, "observed_data": {"x": x}},
        coords={"component": np.arange(n_components), "feature": ["a", "b"], "feature2": ["a", "b"]},
        dims={
            "weights": ["component"],
            "means": ["component", "feature"],
            "covariances": ["component", "feature", "feature2"],
            "x": ["obs_id", "feature"],
        },
        attrs={"posterior": {"covariance_type": "full"}},
    )


def scramble(dt, rng):
    """Give every draw's components a random order."""
    tree = dt.copy(deep=True)
    posterior = tree["posterior"].to_dataset()
    k = posterior.sizes["component"]
    orders = np.array([rng.permutation(k) for _ in range(posterior["weights"][..., 0].size)])
    orders = orders.reshape(*posterior["weights"].shape[:2], k)
    for name in [name for name, variable in posterior.data_vars.items() if variable.dims[2:3] == ("component",)]:
        values = posterior[name].values
        index = orders.reshape(*orders.shape, *(1,) * (values.ndim - 3))
        posterior[name] = (posterior[name].dims, np.take_along_axis(values, index, axis=2))
    tree["posterior"] = xr.DataTree(posterior)
    return tree, orders


@pytest.mark.parametrize("method", ["stephens", "ecr"])
@pytest.mark.parametrize("n_components", [2, 3, 5, 8])
def test_label_switching_is_undone_exactly(method, n_components):
    rng = np.random.default_rng(n_components)
    truth = constructed_tree(rng, n_components)
    switched, orders = scramble(truth, rng)
    assert not np.allclose(switched["posterior"]["means"], truth["posterior"]["means"])
    mended = bg.relabel(switched, method=method)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(mended["posterior"][name], truth["posterior"][name])
    # the permutations that are kept lead back to the sampler's labels
    permutation = mended["sample_stats"]["permutation"].values
    np.testing.assert_array_equal(
        np.take_along_axis(orders, permutation, axis=2), np.broadcast_to(np.arange(n_components), orders.shape)
    )


def test_relabelling_twice_keeps_the_way_back():
    rng = np.random.default_rng(0)
    switched, _ = scramble(constructed_tree(rng, 3), rng)
    once = bg.relabel(switched)
    twice = bg.relabel(once, method="ecr")
    xr.testing.assert_equal(once["posterior"].to_dataset(), twice["posterior"].to_dataset())
    raw = switched["posterior"]["means"].values
    permutation = twice["sample_stats"]["permutation"].values
    np.testing.assert_array_equal(np.take_along_axis(raw, permutation[..., None], axis=2), twice["posterior"]["means"])


def test_relabelling_does_not_depend_on_the_order_of_the_chains():
    rng = np.random.default_rng(1)
    switched, _ = scramble(constructed_tree(rng, 4), rng)
    reversed_ = switched.isel(chain=[1, 0])
    np.testing.assert_array_equal(
        bg.relabel(switched)["posterior"]["means"], bg.relabel(reversed_)["posterior"]["means"][::-1]
    )


def test_stephens_ends_at_a_fixed_point_among_the_best_permutations():
    """Overlapping components: given Q no draw has a better order, and few of all 6^3 orders have less divergence."""
    rng = np.random.default_rng(2)
    draws = np.array([rng.dirichlet([1, 1, 1], size=40) for _ in range(3)])

    def divergence(orders):
        permuted = [p[:, list(o)] for p, o in zip(draws, orders, strict=True)]
        q = np.mean(permuted, axis=0)
        return sum((p * np.log(p / q)).sum() for p in permuted)

    permutation = stephens(draws.__getitem__, 3)
    q = np.mean([p[:, o] for p, o in zip(draws, permutation, strict=True)], axis=0)
    for p, own in zip(draws, permutation, strict=True):
        costs = {o: (p[:, list(o)] * np.log(p[:, list(o)] / q)).sum() for o in permutations(range(3))}
        assert min(costs, key=costs.__getitem__) == tuple(own)
    ours = divergence(permutation)
    everything = [divergence(orders) for orders in product(permutations(range(3)), repeat=3)]
    assert ours < np.quantile(everything, 0.15)
    assert ecr(draws.__getitem__, 3).shape == (3, 3)


@pytest.mark.parametrize("method", [stephens, ecr])
def test_draws_are_relabelled_alike_in_slabs_of_any_length(method, monkeypatch):
    rng = np.random.default_rng(3)
    draws = rng.dirichlet([4, 2, 1], size=(23, 40))
    shuffled = np.array([draw[:, rng.permutation(3)] for draw in draws])
    whole = method(shuffled.__getitem__, 23)
    monkeypatch.setattr("bayesgmm.mixture.labels.SLAB", 1)
    np.testing.assert_array_equal(method(shuffled.__getitem__, 23), whole)
    monkeypatch.setattr("bayesgmm.mixture.labels.MOST_SLABS", 5)
    np.testing.assert_array_equal(method(shuffled.__getitem__, 23), whole)
    assert len({tuple(order) for order in whole}) > 1


def component_covariance(natural, covariance_type, k):
    if covariance_type == "tied":
        return natural
    own = natural[k]
    return own if covariance_type == "full" else own * np.eye(2)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_assignments_equal_brute_force(faithful, covariance_type):
    model = bg.build_model(faithful, 2, covariance_type=covariance_type)
    dt = bg.find_MAP(model, n_init=2, random_seed=1).laplace(30, random_seed=1)
    rows = faithful.iloc[::3]
    ours = bg.assignments(dt, rows, ci_prob=0.8)
    posterior = dt["posterior"].isel(chain=0)
    r = np.empty((30, len(rows), 2))
    for s in range(30):
        draw = posterior.isel(draw=s)
        for k in range(2):
            c = component_covariance(draw["covariances"].values, covariance_type, k)
            mean = draw["means"].values[k]
            r[s, :, k] = np.log(draw["weights"].values[k]) + multivariate_normal(mean, c).logpdf(rows)
    r = np.exp(r - logsumexp(r, axis=2, keepdims=True))
    np.testing.assert_allclose(ours["probability"], r.mean(axis=0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours["probability_sd"], r.std(axis=0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours["lower"], np.quantile(r, 0.1, axis=0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours["upper"], np.quantile(r, 0.9, axis=0), rtol=0, atol=1e-10)

    def entropy(p):
        return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1)

    expected = {
        "entropy": entropy(r.mean(axis=0)),
        "expected_entropy": entropy(r).mean(axis=0),
        "mutual_information": entropy(r.mean(axis=0)) - entropy(r).mean(axis=0),
        "label_probability": r.mean(axis=0).max(axis=1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(ours[name], values, rtol=0, atol=1e-10)
    # the parts are the whole, to the last digit
    parts = ours["expected_entropy"] + ours["mutual_information"]
    np.testing.assert_allclose(parts, ours["entropy"], rtol=0, atol=2e-16)
    assert (ours["mutual_information"] >= 0).all()
    assert (ours["label"] == ours["probability"].argmax("component")).all()


def test_assignments_read_well_as_a_data_frame(faithful_draws, faithful):
    rows = faithful.iloc[[4, 2]].set_axis(["late", "early"])
    soft = bg.assignments(faithful_draws, rows[["waiting", "eruptions"]].assign(extra=1.0))
    table = soft.to_dataframe()
    assert table.index.names == ["obs_id", "component"]
    assert list(table.loc["late"].index) == [0, 1]
    assert table.loc[("early", 0), "probability"] + table.loc[("early", 1), "probability"] == pytest.approx(1)
    # columns were taken by name, whatever their order
    expected = bg.assignments(faithful_draws, faithful.iloc[[4, 2]].to_numpy())
    np.testing.assert_array_equal(soft["probability"], expected["probability"])


def test_assignments_are_the_same_on_any_number_of_threads(faithful_draws, monkeypatch):
    from bayesgmm.data.cores import limited_to
    from bayesgmm.posterior import assignments as module

    monkeypatch.setattr(module, "BLOCK_DOUBLES", 4000 * 2 * 9)
    with limited_to(1):
        one = bg.assignments(faithful_draws)
    xr.testing.assert_identical(one, bg.assignments(faithful_draws))


def test_a_long_computation_shows_a_bar_on_a_terminal(faithful_draws, monkeypatch, capfd):
    from bayesgmm import progress as module

    monkeypatch.setattr(module, "WORTH_A_BAR", 1.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    bg.assignments(faithful_draws, progressbar=True)
    assert "Assignments" in capfd.readouterr().err
    bg.assignments(faithful_draws, progressbar=False)
    assert capfd.readouterr().err == ""


def test_assignments_do_not_depend_on_the_blocks(faithful_draws, monkeypatch):
    from bayesgmm.posterior import assignments as module

    whole = bg.assignments(faithful_draws)
    monkeypatch.setattr(module, "BLOCK_DOUBLES", 4000 * 2 * 7)
    xr.testing.assert_allclose(whole, bg.assignments(faithful_draws), rtol=1e-12)


def test_assignments_refuse_what_they_cannot_use(faithful_draws, faithful):
    with pytest.raises(InvalidDataError, match=r"X has 1 features, but .* 2 features \(eruptions, waiting\)"):
        bg.assignments(faithful_draws, faithful[["waiting"]])
    with pytest.raises(InvalidArgumentError, match="ci_prob = 89 must be a number strictly between 0 and 1"):
        bg.assignments(faithful_draws, ci_prob=89)
    with pytest.raises(ModelError, match="not a tree of a mixture's draws"):
        bg.assignments(xr.DataTree())
    with pytest.raises(ModelError, match=r"no dimension 'chain': .* dt\.isel\(chain=\[0\]\)"):
        bg.diagnose(faithful_draws.sel(chain=1))
    with pytest.raises(ModelError, match="no dimension 'draw'"):
        bg.assignments(faithful_draws.isel(draw=-1))


def test_new_rows_are_taken_by_name_wherever_they_are_asked_for(faithful_draws, faithful):
    """Renamed columns are an error, others may come in any order and with more beside them; arrays go by position."""
    renamed = faithful.rename(columns={"waiting": "wait"})[["wait", "eruptions"]]
    with pytest.raises(InvalidDataError, match=r"it has no column 'waiting', but 'wait', 'eruptions'"):
        bg.assignments(faithful_draws, renamed)
    with pytest.raises(InvalidDataError, match="no column 'waiting'"):
        bg.density(faithful_draws, renamed)
    for columns in (1, 3):
        with pytest.raises(InvalidDataError, match=f"X has {columns} features"):
            bg.assignments(faithful_draws, np.zeros((2, columns)))
    expected = bg.assignments(faithful_draws, faithful.to_numpy())["probability"].values
    for note in (1.0, "as seen from the road"):
        more = faithful.assign(note=note)[["note", "waiting", "eruptions"]]
        np.testing.assert_array_equal(bg.assignments(faithful_draws, more)["probability"], expected)
        density = bg.density(faithful_draws, faithful.to_numpy())["density"]
        np.testing.assert_array_equal(bg.density(faithful_draws, more)["density"], density)
        odd = bg.anomaly(faithful_draws, faithful.to_numpy(), random_seed=1)["log_density"]
        np.testing.assert_array_equal(bg.anomaly(faithful_draws, more, random_seed=1)["log_density"], odd)
    with pytest.raises(InvalidDataTypeError, match=r"non-numeric columns: 'waiting'\. Drop them"):
        bg.assignments(faithful_draws, more.astype({"waiting": str}))
    with pytest.raises(InvalidDataError, match="no column 'waiting'"):
        bg.assignments(faithful_draws, more.drop(columns="waiting"))


def test_names_that_a_mixture_of_an_array_has_are_names():
    """Other names beside such an array's features are no names: their columns go by position."""
    x = np.random.default_rng(4).normal(size=(60, 2)) * [1, 5]
    dt = bg.find_MAP(bg.build_model(x, 1), n_init=1, random_seed=0).laplace(20, random_seed=0)
    expected = bg.density(dt, x)["density"]
    named = pd.DataFrame({"note": "-", "x1": x[:, 1], "x0": x[:, 0]})
    np.testing.assert_array_equal(bg.density(dt, named)["density"], expected)
    np.testing.assert_array_equal(bg.density(dt, pd.DataFrame(x, columns=["a", "b"]))["density"], expected)


def test_the_default_of_intervals_is_arvizs(faithful_draws):
    import arviz_base

    with arviz_base.rc_context({"stats.ci_prob": 0.5}):
        assert bg.assignments(faithful_draws).attrs["ci_prob"] == 0.5
        assert bg.density(faithful_draws, features=["waiting"]).attrs["ci_prob"] == 0.5
        assert bg.partition(faithful_draws, n_init=1, random_seed=1).ci_prob == 0.5


def test_a_modes_share_is_divided_among_the_groups_its_chains_fall_into(faithful_draws):
    """Two chains of one mode that stay apart share what it holds; counted twice, it would outweigh the other mode."""
    from bayesgmm.posterior import invariants as module
    from bayesgmm.record.fit import Fit

    tree = faithful_draws.copy(deep=True)
    tree["sample_stats"] = tree["sample_stats"].dataset.assign(start_mode=("chain", [0, 0, 1, 1]))
    attrs = {"mode_shares": [0.5, 0.5], "started_mode_shares": [0.5, 0.5], "started_mode_pareto_k": [0.1, 0.1]}
    tree["posterior"].attrs.update({name: np.array(value) for name, value in attrs.items()})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "groups_of_chains", lambda quantities: np.array([0, 1, 2, 2]))
        weight = module.weigh_chains(Fit.of(tree)).chain_weights
    np.testing.assert_allclose(weight, [0.25, 0.25, 0.25, 0.25])


def test_a_tree_that_was_opened_lazily(faithful_draws, tmp_path):
    import xarray as xr

    with xr.open_datatree(bg.save(faithful_draws, tmp_path / "fit.nc"), chunks={}) as lazy:
        assert bg.diagnose(lazy).table.equals(bg.diagnose(faithful_draws).table)
