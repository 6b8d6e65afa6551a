"""Draws of mixtures that others wrote, in PyMC, NumPyro and Stan (foreign_draws.py), are read as theirs."""

import arviz_stats
import foreign_draws
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from typer.testing import CliRunner

import bayesgmm as bg
from bayesgmm.cli import app
from bayesgmm.exceptions import ModelError, StorageError
from bayesgmm.record.fit import Fit

FOLDER = foreign_draws.FOLDER
STAN = sorted(FOLDER.glob("stan_*.csv"))
COMPONENTS = ("weights", "means", "covariances")


def foreign(name):
    """Draws as their authors have them, and how to say what is what."""
    if name == "stan":
        return STAN, {"weights": "theta", "covariances": "Sigma", "covariance_type": "tied"}
    return bg.load(FOLDER / f"{name}.nc"), {"scales": "sigma"} if name == "numpyro" else {}


@pytest.fixture(scope="module", params=["pymc", "numpyro", "stan"])
def pair(request, faithful):
    """The same posterior by another's model and by this package."""
    draws, names = foreign(request.param)
    kind = {"pymc": "full", "numpyro": "diag", "stan": "tied"}[request.param]
    model = bg.build_model(
        faithful, 2, covariance_type=kind, priors=foreign_draws.priors(kind != "diag"), resolution=None
    )
    return bg.adopt(draws, **names, X=faithful), bg.sample(model, random_seed=1, progressbar=False)


def by_scipy(posterior, x):
    """Responsibilities (draw, row, component) of a tree's draws, by SciPy alone."""
    posterior = posterior.stack(sample=("chain", "draw")).transpose("sample", "component", ...)
    family = posterior["covariances"].dims
    result = []
    for s in range(posterior.sizes["sample"]):
        one = posterior.isel(sample=s)
        densities = []
        for k in range(one.sizes["component"]):
            own = one["covariances"].isel(component=k) if "component" in family else one["covariances"]
            normal = stats.multivariate_normal(one["means"].values[k], own.values if own.ndim == 2 else np.diag(own))
            densities.append(float(one["weights"][k]) * normal.pdf(x))
        result.append(np.array(densities).T)
    r = np.array(result)
    return r / r.sum(axis=2, keepdims=True)


def effective(dt):
    names = ["weights", "means", "scales"]
    sizes = arviz_stats.ess(dt, var_names=names)
    return min(float(sizes[name].min()) for name in names)


def test_verdict_and_answers_are_those_of_the_same_model_here(pair):
    theirs, ours = pair
    assert bg.diagnose(theirs).verdict == bg.diagnose(ours).verdict == "ok"
    each = [(bg.assignments(dt, progressbar=False), effective(dt), dt["posterior"].dataset) for dt in pair]
    (a, n_a, p_a), (b, n_b, p_b) = each
    error = np.hypot(a["probability_sd"] / np.sqrt(n_a), b["probability_sd"] / np.sqrt(n_b))
    assert float((abs(a["probability"] - b["probability"]) - 5 * error).max()) < 1e-4
    np.testing.assert_array_equal(a["label"], b["label"])
    for name in ("weights", "means", "scales"):
        mean = [p[name].mean(("chain", "draw")) for p in (p_a, p_b)]
        sd = [p[name].std(("chain", "draw")) for p in (p_a, p_b)]
        assert float((abs(mean[0] - mean[1]) / np.hypot(sd[0] / np.sqrt(n_a), sd[1] / np.sqrt(n_b))).max()) < 5
        assert float(abs(np.log(sd[0] / sd[1])).max()) < 5 * np.sqrt(1 / n_a + 1 / n_b)


def test_assignments_are_scipys(pair, faithful):
    few = pair[0].isel(draw=slice(None, None, 50))
    expected = by_scipy(few["posterior"].dataset, faithful.to_numpy()).mean(axis=0)
    np.testing.assert_allclose(bg.assignments(few, progressbar=False)["probability"], expected, atol=1e-9)


