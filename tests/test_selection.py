"""Models side by side: mclust's maxima, counts of rows, interruptions, and what posteriors say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from conftest import draw_rows
from matplotlib.colors import same_color
from sklearn.datasets import load_iris

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError, InvalidPriorError, ModelError, StorageError
from bayesgmm.record.fit import Fit
from bayesgmm.reports.selection import Criteria
from bayesgmm.selection import posteriors
from bayesgmm.selection.ladder import Ladder
from bayesgmm.selection.posteriors import leave_one_out

MCLUST = pd.read_csv(Path(__file__).parent / "mclust.csv", comment="#")
# A log-likelihood is climbed to within this.
CLOSE = 1e-3


def data(name):
    return bg.datasets.load_faithful() if name == "faithful" else load_iris(as_frame=True).data


@pytest.fixture(scope="module")
def selections():
    return {name: bg.select(data(name), shortlist=0, random_seed=1, progressbar=False) for name in ("faithful", "iris")}


@pytest.fixture(scope="module")
def sampled(faithful):
    """Two models with their posteriors."""
    chosen = [(2, "full"), (1, "full")]
    return bg.select(
        faithful, n_components=[1, 2], covariances="full", shortlist=chosen, random_seed=1, progressbar=False
    )


@pytest.mark.parametrize("name", ["faithful", "iris"])
def test_no_maximum_is_below_mclusts(selections, name):
    own = selections[name].table.set_index(["n_components", "covariance_type"])["log_likelihood"]
    theirs = MCLUST[MCLUST["data"] == name].set_index(["n_components", "covariance_type"])["log_likelihood"]
    assert len(theirs) == 36
    assert (own.reindex(theirs.index) > theirs - CLOSE).all(), (own.reindex(theirs.index) - theirs).sort_values()


@pytest.mark.parametrize(("name", "best", "bic"), [("faithful", (3, "tied"), 2314.3), ("iris", (2, "full"), 574.0)])
def test_bic_picks_what_is_known(selections, name, best, bic):
    assert tuple(selections[name].best) == best
    assert selections[name].table["bic"].iloc[0] == pytest.approx(bic, abs=0.05)


@pytest.mark.parametrize("name", ["faithful", "iris"])
def test_a_model_that_holds_another_is_not_less_likely(selections, name):
    table = selections[name].table
    collapsed = table["doubts"].str.contains("collapsed")
    by_model = table.assign(log_likelihood=table["log_likelihood"].mask(collapsed)).pivot(
        index="n_components", columns="covariance_type", values="log_likelihood"
    )
    assert not (by_model.diff() < -CLOSE).any(axis=None)
    for simple, rich in (("spherical", "diag"), ("diag", "full"), ("tied", "full")):
        assert not (by_model[rich] < by_model[simple] - CLOSE).any()


def test_criteria_are_those_of_the_equations(selections, faithful):
    row = selections["faithful"].table.iloc[0]
    assert row["n_parameters"] == 2 + 3 * 2 + 3
    assert row["aic"] == pytest.approx(-2 * row["log_likelihood"] + 2 * 11)
    assert row["bic"] == pytest.approx(-2 * row["log_likelihood"] + 11 * np.log(272))
    # ICL's price is the entropy of what cannot be told apart: none of one component, and 44 here.
    one = selections["faithful"].table.query("n_components == 1")
    np.testing.assert_allclose(one["icl"], one["bic"])
    assert 40 < row["icl"] - row["bic"] < 48


def test_a_best_at_the_edge_of_what_was_tried_is_told(faithful):
    few = bg.select(faithful, n_components=(1, 2), covariances=("full",), shortlist=0, random_seed=0)
    assert few.best[0] == 2
    assert "2 components are the most that were tried: try more" in str(few)
    more = bg.select(faithful, n_components=(1, 2, 3), covariances=("full",), shortlist=0, random_seed=0)
    assert more.edge == ""
    assert bg.select(faithful, n_components=(2,), covariances=("full",), shortlist=0, random_seed=0).edge == ""


def test_what_differs_by_less_than_two_is_not_told_apart(selections):
    selection = selections["faithful"]
    near = selection.indistinguishable
    bic = selection.table.set_index(["n_components", "covariance_type"])["bic"]
    assert tuple(near[0]) == tuple(selection.best)
    assert all(bic[tuple(model)] < bic.iloc[0] + 2 for model in near)
    assert (bic < bic.iloc[0] + 2).sum() == len(near)
    assert not selection.others


def test_weights_count_rows(faithful):
    few = faithful.iloc[:60]
    asked = {"n_components": [1, 2], "shortlist": 0, "random_seed": 0, "resolution": None, "progressbar": False}
    counted = bg.select(few, sample_weight=np.full(60, 2.0), **asked).table
    repeated = bg.select(pd.concat([few, few]), **asked).table
    for name in ("log_likelihood", "bic", "icl", "aic"):
        np.testing.assert_allclose(counted[name], repeated[name], rtol=1e-6)


def test_models_that_were_never_climbed_to_say_so():
    x = np.random.default_rng(0).normal(size=(14, 3))
    table = bg.select(x, n_components=[1, 6], covariances="full", shortlist=0, random_seed=0).table
    assert list(table["n_components"]) == [1, 6]  # an artefact stands last, whatever its BIC
    assert list(table["sound"]) == [True, False]
    assert "collapsed" in table["doubts"].iloc[1]


def test_a_few_rows_that_lie_close_are_no_reason_for_a_component():
    """Five of 60 rows lie close together, and BIC alone would give them a component of their own."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    x[:5] = x[0] + 0.03 * rng.normal(size=(5, 2))
    table = bg.select(x, n_components=[1, 2], covariances="full", shortlist=0, random_seed=0, resolution=None).table
    assert list(table["n_components"]) == [1, 2]
    assert table["bic"].iloc[1] < table["bic"].iloc[0]
    assert table["spurious_penalty"].iloc[1] == pytest.approx(2 * np.log(60 * 59 * 58 / 6))
    assert "by chance" in table["doubts"].iloc[1]


