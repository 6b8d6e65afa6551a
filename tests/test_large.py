"""Rows that are not in memory: in files and dask collections, on a cluster; every answer is that of rows in memory."""

import os
import signal
import threading
import time
from dataclasses import replace

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import zarr
from distributed import Client, LocalCluster

import bayesgmm as bg
from bayesgmm.data import blocks, cores, large
from bayesgmm.data.large import LargeTable
from bayesgmm.data.table import Table
from bayesgmm.exceptions import (
    ClusterError,
    InvalidArgumentError,
    InvalidDataError,
    InvalidDataTypeError,
    MissingPackageError,
    ModelError,
)
from bayesgmm.graph.quadratic import WithQuadratic
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.sampling.corrected import corrected as corrected_run, systematic, with_gaussian_likelihood
from bayesgmm.sampling.nutpie import Group, run_chains
from bayesgmm.sampling.run import Plan, Run, Settings
from bayesgmm.search import checkpoint, problem
from bayesgmm.search.passes import Passes
from bayesgmm.selection import select as select_module

FEATURES = ["a", "b"]


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(1)
    centres = np.array([[0.0, 0.0], [4.0, 1.0]])
    rows = centres[rng.integers(2, size=600)] + rng.normal(size=(600, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    return rows.round(2)


@pytest.fixture(autouse=True)
def few_at_hand(monkeypatch):
    """Less than all rows at hand, in memory too: so what is known of all comes from passes over all."""
    monkeypatch.setattr(large, "AT_HAND", 200)
    monkeypatch.setattr(problem, "MANY_ROWS", 200)
    monkeypatch.setattr(blocks, "LARGE_FILE", 1)
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 250)


@pytest.fixture(scope="module")
def in_memory(x):
    patch = pytest.MonkeyPatch()
    patch.setattr(problem, "MANY_ROWS", 200)
    found = bg.find_MAP(bg.build_model(x, 2), random_seed=1, n_init=2)
    patch.undo()
    return found


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as workers:
        yield workers


@pytest.fixture
def client(cluster):
    with Client(cluster) as found:
        yield found


def written(x, kind, folder):
    """The rows as what is asked for."""
    frame = pd.DataFrame(x, columns=FEATURES)
    if kind.startswith("dask array"):
        return da.from_array(x, chunks=(-(-len(x) // int(kind.split()[-1])), 1))
    if kind == "dask frame":
        return dd.from_pandas(frame, npartitions=3)
    path = folder / f"rows.{kind.split()[0]}"
    if kind.startswith("npy"):
        np.save(path, x)
    elif kind == "parquet":
        frame.to_parquet(path, row_group_size=250)
    else:
        array = zarr.create_array(path, shape=x.shape, chunks=(70, 2), dtype="f8")
        array[:] = x
        return array if kind == "zarr array" else path
    return np.load(path, mmap_mode="r") if kind == "npy mapped" else str(path)


KINDS = [
    "dask array 1",
    "dask array 2",
    "dask array 7",
    "dask frame",
    "npy",
    "npy mapped",
    "parquet",
    "zarr",
    "zarr array",
]


def agree(found, expected):
    assert found.log_posterior == pytest.approx(expected.log_posterior, rel=1e-12)
    for name, value in expected.point.items():
        np.testing.assert_allclose(found.point[name], value, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_map_is_that_of_rows_in_memory(kind, x, in_memory, tmp_path):
    model = bg.build_model(written(x, kind, tmp_path), 2)
    assert model.table.elsewhere
    assert len(model.table.values) == 200
    assert model.specification.features == (("a", "b") if kind in ("dask frame", "parquet") else ("x0", "x1"))
    found = bg.find_MAP(model, random_seed=1, n_init=2)
    agree(found, in_memory)
    np.testing.assert_allclose(found.standard_errors["means"], in_memory.standard_errors["means"], rtol=1e-5)
    assert found.share == pytest.approx(in_memory.share)


def test_values_and_gradients_are_those_of_rows_in_memory(x, in_memory):
    found = problem.Problem.of(bg.build_model(da.from_array(x, chunks=(90, 2)), 2))
    rng = np.random.default_rng(3)
    for density, expected in (
        (found.parameter_density, in_memory.problem.parameter_density),
        (found.sampling_density, in_memory.problem.sampling_density),
    ):
        for _ in range(3):
            q = in_memory.q + 0.1 * rng.normal(size=in_memory.q.size)
            value, gradient = density(q)
            assert value == pytest.approx(expected(q)[0], rel=1e-12)
            np.testing.assert_allclose(gradient, expected(q)[1], rtol=1e-9, atol=1e-8)
    batch = in_memory.q + 0.1 * rng.normal(size=(4, in_memory.q.size))
    expected = in_memory.problem.sampling_log_densities(batch)
    np.testing.assert_allclose(found.sampling_log_densities(batch), expected, rtol=1e-12)


def test_a_survey_is_that_of_all_rows(x):
    table = LargeTable.to_fit(da.from_array(x, chunks=(90, 2)))
    plain = Table.to_fit(x)
    assert (table.n_rows, table.total) == (600, 600.0)
    for found, expected in zip((*table.moments, *table.limits), (*plain.moments, *plain.limits), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(table.resolution, plain.resolution)
    np.testing.assert_array_equal(
        table.subsample(50, np.random.default_rng(1)).values, plain.subsample(50, np.random.default_rng(1)).values
    )
    assert table.at_hand.total == pytest.approx(600)


def test_a_step_that_rows_at_hand_do_not_show_is_found(x):
    rows = np.round(x, 1)
    at_hand = LargeTable.to_fit(da.from_array(rows, chunks=(90, 2)))
    assert at_hand.resolution == pytest.approx([0.1, 0.1])
    others = np.setdiff1d(np.arange(600), np.sort(np.random.default_rng(0).choice(600, 200, replace=False)))
    rows[others[5], 1] += 0.05
    finer = LargeTable.to_fit(da.from_array(rows, chunks=(90, 2))).resolution
    np.testing.assert_allclose(finer, Table.to_fit(rows).resolution)
    rows[others[:3], 1] += np.array([np.pi, np.e, np.sqrt(2)]) / 100
    assert LargeTable.to_fit(da.from_array(rows, chunks=(90, 2))).resolution == pytest.approx([0.1, 0.0])


def test_predictions_are_dask_arrays(x, in_memory, tmp_path):
    gmm = bg.GaussianMixture(2, n_init=2, inference="map", random_state=1).fit(written(x, "zarr", tmp_path))
    plain = bg.GaussianMixture(2, n_init=2, inference="map", random_state=1).fit(x)
    rows = da.from_array(x, chunks=(90, 1))
    for name in ("predict", "predict_proba", "score_samples"):
        lazily = getattr(gmm, name)(rows)
        assert isinstance(lazily, da.Array)
        np.testing.assert_allclose(lazily.compute(), getattr(plain, name)(x), atol=1e-6)
        assert lazily.shape == getattr(plain, name)(x).shape
    assert gmm.score(rows) == pytest.approx(plain.score(x))
    assert gmm.bic(rows) == pytest.approx(plain.bic(x))
    assert gmm.aic(rows) == pytest.approx(plain.aic(x))
    assert gmm.n_features_in_ == 2


def test_assignments_are_lazy_and_the_same(x, in_memory):
    dt = in_memory.laplace(50, random_seed=1)
    expected = bg.assignments(dt, x)
    found = bg.assignments(dt, da.from_array(x, chunks=(90, 2)))
    assert found["probability"].chunks is not None
    computed = found.compute()
    for name, values in expected.data_vars.items():
        np.testing.assert_allclose(computed[name].values, values.values, atol=1e-12, err_msg=name)


def test_columns_of_a_frame_are_taken_by_name(x):
    frame = dd.from_pandas(pd.DataFrame(x, columns=FEATURES).assign(c="-")[["c", "b", "a"]], npartitions=2)
    gmm = bg.GaussianMixture(2, n_init=2, inference="map", random_state=1).fit(frame[["a", "b"]])
    np.testing.assert_allclose(gmm.score_samples(frame).compute(), gmm.score_samples(pd.DataFrame(x, columns=FEATURES)))
    assert list(gmm.feature_names_in_) == FEATURES
    with pytest.raises(InvalidDataError, match=r"was fitted to 2.*it has no column 'b'"):
        gmm.predict(frame[["a", "c"]])
    with pytest.raises(InvalidDataTypeError, match="non-numeric columns: 'b'"):
        gmm.predict(frame.assign(b="-"))


def test_a_tree_keeps_the_rows_at_hand(x, tmp_path):
    model = bg.build_model(da.from_array(x, chunks=(90, 2)), 2)
    estimate = bg.find_MAP(model, random_seed=1, n_init=2)
    dt = bg.sample(
        model, likelihood="gaussian", estimate=estimate, draws=200, chains=2, random_seed=1, progressbar=False
    )
    dt = bg.load(bg.save(dt, tmp_path / "fit.nc"))
    assert dt["observed_data"].sizes["obs_id"] == 200
    assert dt["posterior"].attrs["n_rows"] == 600
    assert dt["posterior"].attrs["pareto_k"] < 0.7
    assert bg.diagnose(dt).verdict in ("ok", "caution")
    assert bg.assignments(dt).sizes["obs_id"] == 200
    with pytest.raises(ModelError, match="some of the rows"):
        bg.evidence(dt)
    assert "lp" not in estimate.laplace(10)["sample_stats"].dataset


def test_a_gaussian_likelihood_corrected_is_the_posterior(x, in_memory):
    """Against NUTS under the exact one; one that is too narrow is found out."""
    settings = {"start": in_memory, "random_seed": 2, "progressbar": False}
    drawn = bg.sample(in_memory.problem.model, **settings)["posterior"].dataset
    corrected = bg.sample(in_memory.problem.model, likelihood="gaussian", **settings)["posterior"].dataset
    assert corrected.attrs["pareto_k"] < 0.7
    for name in ("weights", "means", "scales", "reference_log_cholesky"):
        expected, sd = drawn[name].mean(("chain", "draw")), drawn[name].std(("chain", "draw"))
        away = (corrected[name].mean(("chain", "draw")) - expected) / sd
        assert float(np.abs(away).max()) < 0.2, name  # about 1,000 effective draws each: 4 standard errors
        np.testing.assert_allclose(corrected[name].std(("chain", "draw")), sd, rtol=0.2)
    problem, mode = in_memory.problem, in_memory.mode.with_axes
    right = with_gaussian_likelihood(problem, in_memory.mode)
    narrow = WithQuadratic(problem.rowless_density, mode, right.slope, 4 * right.curvature)
    run = Run(problem, [mode], Plan(500, 200, (1,)), [], in_memory.provenance)
    for density, good in ((right, True), (narrow, False)):
        chains = run_chains([Group(0, density, 1, seed=1)], Settings(500, 200, 1, False))
        found = corrected_run(replace(run, chains=chains), density, np.random.default_rng(1))
        assert (found.provenance.pareto_k < 0.7) == good


def test_a_gaussian_likelihood_of_rows_near_planes_is_good():
    """The planes turn with the scales along them, which no Gaussian of the model's own coordinates follows."""
    rng = np.random.default_rng(1)
    turned = np.array([np.linalg.qr(rng.normal(size=(3, 3)))[0] * (1e-3, 1, 1) for _ in range(2)])
    z = rng.integers(2, size=5_000)
    rows = 5 * rng.normal(size=(2, 3))[z] + np.einsum("nij,nj->ni", turned[z], rng.normal(size=(5_000, 3)))
    model = bg.build_model(rows, 2)
    dt = bg.sample(model, likelihood="gaussian", start=bg.find_MAP(model, n_init=3, random_seed=1), random_seed=1)
    assert dt["posterior"].attrs["pareto_k"] < 0.3  # 0.64 by those
    assert not dt["sample_stats"]["diverging"].any()


def test_systematic_draws_keep_equal_weights_and_follow_others():
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(systematic(np.full(7, 1 / 7), rng), np.arange(7))
    weights = rng.dirichlet(np.ones(50))
    counts = np.array([np.bincount(systematic(weights, rng), minlength=50) for _ in range(2000)])
    assert np.abs(counts - 50 * weights).max() <= 1 + 1e-9
    np.testing.assert_allclose(counts.mean(axis=0), 50 * weights, atol=5 * 0.5 / np.sqrt(2000))


def test_auto_says_what_it_did_and_why(x, monkeypatch):
    gmm = bg.GaussianMixture(2, n_init=2, inference="auto", random_state=1).fit(da.from_array(x, chunks=(90, 2)))
    assert gmm.inference_ == "laplace"
    assert "Pareto k" in gmm.inference_reason_
    assert gmm.inference_data_["posterior"].attrs["pareto_k"] < 0.7
    few = bg.GaussianMixture(2, n_init=2, inference="auto", draws=50, chains=2, random_state=1, progressbar=False).fit(
        x[:300]
    )
    assert few.inference_ == "nuts"
    assert "fewer than" in few.inference_reason_


def test_nuts_of_rows_elsewhere_draws_what_it_draws_of_rows_in_memory(x, in_memory):
    settings = {"draws": 50, "tune": 50, "chains": 3, "random_seed": 4, "progressbar": False, "relabel": None}
    model = bg.build_model(da.from_array(x, chunks=(300, 2)), 2)
    found = bg.sample(model, estimate=bg.find_MAP(model, random_seed=1, n_init=2), **settings)
    expected = bg.sample(in_memory.problem.model, estimate=in_memory, **settings)
    moved = found["posterior"]["means"].mean(("chain", "draw")) - expected["posterior"]["means"].mean(("chain", "draw"))
    sd = expected["posterior"]["means"].std(("chain", "draw"))
    assert float(np.abs(moved / sd).max()) < 0.7  # 150 draws each: 6 standard errors


def test_chains_share_passes(x):
    table = LargeTable.to_fit(da.from_array(x, chunks=(90, 2)))
    passes = Passes(table)
    mixtures = [Mixture(np.full(2, 0.5), np.array([[0.0, i], [4.0, 1.0]]), np.array([np.eye(2)] * 2)) for i in range(6)]
    found = {}

    def ask(i):
        for _ in range(5):
            found[i] = passes.statistics(mixtures[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passes.n_passes < 20  # of 30 asked for
    for i, mixture in enumerate(mixtures):
        np.testing.assert_allclose(found[i].first, mixture.statistics(x).first, rtol=1e-9, atol=1e-9)


def test_select_compares_by_bic_on_all_rows(x, monkeypatch):
    monkeypatch.setattr(select_module, "MANY_ROWS", 200)
    asked = {"n_components": range(1, 4), "covariances": ("tied", "diag"), "random_seed": 1}
    found = bg.select(da.from_array(x, chunks=(90, 2)), **asked)
    expected = bg.select(x, shortlist=0, **asked)
    assert found.best == expected.best
    both = [s.table.set_index(["n_components", "covariance_type"]).sort_index() for s in (found, expected)]
    for name in ("log_likelihood", "bic", "icl", "aic"):
        # Of the others starts may find more on all rows than on a third of them.
        assert both[0].loc[found.best, name] == pytest.approx(both[1].loc[found.best, name], rel=1e-7)
        assert (both[0]["log_likelihood"] < both[1]["log_likelihood"] + 1e-3).all()
    with pytest.raises(InvalidArgumentError, match="shortlist names models"):
        bg.select(da.from_array(x, chunks=(90, 2)), shortlist=[(2, "tied")], **asked)


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_value_is_named_with_its_block(x, bad):
    rows = x.copy()
    rows[437, 1] = bad
    with pytest.raises(InvalidDataError, match=r"row 437, column 'x1', in block 4 \(rows 400 to 499\)"):
        bg.build_model(da.from_array(rows, chunks=(100, 2)), 2)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        (lambda x: "rows.csv", InvalidDataTypeError, "is text; a path is to a file of rows"),
        (lambda x: "nowhere.zarr", InvalidDataError, "no such file"),
        (lambda x: da.from_array(x[:, 0], chunks=90), InvalidDataError, "Expected 2D array"),
        (lambda x: da.from_array(x + 1j, chunks=(90, 2)), InvalidDataTypeError, "complex128"),
        (lambda x: da.from_array(x[:0], chunks=(90, 2)), InvalidDataError, "0 rows"),
        (lambda x: da.from_array(x * [1, 0], chunks=(90, 2)), InvalidDataError, "constant feature: 'x1'"),
        (
            lambda x: dd.from_pandas(pd.DataFrame(x).assign(name="a"), npartitions=2),
            InvalidDataTypeError,
            "non-numeric columns: 'name'",
        ),
    ],
)
def test_bad_rows_are_named(given, error, match, x):
    with pytest.raises(error, match=match):
        bg.build_model(given(x), 2)


def test_a_group_names_its_arrays(x, tmp_path):
    group = zarr.open_group(tmp_path / "all.zarr", mode="w")
    group.create_array("rows", shape=x.shape, dtype="f8")[:] = x
    with pytest.raises(InvalidDataError, match="group of arrays \\(rows\\)"):
        bg.build_model(tmp_path / "all.zarr", 2)


@pytest.mark.parametrize(
    "option",
    [
        {"sample_weight": np.ones(600)}, {"missing": "marginalise"}, {"labels": np.zeros(600, dtype=int)},
        {"noise": True}, {"measurement_covariance": np.ones((600, 2))},
    ],
)  # fmt: skip
def test_what_rows_elsewhere_cannot_have_is_said_first(x, option):
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(option))} goes with rows in memory only"):
        bg.build_model(da.from_array(x, chunks=(90, 2)), 2, **option)


def test_without_dask_the_remedy_is_named(x, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dask.array", None)
    with pytest.raises(MissingPackageError, match=r"pip install \"bayesgmm\[dask\]\""):
        bg.build_model("rows.zarr", 2)


# On a cluster --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zarr", "dask array 7"])
def test_a_cluster_finds_the_same(kind, x, in_memory, client, tmp_path):
    model = bg.build_model(written(x, kind, tmp_path), 2)
    agree(bg.find_MAP(model, random_seed=1, n_init=2), in_memory)


def test_workers_may_die(x, client, cluster):
    """A worker killed again and again while passes run costs the passes' time and changes no digit."""
    table = LargeTable.to_fit(da.from_array(x, chunks=(60, 2)))
    mixture = Mixture(np.full(2, 0.5), np.array([[0.0, 0.0], [4.0, 1.0]]), np.array([np.eye(2)] * 2))
    expected = table.sum_over(_slowly(mixture))
    for _ in range(2):
        killer = threading.Timer(0.3, _kill_one, [cluster])
        killer.start()
        assert table.sum_over(_slowly(mixture)) == expected
        killer.join()


def _kill_one(cluster):
    os.kill(next(worker.pid for worker in cluster.workers.values() if worker.pid), signal.SIGKILL)


def _slowly(mixture):
    def function(chunk):
        time.sleep(0.1)
        return mixture.statistics(*chunk).log_likelihood

    return function


def test_a_cluster_that_went_away_is_said(x):
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as gone:
        client = Client(gone, timeout=5)
        try:
            table = LargeTable.to_fit(da.from_array(x, chunks=(60, 2)))
        finally:
            gone.close()
        with pytest.raises(ClusterError, match="Start it again"):
            table.sum_over(_slowly(Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])))
        client.close()


def test_a_pass_on_a_worker_has_one_thread(x, client):
    table = LargeTable.to_fit(da.from_array(x, chunks=(200, 2)))
    assert table.blocks.total(_n_threads) == 3
    assert cores.threads() == cores.available_cores()


def _n_threads(block):
    return cores.threads()


def test_a_stopped_search_goes_on_with_all_rows(x, tmp_path, monkeypatch):
    """What is made on some rows is made again, or found in the folder; the climb with all rows is not begun anew."""
    monkeypatch.setattr(checkpoint, "PAUSE", 0.0)
    np.save(tmp_path / "rows.npy", x)
    plain = bg.find_MAP(bg.build_model(tmp_path / "rows.npy", 2), random_seed=1, n_init=2)
    statistics, passes, last = Passes.statistics, [], np.inf

    def counted(self, mixture):
        passes.append(mixture)
        if len(passes) > last:
            raise OSError("the disk went away")
        return statistics(self, mixture)

    monkeypatch.setattr(Passes, "statistics", counted)
    bg.find_MAP(bg.build_model(tmp_path / "rows.npy", 2), random_seed=1, n_init=2)
    needed, last = len(passes), len(passes) - 3
    passes.clear()
    with pytest.raises(OSError, match="went away"):
        bg.find_MAP(bg.build_model(tmp_path / "rows.npy", 2), random_seed=1, n_init=2, store=tmp_path / "search")
    last = np.inf
    passes.clear()
    again = bg.find_MAP(bg.build_model(tmp_path / "rows.npy", 2), random_seed=1, n_init=2, store=tmp_path / "search")
    assert len(passes) < needed
    assert again.log_posterior == pytest.approx(plain.log_posterior, rel=1e-12)
    # To 1e-6 standard deviations: values of 1e3 nats, which round to 1e-14 of themselves, tell no more of their top.
    np.testing.assert_allclose(again.point["means"], plain.point["means"], rtol=0, atol=1e-6)


def test_blocks_are_done_side_by_side_and_no_more_of_them_are_in_memory(x, monkeypatch):
    """Each by a thread that uses no other; their sum is in their order, whatever the number of threads."""
    given = blocks.Blocks.of(da.from_array(x, chunks=(20, 2)))
    order = np.arange(len(given.starts) - 1)
    held, most, lock = 0, 0, threading.Lock()

    def read(part):
        nonlocal held, most
        with lock:
            held, most = held + 1, max(most, held + 1)
        return part

    def function(block, i):
        nonlocal held
        time.sleep(0.002)
        with lock:
            held -= 1
        return [(int(i), cores.threads())]

    counted = replace(given, array=given.array.map_blocks(read, dtype=float, meta=np.empty((0, 2))))
    for n in (1, 3):
        most = 0
        with cores.limited_to(n):
            assert counted.total(function, order) == [(i, 1) for i in order]
        assert min(n, 2) <= most <= n


def test_a_climb_over_all_rows_ends_where_a_value_tells_no_more(monkeypatch):
    """It took 46 passes over a million rows for 9: the rest differed by what a log posterior rounds to."""
    monkeypatch.setattr(large, "AT_HAND", 5_000)
    monkeypatch.setattr(problem, "MANY_ROWS", 5_000)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1_000_000, 2)) + 3 * rng.integers(2, size=(1_000_000, 1))
    estimate = bg.find_MAP(bg.build_model(da.from_array(rows, chunks=(50_000, 2)), 2), random_seed=1, n_init=3)
    assert estimate.converged
    assert estimate.problem.parameter_density.passes.n_passes < 15


def test_rows_elsewhere_of_noise_and_with_gaps_are_answered_as_in_memory():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=(80, 2)), rng.normal(6, 1, size=(80, 2)), rng.uniform(-15, 20, size=(30, 2))])
    there = da.from_array(x, chunks=(70, 2))
    fitted = bg.GaussianMixture(2, noise=True, inference="map", random_state=1, progressbar=False).fit(x)
    assert (fitted.predict(x) == -1).sum() > 10
    np.testing.assert_array_equal(fitted.predict(there).compute(), fitted.predict(x))
    here, lazily = bg.assignments(fitted, x), bg.assignments(fitted, there)
    assert set(here.data_vars) == set(lazily.data_vars)
    for name in here.data_vars:
        np.testing.assert_allclose(lazily[name].values.astype(float), here[name].values.astype(float), atol=1e-12)
    for verb in (fitted.predict, fitted.predict_proba, fitted.score_samples):
        with pytest.raises(InvalidArgumentError, match="measurement_covariance goes with rows in memory"):
            verb(there, measurement_covariance=np.eye(2))
    x[::7, 1] = np.nan
    gaps = bg.GaussianMixture(2, missing="marginalise", inference="map", random_state=1, progressbar=False).fit(x)
    there = da.from_array(x, chunks=(70, 2))
    np.testing.assert_allclose(gaps.predict_proba(there).compute(), gaps.predict_proba(x), atol=1e-12)
    np.testing.assert_allclose(gaps.score_samples(there).compute(), gaps.score_samples(x), atol=1e-12)
    np.testing.assert_allclose(bg.assignments(gaps, there)["upper"], bg.assignments(gaps, x)["upper"], atol=1e-12)