def switched(which):
    """The draws of pm.Mixture, the components of some (chain, draw) the other way round."""
    draws = bg.load(FOLDER / "pymc.nc")
    posterior, which = draws["posterior"].to_dataset(), xr.DataArray(which, dims=("chain", "draw"))
    for name, dim in (("w", "cluster"), ("mu", "mu_dim_0"), ("cov", "cov_dim_0")):
        one = posterior[name]
        posterior[name] = xr.where(which, one.isel({dim: [1, 0]}).assign_coords({dim: one[dim]}), one)
    draws["posterior"] = xr.DataTree(posterior)
    return draws


def test_switched_labels_are_undone():
    """Half of the draws, at random places."""
    draws = switched(np.random.default_rng(0).random((4, 250)) < 0.5)
    expected = bg.adopt(bg.load(FOLDER / "pymc.nc"))["posterior"]
    mended, left = bg.adopt(draws), bg.adopt(draws, relabel=None)
    for name in COMPONENTS:
        assert not np.array_equal(left["posterior"][name], expected[name])
        np.testing.assert_array_equal(mended["posterior"][name], expected[name])
        np.testing.assert_array_equal(bg.relabel(left)["posterior"][name], expected[name])
    assert bg.diagnose(mended).verdict == "ok"


def test_chains_with_other_labels_are_a_note():
    draws = switched(np.repeat([[True], [True], [False], [False]], 250, axis=1))
    said = bg.diagnose(bg.adopt(draws, relabel=None))
    assert said.verdict == "ok"
    assert "label switching, which is harmless" in str(said)
    assert "label switching" not in str(bg.diagnose(bg.adopt(draws)))


# What must not pass ---------------------------------------------------------------------------------------------------


def misread(faithful):
    """Draws that are read without an error, and are not what they were given as."""
    diag, full = bg.load(FOLDER / "numpyro.nc"), bg.load(FOLDER / "pymc.nc")
    turned = full["posterior"].to_dataset().assign(mu=lambda p: p["mu"].swap_dims(mu_dim_0="b").transpose(..., "b"))
    standard = (faithful - faithful.mean()) / faithful.std()
    yield bg.adopt(diag, variances="sigma", X=faithful)
    yield bg.adopt(diag, covariances="sigma", covariance_type="diag", X=faithful)
    yield bg.adopt(diag, precisions="sigma", covariance_type="diag", X=faithful)
    yield bg.adopt(turned, X=faithful)
    yield bg.adopt(full, X=standard)


def test_misread_draws_fail(faithful):
    for dt in misread(faithful):
        said = bg.diagnose(dt)
        assert said.verdict == "fail"
        assert "rows and draws do not go together" in str(said)
    right = bg.diagnose(bg.adopt(bg.load(FOLDER / "numpyro.nc"), scales="sigma", X=faithful))
    assert right.table.loc["rows' distance from their component", "value"] == pytest.approx(1, abs=0.1)


def test_divergences_and_chains_apart_are_found():
    dt = bg.load(FOLDER / "pymc.nc")
    dt["sample_stats"]["diverging"][0, :5] = True
    assert "5 of 1000 draws diverged" in str(bg.diagnose(bg.adopt(dt)))
    stuck = bg.load(FOLDER / "pymc.nc")
    for name in ("w", "mu", "cov"):
        stuck["posterior"][name][2] = stuck["posterior"][name][2, 0]
    said = bg.diagnose(bg.adopt(stuck))
    assert said.verdict == "fail"
    assert "chain 2 is stuck" in str(said)
    shifted = bg.load(FOLDER / "pymc.nc")
    shifted["posterior"]["mu"][3] += 1.0
    assert "Try bayesgmm.sample(start='dispersed')" in str(bg.diagnose(bg.adopt(shifted)))


# What comes along -----------------------------------------------------------------------------------------------------


