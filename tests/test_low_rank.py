"""Axes of a sparse matrix and a few directions besides: against dense matrices, and against the curvature at modes."""

import numpy as np
import pytest
from scipy import sparse

import bayesgmm as bg
from bayesgmm.graph.axes import Axes
from bayesgmm.graph.in_axes import InAxes
from bayesgmm.search import mode as mode_module
from bayesgmm.search.climb import VERY_MANY
from bayesgmm.search.low_rank import NEARLY_ROUND, nearly_round

# Of an eigenvalue that was looked for.
NEAR = 1.1


def overlapping(n_rows, n_features, n_components, apart, seed=0):
    """Clusters so many standard deviations apart, on average."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_components, n_features)) * apart / np.sqrt(2 * n_features)
    return centres[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, n_features))


@pytest.fixture(scope="module", params=[3.0, 6.0], ids=["hardly apart", "apart"])
def mode(request):
    """A mode of 260 parameters."""
    model = bg.build_model(overlapping(1_000, 8, 5, request.param), 5)
    return bg.find_MAP(model, n_init=4, random_seed=1, progressbar=False).mode


def spectrum(mode, axes):
    return np.linalg.eigvalsh(axes.T @ mode.hessian @ axes)


def test_rows_in_doubt_leave_the_curvature_near_1(mode):
    """And the negative control: in the axes that it began with it is not."""
    problem = mode.problem
    known = problem.round_axes(mode.q)
    seen = mode.roots.seen(problem.sampling_density)
    axes, are_round = nearly_round(seen, mode.roots.there(mode.q), known)
    assert are_round
    assert 0 < len(axes.stretch) < 30
    before, after = spectrum(mode, known.toarray()), spectrum(mode, axes.dense)
    assert before[0] < NEARLY_ROUND[0] / 1.5
    assert after[0] > NEARLY_ROUND[0] / NEAR
    assert after[-1] < NEARLY_ROUND[1] * NEAR
    # As many are far from 1 as directions were found.
    assert len(axes.stretch) == pytest.approx(
        np.count_nonzero((before < NEARLY_ROUND[0]) | (before > NEARLY_ROUND[1])), abs=1
    )


def test_chains_read_them(mode):
    """What a chain is given is the density at mode + axes u, and the slopes by u."""
    density, found = mode.problem.sampling_density, mode.with_axes
    assert len(found.axes.stretch) > 0
    u = np.random.default_rng(0).normal(size=mode.q.size)
    value, gradient = found.roots.seen(density)(found.centre + found.axes.moved(u))
    read, slopes = InAxes(density, found)(u)
    assert read == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(slopes, found.axes.dense.T @ gradient, rtol=1e-9, atol=1e-7)


def test_a_store_keeps_them(tmp_path):
    """Draws are kept as u: what is read from the folder is what the run gave."""
    model = bg.build_model(overlapping(1_000, 8, 5, 6.0), 5)
    estimate = bg.find_MAP(model, n_init=3, random_seed=1, progressbar=False)
    assert len(estimate.mode.with_axes.axes.stretch) > 0
    settings = {"draws": 20, "tune": 30, "chains": 4, "random_seed": 1, "progressbar": False}
    drawn = bg.sample(model, estimate=estimate, store=tmp_path / "run.zarr", **settings)
    kept = bg.open_run(tmp_path / "run.zarr")
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(kept["posterior"][name], drawn["posterior"][name])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_axes_are_a_matrix_with_some_directions_stretched(kind):
    rng = np.random.default_rng(0)
    n = 12
    matrix = kind(np.triu(rng.normal(size=(n, n))) * (rng.random((n, n)) < 0.4) + np.diag(np.geomspace(1e-6, 1e6, n)))
    directions = np.linalg.qr(rng.normal(size=(n, 3)))[0].T
    axes = Axes.of(matrix, directions, np.array([2.0, -0.5, 0.1]))
    dense = sparse.csr_array(matrix).toarray() @ (np.eye(n) + directions.T @ np.diag([2.0, -0.5, 0.1]) @ directions)
    units = np.abs(dense).max(axis=1)
    np.testing.assert_allclose(axes.dense / units[:, None], dense / units[:, None], atol=1e-6)
    u = rng.normal(size=(5, n))
    np.testing.assert_allclose(axes.moved(u) / units, u @ dense.T / units, atol=1e-5)
    np.testing.assert_allclose(axes.back(axes.moved(u)), u, atol=1e-5)
    assert axes.log_volume == pytest.approx(np.linalg.slogdet(dense)[1], abs=1e-5)
    kept = Axes.of_numbers(axes.numbers)
    np.testing.assert_array_equal(kept.moved(u), axes.moved(u))


@pytest.mark.parametrize("curvature", [np.nan, 0.01])
def test_axes_that_cannot_be_mended_are_not_taken_for_round(curvature):
    """Where slopes are no numbers; where more directions are out than are looked for: these are mended all the same."""
    n = 300
    along = np.r_[np.full(100, curvature), np.ones(n - 100)]
    identity = sparse.csr_array(sparse.diags_array(np.ones(n)))
    axes, are_round = nearly_round(lambda q: (0.0, -along * q), np.zeros(n), identity)
    assert not are_round
    np.testing.assert_allclose(1 + axes.stretch, 10 * np.ones(0 if np.isnan(curvature) else 64), rtol=1e-2)


def test_very_many_parameters_are_sampled_without_second_derivatives(monkeypatch):
    """Of ten components of 30 features."""

    def none(*given):
        raise AssertionError("second derivatives of very many parameters take minutes")

    monkeypatch.setattr(mode_module, "negative_hessian", none)
    rng = np.random.default_rng(0)
    labels = np.arange(1_500) % 10
    x = 8 * rng.normal(size=(10, 30))[labels] + rng.normal(size=(1_500, 30))
    model = bg.build_model(x, 10)
    estimate = bg.find_MAP(model, n_init=3, random_seed=1, progressbar=False)
    assert estimate.q.size > VERY_MANY
    fit = bg.sample(model, draws=60, tune=60, chains=2, start=estimate, random_seed=1, progressbar=False)
    means = fit["posterior"]["means"].values
    truth = np.array([x[labels == k].mean(axis=0) for k in range(10)])
    apart = np.abs(means.mean(axis=(0, 1))[:, None] - truth).max(axis=2).min(axis=1)
    assert (apart < 0.2).all()
    spread = means.std(axis=(0, 1)) * np.sqrt(150)
    assert 0.8 < spread.mean() < 1.2
