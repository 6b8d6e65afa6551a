"""The command line, used as a stranger would."""

import gc
import subprocess
import sys

import pandas as pd
import pytest
import xarray as xr
from test_modes import two_clusterings
from typer.testing import CliRunner

import bayesgmm as bg
from bayesgmm import load, save
from bayesgmm.cli import app, commands

WIDE = {"COLUMNS": "160", "NO_COLOR": "1"}


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env=WIDE)


@pytest.fixture
def csv(tmp_path, faithful):
    faithful.to_csv(tmp_path / "faithful.csv", index=False)
    return tmp_path / "faithful.csv"


def test_demo_prints_the_tables_and_saves_tree_and_picture(tmp_path):
    result = run("demo", "--out", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    assert "report.html" in result.output
    for text in ("MAP in", "distinct optimum", "NUTS in", "weights[0]", "corr(eruptions, waiting)[1]", "r hat",
                 "Soft assignments", "The least certain rows", "Diagnosis", "ok: nothing speaks against"):  # fmt: skip
        assert text in result.output
    with xr.open_datatree(tmp_path / "demo" / "fit.nc", engine="h5netcdf") as dt:
        assert dt["posterior"].sizes["draw"] == 1000
    assert (tmp_path / "demo" / "clusters.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("inference", ["map", "nuts"])
def test_fit_reads_csv_and_saves(csv, tmp_path, inference):
    out = tmp_path / "fits" / "fit.nc"
    result = run("fit", csv, "--components", 2, "--inference", inference, "--seed", 1, "--draws", 100, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.output.count("corr(eruptions, waiting)") == 2
    assert ("r hat" in result.output) == (inference == "nuts")
    with xr.open_datatree(out, engine="h5netcdf") as dt:
        assert list(dt["posterior"]["feature"].values) == ["eruptions", "waiting"]


def test_fit_reads_parquet_and_chosen_columns(tmp_path, faithful):
    faithful.assign(when="morning").to_parquet(tmp_path / "f.parquet")
    out = tmp_path / "f.nc"
    result = run(
        "fit", tmp_path / "f.parquet", "--columns", "waiting, eruptions", "--inference", "map", "--seed", 1,
        "--covariance", "diag", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with xr.open_datatree(out, engine="h5netcdf") as dt:
        assert list(dt["posterior"]["feature"].values) == ["waiting", "eruptions"]
        assert dt["posterior"].attrs["covariance_type"] == "diag"


GOOD = "a,b\n1,2\n3,4\n5,5\n"
BAD = [
    ("1,2\n3,4\n5,6\n", [], "has no header: its first line holds the numbers 1, 2"),
    ("5.1,3.5,setosa\n4.9,3.0,setosa\n", [], "has no header: its first line holds 5.1, 3.5, setosa. Add"),
    ("a,b\n1,2\n3,oops\n5,6\n", [], "row 1 (the first is 0), column 'b', but 'oops'. If that is a missing value, add"),
    (
        "a,b\n1,2\n3,\n5,6\n",
        [],
        "no value in row 1 (the first is 0), column 'b'; 1 of 3 rows have a missing value: add",
    ),
    ("a,b\n1,x\n3,y\n5,z\n", [], "columns that hold text: 'b' (row 0: 'x'). Choose the numeric ones: --columns a."),
    ("a,b\n", [], "has a header but no rows"),
    ("", [], "cannot be read as CSV or Parquet: it is empty"),
    ("a,b\n1,2,3\n3,4,5\n", [], "more fields than the 2 that its first line names"),
    ("a,b\n1,2\n3,4,5\n", [], "Expected 2 fields in line 3, saw 3"),
    ("a,a\n1,2\n3,4\n", [], "has more than one column 'a': give each its own name"),
    ("a b\n1 2\n3 4\n", [], "separate its columns by commas, semicolons or tabs"),
    ("a\n1\n\x00\n", [], "it holds bytes that are no text"),
    (GOOD, ["--columns", "a,c"], "has no column 'c'; it has a, b"),
    (GOOD.replace("b", "Length"), ["--columns", "a,Lenght"], "Did you mean 'Length'?"),
    (GOOD, ["--columns", "A"], "Did you mean 'a'?"),
    (GOOD, ["--columns", "a,b,a"], "--columns names 'a' more than once: --columns a,b."),
    (GOOD, ["--columns", " , "], "--columns ' , ' names no column"),
    (GOOD, ["--covariance", "round"], "unknown --covariance 'round'"),
    (GOOD, ["--inference", "vi"], "unknown --inference 'vi'"),
    (GOOD, ["--components", "0"], "--components 0 must be at least 1"),
    (GOOD, ["--components", "3.5"], "--components '3.5' must be a whole number of at least 1, such as --components 2"),
    (GOOD, ["--components", "some"], "--components 'some' must be a whole number of at least 1"),
    (GOOD, ["--components", "9"], "3 rows are fewer than --components 9"),
    (GOOD, ["--store", "."], "--store '.' exists, and may hold draws: name a folder that does not exist yet"),
    (GOOD, ["--store", "new", "--inference", "map"], "--store keeps the draws of NUTS"),
    (GOOD, ["--out", "one", "--report", "one"], "--report 'one' would be written over another file of this command"),
    (GOOD, ["--report", "r.pdf"], "--report 'r.pdf': a page is HTML. End the name with .html"),
    ("a,b\n1,2\n1,4\n1,5\n", [], "constant feature: 'a'"),
    ("a,b\n1,\n3,\n5,\n", ["--columns", "b"], "'b' (empty)"),
    ("a,b,c\n1,,2\n2,1,\n7,3,\n", ["--drop-missing"], "every one of the 3 rows has a missing value: column 'c' lacks"),
    ("Id\n1\n2\n3\n", [], "which only counts the rows: --columns Id uses it nevertheless"),
]


@pytest.mark.parametrize(
    ("inference", "method", "said"),
    [
        ("auto", "nuts", "NUTS (272 rows are fewer than 100,000) in"),
        ("laplace", "nuts", "NUTS with a Gaussian in the likelihood's place in"),
        ("map", "laplace", "Laplace approximation: 400 draws."),
    ],
)
def test_an_inference_is_the_estimators(csv, tmp_path, inference, method, said):
    out = tmp_path / "fit.nc"
    result = run("fit", csv, "--inference", inference, "--seed", 1, "--draws", 100, "--out", out)
    assert said in result.output
    attrs = bg.load(out).attrs
    assert attrs["inference_method"] == method
    assert ("pareto_k" in attrs) == (inference == "laplace")


@pytest.mark.parametrize(("text", "options", "message"), BAD)
def test_bad_input_is_one_line_and_exit_code_1(tmp_path, monkeypatch, text, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text(text)
    result = run("fit", "bad.csv", *options)
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.csv", "there is no file '{}'. Check its name and folder."),
        ("faithfull.csv", "there is no file '{}'. Did you mean 'faithful.csv'?"),
        ("no/where.csv", "there is no file '{}', nor a folder '"),
        (".", "'{}' is a folder: name a file in it."),
    ],
)
def test_a_path_without_a_table_is_named(csv, tmp_path, name, words):
    result = run("fit", tmp_path / name)
    assert result.exit_code == 1
    assert words.format(tmp_path / name) in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_table_is_not_written_over(csv):
    before = csv.read_bytes()
    for option in ("--out", "--report"):
        result = run("fit", csv, option, csv)
        assert result.exit_code == 1
        assert f"{option} '{csv}' would be written over another file of this command" in result.stderr
    assert csv.read_bytes() == before


def test_an_old_fit_survives_a_failed_save(tmp_path, faithful_draws, monkeypatch):
    path = tmp_path / "fit.nc"
    save(faithful_draws, path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", fail)
    with pytest.raises(OSError, match="disk full"):
        save(faithful_draws, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_stored_run_and_a_saved_fit_are_judged(csv, tmp_path):
    arguments = ("fit", csv, "--seed", 1, "--draws", 500)
    arguments += ("--out", tmp_path / "fit.nc", "--store", tmp_path / "run.zarr")
    assert run(*arguments).exit_code == 0
    for saved in ("fit.nc", "run.zarr"):
        result = run("diagnose", tmp_path / saved)
        assert result.exit_code == 0
        assert "R-hat, label-invariant" in result.output
        assert "ok: nothing speaks against these draws" in result.output
    again = run(*arguments)
    assert again.exit_code == 1
    assert "exists, and may hold draws" in again.stderr
    assert run("diagnose", csv).exit_code == 1


def test_a_fit_that_was_stopped_early_says_how_many_draws_there_are(csv, tmp_path, monkeypatch, faithful_draws):
    monkeypatch.setattr("bayesgmm.posterior.suited.sample", lambda *_, **__: faithful_draws.isel(draw=slice(30)))
    result = run("fit", csv, "--draws", 1000, "--seed", 1, "--n-init", 1, "--out", tmp_path / "fit.nc")
    assert result.exit_code == 0, result.output
    assert "s: 4 chains of 30 draws." in result.output


def test_a_doubtful_fit_has_an_exit_code_of_its_own(csv, tmp_path):
    assert run("fit", csv, "--draws", 5, "--seed", 1, "--out", tmp_path / "fit.nc").exit_code == 0
    assert run("diagnose", tmp_path / "fit.nc").exit_code == 3


def test_where_nothing_can_be_written_is_said_before_the_fit(csv, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "fit.nc", tmp_path):
        result = run("fit", csv, "--out", out)
        assert result.exit_code == 1
        assert "MAP in" not in result.output
        assert result.stderr.count("\n") == 1


def test_warnings_are_one_line_too(tmp_path):
    pd.DataFrame(two_clusterings(0), columns=["a", "b"]).to_csv(tmp_path / "square.csv", index=False)
    arguments = ["fit", "square.csv", "--covariance", "diag", "--draws", "20", "--start", "heaviest", "--seed", "1"]
    done = subprocess.run(
        [sys.executable, "-c", "from bayesgmm.cli import main; main()", *arguments],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert done.stderr.startswith("warning: the posterior has different modes")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "fit.nc").exists()


def test_help_names_an_example():
    assert "Example: bayesgmm fit faithful.csv" in run("fit", "--help").output
    assert run("--help").exit_code == 0


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, bayesgmm; heavy = {'pymc', 'pytensor', 'nutpie', 'matplotlib', 'numba', 'sklearn', 'arviz'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); assert 'sample' in dir(bayesgmm)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_attribute_errors():
    import bayesgmm

    with pytest.raises(AttributeError, match=r"attribute '?nothing"):
        _ = bayesgmm.nothing
    for name in bayesgmm.__all__:
        assert getattr(bayesgmm, name) is not None


def test_the_searchs_starts_and_the_tuning_are_options(csv, tmp_path):
    out = tmp_path / "fit.nc"
    result = run("fit", csv, "--out", out, "--n-init", 3, "--tune", 60, "--draws", 50, "--seed", 1)
    assert result.exit_code == 0, result.output
    attrs = load(out)["posterior"].attrs
    assert len(attrs["starts_log_posterior"]) == 3
    assert attrs["tuning_steps"] == 60
    result = run("fit", csv, "--n-init", "many")
    assert "--n-init 'many' must be a whole number of at least 1, such as --n-init 2, or auto." in result.output


def test_the_command_ends_as_it_is_told_and_leaves_collecting_to_the_process(monkeypatch):
    """The exit status is the command's; objects are looked at less often while it runs, and not at its end."""
    before = gc.get_threshold()
    seen = []

    def told():
        seen.append(gc.get_threshold()[0])
        raise SystemExit(3)

    monkeypatch.setattr(commands, "app", told)
    try:
        with pytest.raises(SystemExit) as ended:
            commands.main()
        assert ended.value.code == 3
        assert seen[0] > before[0]
        assert gc.get_freeze_count() > 0
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
