"""The verdict on draws whose state is known: sound, label-switched, in different modes, broken."""

import re
import warnings

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from conftest import draw_rows
from sklearn.datasets import load_iris
from test_modes import two_clusterings
from test_posterior import scramble

import bayesgmm as bg
from bayesgmm.exceptions import (
    CollapsedComponentWarning,
    ConvergenceWarning,
    ImproperPosteriorError,
    ModelError,
    MultipleModesWarning,
    UnboundedPosteriorWarning,
)
from bayesgmm.posterior import chains, components
from bayesgmm.posterior.conflict import tails
from bayesgmm.posterior.invariants import ambiguous_share, groups_of_chains, invariants
from bayesgmm.record.fit import Fit


def changed(dt, change):
    tree = dt.copy(deep=True)
    change(tree)
    return tree


def well_separated(seed):
    """Draws of a mixture of 2 to 4 components without a second clustering."""
    rng = np.random.default_rng(seed)
    k = 2 + seed % 3
    means = 7.0 * np.array([[0, 0], [1, 0.3], [0.2, 1.2], [1.3, 1.4]])[:k]
    factor = rng.normal(size=(k, 2, 2)) / 2
    covariances = factor @ factor.transpose(0, 2, 1) + 0.5 * np.eye(2)
    x, _ = draw_rows(rng, 150 * k, np.full(k, 1 / k), means, covariances)
    return bg.sample(bg.build_model(x, k, resolution=None), random_seed=seed, progressbar=False)


def switch_chains(dt, rng):
    """Every chain's components in an order of its own, as chains from random starts have them."""
    tree = dt.copy(deep=True)
    posterior = tree["posterior"].to_dataset()
    for chain in range(posterior.sizes["chain"]):
        order = rng.permutation(posterior.sizes["component"])
        for name, variable in posterior.data_vars.items():
            if "component" in variable.dims:
                own = variable.isel(chain=chain)
                axis = own.dims.index("component")
                posterior[name][chain] = np.take(own.values, order, axis=axis)
    tree["posterior"] = type(tree)(posterior)
    return tree


# In turn labels that change from draw to draw and between chains, of 2, 3 and 4 components.
@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (3, 4, 5))])
def test_sound_chains_are_ok_whatever_their_labels(seed):
    """Six cases: labels that differ between chains, and labels that change from draw to draw."""
    sound = well_separated(seed)
    assert bg.diagnose(sound).verdict == "ok", str(bg.diagnose(sound))
    rng = np.random.default_rng(seed)
    switched = switch_chains(sound, rng) if seed % 2 else scramble(sound, rng)[0]
    diagnosis = bg.diagnose(switched)
    assert diagnosis.verdict == "ok", str(diagnosis)
    if not np.array_equal(switched["posterior"]["means"], sound["posterior"]["means"]):
        assert all("label switching, which is harmless" in reason for reason in diagnosis.reasons)
    assert bg.diagnose(bg.relabel(switched)).reasons == ()


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 10))])
def test_two_equally_good_clusterings_are_never_ok(seed):
    """Ten cases: chains started at one of them, and at both."""
    model = bg.build_model(two_clusterings(seed), 2, covariance_type="diag", resolution=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultipleModesWarning)
        dt = bg.sample(
            model, draws=400, start="dispersed" if seed % 2 else "heaviest", random_seed=seed, progressbar=False
        )
    diagnosis = bg.diagnose(dt)
    assert diagnosis.verdict in ("caution", "fail")
    assert any("different modes" in reason for reason in diagnosis.reasons), str(diagnosis)


def stick(tree):
    for variable in tree["posterior"].data_vars.values():
        variable[3] = variable[3, :1].values
    tree["sample_stats"]["lp"][3] = tree["sample_stats"]["lp"][3, :1].values


def stick_halfway(tree):
    for variable in tree["posterior"].data_vars.values():
        variable[1, 300:] = variable[1, 300:301].values


