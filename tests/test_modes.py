"""Several modes: their shares, chains dispersed among them, and what is said of it."""

import itertools
import sys
import time
import warnings

import numpy as np
import nutpie
import pytest
import xarray as xr
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, norm
from sklearn.datasets import load_wine

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, MultipleModesWarning
from bayesgmm.graph.axes import Axes
from bayesgmm.graph.in_axes import ModeAxes
from bayesgmm.graph.non_centred import NonCentred
from bayesgmm.graph.roots import Roots
from bayesgmm.record.fit import Fit
from bayesgmm.search.mode import Mode, chains_per_mode, importance_shares, rough_log_evidence, shares
from bayesgmm.search.optima import Optima


def two_clusterings(seed):
    """Four clusters at the corners of a square, to be told apart by two components: by columns or by rows."""
    rng = np.random.default_rng(seed)
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * 3.0
    x = np.concatenate([rng.normal(size=(30, 2)) + c for c in corners])
    # The same rows with the axes exchanged: by symmetry both clusterings are equally good.
    return np.concatenate([x, x[:, ::-1]])


@pytest.fixture(scope="module")
def square():
    model = bg.build_model(two_clusterings(0), 2, covariance_type="diag", resolution=None)
    return model, bg.find_MAP(model, n_init=20, random_seed=1)


class Gaussians:
    """A density with known masses, in LogDensity's place."""

    def __init__(self, weights, means, covariances):
        self.parts = list(zip(weights, means, covariances, strict=True))

    def __call__(self, q):
        density = sum(w * multivariate_normal(m, c).pdf(q) for w, m, c in self.parts)
        with np.errstate(divide="ignore"):
            return float(np.log(density)), np.zeros_like(q)


def around(mode, axes):
    return ModeAxes(mode, Roots.none(), axes)


def test_importance_shares_recover_known_masses():
    """Two Gaussians of mass 0.2 and 0.8; proposals that do not fit exactly, and an extra one within the first."""
    covariances = [np.array([[1.0, 0.6], [0.6, 1.0]]), np.diag([0.5, 2.0])]
    means = [np.zeros(2), np.array([9.0, -7.0])]
    target = Gaussians([0.2, 0.8], means, covariances)
    modes = [around(m, Axes.of(1.1 * np.linalg.cholesky(c))) for m, c in zip(means, covariances, strict=True)]
    rng = np.random.default_rng(0)
    share, shape = importance_shares(target, modes, rng, draws=1000)
    np.testing.assert_allclose(share, [0.2, 0.8], atol=0.02)
    assert (shape < 0.7).all()
    overlapping = [*modes, around(means[0] + 0.3, Axes.of(np.eye(2)))]
    share, _ = importance_shares(target, overlapping, rng, draws=1000)
    np.testing.assert_allclose([share[0] + share[2], share[1]], [0.2, 0.8], atol=0.02)


def test_importance_shares_say_when_a_proposal_is_too_narrow():
    target = Gaussians([0.5, 0.5], [np.zeros(2), np.full(2, 20.0)], [np.eye(2), np.eye(2)])
    modes = [around(np.zeros(2), Axes.of(0.4 * np.eye(2))), around(np.full(2, 20.0), Axes.of(np.eye(2)))]
    _, shape = importance_shares(target, modes, np.random.default_rng(0), draws=1000)
    assert shape[0] > 0.7


def test_shares_are_those_of_modes_each_counted_once():
    log_evidence = np.log([3.0, 1.0, 3.0])
    np.testing.assert_allclose(shares(log_evidence, [0, 1]), [0.75, 0.25, 0.75])
    np.testing.assert_allclose(shares(np.append(log_evidence, np.nan), [0, 1, 3]), [0.75, 0.25, 0.75, np.nan])
    assert np.isnan(shares(np.array([np.nan]), [0])).all()


def test_what_is_roughly_nothing_is_not_counted_exactly_until_it_is_asked_for(monkeypatch):
    """Wine has many optima, and so many parameters that each of their curvatures takes time."""
    model = bg.build_model(load_wine().data, 3)
    monkeypatch.setattr("bayesgmm.search.ascents.NATS_AHEAD", 1e3)
    estimate = bg.find_MAP(model, n_init=12, random_seed=0, progressbar=False)
    problem, found = estimate.problem, estimate.optima.found
    assert len(found) > 2
    rough = rough_log_evidence(problem, [optimum.q for optimum in found])
    exact = np.array([Mode.near(problem, optimum.q).log_evidence for optimum in found])
    np.testing.assert_allclose(rough - rough[0], exact - exact[0], atol=3 + 0.1 * np.ptp(exact))
    monkeypatch.setattr("bayesgmm.search.optima.ROUGHLY_NOTHING", 0.0)
    some = Optima(problem, estimate.starts, found)
    modes, above = some._modes
    assert len(modes) < len(found)
    index = int(np.flatnonzero(above < 0)[0])
    assert 0 <= some.share(index) < 1
    assert some.mode(index).log_evidence == pytest.approx(exact[index])
    assert some.mode(index) is some.mode(index)
    assert not some.have_one_mode(index, 0)


