"""Numbers and tables on a terminal: digits that follow the spread, lines that nothing breaks."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from sklearn.datasets import load_iris
from test_cli import run

from bayesgmm.cli.printing import OPTIONS, in_digits, print_frame, table_lines, with_options


@pytest.mark.parametrize(
    ("values", "spread", "written"),
    [
        ([215.371, 215.118, 215.612], 0.494, ["215.37", "215.12", "215.61"]),
        ([80.0, 79.2, 80.7], 1.5, ["80.0", "79.2", "80.7"]),
        ([2153712.0, 2151200.0, 2156100.0], 4900.0, ["2153712", "2151200", "2156100"]),
        ([2.15371e-6, 2.15118e-6, 2.15612e-6], 4.94e-9, ["2.1537e-06", "2.1512e-06", "2.1561e-06"]),
        ([9.996e-7, 1.0012e-6], 1.6e-9, ["9.996e-07", "1.0012e-06"]),
        ([-0.001, -0.31, 0.29], 0.6, ["0.00", "-0.31", "0.29"]),
        ([3.0e12, 3.1e12], 1e11, ["3.00e+12", "3.10e+12"]),
        ([0.0, -1e-9, 1e-9], 2e-9, ["0", "-1.0e-09", "1.0e-09"]),
        ([1.0, 1.0, 1.0], 0.0, ["1", "1", "1"]),
        ([0.123456, 1234.5, math.nan, math.inf], math.nan, ["0.123", "1234", "-", "inf"]),
        ([1.0, 2.0], math.inf, ["1", "2"]),
    ],
)
def test_digits_follow_the_spread(values, spread, written):
    assert in_digits(values, spread) == written


@pytest.mark.parametrize("scale", 10.0 ** np.arange(-6, 7))
@pytest.mark.parametrize("relative", [1e-9, 1e-5, 2.3e-3, 0.0999, 0.5, 3.0])
def test_the_ends_of_an_interval_differ_in_two_digits_at_every_scale(scale, relative):
    mean, width = 2.15371 * scale, relative * scale
    lower, upper = mean - 0.4 * width, mean + 0.6 * width
    written = in_digits([mean, lower, upper], width)
    assert len(set(written)) == 3
    np.testing.assert_allclose([float(w) for w in written], [mean, lower, upper], atol=0.051 * width, rtol=0)
    # and no more digits than that, but for those before the point
    for text in written:
        mantissa, _, exponent = text.partition("e")
        decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
        assert decimals <= max(0, 1 - math.floor(math.log10(width))) or decimals == 0
        assert len(text) <= 18


# rounding up leaves float64's range at its very end
@given(st.one_of(st.floats(-1e307, 1e307), st.sampled_from([math.nan, math.inf, -math.inf])), st.floats())
def test_any_number_can_be_written(value, spread):
    (text,) = in_digits([value], spread)
    assert text
    if math.isfinite(value):
        assert math.isfinite(float(text))


NAMES = ["weights[0]", "means[0, sepal length (cm)]", "corr(sepal length (cm), petal length (cm))[0]"]
HEADS = ["mean", "sd", "lower", "upper", "ess bulk", "ess tail", "r hat"]
CELLS = ["215.371", "0.154", "-215.118", "215.612", "5330", "3217", "1.000"]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize(
    "names", [NAMES, [*NAMES, "petal_length_in_centimetres_without_a_blank" * 2], ["花萼长度 " * 8]]
)
def test_tables_break_no_number_and_no_word(width, names):
    lines = table_lines(HEADS, [(name, CELLS) for name in names], width, corner="row")
    numbers = re.compile(r"\s+".join(map(re.escape, CELLS)) + "$")
    assert sum(bool(numbers.search(line)) for line in lines) == len(names)
    said = " ".join(" ".join(lines).replace("  ".join(CELLS), " ").split())
    for name in names:
        for word in name.split():
            assert word in said
    if width >= 80:
        assert max(map(len, lines)) <= max(width, *map(len, names))


def test_what_has_room_is_one_line_each():
    lines = table_lines(HEADS, [(name, CELLS) for name in NAMES], 120)
    assert len(lines) == 1 + len(NAMES)


@pytest.mark.parametrize("width", ["80", "100"])
def test_a_frame_on_a_narrow_terminal(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    index = [*NAMES, NAMES[0]]  # names may repeat
    frame = pd.DataFrame(
        {"mean": 215.37104, "sd": 0.154, "lower": 215.11811, "upper": 215.61233, "ess_bulk": 5330.4, "r_hat": 1.0004},
        index=index,
    )
    print_frame(frame, "Components [all]")
    said = capsys.readouterr().out
    assert said.startswith("Components [all]\n")
    assert said.count("215.37") == said.count("215.12") == said.count("215.61") == said.count("1.000") == len(index)
    assert max(map(len, said.splitlines())) <= int(width)


def test_a_value_just_beyond_its_limit_differs_from_it(capsys):
    print_frame(pd.DataFrame({"value": [1.012, 1.0], "limit": [1.01, math.nan]}, index=["R-hat", "others"]), "Checks")
    said = capsys.readouterr().out
    assert re.search(r"R-hat +1\.0120 +1\.0100\n", said)
    assert re.search(r"others +1 +-\n", said)


def test_the_intervals_are_those_of_arviz(faithful_draws, capsys):
    import arviz_base

    from bayesgmm.cli.printing import print_fit

    with arviz_base.rc_context({"stats.ci_prob": 0.5}):
        print_fit(faithful_draws)
    said = capsys.readouterr().out
    assert "Components (50 % intervals)" in said
    assert "The least certain rows (50 % intervals)" in said


def test_the_help_names_the_new_options():
    for command in ("fit", "assign"):
        said = run(command, "--help").output
        assert "--na" in said
        assert "--drop-missing" in said


@pytest.mark.parametrize(
    ("said", "on_the_command_line"),
    [
        ("try start='heaviest', or inference='nuts'.", "try --start heaviest, or --inference nuts."),
        ("more starts (find_MAP(n_init=40)), or", "more starts (--n-init 40), or"),
        ("n_init = 0 must be at least 1", "--n-init 0 must be at least 1"),
        ("fewer than n_components = 5: at most n_components", "fewer than --components 5: at most --components"),
        ("noise=True if some are scattered", "--noise if some are scattered"),
        ("unknown inference 'vi': choose", "unknown --inference 'vi': choose"),
        ("give Priors(reference=...), or", "give Priors(reference=...) in Python, or"),
        ("a start is noise, missing = values, draws <= 3", "a start is noise, --missing values, draws <= 3"),
    ],
)
def test_arguments_are_spelled_as_the_options_that_stand_for_them(said, on_the_command_line):
    assert with_options(said) == on_the_command_line


def test_every_option_that_stands_for_an_argument_is_one_of_fit_or_report():
    said = run("fit", "--help").output + run("report", "--help").output
    assert all(f"--{option}" in said for option in OPTIONS.values())


def test_correlations_do_not_push_all_else_off_the_screen(tmp_path):
    load_iris(as_frame=True).data.to_csv(tmp_path / "iris.csv", index=False)
    asked = ("fit", tmp_path / "iris.csv", "--inference", "map", "--seed", 1, "--draws", 50, "--out", tmp_path / "f.nc")
    few, many = run(*asked, "-k", 1), run(*asked, "-k", 2)
    assert few.output.count("corr(") == 6
    assert "correlations are not shown" not in few.output
    assert "corr(" not in many.output
    assert "12 correlations are not shown: --json has them." in many.output
    assert run(*asked, "-k", 2, "--json").stdout.count('"corr(') == 12


def test_what_is_all_but_sure_has_no_nines(capsys):
    frame = pd.DataFrame({"probability": [0.99999998957], "lower": [0.9999999], "upper": [1.0]}, index=["a"])
    print_frame(frame, "Rows")
    assert "1.0000" in capsys.readouterr().out
    print_frame(frame.rename(columns={"probability": "mean"}), "Numbers")  # of others digits count
    assert "0.99999999" in capsys.readouterr().out
