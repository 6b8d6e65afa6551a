"""Tables as strangers keep them: which columns the command line uses, and remedies that can be pasted as they are."""

import json
import os
import re
import shlex
import threading

import numpy as np
import pandas as pd
import pytest
from test_cli import run

import bayesgmm as bg
from bayesgmm.cli.cells import Column, typed
from bayesgmm.cli.reading import read_frame
from bayesgmm.exceptions import InvalidDataError

N = 40


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def table(faithful):
    return faithful.iloc[:N]


@pytest.fixture
def reach(monkeypatch, folder):
    """Run ``fit t.csv`` as far as the model, and return its result with the rows that reached it, if they did."""

    def reach(*options):
        reached = []

        def build_model(rows, *args, **kwargs):
            reached.append((rows, kwargs))
            raise InvalidDataError("reached")

        with monkeypatch.context() as patch:
            patch.setattr(bg, "build_model", build_model)
            result = run("fit", "t.csv", *options)
        assert result.exit_code == 1, result.output
        result.rows, result.settings = reached[0] if reached else (None, None)
        result.notes = result.stderr.removesuffix("error: reached\n")
        return result

    return reach


def remedy(result, pattern):
    """The options that an error says, as a shell would split them."""
    assert result.exit_code == 1, result.output
    assert getattr(result, "rows", None) is None
    return shlex.split(re.search(pattern, result.stderr).group(1))


@pytest.mark.parametrize(
    "count", [np.arange(1, N + 1), np.arange(N), np.arange(N, 0, -1), 1000 + 5 * np.arange(N), np.arange(N) * 1.0]
)
def test_a_column_that_counts_the_rows_is_left_out_and_can_be_kept(folder, reach, table, count):
    table.assign(Id=count)[["Id", "eruptions", "waiting"]].to_csv("t.csv", index=False)
    result = reach()
    assert list(result.rows) == ["eruptions", "waiting"]
    assert "note: left out 'Id', which only counts the rows; --columns Id,eruptions,waiting keeps it." in result.stderr
    kept = re.search(r"; (--columns \S+) keeps", result.stderr).group(1)
    result = reach(*shlex.split(kept))
    assert list(result.rows) == ["Id", "eruptions", "waiting"]
    assert result.notes == ""


def test_the_index_that_pandas_wrote_is_left_out_in_any_order(folder, reach, table):
    table.sample(frac=1, random_state=1).to_csv("t.csv")
    result = reach()
    assert list(result.rows) == ["eruptions", "waiting"]
    assert "left out 'Unnamed: 0', which only counts the rows" in result.stderr


@pytest.mark.parametrize("values", [[3, 1, 4, 1, 5, 9], [1.5, 2.5, 3.5, 4.5, 5.5], [7, 9, 11], [2, 2, 2, 2, 2, 2]])
def test_measurements_do_not_count_rows(values):
    assert not Column.of(pd.Series(values), ()).counts_rows("a")


def test_the_remedy_for_text_leaves_out_the_row_number_and_works(folder, reach, table):
    odd = table.rename(columns={"eruptions": "length, cm (it's)", "waiting": "to wait"})
    odd = odd.assign(ID=range(1, N + 1), species="setosa")[["ID", *odd.columns, "species"]]
    odd.to_csv("t.csv", index=False)
    result = reach()
    assert "columns that hold text: 'species' (row 0: 'setosa')" in result.stderr
    assert "('ID' only counts the rows)" in result.stderr
    assert list(reach(*remedy(result, "numeric ones: (.*) \\(")).rows) == ["length, cm (it's)", "to wait"]


