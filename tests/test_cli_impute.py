"""Missing values on the command line: ``--missing marginalise``, what follows from it, and ``bayesgmm impute``."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from test_cli import run

import bayesgmm as bg
from bayesgmm import load
from bayesgmm.record.fit import Fit


@pytest.fixture(scope="module")
def gappy(faithful):
    """Old Faithful, with days beside it and empty cells, as a stranger's file has them."""
    frame = faithful.astype(float).mask(np.random.default_rng(9).random(faithful.shape) < 0.15)
    return frame.assign(day=[f"{1 + i // 20:02d}" for i in range(len(frame))])


@pytest.fixture
def csv(tmp_path, gappy):
    gappy.to_csv(tmp_path / "gaps.csv", index=False)
    return tmp_path / "gaps.csv"


@pytest.fixture(scope="module")
def fit(tmp_path_factory, gappy):
    folder = tmp_path_factory.mktemp("fit")
    gappy.to_csv(folder / "gaps.csv", index=False)
    result = run(
        "fit", folder / "gaps.csv", "--columns", "eruptions,waiting", "--missing", "marginalise", "--inference", "map",
        "--seed", 1, "--draws", 100, "--out", folder / "fit.nc",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "left out" not in result.output
    return folder / "fit.nc"


def test_empty_cells_are_values_that_were_not_seen(fit, gappy):
    kept = Fit.of(load(fit))
    assert kept.gaps
    np.testing.assert_array_equal(kept.x, gappy[["eruptions", "waiting"]])


def test_without_the_option_the_error_names_it(csv):
    result = run("fit", csv, "--columns", "eruptions,waiting")
    assert result.exit_code == 1
    assert "no value in row" in result.output
    assert "--drop-missing to leave those rows out, or --missing marginalise to fit what was seen of every row." in (
        result.output
    )


def test_words_for_a_missing_value_are_advised_with_the_option(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,oops\n5,6\n7,\n2,2\n")
    assert "; --missing marginalise instead of --drop-missing" in run("fit", tmp_path / "t.csv").output
    result = run("fit", tmp_path / "t.csv", "--missing", "marginalise")
    assert "If that is a missing value, add --na oops." in result.output
    result = run("fit", tmp_path / "t.csv", "-k", 1, "--missing", "marginalise", "--na", "oops", "--inference", "map",
                 "--seed", 1, "--out", tmp_path / "t.nc")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert np.isnan(Fit.of(load(tmp_path / "t.nc")).x).sum() == 2


@pytest.mark.parametrize("command", ["fit", "select"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--missing", "drop"], "unknown --missing 'drop': choose one of 'error', 'marginalise'"),
        (["--missing", "marginalise", "--drop-missing"], "give one of the two"),
        (["--missing", "marginalise"], "columns that hold text: 'c' (empty)"),
    ],
)
def test_bad_input_is_one_line(tmp_path, command, options, words):
    (tmp_path / "t.csv").write_text("a,b,c\n1,2,\n3,,\n5,6,\n7,4,\n")
    result = run(command, tmp_path / "t.csv", *options)
    assert result.exit_code == 1
    assert words in result.output


def test_select_and_auto_take_gaps(csv, tmp_path):
    asked = ("--columns", "eruptions,waiting", "--missing", "marginalise", "--seed", 1)
    result = run("select", csv, "-k", "1:2", "--covariances", "tied", "--shortlist", 0, *asked)
    assert result.exit_code == 0, result.output
    assert "Best by BIC: 2 tied." in result.output
    result = run(
        "fit", csv, "-k", "auto", "--covariance", "tied", "--inference", "map", *asked, "--out", tmp_path / "f"
    )
    assert result.exit_code == 0, result.output
    assert len(Fit.of(load(tmp_path / "f")).selection) == 9


def test_the_other_commands_follow_the_fit(fit, csv, tmp_path, gappy):
    assert run("diagnose", fit).exit_code in (0, 3)
    result = run("assign", fit, csv, "--out", tmp_path / "assigned.csv")
    assert result.exit_code == 0, result.output
    assigned = pd.read_csv(tmp_path / "assigned.csv", dtype={"day": str})
    assert len(assigned) == len(gappy)
    assert assigned["probability"].notna().all()
    assert (assigned["day"] == gappy["day"]).all()
    assert run("plot", "clusters", fit, "--out", tmp_path / "clusters.png").exit_code == 0
    left = run("assign", fit, csv, "--drop-missing", "--out", tmp_path / "assigned.csv")
    assert "left out" in left.output


# bayesgmm impute ----------------------------------------------------------------------------------------------------


def test_impute_completes_a_table_and_leaves_the_rest_as_it_is_written(fit, csv, tmp_path, gappy):
    result = run("impute", fit, csv, "--out", tmp_path / "completed.csv")
    assert result.exit_code == 0, result.output
    n = int(gappy.isna().to_numpy().sum())
    assert f"completed {n} values in" in result.output
    before, after = (pd.read_csv(path, dtype=str) for path in (csv, tmp_path / "completed.csv"))
    assert list(after.columns) == list(before.columns)
    seen = before.notna()
    assert (after[seen] == before[seen])[seen].sum().sum() == seen.sum().sum()  # to the letter
    kept = Fit.of(load(fit))
    expected = kept.mixture.expect_rows(kept.observations)
    np.testing.assert_allclose(after[["eruptions", "waiting"]].astype(float), expected, rtol=1e-8)


def test_impute_draws_tables_one_below_another(fit, csv, tmp_path, gappy):
    result = run("impute", fit, csv, "--draws", 3, "--out", tmp_path / "completed.parquet")
    assert result.exit_code == 0, result.output
    completed = pd.read_parquet(tmp_path / "completed.parquet")
    assert list(completed.columns) == ["draw", "eruptions", "waiting", "day"]
    assert completed["draw"].tolist() == [s for s in range(3) for _ in range(len(gappy))]
    assert completed["day"].iloc[0] == "01"
    x = completed[["eruptions", "waiting"]].to_numpy().reshape(3, -1, 2)
    unseen = gappy[["eruptions", "waiting"]].isna().to_numpy()
    assert np.isfinite(x).all()
    assert (x[:, unseen].std(axis=0) > 0).all()
    assert (x[:, ~unseen] == x[0, ~unseen]).all()
    other = run("impute", fit, csv, "--draws", 1, "--seed", 2)
    assert other.stdout.startswith("draw,eruptions,waiting,day\n0,")
    assert run("impute", fit, csv, "--draws", 1, "--seed", 2).stdout == other.stdout
    assert run("impute", fit, csv, "--draws", 1, "--seed", 3).stdout != other.stdout


def test_impute_takes_the_fitted_rows_new_ones_and_says_it_to_machines(fit, tmp_path, gappy):
    fitted = pd.read_csv(io.StringIO(run("impute", fit).stdout))
    assert fitted.shape == (len(gappy), 2)
    assert fitted.notna().all(axis=None)
    (tmp_path / "new.csv").write_text("waiting;eruptions\n80;?\n;2,5\n")
    result = run("impute", fit, tmp_path / "new.csv", "--na", "?", "--json")
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)["rows"]
    assert first["waiting"] == 80
    assert first["eruptions"] == pytest.approx(4.25, abs=0.2)
    assert second["eruptions"] == 2.5
    assert 50 < second["waiting"] < 70


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("waiting\n80\n", [], "has no column 'eruptions'"),
        ("waiting,eruptions\n80,oops\n", [], "If that is a missing value, add --na oops."),
        ("draw,waiting,eruptions\n1,80,\n", ["--draws", "2"], "has a column 'draw'"),
        ("waiting,eruptions\n80,\n", ["--draws", "-1"], "--draws"),
        ("waiting,eruptions\n80,\n", ["--seed", "-1"], "seed = -1"),
    ],
)
def test_what_cannot_be_completed_is_said(fit, tmp_path, text, options, words):
    (tmp_path / "new.csv").write_text(text)
    result = run("impute", fit, tmp_path / "new.csv", *options)
    assert result.exit_code in (1, 2)
    assert words in result.output


