"""NUTS: recovery, reproducibility, the tree it returns."""

import os
import subprocess
import sys

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from conftest import draw_rows

import bayesgmm as bg
from bayesgmm.data import cores
from bayesgmm.exceptions import InvalidArgumentError, ModelError, SamplingError
from bayesgmm.graph.axes import Axes, principal_axes
from bayesgmm.graph.in_axes import InAxes, ModeAxes
from bayesgmm.graph.roots import Roots
from bayesgmm.record.provenance import DIVERGENT_LIMIT, Provenance
from bayesgmm.sampling import nuts
from bayesgmm.sampling.run import SMALLER_STEPS, Chain, Plan, Run, Settings
from bayesgmm.search.curvature import negative_hessian
from bayesgmm.search.problem import Problem

TRUTH = (
    np.array([0.3, 0.7]),
    np.array([[-2.0, 0.0], [2.0, 1.0]]),
    np.array([[[1.0, 0.5], [0.5, 1.0]], [[0.6, -0.2], [-0.2, 1.5]]]),
)


@pytest.fixture(scope="module")
def simulated():
    x, _ = draw_rows(np.random.default_rng(1), 600, *TRUTH)
    model = bg.build_model(x, 2)
    return bg.sample(model, random_seed=1, progressbar=False)


def inside(dt, truth, level=0.998):
    """Whether every true parameter lies in its central interval."""
    posterior = dt["posterior"].dataset
    results = []
    for name, value in zip(("weights", "means", "covariances"), truth, strict=True):
        low, high = (posterior[name].quantile(p, ("chain", "draw")).values for p in ((1 - level) / 2, (1 + level) / 2))
        results.append(((low < value) & (value < high)).all())
    return all(results)


def test_truth_lies_in_the_intervals_and_a_wrong_truth_does_not(simulated):
    assert inside(simulated, TRUTH)
    weights, means, covariances = TRUTH
    assert not inside(simulated, (weights[::-1], means, covariances))
    assert not inside(simulated, (weights, means + 0.5, covariances))
    assert not inside(simulated, (weights, means, 1.5 * covariances))


def test_demo_fit_is_clean(faithful_draws):
    """The figures that the demo must show: R-hat below 1.01 and no divergence."""
    diagnosis = bg.diagnose(faithful_draws)
    assert diagnosis.verdict == "ok"
    assert diagnosis.table.loc["R-hat, parameters", "value"] < 1.01
    assert diagnosis.table.loc["divergent share", "value"] == 0


def test_same_seed_same_draws_whatever_the_cores(faithful_model, faithful_map):
    arguments = {"draws": 50, "tune": 50, "chains": 2, "start": faithful_map, "progressbar": False}
    one = bg.sample(faithful_model, cores=1, random_seed=7, **arguments)
    two = bg.sample(faithful_model, cores=2, random_seed=7, **arguments)
    other = bg.sample(faithful_model, cores=2, random_seed=8, **arguments)
    xr.testing.assert_equal(one["posterior"].to_dataset(), two["posterior"].to_dataset())
    assert not np.array_equal(one["posterior"]["means"], other["posterior"]["means"])
    assert not np.array_equal(one["posterior"]["means"][0], one["posterior"]["means"][1])


DRAWS = """
import sys, numpy as np, bayesgmm as bg
model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
dt = bg.sample(model, draws=50, tune=50, chains=2, cores=int(sys.argv[1]), random_seed=7, progressbar=False)
print(dt["posterior"]["covariances"].values.tobytes().hex())
"""