def shift(tree):
    tree["posterior"]["means"][2] += tree["posterior"]["means"].std(("chain", "draw")).values


def widen(tree):
    middle = tree["posterior"]["means"].mean(("chain", "draw"))
    tree["posterior"]["means"][0] = middle + 2 * (tree["posterior"]["means"][0] - middle)


def inflate(tree):
    tree["posterior"]["covariances"][1] *= 1.5


@pytest.mark.parametrize("change", [stick, stick_halfway, shift, widen, inflate])
def test_a_broken_chain_is_flagged(faithful_draws, change):
    assert bg.diagnose(faithful_draws).verdict == "ok"
    diagnosis = bg.diagnose(changed(faithful_draws, change))
    assert diagnosis.verdict in ("caution", "fail")
    if change in (stick, stick_halfway):
        assert diagnosis.verdict == "fail"
        assert any("is stuck" in reason for reason in diagnosis.reasons)
    elif change is shift:
        assert any("R-hat" in reason for reason in diagnosis.reasons)


def test_chains_that_part_are_told_by_group(faithful_draws):
    def part(tree):
        tree["posterior"]["means"][2:] += 5 * tree["posterior"]["means"].std(("chain", "draw")).values

    diagnosis = bg.diagnose(changed(faithful_draws, part))
    assert diagnosis.verdict == "fail"
    assert "different modes: chains stay apart (0, 1 | 2, 3;" in diagnosis.reasons[0]
    assert "do not pool them" in diagnosis.reasons[0]
    assert not any("effective sample size" in reason for reason in diagnosis.reasons)  # that follows, and is no news
    assert not diagnosis.table.loc["bulk ESS, label-invariant", "passed"]
    np.testing.assert_array_equal(groups_of_chains(invariants(Fit.of(changed(faithful_draws, part)))), [0, 0, 1, 1])
    np.testing.assert_array_equal(groups_of_chains(invariants(Fit.of(faithful_draws))), [0, 0, 0, 0])


@pytest.mark.parametrize(("rhat", "words"), [(1.02, "do not agree on the components"), (1.5, "weak identification")])
def test_a_little_too_few_draws_are_no_weak_identification(faithful_draws, monkeypatch, rhat, words):
    monkeypatch.setattr(chains._Chains, "common", property(lambda self: (self.fit, rhat, 0.0)))
    diagnosis = bg.diagnose(faithful_draws)
    assert diagnosis.verdict == "caution"
    assert words in diagnosis.reasons[0]


def test_divergences_small_components_and_near_optima_are_flagged(faithful_draws):
    def diverge(n):
        return lambda tree: tree["sample_stats"]["diverging"][0].__setitem__(slice(n), True)

    # One in a thousand is no more to say of a long run than of a short one.
    assert bg.diagnose(changed(faithful_draws, diverge(4))).verdict == "ok"
    diagnosis = bg.diagnose(changed(faithful_draws, diverge(5)))
    assert diagnosis.verdict == "caution"
    assert "5 of 4000 draws diverged" in diagnosis.reasons[0]
    assert bg.diagnose(changed(faithful_draws, diverge(41))).verdict == "fail"
    assert "caution: read the reasons" in str(diagnosis)

    def starve(tree):
        tree["posterior"]["weights"][...] = tree["posterior"]["weights"].values * 0 + [0.995, 0.005]
        tree["posterior"]["means"].loc[{"component": 1}] = [50.0, 50.0]

    assert any("component 1 holds about 0.0 rows" in r for r in bg.diagnose(changed(faithful_draws, starve)).reasons)

    def near(tree):
        del tree["posterior"].attrs["mode_shares"]
        tree["posterior"].attrs["starts_log_posterior"] = np.array([-1152.4, -1153.0, -1200.0])
        tree["posterior"].attrs["starts_optimum"] = np.array([0, 1, 2])

    diagnosis = bg.diagnose(changed(faithful_draws, near))
    assert diagnosis.verdict == "caution"
    missed, gap = diagnosis.reasons
    assert "of 3 starts the best was found once, and no two starts ended at the same optimum" in missed
    assert "1 of them, within 7 nats of the best (gaps 0.6)" in gap
    assert diagnosis.table.loc["gap to the second optimum, nats", "value"] == pytest.approx(0.6)


