"""Runs that are stopped, files that cannot be written: nothing that was written is lost."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
import zarr
from conftest import add_terms

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, ModelError, StorageError
from bayesgmm.model.paper import to_json
from bayesgmm.record.fit import Fit

# A run long enough to be stopped in its middle; a line is printed when draws can come.
RUN = """
import sys, numpy as np, bayesgmm as bg, nutpie, arviz_stats
rng = np.random.default_rng(0)
x = np.concatenate([rng.normal(m, 1, size=(4000, 2)) for m in (-3, 3)])
model = bg.build_model(x, 2, resolution=None)
start = bg.find_MAP(model, n_init=2, random_seed=1)
print("sampling", flush=True)
dt = bg.sample(model, start=start, draws=int(sys.argv[2]), tune=50, chains=2, cores=1, random_seed=1,
               store=sys.argv[1] or None, progressbar=False)
print("draws", dt["posterior"].sizes["draw"], dt["posterior"].sizes["chain"], dt.attrs["complete"], flush=True)
"""


def begin(store, draws):
    """A process that samples, once it has begun to."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RUN, str(store), str(draws)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "sampling\n"
    return process


def draws_written(store: Path) -> list[int]:
    """How many draws of every chain stand in the store, read off its arrays by zarr alone."""
    try:
        group = zarr.open_group(store / "draws" / "0", mode="r")
        u, lp = group["posterior/u"][...], group["sample_stats/logp"][...]
    except (FileNotFoundError, KeyError):
        return []
    return [int((np.isfinite(u[c]).all(axis=1) & np.isfinite(lp[c])).sum()) for c in range(len(u))]


def wait_for_draws(store: Path, n: int) -> None:
    deadline = time.monotonic() + 60
    while sum(draws_written(store)) < n and time.monotonic() < deadline:
        time.sleep(0.05)


def check_store(store: Path) -> int:
    """A stopped run opens, and holds all that a rectangle of whole chains can; the number of draws it holds."""
    written = sorted(draws_written(store), reverse=True)
    best = max((n * sum(m >= n for m in written) for n in written), default=0)
    dt = bg.open_run(store)
    sizes = dt["posterior"].sizes
    assert sizes["chain"] * sizes["draw"] == best
    if best:
        assert np.isfinite(dt["posterior"]["means"]).all()
        assert np.isfinite(dt["sample_stats"]["lp"]).all()
        assert bg.assignments(dt, dt["observed_data"]["x"].values[:5])["probability"].shape == (5, 2)
    return best


def test_a_stored_run_reads_as_it_was_returned(faithful_model, faithful_map, tmp_path):
    arguments = {"draws": 100, "tune": 50, "chains": 2, "random_seed": 3, "start": faithful_map, "progressbar": False}
    plain = bg.sample(faithful_model, **arguments)
    stored = bg.sample(faithful_model, store=tmp_path / "run.zarr", **arguments)
    again = bg.open_run(tmp_path / "run.zarr")
    for dt in (stored, again):
        for group in ("posterior", "observed_data", "constant_data", "sample_stats"):
            xr.testing.assert_allclose(plain[group].to_dataset(), dt[group].to_dataset(), rtol=1e-12)
        assert dt.attrs["complete"] == 1
    assert again["posterior"].attrs["covariance_type"] == "full"
    np.testing.assert_array_equal(
        again["posterior"].attrs["optima_log_posterior"], plain["posterior"].attrs["optima_log_posterior"]
    )
    assert bg.diagnose(again).table.equals(bg.diagnose(stored).table)
    with pytest.raises(InvalidArgumentError, match="exists, and may hold draws"):
        bg.sample(faithful_model, store=tmp_path / "run.zarr", **arguments)


def test_a_killed_run_keeps_its_draws(tmp_path):
    process = begin(tmp_path / "run.zarr", 10_000)
    wait_for_draws(tmp_path / "run.zarr", 32)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert check_store(tmp_path / "run.zarr") >= 32
    dt = bg.open_run(tmp_path / "run.zarr")
    assert dt.attrs["complete"] == 0
    assert any("stopped early" in reason for reason in bg.diagnose(dt).reasons)