def test_same_seed_same_draws_in_every_process(faithful_model):
    here = bg.sample(faithful_model, draws=50, tune=50, chains=2, cores=2, random_seed=7, progressbar=False)
    there = subprocess.run([sys.executable, "-c", DRAWS, "1"], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here["posterior"]["covariances"].values.tobytes().hex()


@pytest.mark.slow
def test_the_process_that_compiles_draws_what_those_that_load_draw(tmp_path):
    folders = {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}/graphs", "NUMBA_CACHE_DIR": f"{tmp_path}/kernels"}
    compiles, loads = (
        subprocess.run(
            [sys.executable, "-c", DRAWS, "1"], capture_output=True, text=True, check=True, env=os.environ | folders
        )
        for _ in range(2)
    )
    assert any(tmp_path.glob("graphs/**/*value_and_gradient*"))
    assert any(tmp_path.glob("kernels/**/*in_axes*"))
    assert compiles.stdout == loads.stdout


def test_tree_round_trips_through_netcdf(faithful_draws, tmp_path):
    assert set(faithful_draws.children) == {
        "posterior", "sample_stats", "observed_data", "constant_data", "specification",
    }  # fmt: skip
    faithful_draws.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as again:
        for group in faithful_draws.children:
            xr.testing.assert_equal(faithful_draws[group].to_dataset(), again[group].to_dataset())
        assert again["posterior"].attrs["covariance_type"] == "full"
        xr.testing.assert_allclose(bg.assignments(again), bg.assignments(faithful_draws))
        assert bg.diagnose(again).verdict == "ok"


def test_tree_carries_names_data_and_constants(faithful_draws, faithful):
    posterior = faithful_draws["posterior"]
    assert list(posterior["feature"].values) == ["eruptions", "waiting"]
    assert posterior["covariances"].dims == ("chain", "draw", "component", "feature", "feature2")
    np.testing.assert_array_equal(faithful_draws["observed_data"]["x"], faithful.to_numpy(dtype=float))
    np.testing.assert_array_equal(faithful_draws["constant_data"]["resolution"], [1e-3, 1.0])
    assert faithful_draws["sample_stats"]["permutation"].dims == ("chain", "draw", "component")
    np.testing.assert_allclose(posterior["scales"] ** 2, posterior["variances"])
    rounding = faithful_draws["constant_data"]["resolution"].values ** 2 / 12
    diagonal = np.einsum("...ii->...i", posterior["covariances"])
    np.testing.assert_allclose(diagonal, posterior["variances"] + rounding, rtol=1e-7)


def test_recorded_log_posterior_is_the_models(faithful_model, faithful_draws):
    problem = Problem.of(faithful_model)
    draw = faithful_draws["posterior"].isel(chain=0, draw=5)
    q = problem.graph.unconstrain({rv.name: draw[rv.name].values for rv in faithful_model.free_RVs})
    np.testing.assert_allclose(problem.sampling_density(q)[0], faithful_draws["sample_stats"]["lp"][0, 5], rtol=1e-9)


@pytest.mark.parametrize("covariance_type", ["tied", "diag", "spherical"])
def test_every_covariance_type_samples(faithful, covariance_type):
    model = bg.build_model(faithful, 2, covariance_type=covariance_type)
    dt = bg.sample(model, draws=200, chains=2, random_seed=1, progressbar=False)
    assert bg.diagnose(dt).table.loc["divergent share", "value"] < 0.01
    assert float(dt["posterior"]["means"].sel(feature="waiting", component=0).mean()) == pytest.approx(54.5, abs=3)


def test_one_component_is_the_textbook_posterior():
    """K = 1, D = 1: the mean's posterior is close to normal(mean, s / sqrt(N)), within 5 Monte Carlo errors."""
    x = np.random.default_rng(2).normal(3.0, 2.0, size=(400, 1))
    dt = bg.sample(bg.build_model(x, 1), random_seed=2, progressbar=False)
    means = dt["posterior"]["means"].values.ravel()
    error = x.std() / np.sqrt(400)
    assert abs(means.mean() - x.mean()) < 5 * error / np.sqrt(means.size / 4) + 0.01 * error
    assert means.std() == pytest.approx(error, rel=0.08)
    assert bg.diagnose(dt).verdict == "ok"


def test_axes_make_the_curvature_the_identity(faithful_map):
    problem = faithful_map.problem
    hessian = negative_hessian(problem.sampling_density, faithful_map.q, problem.scales)
    axes = principal_axes(hessian, problem.scales)
    np.testing.assert_allclose(axes.T @ hessian @ axes, np.eye(len(axes)), atol=1e-6)
    # A direction without curvature, or with the wrong sign, gets a finite length.
    flat = principal_axes(np.diag([4.0, 0.0, -1e-9]), np.ones(3))
    np.testing.assert_allclose(np.sort(np.linalg.norm(flat, axis=0)), [0.5, 10, 10])


def test_density_in_the_axes_is_the_log_posterior_there(faithful_map):
    problem = faithful_map.problem
    rng = np.random.default_rng(0)
    n = problem.n_parameters
    mode = ModeAxes(faithful_map.q, Roots.none(), Axes.of(rng.normal(size=(n, n)) / 50))
    density = InAxes(problem.sampling_density, mode)
    u = rng.normal(size=n)
    value, gradient = density(u)
    expected, slope = problem.sampling_density(faithful_map.q + mode.axes.moved(u))
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(gradient, mode.axes.dense.T @ slope, rtol=1e-10, atol=1e-10 * np.abs(slope).max())


def test_many_rows_give_the_same_on_one_thread_and_on_two():
    """Enough rows that a pass is cut into portions, which the threads share."""
    x, _ = draw_rows(np.random.default_rng(3), 1_000, *TRUTH)
    x = np.repeat(x, 150, axis=0) + np.random.default_rng(4).normal(scale=0.1, size=(150_000, 2))
    results = []
    for n in (1, 2):
        with cores.limited_to(n):
            estimate = bg.find_MAP(bg.build_model(x, 2), n_init=1, random_seed=1)
        dt = bg.sample(
            estimate.problem.model, start=estimate, draws=5, tune=5, chains=1, cores=n, random_seed=1, progressbar=False
        )
        results.append((estimate.point["means"], dt["posterior"]["covariances"].values))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_data_set_after_the_map_are_the_ones_sampled(faithful):
    model = bg.build_model(faithful, 2)
    estimate = bg.find_MAP(model, random_seed=1)
    with model:
        pm.set_data({"x_data": faithful.to_numpy(dtype=float) + np.array([0.0, 1.0])})
    dt = bg.sample(model, start=estimate, draws=200, chains=2, random_seed=1, progressbar=False)
    moved = dt["posterior"]["means"].mean(("chain", "draw")).values - estimate.point["means"]
    np.testing.assert_allclose(moved, [[0.0, 1.0], [0.0, 1.0]], atol=0.3)


def test_bad_arguments_are_refused(faithful, faithful_model, faithful_map):
    with pytest.raises(InvalidArgumentError, match="draws = 0 must be at least 1"):
        bg.sample(faithful_model, draws=0)
    with pytest.raises(InvalidArgumentError, match=r"chains = 1\.5 must be an integer"):
        bg.sample(faithful_model, chains=1.5)
    with pytest.raises(InvalidArgumentError, match="unknown relabel 'magic'"):
        bg.sample(faithful_model, relabel="magic")
    with pytest.raises(InvalidArgumentError, match="or a MapEstimate"):
        bg.sample(faithful_model, start={"means": 0})
    with pytest.raises(InvalidArgumentError, match="random_seed = 'x' must be None, an integer of at least 0"):
        bg.sample(faithful_model, random_seed="x")
    with pytest.raises(ModelError, match="another model's"):
        bg.sample(bg.build_model(faithful, 2, covariance_type="diag"), start=faithful_map)
    assert issubclass(SamplingError, ValueError)


def few_rows_of_no_clusters():
    """Twelve rows of one Gaussian: the second of two components comes and goes."""
    rng = np.random.default_rng([77, 0, 0])
    rng.normal(size=(2, 1))
    scales = np.abs(rng.normal(size=(2, 1, 1)) + 0.5).reshape(2, 1)
    return scales[rng.choice(2, 12)] * rng.normal(size=(12, 1))


def test_chains_that_diverge_are_drawn_again_with_smaller_steps(tmp_path, monkeypatch):
    model = bg.build_model(few_rows_of_no_clusters(), 2)
    estimate = bg.find_MAP(model, random_seed=1, progressbar=False)
    arguments = {"start": estimate, "random_seed": 1, "progressbar": False}
    smaller = bg.sample(model, store=tmp_path / "run", **arguments)
    again = bg.open_run(tmp_path / "run")
    monkeypatch.setattr(nuts, "SMALLER_STEPS", ())
    once = bg.sample(model, **arguments)
    assert float(once["sample_stats"]["diverging"].mean()) > 2 * DIVERGENT_LIMIT
    assert float(smaller["sample_stats"]["diverging"].mean()) <= DIVERGENT_LIMIT
    assert once.attrs["target_accept"] == 0.8
    assert smaller.attrs["target_accept"] in SMALLER_STEPS
    assert again.attrs["target_accept"] == smaller.attrs["target_accept"]
    xr.testing.assert_equal(again["posterior"].to_dataset(), smaller["posterior"].to_dataset())


@pytest.mark.parametrize(
    ("lengths", "steps", "kept"),
    [((50, 50, 50), 15, 2), ((50, 20), 15, 0), ((20,), 15, 0), ((50, 50, 20), 15, 1), ((50,), 255, 0)],
)
def test_chains_are_drawn_again_until_interrupted_or_too_long(lengths, steps, kept):
    """``kept`` is the attempt whose draws are returned, where chains of each attempt have these lengths."""
    asked = []

    def chains(settings, attempt):
        asked.append(settings.acceptance(6))
        n = lengths[attempt]
        return [Chain(0, np.full((n, 6), attempt), {"diverging": np.ones(n, dtype=bool), "n_steps": np.full(n, steps)})]

    settings = Settings(50, 200, 1, False)
    provenance = Provenance("nuts", acceptance=0.8)
    run = nuts._with_few_divergent(Run(None, [], Plan(50, 200, (1,)), [], provenance), settings, chains)
    assert asked == [0.8, *SMALLER_STEPS][: len(lengths)]
    assert (run.chains[0].u == kept).all()
    assert run.provenance.acceptance == [0.8, *SMALLER_STEPS][kept]