@pytest.mark.parametrize(("shares", "matter"), [([0.97, 0.03], False), ([0.93, 0.07], True), ([0.97, np.nan], True)])
def test_other_modes_matter_from_five_per_cent_on(faithful_draws, shares, matter):
    """As chains are dispersed from there on by default; a mode of unknown share always matters."""

    def found(tree):
        tree["posterior"].attrs["mode_shares"] = np.array(shares)
        tree["posterior"].attrs["mode_log_evidence"] = np.array([0.0, -3.0])
        tree["posterior"].attrs["mode_optima"] = np.array([0, 1])

    diagnosis = bg.diagnose(changed(faithful_draws, found))
    assert any("different modes" in reason for reason in diagnosis.reasons) == matter


def test_modes_without_chains_are_told_from_those_with(faithful_draws):
    def found(started):
        def change(tree):
            attrs = tree["posterior"].attrs
            attrs["mode_shares"], attrs["mode_log_evidence"] = np.array([0.5, 0.3, 0.2]), np.array([0.0, -0.5, -0.9])
            attrs["mode_optima"] = np.arange(3)
            attrs["started_mode_shares"] = attrs["started_mode_pareto_k"] = np.full(started, 0.5)

        return bg.diagnose(changed(faithful_draws, change))

    assert found(3).table.loc["other modes that matter", "value"] == 0
    two = found(2)
    assert two.table.loc["other modes that matter", "value"] == 1
    [reason] = [reason for reason in two.reasons if "different modes" in reason]
    assert "holding about 20% of the posterior. Try more chains (chains=5)" in reason


def test_a_parameter_that_chains_disagree_on_is_named(faithful_draws):
    def part(tree):
        tree["posterior"]["means"][0, :, 1, 0] += 0.6 * tree["posterior"]["means"][0, :, 1, 0].std()

    reasons = bg.diagnose(changed(faithful_draws, part)).reasons
    assert any("(means[1, 'eruptions'])" in reason for reason in reasons), reasons


@pytest.mark.parametrize("values", [2, 3])
def test_a_code_is_no_measurement(values):
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=200), rng.integers(values, size=200)])
    reasons = bg.diagnose(bg.find_MAP(bg.build_model(x, 1), random_seed=0).laplace(200, random_seed=0)).reasons
    assert any("x1 has 2 different values: it is a code" in reason for reason in reasons) == (values == 2)


def test_a_collapsed_component_is_named(faithful_draws):
    def collapse(tree):
        covariances = tree["posterior"]["covariances"]
        covariances[:, :, 1] = 1e-10 * np.eye(2)

    diagnosis = bg.diagnose(changed(faithful_draws, collapse))
    assert diagnosis.verdict == "caution"
    [reason] = [reason for reason in diagnosis.reasons if "component 1 has collapsed" in reason]
    assert "where it has no row to itself" in reason  # its mean is none of them
    # The priors are the defaults already.
    assert reason.endswith("Give a resolution (--resolution), or try fewer components.")
    # Draws of a Gaussian around such a mode are none of the posterior.
    of_laplace = changed(faithful_draws, collapse)
    of_laplace["posterior"].attrs["inference_method"] = "laplace"
    assert bg.diagnose(of_laplace).verdict == "fail"


def test_what_does_not_vary_is_no_warning():
    """The weight of a single component, of draws too few to be ok: pytest makes an error of a warning."""
    model = bg.build_model(np.random.default_rng(0).normal(size=(100, 2)), 1)
    dt = bg.sample(model, draws=20, tune=20, random_seed=0, progressbar=False)
    assert any("means[0" in reason for reason in bg.diagnose(dt).reasons)