@pytest.mark.parametrize("stored", [True, False])
def test_ctrl_c_gives_the_draws_so_far(tmp_path, stored):
    process = begin(tmp_path / "run.zarr" if stored else "", 10_000)
    if stored:
        wait_for_draws(tmp_path / "run.zarr", 32)
    else:
        time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    word, draws, chains, complete = out.split()
    assert word == "draws"
    assert int(draws) > 10
    assert (int(chains), int(complete)) == (1, 0)
    if stored:
        check_store(tmp_path / "run.zarr")


def test_a_run_killed_before_its_first_draw_opens_empty(faithful_model, faithful_map, tmp_path):
    bg.sample(
        faithful_model, draws=20, tune=5, chains=1, start=faithful_map, random_seed=1, progressbar=False,
        store=tmp_path / "run.zarr",
    )  # fmt: skip
    for part in ("draws/0/posterior/u/zarr.json", "draws/0/zarr.json"):
        (tmp_path / "run.zarr" / part).unlink()
        dt = bg.open_run(tmp_path / "run.zarr")
        assert dt["posterior"].sizes["draw"] == 0
        assert dt.attrs["complete"] == 0
    with pytest.raises(ModelError, match="no draws"):
        bg.diagnose(dt)


def test_a_run_reopens_with_the_priors_it_had(faithful, tmp_path):
    """A user's own, by their distribution's name and numbers: nothing but the folder is needed, and nothing is lost."""
    priors = bg.Priors(means=pm.Normal.dist([3, 70], 20), variances=pm.InverseGamma.dist(3, 1), lkj_eta=4)
    model = bg.build_model(faithful, 2, priors=priors)
    dt = bg.sample(model, store=tmp_path / "run.zarr", draws=50, tune=50, chains=1, random_seed=1, progressbar=False)
    again = bg.open_run(tmp_path / "run.zarr")
    xr.testing.assert_allclose(dt["posterior"].to_dataset(), again["posterior"].to_dataset(), rtol=1e-12)
    words = [dict(Fit.of(tree).specification.in_words()) for tree in (dt, again)]
    assert words[0] == words[1]
    assert words[1]["means"] == "Normal.dist(mu=[3.0, 70.0], sigma=20.0)"
    assert words[1]["variances"] == "InverseGamma.dist(alpha=3.0, beta=1.0)"
    assert Fit.of(again).provenance.versions == Fit.of(dt).provenance.versions