def test_few_rows_far_away_are_a_cluster():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(60, 2)), rng.normal(30, 1, size=(5, 2))])
    selection = bg.select(x, n_components=[1, 2], covariances=("full", "diag"), shortlist=0, random_seed=0)
    assert selection.best[0] == 2
    x = np.concatenate([rng.normal(size=(20, 10)), rng.normal(10, 1, size=(20, 10))])
    assert bg.select(x, n_components=[1, 2], covariances="full", shortlist=0, random_seed=0).best[0] == 2


def test_components_of_one_row_each_leave_no_shared_covariance():
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(8, 2))
        selection = bg.select(x, n_components=range(1, 7), covariances="tied", shortlist=0, random_seed=0)
        assert selection.best[0] == 1, selection.table


def test_one_model_under_several_names_is_named_once():
    x = np.random.default_rng(0).normal(size=(120, 1))
    selection = bg.select(x, n_components=[1], shortlist=0, random_seed=0)
    assert len(selection.table) == 4
    assert len(selection.indistinguishable) == 1


def test_interrupted_and_gone_on_with_is_the_same_table(faithful, tmp_path, monkeypatch):
    asked = {"n_components": range(1, 4), "covariances": ("full", "diag"), "random_seed": 3, "progressbar": False}
    whole = bg.select(faithful, shortlist=0, **asked).table
    climb, steps = Ladder.climb, []

    def stopping(self, *arguments):
        steps.append(arguments[:2])
        if len(steps) == 8:
            raise KeyboardInterrupt
        return climb(self, *arguments)

    monkeypatch.setattr(Ladder, "climb", stopping)
    with pytest.raises(KeyboardInterrupt):
        bg.select(faithful, shortlist=0, store=tmp_path / "run", **asked)
    again = bg.select(faithful, shortlist=0, store=tmp_path / "run", **asked).table
    assert len(steps) == 18 + 1  # none twice but the one that was stopped
    pd.testing.assert_frame_equal(whole.drop(columns="seconds"), again.drop(columns="seconds"))


def test_draws_that_were_kept_are_not_drawn_again(faithful, tmp_path, monkeypatch):
    asked = {"n_components": [2], "covariances": "full", "random_seed": 1, "progressbar": False}
    first = bg.select(faithful, shortlist=1, store=tmp_path / "run", **asked)

    def never(*arguments, **named):
        raise AssertionError

    monkeypatch.setattr(posteriors, "sample", never)
    second = bg.select(faithful, shortlist=1, store=tmp_path / "run", **asked)
    pd.testing.assert_frame_equal(first.table.drop(columns="seconds"), second.table.drop(columns="seconds"))
    with pytest.raises(StorageError, match="other rows"):
        bg.select(faithful.iloc[1:], shortlist=0, store=tmp_path / "run", **asked)
    with pytest.raises(StorageError, match="other n_components"):
        bg.select(faithful, shortlist=0, store=tmp_path / "run", **(asked | {"n_components": [3]}))
    (tmp_path / "run" / "selection.json").write_text("{")
    with pytest.raises(StorageError, match="not a stored selection"):
        bg.select(faithful, shortlist=0, store=tmp_path / "run", **asked)


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"n_components": []}, InvalidArgumentError, "is empty"),
        ({"n_components": range(3, 1)}, InvalidArgumentError, "is empty"),
        ({"n_components": [0, 1]}, InvalidArgumentError, "n_components = 0"),
        ({"n_components": [1.5]}, InvalidArgumentError, "n_components = 1.5"),
        ({"n_components": None}, InvalidArgumentError, "n_components = None"),
        ({"covariances": ()}, InvalidArgumentError, "is empty"),
        ({"covariances": "round"}, InvalidArgumentError, "'round'"),
        ({"n_components": [2, 21]}, InvalidDataError, r"n_samples = 20 rows are fewer than n_components = 21"),
        ({"shortlist": -1}, InvalidArgumentError, "shortlist = -1"),
        ({"shortlist": "all"}, InvalidArgumentError, "shortlist = 'all'"),
        ({"shortlist": [3]}, InvalidArgumentError, r"pairs such as \(3, 'full'\)"),
        ({"shortlist": [(30, "full")]}, InvalidArgumentError, r"\(30, 'full'\)"),
        ({"random_seed": "one"}, InvalidArgumentError, "random_seed"),
        ({"priors": bg.Priors(concentration=[1.0])}, InvalidPriorError, "concentration has 1 values for 2 components"),
        ({"priors": bg.Priors(means=pm.Flat.dist())}, InvalidPriorError, "has no integral"),
    ],
)
def test_bad_input_is_one_clear_sentence(faithful, asked, error, words):
    with pytest.raises(error, match=words):
        bg.select(faithful.iloc[:20], **({"n_components": [1, 2]} | asked))