def test_chains_go_to_the_modes_by_their_share():
    np.testing.assert_array_equal(chains_per_mode(np.array([0.5, 0.5]), 4), [2, 2])
    np.testing.assert_array_equal(chains_per_mode(np.array([0.9, 0.1]), 4), [3, 1])
    np.testing.assert_array_equal(chains_per_mode(np.array([0.995, 0.005]), 4), [4, 0])
    np.testing.assert_array_equal(chains_per_mode(np.array([0.6, 0.3, 0.1]), 2), [1, 1, 0])
    np.testing.assert_array_equal(chains_per_mode(np.array([0.98, 0.02, np.nan]), 4), [2, 1, 1])


def test_a_second_clustering_is_announced_and_dispersed_chains_find_it(square):
    model, estimate = square
    assert estimate.starts.n_optima >= 2
    with pytest.warns(MultipleModesWarning, match="different modes: the starts found 2"):
        one = bg.sample(model, start=estimate, draws=200, random_seed=1, progressbar=False)
    diagnosis = bg.diagnose(one)
    assert diagnosis.verdict in ("caution", "fail")
    assert any("different modes" in reason for reason in diagnosis.reasons)

    with warnings.catch_warnings():
        warnings.simplefilter("error", MultipleModesWarning)
        both = bg.sample(model, start="auto", estimate=estimate, draws=500, random_seed=1, progressbar=False)
    weight = both["sample_stats"]["chain_weight"].values
    started = both["sample_stats"]["start_mode"].values
    np.testing.assert_array_equal(started, [0, 0, 1, 1])
    # By symmetry each clustering holds half.
    np.testing.assert_allclose(weight, 0.25, atol=0.03)
    diagnosis = bg.diagnose(both)
    assert diagnosis.verdict in ("caution", "fail")
    assert any("different modes: chains stay apart (0, 1 | 2, 3" in reason for reason in diagnosis.reasons)


def test_chains_of_different_modes_draw_the_same_side_by_side(square):
    model, estimate = square
    settings = {"estimate": estimate, "draws": 40, "tune": 40, "random_seed": 1, "progressbar": False}
    one, three, four = (bg.sample(model, cores=cores, **settings)["posterior"].to_dataset() for cores in (1, 3, 4))
    xr.testing.assert_equal(one, three)
    xr.testing.assert_equal(one, four)


def test_an_interruption_keeps_the_draws_of_all_modes(square, monkeypatch):
    model, estimate = square

    def interrupted(sampler):
        time.sleep(2)  # in half a second a busy machine had no draws of both
        raise KeyboardInterrupt

    # The package has a function of the name of its module.
    monkeypatch.setattr(sys.modules[nutpie.sample.__module__]._BackgroundSampler, "wait", interrupted)
    dt = bg.sample(model, estimate=estimate, draws=1_000_000, tune=40, cores=4, random_seed=1, progressbar=False)
    assert dt.attrs["complete"] == 0
    assert dt["posterior"].sizes["draw"] > 10
    assert set(dt["sample_stats"]["start_mode"].values) == {0, 1}


def test_summaries_weigh_chains_that_stay_apart(square):
    model, estimate = square
    dt = bg.sample(model, estimate=estimate, draws=200, random_seed=1, progressbar=False)
    assert Fit.of(dt).in_proportion.tree is not dt
    weighted = dt.copy(deep=True)
    weighted["sample_stats"]["chain_weight"][...] = [0.4, 0.4, 0.1, 0.1]
    proportion = Fit.of(weighted).in_proportion.tree
    assert proportion["posterior"].sizes["chain"] == 1
    assert proportion["posterior"].sizes["draw"] == 200 + 200 + 50 + 50
    np.testing.assert_array_equal(proportion["posterior"]["weights"][0, :200], weighted["posterior"]["weights"][0])
    assert len(Fit.of(weighted).mixture) == 500
    every = Fit.of(weighted).every_draw
    assert len(every) == 800
    x = dt["observed_data"]["x"].values
    expected = np.average(every.responsibilities(x), axis=0, weights=np.repeat([0.4, 0.4, 0.1, 0.1], 200))
    np.testing.assert_allclose(bg.assignments(weighted)["probability"], expected, atol=0.05)