def test_too_few_draws_are_flagged(faithful_model, faithful_map):
    dt = bg.sample(faithful_model, draws=20, tune=200, chains=2, start=faithful_map, random_seed=1, progressbar=False)
    assert sum("effective sample size" in reason for reason in bg.diagnose(dt).reasons) == 1
    for draws in (1, 2, 3):
        assert bg.diagnose(dt.isel(draw=slice(0, draws))).verdict == "caution"


@pytest.mark.parametrize("verb", [bg.diagnose, bg.assignments, bg.relabel, bg.density, bg.evidence, bg.plot_clusters])
def test_no_draws_and_draws_that_are_no_numbers_are_errors(faithful_draws, verb):
    for few in ({"draw": slice(0)}, {"chain": slice(0)}):
        with pytest.raises(ModelError, match="the tree holds no draws"):
            verb(faithful_draws.isel(few))
    broken = faithful_draws.copy(deep=True)
    broken["posterior"]["means"][1, 7] = np.nan
    with pytest.raises(ModelError, match="means holds 4 values that are not finite, the first in chain 1, draw 7"):
        verb(broken)


def test_laplace_draws_are_not_judged_as_chains(faithful_map):
    diagnosis = bg.diagnose(faithful_map.laplace(50, random_seed=1))
    assert diagnosis.verdict == "ok"
    assert not any("R-hat" in check for check in diagnosis.table.index)


def test_components_that_cannot_be_told_apart_are_said_to_be_weakly_identified():
    """Two components that lie at one place, each to one side of the other in half of the draws."""
    sound = well_separated(0)
    assert ambiguous_share(Fit.of(sound)) == 0.0

    def merge(tree):
        posterior, rng = tree["posterior"], np.random.default_rng(0)
        for name in ("weights", "covariances", "scales"):
            posterior[name][...] = posterior[name].mean("component").expand_dims(component=2, axis=2).values
        means = posterior["means"]
        middle = means.mean("component").expand_dims(component=2, axis=2).values
        means[...] = middle + 0.1 * rng.normal(size=means.shape)

    merged = changed(sound, merge)
    assert ambiguous_share(Fit.of(merged)) > 0.2
    diagnosis = bg.diagnose(merged)
    assert diagnosis.verdict == "caution"
    assert any("weak identification" in reason for reason in diagnosis.reasons), str(diagnosis)


# Posteriors that do not exist ---------------------------------------------------------------------------------------


def slanted(kind, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, 2))
    if kind == "x = y in 40 rows":
        x[:40, 1] = x[:40, 0]
    elif kind == "a line of 60 rows, shuffled":
        x[:60, 1] = 3.0 - 0.7 * x[:60, 0]
        x = rng.permutation(x)
    elif kind == "all rows":
        x[:, 1] = 2.0 * x[:, 0] + 1.0
    elif kind == "a plane in three features":
        x = rng.normal(size=(300, 3))
        x[:80, 2] = x[:80, 0] + 2 * x[:80, 1] - 4
    return x