# What posteriors say --------------------------------------------------------------------------------------------------


def test_leave_one_out_is_arvizs_of_pymcs_log_likelihood(sampled):
    import arviz_stats

    dt = sampled.posteriors[2, "full"]
    model = bg.build_model(Fit.of(dt).table.values, 2, resolution=Fit.of(dt).table.resolution)
    pm.compute_log_likelihood(dt.copy(), model=model, progressbar=False)
    theirs = arviz_stats.loo(pm.compute_log_likelihood(dt.copy(), model=model, progressbar=False))
    own = leave_one_out(Fit.of(dt))
    assert own.elpd == pytest.approx(theirs.elpd, abs=0.02)
    assert own.se == pytest.approx(theirs.se, rel=1e-3)


def test_sampled_models_have_their_columns(sampled):
    table = sampled.table.set_index("n_components")
    assert table.loc[2, "verdict"] == "ok", table["doubts"]
    # One component has two heaps of values to describe.
    assert table.loc[1, "verdict"] == "caution"
    assert "the mixture does not describe the values of" in table.loc[1, "doubts"]
    assert table["weight"].sum() == pytest.approx(1)
    assert table["elpd_diff"].max() == 0
    assert table["elpd_diff"].min() == pytest.approx(table["elpd"].min() - table["elpd"].max(), abs=1e-6)
    assert (table["log_evidence_se"] < 0.1).all()
    # With random numbers of its own.
    evidence = bg.evidence(sampled.posteriors[2, "full"], random_seed=5)
    error = np.hypot(evidence.standard_error, table.loc[2, "log_evidence_se"])
    assert table.loc[2, "log_evidence"] == pytest.approx(evidence.log_evidence, abs=4 * error)


@pytest.mark.parametrize(
    ("verdicts", "usable", "words"),
    [
        (["ok", "fail"], (2, "full"), ""),
        (["fail", "caution"], (1, "full"), "The draws of 2 full cannot be trusted (verdict fail): 1 full is the next"),
        (["fail", "fail"], (2, "full"), "nor those of any other that was sampled: a longer shortlist may have some"),
        (["fail", ""], (2, "full"), "nor those of any other that was sampled"),
        (["", "ok"], (2, "full"), ""),
    ],
)
def test_a_best_whose_draws_fail_is_passed_over(sampled, verdicts, usable, words):
    selection = replace(sampled, table=sampled.table.assign(verdict=verdicts))
    assert selection.best == (2, "full")
    assert selection.usable == usable
    assert words in selection.passed_over
    assert bool(words) == bool(selection.passed_over)
    for said in (str(selection), selection._repr_html_()):
        assert selection.passed_over in said


def test_a_fit_keeps_the_table_that_it_came_from(sampled, tmp_path, undrawn):
    dt = sampled.fit(2)
    bg.save(dt, tmp_path / "fit.nc")
    loaded = bg.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(
        Fit.of(loaded).selection, sampled.table, check_names=False, check_dtype=False, check_index_type=False
    )
    page = bg.report(loaded, tmp_path / "report.html", progressbar=False).read_text(encoding="utf-8")
    assert "How many components?" in page
    assert f"{sampled.table['bic'].iloc[0]:.1f}" in page
    plain = bg.report(sampled.posteriors[2, "full"], tmp_path / "plain.html", progressbar=False)
    assert "How many components?" not in plain.read_text(encoding="utf-8")