def test_what_stands_beside_is_kept():
    dt = bg.load(FOLDER / "pymc.nc")
    posterior = dt["posterior"].to_dataset()
    posterior["size"], posterior["noise"] = 272 * posterior["w"], posterior["w"].isel(cluster=0)
    dt["posterior"] = xr.DataTree(
        posterior.assign(scales=posterior["w"] * 0).assign_attrs(n_rows=9, missing="marginalise")
    )
    dt["constant_data"] = xr.DataTree(xr.Dataset({"labels": ("row", np.zeros(272)), "year": 1990}))
    dt["log_prior"] = xr.DataTree(xr.Dataset({"w": (("chain", "draw"), np.zeros((4, 250)))}))
    taken = bg.adopt(dt)
    np.testing.assert_allclose(taken["posterior"]["size"], 272 * taken["posterior"]["weights"], rtol=1e-6)
    assert {"noise_", "scales_"} <= set(taken["posterior"].data_vars)
    assert not Fit.of(taken).is_of_more_rows
    assert not Fit.of(taken).gaps
    assert set(taken["constant_data"].data_vars) == {"labels_", "year"}
    assert "log_prior" in taken
    assert Fit.of(taken).table.labels is None
    np.testing.assert_array_equal(taken["sample_stats"]["diverging"], dt["sample_stats"]["diverging"])
    assert taken["sample_stats"]["permutation"].shape == (4, 250, 2)
    # nutpie's names of what ArviZ calls otherwise
    np.testing.assert_array_equal(taken["sample_stats"]["lp"], dt["sample_stats"]["logp"])
    assert "share at maximum tree depth" in bg.diagnose(taken).table.index
    thinned = dt.copy()
    thinned["posterior"] = xr.DataTree(posterior.isel(draw=slice(None, None, 2)))
    with pytest.raises(ModelError, match="sample_stats has 250 of draw and posterior 125: thin both"):
        bg.adopt(thinned)


def test_of_the_priors_nothing_is_invented(tmp_path, undrawn):
    taken = bg.adopt(bg.load(FOLDER / "pymc.nc"))
    assert Fit.of(taken).specification is None
    assert not any("prior" in check or "optima" in check for check in bg.diagnose(taken).table.index)
    with pytest.raises(ModelError, match="do not say what was assumed"):
        bg.evidence(taken)
    with pytest.raises(ModelError, match="needs draws under a Dirichlet prior"):
        bg.occupied(taken, concentration=0.1)
    text = bg.report(taken, tmp_path / "report.html", progressbar=False).read_text(encoding="utf-8")
    assert "The draws came from elsewhere, without a record of their priors" in text
    assert "draws from elsewhere" in text
    assert "nutpie 0." in text


def test_files_and_commands_take_adopted_draws(tmp_path):
    draws, names = foreign("numpyro")
    taken = bg.adopt(draws, **names)
    path = bg.save(taken, tmp_path / "fit.nc")
    xr.testing.assert_identical(bg.load(path)["posterior"].to_dataset(), taken["posterior"].to_dataset())
    ran = CliRunner().invoke(app, ["diagnose", str(path)])
    assert ran.exit_code == 0
    assert "ok: nothing speaks against these draws" in ran.output
    pd.DataFrame({"x0": [2.0], "x1": [50.0]}).to_csv(tmp_path / "new.csv", index=False)
    ran = CliRunner().invoke(app, ["assign", str(path), str(tmp_path / "new.csv")])
    assert ran.exit_code == 0
    assert ran.output.splitlines()[1].startswith("2.0,50.0,0,")


def test_every_answer_takes_adopted_draws(faithful):
    draws, names = foreign("stan")
    taken = bg.adopt(draws, **names, X=faithful)
    assert bg.partition(taken, progressbar=False).n_clusters == 2
    assert bg.coclustering(taken, rows=[0, 1, 2], progressbar=False).values[0, 2] > 0.99
    assert bg.anomaly(taken, [[3.2, 90.0]], progressbar=False)["tail_probability"] < 0.01
    line = bg.density(taken, features=["eruptions"], progressbar=False)
    assert float(line["density"].integrate("eruptions")) == pytest.approx(1, abs=0.01)
    assert bg.occupied(taken, progressbar=False)["probability"].values[1] == pytest.approx(1)
    for plot in (bg.plot_clusters, bg.plot_uncertainty, bg.plot_weights):
        assert plot(taken) is not None