KINDS = ["x = y in 40 rows", "a line of 60 rows, shuffled", "all rows", "a plane in three features"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_rows_on_a_slanted_plane_are_named_where_priors_cannot_bear_them(kind, seed):
    x = slanted(kind, seed)
    model = bg.build_model(x, 2, resolution=None, priors=bg.Priors(reference=None))
    with pytest.raises(ImproperPosteriorError, match=r"rows lie exactly on a (line|plane).*Drop one of") as caught:
        bg.find_MAP(model, random_seed=seed)
    count = {"x = y in 40 rows": 40, "a line of 60 rows, shuffled": 60, "all rows": 300}.get(kind, 80)
    assert str(caught.value).startswith(f"{count} rows")
    if kind == "x = y in 40 rows":
        assert "rows 0, 1, 2, 3, 4, 5, 6, 7 and 32 more" in str(caught.value)


def test_each_remedy_for_a_slanted_plane_works():
    x = slanted("x = y in 40 rows", 0)
    for model in (
        bg.build_model(x, 2, resolution=0.01, priors=bg.Priors(reference=None)),
        bg.build_model(x, 2, resolution=None, priors=bg.Priors(lkj_eta=22.0)),
        bg.build_model(x[:, :1], 2, resolution=None, priors=bg.Priors(reference=None)),
        bg.build_model(x, 2, covariance_type="diag", resolution=None, priors=bg.Priors(reference=None)),
        # No remedy is needed: the covariance that all rows share cannot close in on 40 of them.
        bg.build_model(x, 2, covariance_type="tied", resolution=None, priors=bg.Priors(reference=None)),
    ):
        estimate = bg.find_MAP(model, n_init=4, random_seed=1)
        assert estimate.converged
        assert np.isfinite(estimate.log_posterior)


def test_a_tied_covariance_fails_only_if_all_rows_lie_on_a_line():
    with pytest.raises(ImproperPosteriorError, match="300 rows lie exactly on a line"):
        bg.find_MAP(
            bg.build_model(
                slanted("all rows", 0), 2, covariance_type="tied", resolution=None, priors=bg.Priors(reference=None)
            ),
            random_seed=1,
        )


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_default_has_a_mode_whatever_plane_rows_lie_on(kind, covariance_type):
    """And a component that rests on such rows is named with them."""
    x = slanted(kind, 0)
    with warnings.catch_warnings():
        for category in (CollapsedComponentWarning, ConvergenceWarning):
            warnings.simplefilter("ignore", category)
        estimate = bg.find_MAP(
            bg.build_model(x, 2, covariance_type=covariance_type, resolution=None), n_init=4, random_seed=1
        )
    assert np.isfinite(estimate.log_posterior)
    assert all(np.isfinite(value).all() for value in estimate.point.values())
    diagnosis = bg.diagnose(estimate.laplace(100, random_seed=1)) if estimate.mode.factor is not None else None
    if kind != "all rows" and covariance_type == "full" and diagnosis is not None:
        assert "narrowest component" in diagnosis.table.index


def test_sound_data_with_strong_correlations_are_not_refused():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    x[:, 2] = x[:, 0] + x[:, 1] + 1e-2 * rng.normal(size=200)
    assert bg.find_MAP(bg.build_model(x, 2, resolution=None), n_init=4, random_seed=1).converged
    faithful = bg.datasets.load_faithful()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnboundedPosteriorWarning)
        assert bg.find_MAP(bg.build_model(faithful, 5), n_init=4, random_seed=1).converged


def three_clusters(apart):
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(100, 2)) + m for m in ((0, 0), (apart, 0), (0, apart))])


def laplace_of(x, n_components, **settings):
    return bg.find_MAP(bg.build_model(x, n_components, **settings), random_seed=0).laplace(400, random_seed=1)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_data_that_contradict_a_prior_are_never_ok(covariance_type):
    """Clusters 60 standard deviations apart, which the first default prior takes for spread within them."""
    settings = {"covariance_type": covariance_type, "priors": bg.Priors(reference=None)}
    diagnosis = bg.diagnose(laplace_of(three_clusters(60), 3, **settings))
    assert diagnosis.verdict == "caution"
    [reason] = [reason for reason in diagnosis.reasons if "contradict" in reason]
    assert "the data contradict the prior of the variances (x0: InverseGamma(1.5, 133" in reason
    assert "try the default priors" in reason
    # The controls: the same clusters near each other, and the remedy.
    near = bg.diagnose(laplace_of(three_clusters(6), 3, **settings))
    default = bg.diagnose(laplace_of(three_clusters(60), 3, covariance_type=covariance_type))
    for fine in (near, default):
        assert fine.verdict == "ok", str(fine)
        assert fine.table.loc["mass of a prior beyond the posterior", "value"] > 0.1