def test_a_model_with_terms_of_its_own_reads_its_run(faithful, tmp_path):
    model = add_terms(bg.build_model(faithful, 2))
    start = bg.find_MAP(model, n_init=2, random_seed=1)
    arguments = {"draws": 50, "tune": 50, "chains": 1, "start": start, "random_seed": 1, "progressbar": False}
    dt = bg.sample(model, store=tmp_path / "run.zarr", **arguments)
    with pytest.raises(ModelError, match=r"open_run\(path, model=model\)"):
        bg.open_run(tmp_path / "run.zarr")
    again = bg.open_run(tmp_path / "run.zarr", model=model)
    xr.testing.assert_allclose(dt["posterior"].to_dataset(), again["posterior"].to_dataset(), rtol=1e-12)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(StorageError, match="is not a run"):
        bg.open_run(tmp_path / "nothing.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="is not a run"):
        bg.open_run(tmp_path / "empty")
    with pytest.raises(StorageError, match="there is no file"):
        bg.load(tmp_path / "nothing.nc")
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(StorageError, match="cannot be read"):
        bg.load(tmp_path / "text.nc")


def test_saving_and_loading_keep_everything(faithful_draws, tmp_path):
    path = bg.save(faithful_draws, tmp_path / "folder" / "fit.nc")
    again = bg.load(path)
    for group in faithful_draws.children:
        xr.testing.assert_equal(faithful_draws[group].to_dataset(), again[group].to_dataset())
    assert bg.diagnose(again).verdict == "ok"
    assert oct(path.stat().st_mode)[-3:] == "644"
    assert list(path.parent.iterdir()) == [path]


FULL = """
import resource, signal, sys, bayesgmm as bg
dt = bg.load(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    bg.save(dt, sys.argv[1])
except bg.exceptions.StorageError as error:
    print(error)
"""


def test_an_estimator_is_saved_by_its_draws_and_other_things_are_not(faithful, tmp_path):
    gmm = bg.GaussianMixture(2, inference="map", random_state=1).fit(faithful)
    again = bg.load(bg.save(gmm, tmp_path / "fit.nc"))
    xr.testing.assert_equal(again["posterior"].to_dataset(), gmm.inference_data_["posterior"].to_dataset())
    with pytest.raises(ModelError, match="a dict has no draws of a mixture"):
        bg.save({}, tmp_path / "fit.nc")


def test_no_room_for_a_new_file_leaves_the_old_one(faithful_draws, tmp_path):
    """A limit on the size of files: what a full disk does, without one."""
    path = bg.save(faithful_draws, tmp_path / "fit.nc")
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert "could not be written" in done.stdout
    assert "what stood there is as it was" in done.stdout
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_twenty_kills_lose_nothing(tmp_path):
    """SIGKILL at 20 random moments of a run: before its first draw, in its middle, near its end."""
    rng = np.random.default_rng(1)
    held = []
    for i in range(20):
        store = tmp_path / f"run{i}.zarr"
        process = begin(store, 3_000)
        time.sleep(rng.uniform(0.0, 4.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if store.exists():
            held.append(check_store(store))
            # What is made in one piece leaves nothing half made beside it.
            assert not list(tmp_path.glob(f".{store.name}.*.part"))
    print(f"\n20 runs killed: {len(held)} stores, all open; draws held {sorted(held)}")
    assert len(held) >= 15
    assert sum(n > 0 for n in held) >= 10


def test_a_failed_save_holds_nothing(faithful_draws, tmp_path):
    def fail():
        with pytest.raises(StorageError, match="could not be written") as caught:
            bg.save(faithful_draws, tmp_path / "file" / "fit.nc")
        return str(caught.value)  # a cycle: the error holds the frames, and this one the error

    (tmp_path / "file").write_text("no folder")
    assert fail()
    gc.collect()  # what cannot be let go of is an error here


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_leaves_the_old_file(faithful_draws, tmp_path):
    small = faithful_draws.isel(draw=slice(0, 50))
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        path = bg.save(small, disk / "fit.nc")
        before = path.read_bytes()
        with pytest.raises(StorageError, match="No space left") as caught:
            bg.save(faithful_draws, path)
        print(f"\nfull disk: {caught.value}")
        assert path.read_bytes() == before
        assert list(disk.iterdir()) == [path]
        xr.testing.assert_equal(bg.load(path)["posterior"].to_dataset(), small["posterior"].to_dataset())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_was_assumed_outlives_predictions_by_pymc(faithful_model, tmp_path):
    """PyMC puts constant_data of its own in the place of what a tree had, where older fits keep it."""
    dt = bg.find_MAP(faithful_model, n_init=2, random_seed=1).laplace(20, random_seed=1)
    kept = str(dt["specification"]["specification"].values)
    older = dt.copy()
    older["constant_data"] = older["constant_data"].dataset.assign(older["specification"].dataset.data_vars)
    del older["specification"]
    assert to_json(Fit.of(bg.load(bg.save(older, tmp_path / "older.nc"))).specification) == kept
    with faithful_model:
        pm.sample_posterior_predictive(dt, extend_inferencedata=True, progressbar=False, random_seed=1)
    assert "posterior_predictive" in dt
    assert to_json(Fit.of(bg.load(bg.save(dt, tmp_path / "newer.nc"))).specification) == kept


@pytest.mark.parametrize(
    "index", [[*range(3, 275)], [f"row {i}" for i in range(272)], pd.date_range("2026", periods=272)]
)
def test_rows_keep_their_names(faithful, index, tmp_path):
    """Those of a frame that is part of another say which of its rows they are, as those of new rows do."""
    named = faithful.set_index(pd.Index(index))
    dt = bg.find_MAP(bg.build_model(named, 2), n_init=1, random_seed=1, progressbar=False).laplace(20, random_seed=1)
    again = bg.load(bg.save(dt, tmp_path / "fit.nc"))
    stored = bg.sample(
        bg.build_model(named, 2), draws=5, tune=20, chains=1, random_seed=1, store=tmp_path / "run", progressbar=False
    )
    for tree in (dt, again, stored, bg.open_run(tmp_path / "run")):
        assert [str(name) for name in bg.assignments(tree)["obs_id"].values] == [str(i) for i in named.index]


@pytest.mark.parametrize("seed", [2**63 - 1, 2**63, 2**127 + 5])
def test_seeds_of_any_length_are_kept(faithful_map, tmp_path, seed):
    dt = faithful_map.laplace(20, random_seed=seed)
    assert Fit.of(bg.load(bg.save(dt, tmp_path / "fit.nc"))).provenance.seed == seed