# CmdStan's files ------------------------------------------------------------------------------------------------------


def test_stans_files_are_what_a_user_would_read():
    """Column by column, as pandas has them."""
    taken = bg.adopt(STAN, weights="theta", covariances="Sigma", covariance_type="tied", relabel=None)
    for chain, path in enumerate(STAN):
        frame = pd.read_csv(path, comment="#")
        np.testing.assert_array_equal(taken["posterior"]["means"][chain, :, 1, 0], frame["mu.2.1"])
        np.testing.assert_array_equal(taken["posterior"]["means"][chain, :, 0, 1], frame["mu.1.2"])
        np.testing.assert_allclose(taken["posterior"]["covariances"][chain, :, 1, 0], frame["Sigma.1.2"], rtol=1e-9)
        np.testing.assert_array_equal(taken["sample_stats"]["lp"][chain], frame["lp__"])
        np.testing.assert_array_equal(taken["sample_stats"]["diverging"][chain], frame["divergent__"] > 0)


def test_stans_warmup_is_left_out_and_deep_trees_are_said(tmp_path):
    head = "# max_depth = 3\nlp__,treedepth__,divergent__,p,mu.1,mu.2,s\n"
    warmup, rows = "-1,9,1,0.5,9,9,9\n" * 3, "".join(f"-1,{depth},0,0.4,0,{depth},1\n" for depth in (1, 2, 3, 3))
    (tmp_path / "c.csv").write_text(head + warmup + "# Adaptation terminated\n# Step size = 1\n" + rows + "# \n")
    taken = bg.adopt(tmp_path / "c.csv", weights="p", scales="s")
    np.testing.assert_array_equal(taken["posterior"]["means"][0, :, 1, 0], [1, 2, 3, 3])
    np.testing.assert_array_equal(taken["sample_stats"]["reached_max_treedepth"][0], [False, False, True, True])
    assert not taken["sample_stats"]["diverging"].any()
    (tmp_path / "short.csv").write_text(head + "# Adaptation terminated\n" + rows[: len(rows) // 2])
    with pytest.raises(StorageError, match=r"short.csv' has other variables or another number of draws"):
        bg.adopt([tmp_path / "c.csv", tmp_path / "short.csv"], weights="p", scales="s")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for name, message in (("other.csv", "no column lp__"), ("none.csv", "cannot be read as a CSV file of CmdStan")):
        with pytest.raises(StorageError, match=message):
            bg.adopt(str(tmp_path / name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pymc", "numpyro", "stan"])
def test_kept_draws_are_of_their_models(name, faithful, tmp_path):
    """Drawn anew with another seed: means within five Monte Carlo errors."""
    x = faithful.to_numpy()
    if name == "stan":
        foreign_draws.write_stan(foreign_draws.by_pymc(foreign_draws.for_stan(x), 7, "pymc"), tmp_path)
        anew = sorted(tmp_path.glob("stan_*.csv"))
    elif name == "pymc":
        anew = foreign_draws.by_pymc(foreign_draws.in_pymc(x), 7)
    else:
        anew = foreign_draws.by_numpyro(x, 7)
    kept, names = foreign(name)
    taken = [bg.adopt(draws, **names, X=faithful)["posterior"].dataset for draws in (kept, anew)]
    for variable in ("weights", "means", "scales"):
        mean = [p[variable].mean(("chain", "draw")) for p in taken]
        error = [arviz_stats.mcse(p)[variable] for p in taken]
        assert float((abs(mean[0] - mean[1]) / np.hypot(*error)).max()) < 5