def test_a_users_prior_that_the_data_contradict_is_named():
    priors = bg.Priors(means=pm.Normal.dist(100, 5), variances=pm.InverseGamma.dist(3, 4))
    dt = laplace_of(three_clusters(6), 3, priors=priors)
    assert any("the prior of the means (Normal.dist(mu=100.0, sigma=5.0))" in r for r in bg.diagnose(dt).reasons)


def test_the_mass_beyond_is_that_of_the_prior():
    """Against SciPy, for a median that is known; and of a component's scale against the density's own integral."""
    from scipy import stats
    from scipy.integrate import quad

    fit = Fit.of(laplace_of(three_clusters(60), 3, covariance_type="spherical", priors=bg.Priors(reference=None)))
    [tail] = [tail for tail in tails(fit) if tail.prior.variable == "variances"]
    medians = fit.tree["posterior"]["variances"].median(("chain", "draw")).values
    scale = float(fit.specification.prior("variances").numbers["variance_scale"])
    expected = 2 * stats.invgamma(1.5, scale=scale).cdf(medians.min()) * 3
    assert tail.mass == pytest.approx(expected, rel=1e-6)
    assert tail.value == medians.min()

    rng = np.random.default_rng(0)
    scales_apart = np.concatenate([rng.normal(size=(50, 2)), 300 + 100 * rng.normal(size=(50, 2))])
    fit = Fit.of(laplace_of(scales_apart, 2))
    [tail] = [tail for tail in tails(fit) if tail.prior.variable == "covariances"]
    numbers = fit.specification.prior("covariances").numbers
    spread, wall = (float(numbers[f"scale_{name}"]) for name in ("spread", "wall"))

    def density(u):
        return np.exp(-(u**2) / (2 * spread**2) - wall * np.exp(-u))

    far = 10 * spread
    low, high = sorted((tail.value, np.copysign(far, tail.value)))
    beyond = quad(density, low, high)[0] / quad(density, -far, far, points=[0.0])[0]
    assert tail.mass == pytest.approx(2 * 2 * beyond, rel=0.02)
    # Two scales 100 : 1 are 4.6 log variances from their middle.
    assert 4 < abs(tail.value) < 5


def test_a_component_on_one_value_is_named_and_the_remedy_works():
    """Petal widths were recorded to 0.1; their logarithms have no step, and 0.2, log -1.609, was recorded 29 times."""
    iris = load_iris()
    x = pd.DataFrame(np.log(iris.data), columns=["a", "b", "c", "log width"])

    def judged(**given):
        estimate = bg.find_MAP(bg.build_model(x, 3, **given), random_seed=1)
        return bg.diagnose(estimate.laplace(200, random_seed=0))

    with pytest.warns(CollapsedComponentWarning):
        diagnosis = judged()
    [reason] = [reason for reason in diagnosis.reasons if "rests on one value" in reason]
    assert diagnosis.verdict == "fail"  # a Gaussian around a component without width
    assert "one value of log width, -1.60944, which 100% of its rows have" in reason
    step = float(re.search(r"in resolution: ([\d.]+),", reason)[1])
    diagnosis = judged(resolution=[0, 0, 0, step])
    assert diagnosis.verdict != "fail"
    assert not any("rests on one value" in reason for reason in diagnosis.reasons)
    # Of a value that no other is as common as, such as a bound, there is no step to give.
    x = pd.DataFrame({"a": np.random.default_rng(0).normal(size=200)}).clip(lower=0.0)
    with pytest.warns(CollapsedComponentWarning):
        estimate = bg.find_MAP(bg.build_model(x, 2, resolution=None), random_seed=0)
    reasons = bg.diagnose(estimate.laplace(200, random_seed=0)).reasons
    [reason] = [reason for reason in reasons if "rests on one value" in reason]
    assert "it is a bound or a code. Leave these rows out, or a." in reason