def test_a_cell_that_is_no_number_is_named_and_the_remedy_works(folder, reach, table):
    table.astype(object).replace({79: "n/a"}).assign(sex="f").to_csv("t.csv", index=False)
    result = reach("--columns", "eruptions,waiting")
    assert "'t.csv' has no number in row 0 (the first is 0), column 'waiting', but 'n/a'" in result.stderr
    options = remedy(result, "add (.*), which leaves out")
    assert options == ["--na", "n/a", "--drop-missing"]
    # one step at a time comes to the same
    half = reach("--columns", "eruptions,waiting", "--na", "n/a")
    assert half.exit_code == 1
    assert "no value in row 0 (the first is 0), column 'waiting'" in half.stderr
    assert "add --drop-missing to leave" in half.stderr
    result = reach("--columns", "eruptions,waiting", *options)
    complete = table[table["waiting"] != 79]
    np.testing.assert_array_equal(result.rows, complete)
    np.testing.assert_array_equal(result.rows.index, complete.index)
    assert f"note: left out {N - len(complete)} of {N} rows, which have missing values: 0" in result.stderr
    # text beside it: one remedy for both
    options = remedy(reach(), "numeric ones: (.*)\\.")
    assert options == ["--columns", "eruptions,waiting", "--na", "n/a", "--drop-missing"]
    assert list(reach(*options).rows) == ["eruptions", "waiting"]


def test_the_remedies_end_in_a_fit_that_keeps_the_rows_numbers(folder, faithful):
    faithful.astype(object).replace({79: "n/a"}).assign(Id=range(1, 273), sex="f").to_csv("t.csv", index=False)
    arguments = ("fit", "t.csv", "--inference", "map", "--draws", 50, "--seed", 1)
    result = run(*arguments, *remedy(run(*arguments), "numeric ones: (.*) \\("))
    assert result.exit_code == 0, result.output
    complete = faithful[faithful["waiting"] != 79]
    np.testing.assert_array_equal(bg.load("fit.nc")["observed_data"]["x"], complete)
    assert re.search("\n243 .*\n", result.stdout[result.stdout.index("least certain") :])


@pytest.mark.parametrize("word", ["NA", "N/A", "#N/A", "<NA>"])
def test_what_r_and_spreadsheets_write_is_missing_among_numbers(folder, reach, table, word):
    cells = table.astype(object)
    cells.iloc[1, 0] = word
    cells.to_csv("t.csv", index=False)
    result = reach()
    assert f"no value in row 1 (the first is 0), column 'eruptions'; 1 of {N} rows" in result.stderr
    np.testing.assert_array_equal(reach("--drop-missing").rows, table.drop(index=1))
    # Among words it is one of them, and among numbers another word is still asked about.
    cells.assign(answer=[word, *["yes"] * (N - 1)]).to_csv("t.csv", index=False)
    assert f"columns that hold text: 'answer' (row 0: '{word}')" in reach().stderr
    cells.iloc[2, 0] = "-"
    cells.to_csv("t.csv", index=False)
    assert "no number in row 2 (the first is 0), column 'eruptions', but '-'" in reach().stderr


def test_several_words_and_codes_stand_for_missing_values(folder, reach, table):
    cells = table.astype(object)
    cells.iloc[0, 0], cells.iloc[1, 0], cells.iloc[2, 1], cells.iloc[3, 1], cells.iloc[4, 1] = (
        "-",
        "not known",
        "",
        999,
        "nan",
    )
    cells.to_csv("t.csv", index=False)
    options = remedy(reach(), "add (.*), which leaves out")
    assert options == ["--na", "-", "--na", "not known", "--drop-missing"]
    result = reach(*options, "--na", "999")
    np.testing.assert_array_equal(result.rows, table.iloc[5:])


def test_a_column_of_numbers_with_many_texts_is_to_be_corrected(folder, reach, table):
    cells = table.astype(object)
    cells.iloc[:8, 0] = [f"{i} min" for i in range(8)]
    cells.to_csv("t.csv", index=False)
    result = reach()
    assert "8 different texts in column 'eruptions': correct them, or use --columns waiting." in result.stderr
    assert list(reach(*remedy(result, "or use (.*)\\.")).rows) == ["waiting"]


def test_an_empty_column_is_left_out_by_the_remedy(folder, reach, table):
    table.assign(later="").to_csv("t.csv", index=False)
    result = reach()
    assert "'later' (empty)" in result.stderr
    assert list(reach(*remedy(result, "numeric ones: (.*)\\.")).rows) == ["eruptions", "waiting"]