def test_models_are_taken_by_either_name(sampled):
    assert Fit.of(sampled.fit()).n_components == sampled.best[0]
    assert Fit.of(sampled.fit(1)).n_components == 1
    with pytest.raises(InvalidArgumentError, match="none of the models"):
        sampled.fit(4)
    with pytest.raises(InvalidArgumentError, match="none of the models"):
        sampled.fit(2, "tied")


def test_the_picture_has_a_line_for_every_structure_and_rings_the_best(selections, sampled):
    ax = bg.plot_selection(selections["faithful"], criterion="icl")
    assert ax.get_ylabel() == "ICL above the ring's, log beyond 10"
    said = ["spherical", "diag", "tied", "full", "ranks first", "few rows in a component: ranked as if higher"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == said
    table = selections["faithful"].table
    ring = ax.get_lines()[-1]
    assert ring.get_xdata()[0] == table["n_components"].iloc[int(table["icl"].argmin())]
    words = [text.get_text() for text in bg.plot_selection(sampled.fit()).get_legend().get_texts()]
    assert words == ["full", "ranks first", "\u22122 log evidence, \u00b1 2 se", "\u22122 elpd, \u00b1 2 se"]
    with pytest.raises(ModelError, match="did not come from a selection"):
        bg.plot_selection(sampled.posteriors[2, "full"])
    with pytest.raises(InvalidArgumentError, match="criterion"):
        bg.plot_selection(sampled, criterion="dic")


def test_the_picture_has_the_criterion_itself_and_open_points_where_others_rank_before():
    """Two rows that lie close make a BIC of which the picture has no less than the table, and which ranks behind."""
    table = pd.DataFrame(
        {
            "n_components": [2, 3, 1], "covariance_type": "full", "bic": [100.0, 94.0, 140.0], "icl": 0.0, "aic": 0.0,
            "spurious_penalty": [0.0, 9.0, 0.0], "sound": True, "elpd_diff": np.nan, "elpd_diff_se": np.nan,
            "log_evidence": np.nan, "log_evidence_se": np.nan,
        }
    )  # fmt: skip
    ax = Criteria(table, "bic").draw()
    every, few, *_, ring = ax.get_lines()
    np.testing.assert_array_equal(every.get_xydata(), [[1, 40], [2, 0], [3, -6]])
    np.testing.assert_array_equal(few.get_xydata(), [[3, -6]])
    assert not same_color(few.get_markerfacecolor(), every.get_markerfacecolor())
    np.testing.assert_array_equal(ring.get_xydata(), [[2, 0]])
    ticks = [text.get_text() for text in ax.get_yticklabels()]
    assert ticks == ["\u22125", "0", "5", "10"]
    assert "few rows in a component: ranked as if higher" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_rows_with_weights_have_no_leave_one_out(faithful):
    x = faithful.iloc[:80]
    selection = bg.select(
        x, n_components=[1], covariances="full", shortlist=1, sample_weight=np.full(80, 1.5), random_seed=0
    )
    assert np.isnan(selection.table["elpd"].iloc[0])
    assert np.isfinite(selection.table["log_evidence"].iloc[0])
    assert "to leave one out is not defined" in selection.table["doubts"].iloc[0]


def test_the_estimator_finds_the_number(faithful):
    gmm = bg.GaussianMixture("auto", covariance_type="tied", inference="map", random_state=0).fit(faithful)
    assert gmm.n_components_ == 3
    assert tuple(gmm.selection_.best) == (3, "tied")
    assert Fit.of(gmm.inference_data_).selection is not None
    assert gmm.set_params(n_components=2).fit(faithful).selection_ is None
    few = bg.GaussianMixture("auto", inference="map", random_state=0).fit(faithful.iloc[:4])
    assert few.n_components_ <= 4
    with pytest.raises(InvalidArgumentError, match="'some'"):
        bg.GaussianMixture("some").fit(faithful)


@pytest.mark.slow
def test_leave_one_out_is_that_of_refits():
    means = np.array([[0.0, 0.0], [6.0, 0.0]])
    x, _ = draw_rows(np.random.default_rng(3), 30, [0.5, 0.5], means, np.stack([np.eye(2)] * 2))
    asked = {"random_seed": 1, "progressbar": False}
    dt = bg.sample(bg.build_model(x, 2), draws=2000, **asked)
    loo = leave_one_out(Fit.of(dt))
    exact = []
    for i in range(len(x)):
        rest = np.delete(x, i, axis=0)
        assumed = Fit.of(dt).specification
        model = assumed.build(Fit.of(dt).table.rows(np.arange(len(x)) != i))
        assert model.table.n_rows == len(rest)
        exact.append(Fit.of(bg.sample(model, draws=1000, **asked)).mixture.predictive(x[i : i + 1])[0][0])
    difference = np.asarray(loo.elpd_i) - exact
    # The error of a difference of sums over the same rows, and what smoothing the weights adds.
    assert abs(difference.sum()) < 2 * difference.std() * np.sqrt(len(x)) + 0.2
