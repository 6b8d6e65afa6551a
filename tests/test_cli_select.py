"""``bayesgmm select`` and ``--components auto``."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
from test_cli import csv, run  # noqa: F401  a fixture

from bayesgmm import load
from bayesgmm.cli.selecting import numbers_of_components
from bayesgmm.record.fit import Fit
from bayesgmm.selection.posteriors import Judgement


def test_select_prints_the_models_and_saves_the_table_and_a_picture(csv, tmp_path):  # noqa: F811
    out, picture = tmp_path / "models.csv", tmp_path / "models.png"
    result = run(
        "select", csv, "--components", "1:3", "--covariances", "full,tied", "--shortlist", 0, "--seed", 1,
        "--out", out, "--plot", picture,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "The 6 best of 6 models" in result.output
    assert "Best by BIC: 3 tied." in result.output
    assert "2314.3" in result.output
    assert "log evidence" not in result.output  # nothing was sampled
    assert len(pd.read_csv(out)) == 6
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_select_says_the_command_that_fits_the_best(faithful, tmp_path):
    gaps = faithful.assign(note="-", waiting=faithful["waiting"].where(faithful.index != 3))
    path = tmp_path / "two words.csv"
    gaps.to_csv(path, index=False)
    options = ["--columns", "eruptions,waiting", "--drop-missing"]
    result = run("select", path, "-k", "3", "--covariances", "tied", "--shortlist", 0, "--seed", 1, *options)
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.output.splitlines() if line.startswith("Fit it: "))
    bayesgmm, *command = shlex.split(line.removeprefix("Fit it: "))
    assert bayesgmm == "bayesgmm"
    assert run(*command, "--inference", "map", "--seed", 1, "--out", tmp_path / "fit.nc").exit_code == 0
    fit = Fit.of(load(tmp_path / "fit.nc"))
    assert (fit.n_components, fit.covariance.name, len(fit.x), fit.features) == (
        3,
        "tied",
        271,
        ("eruptions", "waiting"),
    )


@pytest.mark.parametrize(
    ("failing", "fitted", "words"),
    [
        ([3], "--components 2 --covariance tied", "(verdict fail): 2 tied is the next whose can."),
        ([2, 3], "--components 3 --covariance tied", "nor those of any other that was sampled"),
        ([2], "--components 3 --covariance tied", ""),
    ],
)
def test_select_passes_over_a_best_whose_draws_fail(csv, monkeypatch, failing, fitted, words):  # noqa: F811
    def judged(model, seed):
        return Judgement(None, np.nan, np.nan, "fail" if model.n_components in failing else "ok", ())

    monkeypatch.setattr("bayesgmm.selection.select.sampled", lambda table, model, *others: model)
    monkeypatch.setattr(Judgement, "of", judged)
    result = run("select", csv, "-k", "2:3", "--covariances", "tied", "--shortlist", 2, "--seed", 1)
    assert result.exit_code == 0, result.output
    assert "Best by BIC: 3 tied." in result.output
    *_, said, last = result.output.splitlines()
    assert last == f"Fit it: bayesgmm fit {csv} {fitted}"
    assert ("The draws of 3 tied cannot be trusted" in said) == bool(words)
    assert words in said


def test_select_says_it_all_to_machines_and_goes_on(csv, tmp_path):  # noqa: F811
    asked = ("select", csv, "-k", "2", "--covariances", "full", "--shortlist", 1, "--store", tmp_path / "run", "--json")
    first = run(*asked)
    assert first.exit_code == 0, first.output
    said = json.loads(first.stdout)
    assert said["best"] == {"n_components": 2, "covariance_type": "full"}
    assert said["models"][0]["verdict"] == "ok"
    again = json.loads(run(*asked).stdout)
    assert again["seed"] == said["seed"]
    for model in (*again["models"], *said["models"]):
        model.pop("seconds")
    assert again["models"] == said["models"]


def test_fit_finds_the_number_and_keeps_how(csv, tmp_path):  # noqa: F811
    result = run("fit", csv, "-k", "auto", "--covariance", "tied", "--inference", "map", "--seed", 1,
                 "--out", tmp_path / "fit.nc")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Best by BIC: 3 tied." in result.output
    fit = Fit.of(load(tmp_path / "fit.nc"))
    assert fit.n_components == 3
    assert len(fit.selection) == 9


def test_numbers_of_components_are_ranges_and_lists():
    assert numbers_of_components("1:3") == [1, 2, 3]
    assert numbers_of_components("2,4:5, 9") == [2, 4, 5, 9]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-k", "4:1"], "1:4"),
        (["-k", "few"], "--components 'few' must be whole numbers"),
        (["-k", "0:2"], "--components 0"),
        (["--covariances", "round"], "'round'"),
        (["--shortlist", "-1"], "shortlist"),
    ],
)
def test_bad_input_is_one_line(csv, options, words):  # noqa: F811
    result = run("select", csv, *options)
    assert result.exit_code in (1, 2)
    assert words in result.output


def test_an_interruption_says_how_to_go_on(csv, tmp_path, monkeypatch):  # noqa: F811
    from bayesgmm.selection.ladder import Ladder

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Ladder, "climb", stop)
    result = run("select", csv, "-k", "2", "--store", tmp_path / "run")
    assert result.exit_code == 130
    assert "interrupted: the same command goes on from here." in result.output