@pytest.mark.parametrize(
    ("separator", "decimal", "encoding"),
    [
        (";", ",", "utf-8-sig"),
        (";", ".", "utf-8"),
        ("\t", ".", "utf-16"),
        ("\t", ",", "utf-8"),
        (",", ".", "utf-8-sig"),
    ],
)
def test_other_separators_decimal_commas_and_byte_order_marks(folder, reach, table, separator, decimal, encoding):
    named = table.rename(columns={"eruptions": "Länge"})
    named.to_csv("t.csv", sep=separator, decimal=decimal, encoding=encoding, index=False)
    result = reach()
    assert list(result.rows) == ["Länge", "waiting"]
    np.testing.assert_array_equal(result.rows, named)
    assert result.notes == ("note: read commas as decimal points in 'Länge'.\n" if decimal == "," else "")


def test_a_pipe_is_read_as_a_file_is(folder, reach, table):
    os.mkfifo("t.csv")
    writer = threading.Thread(target=table.to_csv, args=("t.csv",), kwargs={"index": False}, daemon=True)
    writer.start()
    pd.testing.assert_frame_equal(reach().rows, table, check_names=False)
    writer.join(10)


def test_what_is_wrong_with_a_parquet_file_is_said_in_one_line(folder, table):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table([table["waiting"], table["waiting"]], names=["a", "a"]), "twice.parquet")
    result = run("fit", "twice.parquet")
    assert result.exit_code == 1
    assert "'twice.parquet' cannot be read as Parquet: " in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_decimal_comma_beside_a_word_for_missing(folder, reach, table):
    text = table.to_csv(sep=";", decimal=",", index=False).replace("\n1,8;54\n", "\nn.v.;54\n", 1)
    (folder / "t.csv").write_text(text)
    options = remedy(reach(), "add (.*), which leaves out")
    np.testing.assert_array_equal(reach(*options).rows, table.drop(index=1))


def test_numbers_are_read_exactly(folder):
    x = np.random.default_rng(1).normal(size=(200, 2)) * 10.0 ** np.arange(-100, 100)[:, None]
    frame = pd.DataFrame(x, columns=["a", "b"]).astype(object)
    frame.to_csv("x.csv", index=False)
    np.testing.assert_array_equal(read_frame(folder / "x.csv").to_numpy(), x)
    frame.iloc[0, 0] = "?"
    frame.to_csv("x.csv", index=False)
    np.testing.assert_array_equal(Column.of(read_frame(folder / "x.csv")["a"], ["?"]).values[1:], x[1:, 0])


# Assigning new rows ---------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(folder, faithful_draws):
    return bg.save(faithful_draws, folder / "fit.nc")


def test_assign_advises_only_what_it_has(saved, folder):
    (folder / "new.csv").write_text("eruptions,waiting\n3.0,soon\n2.0,50\n")
    options = remedy(run("assign", saved, "new.csv"), "add (.*), which leaves out")
    assert run("assign", saved, "new.csv", *options).exit_code == 0
    (folder / "many.csv").write_text("eruptions,waiting\n" + "".join(f"2.0,{i} min\n" for i in range(9)))
    (folder / "other.csv").write_text("eruptions,wait\n3.0,50\n")
    (folder / "gap.csv").write_text("eruptions,waiting\n3.0,\n2.0,50\n")
    for name, words in (
        ("many.csv", "9 different texts in column 'waiting': correct them in the file."),
        ("other.csv", "has no column 'waiting'; it has eruptions, wait. Name its columns as they were when"),
        (
            "gap.csv",
            "no value in row 0 (the first is 0), column 'waiting'; 1 of 2 rows have a missing value: add --drop",
        ),
    ):
        result = run("assign", saved, name)
        assert result.exit_code == 1
        assert words in result.stderr
        assert "--columns" not in result.stderr
        assert result.stderr.count("\n") == 1