def test_a_fit_of_complete_rows_completes_none(faithful, tmp_path):
    faithful.to_csv(tmp_path / "f.csv", index=False)
    run("fit", tmp_path / "f.csv", "--inference", "map", "--seed", 1, "--draws", 10, "--out", tmp_path / "f.nc")
    result = run("impute", tmp_path / "f.nc", tmp_path / "f.csv")
    assert result.exit_code == 1
    assert "is a fit of complete rows: make it anew by bayesgmm fit --missing marginalise." in result.output
    # Nor is the option advised where there is none.
    (tmp_path / "gap.csv").write_text("eruptions,waiting\n3,\n2,50\n")
    result = run("assign", tmp_path / "f.nc", tmp_path / "gap.csv")
    assert "add --drop-missing to leave that row out." in result.output


def test_the_fitted_rows_are_imputed_with_what_is_known_of_them(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(np.concatenate([rng.normal(size=(40, 2)), rng.normal(3, 1, size=(40, 2))]), columns=["a", "b"])
    frame["kind"] = [*["low"] * 10, *[None] * 30, *["high"] * 10, *[None] * 30]
    frame["a_error"], frame["b_error"] = 0.4, 0.7
    frame.loc[::5, "b"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    beside = ("--label-column", "kind", "--error-columns", "a_error,b_error", "--missing", "marginalise")
    fitted = run(
        "fit", tmp_path / "t.csv", "-k", 2, *beside, "--inference", "map", "--seed", 1, "--out", tmp_path / "f.nc"
    )
    assert fitted.exit_code == 0, fitted.output
    assert run("impute", tmp_path / "f.nc", "--draws", 3, "--out", tmp_path / "c.csv").exit_code == 0
    drawn = pd.read_csv(tmp_path / "c.csv")[["a", "b"]].to_numpy().reshape(3, 80, 2)
    np.testing.assert_allclose(drawn, bg.impute(bg.load(tmp_path / "f.nc"), draws=3, random_seed=0)["x"], rtol=1e-12)
    assert run("impute", tmp_path / "f.nc", "--draws", 0, "--out", tmp_path / "e.csv").exit_code == 0
    expected, unseen = pd.read_csv(tmp_path / "e.csv")["b"].to_numpy(), frame["b"].isna().to_numpy()
    many = bg.impute(bg.load(tmp_path / "f.nc"), draws=4000, random_seed=0)["x"].values[:, unseen, 1]
    error = many.std(axis=0) / np.sqrt(4000)
    assert (np.abs(many.mean(axis=0) - expected[unseen]) < 5 * error).all()