def reasons_of(x, n_components=2, **given):
    estimate = bg.find_MAP(bg.build_model(x, n_components, **given), random_seed=0, progressbar=False)
    return bg.diagnose(estimate.laplace(200, random_seed=0)).reasons


@pytest.mark.parametrize("n_outliers", [4, 6, 8])
def test_few_rows_about_a_cluster_are_no_cluster(n_outliers):
    """More than a shape takes, so that they are not too few; rows of no component's are the remedy, which works."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    x[:n_outliers] += 40 * rng.normal(size=(n_outliers, 3))
    [reason] = [reason for reason in reasons_of(x) if "lie scattered" in reason]
    assert ", ".join(map(str, range(n_outliers))) in reason
    assert "noise=True" in reason
    assert reasons_of(x, 1, noise=True) == ()
    # As many rows in a place of their own are a small cluster.
    x[:n_outliers] = 20 + rng.normal(size=(n_outliers, 3))
    assert not any("lie scattered" in reason for reason in reasons_of(x))


@pytest.mark.parametrize(
    ("third", "named"), [(lambda a: a.sum(axis=1), "x0, x1 and x2"), (lambda a: 2.54 * a[:, 0], "x0 and x2")]
)
def test_features_that_determine_one_another_are_named(third, named):
    a = np.random.default_rng(0).normal(size=(400, 2)) + np.repeat([[0], [4]], 200, 0)
    [reason] = reasons_of(np.c_[a, third(a)])
    assert f"{named} determine one another" in reason
    assert reasons_of(a) == ()


def test_a_flat_cluster_of_many_rows_has_not_collapsed_and_is_no_conflict():
    rng = np.random.default_rng(0)
    needle = np.concatenate([rng.normal(size=(150, 4)) * [1e-4, 1, 1, 1], rng.normal(size=(150, 4)) + 6])
    far = rng.normal(size=(300, 2)) + 1e5 * np.array([(0, 0), (1, 0), (0, 1)])[np.arange(300) // 100]
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapsedComponentWarning)
        assert reasons_of(needle) == ()
        assert reasons_of(far, 3) == ()
    # What the floor of float64 widens is a conflict: a million sds apart.
    with pytest.warns(CollapsedComponentWarning):
        reasons = reasons_of((far - far.round(-5)) + 10 * far.round(-5), 3)
    assert any("contradict the prior of the covariances" in reason and "reference=" in reason for reason in reasons)


def test_values_with_many_digits_are_no_fine_step():
    """53 of Old Faithful's durations in another table are 4 minutes to seven digits, others sixtieths of a minute."""
    rng = np.random.default_rng(0)
    minutes = np.concatenate([np.full(60, 4.0), (rng.normal(2, 0.3, size=120) * 60).round() / 60])
    x = np.c_[rng.normal(size=180) + 5 * (minutes > 3), minutes.round(7)]
    with pytest.warns(CollapsedComponentWarning):
        assert any("rests on one value of x1, 4, which 100% of its rows have" in reason for reason in reasons_of(x))


def test_rows_of_a_small_component_are_those_that_most_draws_give_it(faithful_draws):
    """Where few draws give it any, none are named."""

    def seldom(tree):
        tree["posterior"]["means"].loc[{"component": 1, "draw": slice(0, 799)}] = [50.0, 50.0]
        tree["posterior"]["means"].loc[{"component": 1, "draw": slice(950, 1000)}] = [50.0, 50.0]

    fit = Fit.of(changed(faithful_draws, seldom))
    counts = np.array([270.0, 2.0])
    check = components._smallest(fit, counts)
    assert not check.passed
    assert "component 1 holds about 2.0 rows, too few" in check.sentence()
    assert "2.0 rows (" in components._smallest(Fit.of(faithful_draws), counts).sentence()