def test_one_mode_leaves_nothing_to_disperse(faithful_model):
    dt = bg.sample(faithful_model, start="dispersed", draws=100, random_seed=1, progressbar=False)
    assert "chain_weight" not in dt["sample_stats"]
    assert Fit.of(dt).in_proportion.tree is dt
    assert dt["posterior"].sizes["chain"] == 4
    with pytest.raises(InvalidArgumentError, match="'heaviest', 'dispersed', or a MapEstimate"):
        bg.sample(faithful_model, start="everywhere")


# Rows that two components can tell apart in two ways: some narrow ones and the rest, or some less narrow and the rest.
# The densities at the two optima differ by 0.2 to 0.3 nats, in favour of the narrow ones, whose mean has a posterior
# less than half as wide in each of four directions. Covariance type, rows and standard deviation of the less narrow,
# rows of the narrow.
CONSTRUCTED = [("spherical", 40, 1.26, 15), ("full", 45, 1.1175, 20)]


def narrow_or_wide(n_less=40, scale=1.26, n_narrow=15):
    rng = np.random.default_rng(0)
    wide = 5.0 * rng.normal(size=(80, 4))
    narrow = np.r_[6, 0, 0, 0] + 0.5 * rng.normal(size=(n_narrow, 4))
    return np.concatenate([wide, narrow, np.r_[-6, 0, 0, 0] + scale * rng.normal(size=(n_less, 4))])


@pytest.fixture(scope="module", params=CONSTRUCTED, ids=lambda case: case[0])
def dense_or_heavy(request):
    covariance_type, *shape = request.param
    model = bg.build_model(narrow_or_wide(*shape), 2, covariance_type=covariance_type, resolution=None)
    return model, bg.find_MAP(model, n_init=25, random_seed=0)


def test_the_highest_density_need_not_hold_the_mass(dense_or_heavy):
    _, estimate = dense_or_heavy
    assert estimate.share < 0.1
    heaviest, dense = estimate.modes
    assert dense is estimate
    assert heaviest.share == pytest.approx(1 - estimate.share, abs=1e-3)
    assert heaviest.log_posterior < estimate.log_posterior
    assert estimate.mixture.scales.min() < 0.6 < heaviest.mixture.scales.min()
    # Each is an estimate of its own, with the same idea of all modes.
    assert heaviest.modes[0] is heaviest
    assert heaviest.modes[1].log_posterior == estimate.log_posterior
    assert estimate.laplace(50, random_seed=1)["posterior"].attrs["mode_shares"][0] == pytest.approx(estimate.share)
    with pytest.warns(MultipleModesWarning, match=r"holds about [4-6]% of the posterior, and another mode 9[4-6]%"):
        assert estimate.taken("auto") is estimate
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert estimate.taken("heaviest") is heaviest
        assert heaviest.taken("auto") is heaviest


def test_a_search_is_judged_by_the_optimum_that_draws_are_of(dense_or_heavy):
    """The highest was found by some starts, the heaviest, at which chains start, by others."""
    _, estimate = dense_or_heavy
    heaviest, starts = estimate.taken("heaviest"), estimate.starts
    assert starts.at(0) == starts.at_best != starts.at(heaviest.index)
    for one in (estimate, heaviest):
        found = bg.diagnose(one.laplace(50, random_seed=1)).table.loc["starts that found the best optimum", "value"]
        assert found == starts.at(one.index)


def annealed_log_evidence(density, mode, rng, *, n_runs=200, leaps=15):
    """Log integral of a density near a mode: annealed importance sampling from the Gaussian of the mode's axes.

    Neal (2001), Statistics and Computing 11, 125-139, https://doi.org/10.1023/A:1008923215028. Along
    N(q)^(1 - b) p(q)^b, with a Hamiltonian step at every b.
    """

    def at(u, b):
        value, gradient = density(mode.unconstrained(u))
        return (b - 1) * u @ u / 2 + b * value, (b - 1) * u + b * (axes.T @ gradient), value

    axes, log_weights = mode.axes.dense, np.zeros(n_runs)
    path = np.linspace(0, 1, 41) ** 2
    for run in range(n_runs):
        u = rng.standard_normal(mode.q.size)
        value = at(u, 0.0)[2]
        for last, b in itertools.pairwise(path):
            log_weights[run] += (b - last) * (value + u @ u / 2)
            tempered, gradient, value = at(u, b)
            momentum, step, moved = rng.standard_normal(u.size), 0.2 * rng.uniform(0.8, 1.2), u
            energy = tempered - momentum @ momentum / 2
            for _ in range(leaps):
                momentum = momentum + step / 2 * gradient
                moved = moved + step * momentum
                tempered, gradient, moved_value = at(moved, b)
                momentum = momentum + step / 2 * gradient
            if np.log(rng.random()) < tempered - momentum @ momentum / 2 - energy:
                u, value = moved, moved_value
    log_volume = u.size / 2 * np.log(2 * np.pi) + mode.axes.log_volume
    return logsumexp(log_weights) - np.log(n_runs) + log_volume


