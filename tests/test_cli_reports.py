"""The commands that work on a saved fit: assign, plot, report, and JSON from all of them."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from test_cli import run

import bayesgmm as bg


@pytest.fixture(scope="module")
def fit(faithful_draws, tmp_path_factory):
    return bg.save(faithful_draws, tmp_path_factory.mktemp("fit") / "fit.nc")


@pytest.fixture
def new(tmp_path, faithful):
    """New rows: another order of the columns, text beside them, names with commas and quotes."""
    frame = faithful.iloc[:5][["waiting", "eruptions"]].assign(**{'who, "when"': ["a", "b, c", "d", "é", "😀"]})
    frame.to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_assign_adds_columns_to_the_table(fit, new, tmp_path, faithful, faithful_draws, suffix):
    out = tmp_path / f"assigned.{suffix}"
    result = run("assign", fit, new, "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    pd.testing.assert_frame_equal(table.iloc[:, :3], pd.read_csv(new), check_dtype=False)
    soft = bg.assignments(faithful_draws, faithful.iloc[:5])
    np.testing.assert_allclose(table[["probability_0", "probability_1"]], soft["probability"])
    np.testing.assert_array_equal(table["component"], soft["label"])
    rows = np.arange(5)
    for name in ("probability", "lower", "upper"):
        np.testing.assert_allclose(table[name], soft[name].values[rows, soft["label"]])
    np.testing.assert_allclose(table["entropy"], soft["entropy"])


def test_assign_takes_the_errors_of_rows_as_fit_does_and_says_where_they_are_left_out(tmp_path, faithful):
    errors = np.linspace(0.1, 10, 2 * len(faithful)).reshape(-1, 2)
    frame = faithful.assign(e_eruptions=errors[:, 0] / 10, e_waiting=errors[:, 1])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    named = ["--error-columns", "e_eruptions,e_waiting"]
    saved = tmp_path / "errors.nc"
    assert run("fit", tmp_path / "rows.csv", *named, "--inference", "map", "--seed", 1, "--out", saved).exit_code == 0
    result = run("assign", saved, tmp_path / "rows.csv", *named, "--out", tmp_path / "assigned.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    soft = bg.assignments(bg.load(saved))["probability"]
    np.testing.assert_allclose(
        pd.read_csv(tmp_path / "assigned.csv")[["probability_0", "probability_1"]], soft, atol=1e-9
    )
    assert "note: counted rows as measured exactly" in run("assign", saved, tmp_path / "rows.csv").stderr
    assert "has no column 'e_x'" in run("assign", saved, tmp_path / "rows.csv", "--error-columns", "e_x,e_y").stderr


def test_assign_without_out_is_csv_that_a_pipe_can_read(fit, new):
    import io

    result = run("assign", fit, new, "--ci-prob", 0.5)
    assert result.exit_code == 0
    assert pd.read_csv(io.StringIO(result.stdout)).shape == (5, 11)


@pytest.mark.usefixtures("undrawn")
def test_json_is_one_document(fit, new, tmp_path, faithful):
    rows = json.loads(run("assign", fit, new, "--json").stdout)["rows"]
    assert [row["component"] for row in rows] == [1, 0, 1, 0, 1]
    verdict = json.loads(run("diagnose", fit, "--json").stdout)
    assert (verdict["verdict"], verdict["reasons"]) == ("ok", [])
    assert {"check", "value", "limit", "passed"} == set(verdict["checks"][0])
    faithful.to_csv(tmp_path / "f.csv", index=False)
    arguments = ("--inference", "map", "--draws", 50, "--out", tmp_path / "a.nc", "--report", tmp_path / "r.html")
    document = json.loads(run("fit", tmp_path / "f.csv", *arguments, "--json").stdout)
    assert document["saved"] == [str(tmp_path / "a.nc"), str(tmp_path / "r.html")]
    assert document["map"]["distinct_optima"] == 1
    assert document["parameters"]["weights[0]"]["lower"] < document["parameters"]["weights[0]"]["upper"]
    # the seed that was chosen makes the same fit again
    again = run("fit", tmp_path / "f.csv", *arguments[:4], "--out", tmp_path / "b.nc", "--seed", document["seed"])
    assert again.exit_code == 0
    a, b = (bg.load(tmp_path / name)["posterior"].to_dataset() for name in ("a.nc", "b.nc"))
    np.testing.assert_array_equal(a["means"], b["means"])


PLOTS = ["clusters", "uncertainty", "density", "assignments", "coclustering", "weights", "modes"]


@pytest.mark.parametrize("what", PLOTS)
def test_every_picture_can_be_drawn(fit, tmp_path, what):
    out = tmp_path / "pictures" / f"{what}.png"
    result = run("plot", what, fit, "--out", out)
    assert result.exit_code == 0, result.output
    assert out.read_bytes()[:4] == b"\x89PNG"


def test_a_picture_of_a_conditional_density_as_svg(fit, tmp_path):
    out = tmp_path / "d.svg"
    result = run("plot", "density", fit, "--features", "eruptions", "--given", "waiting=80", "-o", out, "--json")
    assert json.loads(result.stdout) == {"saved": [str(out)]}
    assert out.read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plot", "modes", "FIT", "--features", "waiting"], "plot modes takes no --features"),
        (["plot", "density", "FIT", "--given", "waiting"], "must be a column and a number, such as waiting=80"),
        (["plot", "density", "FIT", "--given", "depth=3"], "no feature 'depth'"),
        (["plot", "clusters", "FIT", "--out", "picture.doc"], "there is no format '.doc'"),
        (["plot", "clusters", "nowhere.nc"], "there is no file 'nowhere.nc'"),
        (["report", "nowhere.nc"], "there is no file 'nowhere.nc'"),
        (["report", "FIT", "--ci-prob", "89"], "--ci-prob 89.0 must be a number strictly"),
        (["assign", "FIT", "nowhere.csv"], "there is no file 'nowhere.csv'"),
        (["assign", "FIT", "one.csv"], "has no column 'waiting'; it has eruptions"),
        (["assign", "FIT", "text.csv"], "no number in row 0 (the first is 0), column 'waiting', but 'soon'. If"),
        (["assign", "FIT", "one.csv", "--out", "one.csv"], "--out 'one.csv' would be written over another file"),
        (["report", "FIT", "--out", "FIT"], "would be written over another file"),
        (["assign", "one.csv", "one.csv"], "cannot be read as a saved fit"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(fit, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.csv").write_text("eruptions\n3.0\n")
    (tmp_path / "text.csv").write_text("eruptions,waiting\n3.0,soon\n")
    result = run(*[fit if a == "FIT" else a for a in arguments])
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.csv", "text.csv"]


def test_an_unknown_picture_is_a_usage_error(fit):
    result = run("plot", "everything", fit)
    assert result.exit_code == 2
    assert "coclustering" in result.stderr


def test_report_writes_the_page(fit, tmp_path):
    result = run("report", fit, "--out", tmp_path / "r.html", "--title", "Geysers <3")
    assert result.exit_code == 0
    assert "<h1>Geysers &lt;3</h1>" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["fit", "select", "diagnose", "assign", "plot", "report", "demo"])
def test_every_command_has_an_example(command):
    assert f"Example: bayesgmm {command}" in run(command, "--help").output


def test_shells_complete_commands_and_pictures():
    for words, expected in (("bayesgmm re", "report"), ("bayesgmm plot coc", "coclustering")):
        environment = {
            "_BAYESGMM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", "import sys; sys.argv[0] = 'bayesgmm'; from bayesgmm.cli import main; main()"],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        assert done.stdout.split() == [expected], done.stderr


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv.gz"])
def test_a_table_of_another_kind_is_not_written_as_text(name, tmp_path):
    result = run("assign", "fit.nc", "t.csv", "--out", str(tmp_path / name))
    assert result.exit_code == 1
    assert "End the name with .csv, .tsv or .parquet." in result.stderr


def test_a_table_is_written_as_its_ending_says(fit, new, tmp_path):
    """With tabs in a .tsv, whose other columns were commas' before."""
    for name, separator in (("a.tsv", "\t"), ("a.csv", ",")):
        assert run("assign", fit, new, "--out", tmp_path / name).exit_code == 0
        assert "probability_0" in (tmp_path / name).read_text().splitlines()[0].split(separator)


def test_assign_says_that_it_takes_no_labels(tmp_path, faithful):
    faithful.assign(kind=["short"] * 3 + [""] * (len(faithful) - 3)).to_csv(tmp_path / "t.csv", index=False)
    saved = tmp_path / "labelled.nc"
    options = ["--label-column", "kind", "--inference", "map", "--seed", 1, "--out", saved]
    assert run("fit", tmp_path / "t.csv", *options).exit_code == 0
    assert "note: took no labels as known" in run("assign", saved, tmp_path / "t.csv").stderr


def test_a_feature_whose_name_has_a_comma_is_drawn(tmp_path, faithful):
    saved, named = tmp_path / "comma.nc", faithful.set_axis(["len, cm", "b"], axis=1)
    bg.save(bg.find_MAP(bg.build_model(named, 2), n_init=1, random_seed=1).laplace(20, random_seed=1), saved)
    result = run("plot", "clusters", saved, "--features", '"len, cm",b', "--out", tmp_path / "c.png")
    assert result.exit_code == 0, result.output
