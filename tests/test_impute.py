"""What a user meets who has values that were not seen: errors, answers about rows, completed tables."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pymc as pm
import pytest
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError
from bayesgmm.record.fit import Fit
from bayesgmm.reports.axes import undrawn


@pytest.fixture(scope="module")
def gappy(faithful):
    """Old Faithful with cells and one whole row missing."""
    rng = np.random.default_rng(9)
    frame = faithful.astype(float).mask(rng.random(faithful.shape) < 0.15)
    frame.iloc[7] = np.nan
    return frame.set_axis([f"eruption {i}" for i in range(len(frame))], axis="index")


@pytest.fixture(scope="module")
def model(gappy):
    return bg.build_model(gappy, 2, missing="marginalise")


@pytest.fixture(scope="module")
def estimate(model):
    return bg.find_MAP(model, random_seed=1, progressbar=False)


@pytest.fixture(scope="module")
def dt(model, estimate):
    return bg.sample(model, draws=500, chains=2, start=estimate, random_seed=1, progressbar=False)


# What is said --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [lambda X: bg.build_model(X, 2), bg.select, lambda X: bg.GaussianMixture().fit(X)])
def test_without_the_option_a_gap_is_an_error_that_names_it(gappy, call):
    with pytest.raises(InvalidDataError, match=r"contains NaN: row .*missing=\"marginalise\""):
        call(gappy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eruptions": np.nan}, "no value was seen of 'eruptions': there is nothing to learn of it"),
        ({"eruptions": np.inf}, "contains infinity: row 0, column 'eruptions'"),
        ({"waiting": 3.0}, "constant feature: 'waiting'"),
    ],
)
def test_columns_of_which_nothing_can_be_learnt_are_named(gappy, change, message):
    with pytest.raises(InvalidDataError, match=message):
        bg.build_model(gappy.assign(**change), 2, missing="marginalise")


def test_a_constant_with_gaps_is_a_constant(gappy):
    constant = gappy["waiting"].where(gappy["waiting"].isna(), 3.0)
    with pytest.raises(InvalidDataError, match="constant feature: 'waiting'"):
        bg.build_model(gappy.assign(waiting=constant), 2, missing="marginalise")


def test_other_words_are_refused(gappy):
    with pytest.raises(InvalidArgumentError, match="unknown missing 'drop': choose one of 'error', 'marginalise'"):
        bg.build_model(gappy, 2, missing="drop")


def test_a_fit_of_complete_rows_takes_no_gaps(faithful, faithful_draws, gappy):
    with pytest.raises(InvalidDataError, match="contains NaN"):
        bg.assignments(faithful_draws, gappy)
    with pytest.raises(InvalidDataError, match='missing="marginalise"'):
        bg.impute(faithful_draws)


# Answers about rows --------------------------------------------------------------------------------------------------


def test_every_answer_about_rows_is_finite(dt, gappy):
    soft = bg.assignments(dt, progressbar=False)
    assert np.isfinite(soft["probability"]).all()
    # Nothing was seen of row 7, so its probabilities are the weights.
    weights = dt["posterior"]["weights"].mean(("chain", "draw"))
    np.testing.assert_allclose(soft["probability"][7], weights, rtol=1e-10)
    again = bg.assignments(dt, gappy, progressbar=False)
    np.testing.assert_allclose(again["probability"], soft["probability"])
    assert list(again["obs_id"].values[:2]) == ["eruption 0", "eruption 1"]
    similarity = bg.coclustering(dt, progressbar=False)
    assert np.isfinite(similarity).all()
    assert bg.partition(dt, progressbar=False).labels.size == len(gappy)
    # A row of which less was seen is less sure.
    both = gappy.notna().all(axis=1).to_numpy()
    assert soft["entropy"].values[both].mean() < soft["entropy"].values[~both].mean()


def test_densities_diagnosis_pages_and_pictures(dt, tmp_path):
    assert np.isfinite(bg.density(dt, features=["waiting"], progressbar=False)["density"]).all()
    assert np.isfinite(bg.regression(dt, "waiting", given={"eruptions": 2.0}, progressbar=False)["mean"]).all()
    with warnings.catch_warnings(action="error"):
        assert bg.diagnose(dt).verdict in ("ok", "caution")
        for draw in (bg.plot_clusters, bg.plot_uncertainty, bg.plot_assignments, bg.plot_coclustering):
            assert draw(dt) is not None
        assert bg.plot_density(dt, features=["waiting"]) is not None
        page = bg.report(dt, tmp_path / "report.html", progressbar=False).read_text()
    assert "missing=&#34;marginalise&#34;" in page or 'missing="marginalise"' in page
    assert ">nan<" not in page  # a value that was not seen is a dash


def test_rows_that_have_no_place_in_a_picture_are_counted(dt, gappy, faithful_draws):
    either = f"{gappy.isna().any(axis=1).sum()} rows with gaps not drawn"
    for draw in (bg.plot_clusters, bg.plot_uncertainty):
        assert [text.get_text() for text in draw(dt).get_legend().get_texts()][-1] == either
    alone = bg.plot_uncertainty(dt, features=["waiting"]).get_legend().get_texts()
    assert [text.get_text() for text in alone] == [f"{gappy['waiting'].isna().sum()} rows with gaps not drawn"]

    def of_plane(tree, **options):
        (ax,) = bg.plot_density(tree, **options).viz["figure"].item().axes
        return [text.get_text() for text in ax.get_legend().get_texts()]

    assert of_plane(dt)[-1] == either
    for said in (of_plane(dt, visuals={"data": False}), of_plane(faithful_draws)):
        assert "gaps" not in " ".join(said)
    assert undrawn(np.array([[np.nan, np.nan], [0.0, 1.0]])) == "1 row with gaps not drawn"
    complete = bg.plot_clusters(faithful_draws).get_legend().get_texts()
    assert [text.get_text() for text in complete][-1] == "50 % and 95 % ellipses"
    assert bg.plot_uncertainty(faithful_draws).get_legend() is None


def test_evidence_and_occupied_components(dt, model):
    assert np.isfinite(bg.evidence(dt, random_seed=1).log_evidence)
    assert float(bg.occupied(dt)["probability"].sum()) == pytest.approx(1)


def test_saved_and_stored_fits_keep_their_gaps(dt, model, estimate, gappy, tmp_path):
    stored = bg.sample(
        model,
        draws=50,
        tune=50,
        chains=1,
        start=estimate,
        random_seed=1,
        store=tmp_path / "run.zarr",
        progressbar=False,
    )
    for again, of in (
        (bg.load(bg.save(dt, tmp_path / "fit.nc")), dt),
        (bg.open_run(tmp_path / "run.zarr"), stored),
    ):
        fit = Fit.of(again)
        assert fit.gaps
        np.testing.assert_array_equal(fit.x, gappy.to_numpy())
        np.testing.assert_allclose(
            bg.impute(again, draws=3, progressbar=False)["x"], bg.impute(of, draws=3, progressbar=False)["x"]
        )


def test_pymcs_own_functions_take_the_model(model, dt, gappy):
    point = model.initial_point()
    assert np.isfinite(model.compile_logp()(point))
    with model:
        prior = pm.sample_prior_predictive(3, random_seed=1)
        replicated = pm.sample_posterior_predictive(dt, random_seed=1, progressbar=False)
        pointwise = pm.compute_log_likelihood(dt.copy(), progressbar=False)
    assert np.isfinite(prior["prior_predictive"]["x"]).all()
    assert np.isfinite(replicated["posterior_predictive"]["x"]).all()
    log_likelihood = pointwise["log_likelihood"]["x"].transpose("chain", "draw", ...)
    expected = Fit.of(dt).mixture.log_density(Fit.of(dt).observations)
    np.testing.assert_allclose(log_likelihood.values.reshape(expected.shape), expected, rtol=1e-8, atol=1e-10)


def test_estimator_predicts_rows_with_gaps(gappy):
    gmm = bg.GaussianMixture(2, inference="map", missing="marginalise", random_state=1, progressbar=False).fit(gappy)
    shares = gmm.predict_proba(gappy)
    np.testing.assert_allclose(shares[7], gmm.weights_, rtol=1e-12)
    assert gmm.score_samples(gappy)[7] == pytest.approx(0, abs=1e-12)
    assert np.isfinite(gmm.bic(gappy))
    assert (gmm.predict(gappy) == shares.argmax(axis=1)).all()
    assert gmm.__sklearn_tags__().input_tags.allow_nan
    assert not bg.GaussianMixture().__sklearn_tags__().input_tags.allow_nan
    weighted = clone(gmm).fit(gappy, sample_weight=np.full(len(gappy), 2.0))
    assert weighted.map_.log_likelihood == pytest.approx(2 * gmm.map_.log_likelihood, abs=1.0)
    # Rows that do not count change nothing.
    more = pd.concat([gappy, 10 * gappy.iloc[:20]])
    without = clone(gmm).fit(more, sample_weight=np.r_[np.ones(len(gappy)), np.zeros(20)])
    np.testing.assert_allclose(without.means_, gmm.means_, rtol=1e-4)


def test_select_takes_gaps(gappy):
    selection = bg.select(
        gappy, n_components=[1, 2, 3], covariances=("full",), shortlist=0, missing="marginalise", random_seed=1,
        progressbar=False,
    )  # fmt: skip
    assert selection.best[0] in (2, 3)
    assert np.isfinite(selection.table["bic"]).all()
    auto = bg.GaussianMixture("auto", covariance_type="tied", inference="map", missing="marginalise", random_state=1)
    assert auto.set_params(progressbar=False).fit(gappy).n_components_ in (2, 3)


# Completed tables ----------------------------------------------------------------------------------------------------


def test_impute_draws_what_was_not_seen_and_leaves_the_rest(dt, gappy):
    completed = bg.impute(dt, draws=400, progressbar=False)
    assert dict(completed.sizes) == {"draw": 400, "obs_id": len(gappy), "feature": 2}
    assert list(completed["feature"].values) == list(gappy.columns)
    assert list(bg.impute(dt, gappy, draws=1)["obs_id"].values[:1]) == ["eruption 0"]
    unseen = gappy.isna().to_numpy()
    np.testing.assert_array_equal(completed["missing"], unseen)
    x = completed["x"].values
    assert np.isfinite(x).all()
    assert (x[:, ~unseen] == gappy.to_numpy()[~unseen]).all()
    assert (x[:, unseen].std(axis=0) > 0).all()
    expected = Fit.of(dt).mixture.expect_rows(Fit.of(dt).observations)
    error = x.std(axis=0)[unseen] / np.sqrt(400)
    away = (x.mean(axis=0)[unseen] - expected[unseen]) / error
    assert np.abs(away).max() < 4.5
    assert np.sqrt((away**2).mean()) < 1.3
    np.testing.assert_array_equal(x, bg.impute(dt, draws=400, progressbar=False)["x"])


def test_impute_completes_new_rows_by_name(dt):
    new = pl.DataFrame({"waiting": [80.0, None], "n": ["a", "b"], "eruptions": [None, 2.0]})
    completed = bg.impute(dt, new, draws=50, progressbar=False)
    assert completed["x"].sel(feature="eruptions").values[:, 1].tolist() == [2.0] * 50
    assert completed["x"].sel(feature="eruptions").mean("draw").values[0] == pytest.approx(4.2, abs=0.4)
    assert completed["x"].sel(feature="waiting").mean("draw").values[1] == pytest.approx(55, abs=4)
    with pytest.raises(InvalidArgumentError, match="draws = 0"):
        bg.impute(dt, new, draws=0)


def test_imputer_is_near_the_mean_of_draws_and_far_from_that_of_the_column(gappy, dt):
    imputer = bg.MixtureImputer(random_state=1, progressbar=False).fit(gappy)
    unseen = gappy.isna().to_numpy()
    mean = bg.impute(dt, draws=1000, progressbar=False)["x"].mean("draw").values
    ours = imputer.transform(gappy)
    spread = gappy.std().to_numpy()
    assert np.abs((ours - mean) / spread)[unseen].max() < 0.25
    column = SimpleImputer().fit_transform(gappy)
    assert np.abs((ours - column) / spread)[unseen].mean() > 0.5
    drawn = clone(imputer).set_params(strategy="draw").fit(gappy)
    np.testing.assert_array_equal(drawn.transform(gappy), drawn.transform(gappy))
    assert (drawn.transform(gappy)[unseen] != ours[unseen]).all()
    by_posterior = bg.MixtureImputer(inference="nuts", random_state=1, progressbar=False)
    with pytest.raises(InvalidArgumentError, match="unknown strategy 'median'"):
        by_posterior.set_params(strategy="median").fit(gappy)


def test_imputer_is_a_step_of_a_pipeline(gappy):
    pipeline = make_pipeline(bg.MixtureImputer(random_state=1, progressbar=False), StandardScaler())
    complete = pipeline.set_output(transform="pandas").fit_transform(gappy)
    assert list(complete.columns) == list(gappy.columns)
    assert list(complete.index) == list(gappy.index)
    assert complete.notna().all(axis=None)
    np.testing.assert_array_equal(pipeline[0].get_feature_names_out(), gappy.columns)
    assert not hasattr(clone(pipeline)[0], "mixture_")
    assert pipeline[0].__sklearn_tags__().input_tags.allow_nan


@pytest.mark.parametrize("kind", ["nullable", "polars", "object", "NA", "arrow", "list", "masked"])
def test_frames_have_gaps_of_their_own(gappy, kind):
    frames = {
        "nullable": lambda: gappy.convert_dtypes(), "polars": lambda: pl.from_pandas(gappy.reset_index(drop=True)),
        "object": lambda: gappy.astype(object).where(gappy.notna(), None),
        "NA": lambda: gappy.astype(object).where(gappy.notna(), pd.NA),
        "arrow": lambda: gappy.convert_dtypes(dtype_backend="pyarrow"),
        "list": lambda: gappy.astype(object).where(gappy.notna(), pd.NA).to_numpy().tolist(),
        "masked": lambda: np.ma.masked_array(gappy.fillna(99.0), gappy.isna()),
    }  # fmt: skip
    theirs = bg.MixtureImputer(1, random_state=1, progressbar=False).fit(frames[kind]()).transform(frames[kind]())
    ours = bg.MixtureImputer(1, random_state=1, progressbar=False).fit(gappy).transform(gappy)
    np.testing.assert_allclose(theirs, ours)


def test_the_pages_code_runs_in_order():
    """That of docs/gaps.md."""
    page = Path(__file__).parent.parent / "docs" / "gaps.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    scope = {}
    for block in blocks:
        exec(block, scope)
    assert scope["completed"].sizes["draw"] == 100


def test_nullable_columns_of_any_type_and_empty_ones(gappy):
    flags = pd.array([True, False, None, True] * 68, dtype="boolean")
    assert np.isnan(bg.build_model(gappy.assign(flag=flags), 2, missing="marginalise").table.values[:, 2]).sum() == 68
    for frame in (gappy.assign(z=pd.NA), pl.from_pandas(gappy.reset_index(drop=True)).with_columns(z=None)):
        with pytest.raises(InvalidDataError, match="no value was seen of 'z'"):
            bg.build_model(frame, 2, missing="marginalise")
        with pytest.raises(InvalidDataError, match="contains NaN"):
            bg.build_model(frame, 2)
    with pytest.raises(InvalidDataError, match="contains NaN: row 2, column 'flag'"):
        bg.build_model(pd.DataFrame({"flag": flags, "n": np.arange(272)}), 2)