@pytest.mark.slow
def test_shares_agree_with_annealing(dense_or_heavy):
    """Within five points; the densities alone, without their volumes, do not."""
    _, estimate = dense_or_heavy
    own, density = estimate.modes, estimate.problem.sampling_density
    with np.errstate(invalid="ignore"):
        annealed = softmax([annealed_log_evidence(density, e.mode.with_axes, np.random.default_rng(1)) for e in own])
    shares = np.array([e.share for e in own])
    print(f"\nshares {shares.round(3)}, by annealing {annealed.round(3)}")
    np.testing.assert_allclose(shares, annealed, atol=0.05)
    by_density = softmax([e.log_posterior for e in own])
    assert np.abs(by_density - annealed).max() > 0.05


def test_chains_start_where_the_mass_is(dense_or_heavy):
    model, estimate = dense_or_heavy

    def scales(start):
        dt = bg.sample(model, estimate=estimate, start=start, draws=50, chains=2, random_seed=1, progressbar=False)
        drawn = dt["posterior"]["scales"]
        narrowest = drawn.min([dim for dim in drawn.dims if dim not in ("chain", "draw")]).mean("draw")
        return narrowest.values, dt["posterior"].attrs["start"]

    with warnings.catch_warnings():
        warnings.simplefilter("error", MultipleModesWarning)
        by_default, written = scales("auto")
        assert written == "auto"
        dispersed = scales("dispersed")[0] > 0.8
        assert dispersed.tolist() == [True, False]
        # A mode that holds 95 % gets every chain.
        ample = estimate.modes[0].share >= 0.95
        assert ((by_default > 0.8) == (True if ample else dispersed)).all()
    with pytest.warns(MultipleModesWarning, match=r"holding about [4-6]%, 9[4-6]%"):
        dense, written = scales(estimate)
    assert (dense < 0.8).all()
    assert written == "estimate"
    with pytest.warns(MultipleModesWarning, match=r"holding about 9[4-6]%, [4-6]%"):
        assert scales(estimate.modes[0])[1] == "estimate.modes[0]"


def test_the_estimator_warns_of_a_highest_density_that_holds_little():
    x = narrow_or_wide()
    settings = {"covariance_type": "spherical", "inference": "map", "n_init": 25, "resolution": None}
    with pytest.warns(MultipleModesWarning, match="try start='heaviest', or inference='nuts'"):
        dense = bg.GaussianMixture(2, random_state=0, **settings).fit(x)
    heavy = bg.GaussianMixture(2, random_state=0, start="heaviest", **settings).fit(x)
    assert dense.covariances_.min() < 0.36 < heavy.covariances_.min()
    assert heavy.map_.share > 0.9
    with pytest.raises(InvalidArgumentError, match=r"unknown start .*'dispersed': choose one of 'auto', 'heaviest'"):
        bg.GaussianMixture(2, inference="map", start="dispersed").fit(x)


@pytest.mark.parametrize(("finite", "expected"), [(1.0, 0.75), (0.3, 0.75), (0.002, None), (0.0, 0.5)])
def test_shares_are_known_where_most_draws_have_no_density(finite, expected):
    """Two Gaussians a hundred sds apart, of 3 : 1; of one's draws and the other's so many are where the density is."""
    modes = [ModeAxes(np.array([at]), Roots.none(), Axes.of(1.1 * np.eye(1))) for at in (0.0, 100.0)]
    edge = norm.ppf(finite)

    def density(q):
        at, log_share = (0.0, np.log(0.75)) if q[0] < 50 else (100.0, np.log(0.25))
        return (norm.logpdf(q[0] - at) + log_share if q[0] - at < edge else -np.inf), np.zeros(1)

    share, shape = importance_shares(density, modes, np.random.default_rng(0))
    assert share.sum() == pytest.approx(1)
    assert (shape > 0.7).all() == (finite < 0.01)
    if expected is not None:
        assert share[0] == pytest.approx(expected, abs=0.03)


def test_what_sees_no_mean_from_its_component_adds_no_volume():
    """Whatever stood in memory before: it was not initialised once, and shares were NaN."""
    assert NonCentred.none().log_unit == 0
    np.testing.assert_array_equal(NonCentred.none().outer, np.ones((1, 1)))