def test_assign_keeps_every_letter_and_says_which_rows_it_leaves_out(saved, folder, faithful, faithful_draws):
    lines = ["code,eruptions,waiting,answer,share", "007,3.0,60,NA,3.10", "+41,n/a,60,None,1", "012,2.0,50,,2"]
    (folder / "new.csv").write_text("\n".join(lines))
    result = run("assign", saved, "new.csv", "--na", "n/a", "--drop-missing", "--out", "out.csv")
    assert result.exit_code == 0, result.output
    assert "note: left out 1 of 3 rows, which have missing values: 1 (the first row is 0)." in result.stderr
    out = pd.read_csv("out.csv", dtype=str, keep_default_na=False)
    assert out["code"].tolist() == ["007", "012"]
    assert out["answer"].tolist() == ["NA", ""]
    assert out["share"].tolist() == ["3.10", "2"]
    soft = bg.assignments(faithful_draws, [[3.0, 60.0], [2.0, 50.0]])
    np.testing.assert_array_equal(out["component"].astype(int), soft["label"])
    rows = json.loads(run("assign", saved, "new.csv", "--na", "n/a", "--drop-missing", "--json").stdout)["rows"]
    assert [row["share"] for row in rows] == [3.1, 2.0]
    assert [row["code"] for row in rows] == ["007", "012"]


def test_assign_keeps_the_names_of_the_rows_of_parquet(saved, folder):
    new = pd.DataFrame({"eruptions": [3.0, np.nan, 2.0], "waiting": [60, 50, 50]}, index=["a", "b", "a"])
    new.assign(when=pd.Timestamp("2020-01-01")).to_parquet("new.parquet")
    result = run("assign", saved, "new.parquet", "--drop-missing", "--out", "out.parquet")
    assert result.exit_code == 0, result.output
    assert pd.read_parquet("out.parquet")["index"].tolist() == ["a", "a"]
    rows = json.loads(run("assign", saved, "new.parquet", "--drop-missing", "--json").stdout)["rows"]
    assert rows[0]["when"] == "2020-01-01 00:00:00"


def test_assign_says_which_columns_it_replaces(saved, folder):
    (folder / "new.csv").write_text("eruptions,waiting,component\n3.0,60,mine\n")
    result = run("assign", saved, "new.csv", "--out", "out.csv")
    assert "note: of the columns of 'new.csv', component had the names of new ones and were replaced." in result.stderr


def test_codes_are_no_numbers():
    frame = pd.DataFrame({"a": ["1", "2.50"], "b": ["007", "8"], "c": ["+4", "5"], "d": ["x", "1"]}, dtype="str")
    assert {name: typed(frame)[name].tolist() for name in frame} == {
        "a": [1.0, 2.5], "b": ["007", "8"], "c": ["+4", "5"], "d": ["x", "1"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "steps"), [((), "auto"), (("none",), None), (("0.1",), [0.1, 0.1]), (("0.1,0",), [0.1, 0.0])]
)
def test_the_step_that_columns_were_recorded_to(table, reach, given, steps):
    table.to_csv("t.csv", index=False)
    assert reach(*(f"--resolution={value}" for value in given)).settings["resolution"] == steps


@pytest.mark.parametrize("bad", ["fine", "1,2,3", ""])
def test_a_step_that_is_none_is_refused(table, reach, bad):
    table.to_csv("t.csv", index=False)
    result = reach("--resolution", bad)
    assert result.rows is None
    assert "--resolution" in result.stderr


def test_excels_line_of_the_separator_is_no_header(folder, reach, table):
    (folder / "t.csv").write_text("sep=;\r\n" + table.to_csv(sep=";", decimal=",", index=False))
    pd.testing.assert_frame_equal(reach().rows, table.astype(float), check_dtype=False)


def test_dots_between_thousands_are_no_decimal_points(folder, reach, table):
    """Beside decimal commas 1.002 may be a thousand and two; with other decimals it is what it says."""
    lines = [f"{i},5;{p}" for i, p in enumerate(["991", "1.002", "983"] * 5)]
    (folder / "t.csv").write_text("a;p\n" + "\n".join(lines))
    assert "in its column 'p' dots that may stand between thousands, as in '1.002'" in reach().stderr
    (folder / "t.csv").write_text("a;p\n" + "\n".join([*lines, "0,5;1.25"]))
    assert reach().rows["p"].max() == 991
