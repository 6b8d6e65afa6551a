"""The code of the README and of the pages runs as it stands; their links lead somewhere."""

import ast
import re
import shlex
import shutil
from pathlib import Path

import pytest
from test_cli import run

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"
PAGES = (
    "gaps", "rows", "large", "jax", "pymc", "label_switching", "questions", "howto/how_many", "howto/unsure_rows",
    "howto/fail", "howto/report_in_a_paper", "howto/own_priors", "howto/deploy", "adopt", "mclust", "sklearn",
)  # fmt: skip


def test_code_blocks_run_in_order(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    scope = {}
    for block in blocks:
        exec(block, scope)
    printed = capsys.readouterr().out
    assert (tmp_path / "report.html").exists()
    assert "probability" in printed
    assert "ok: nothing speaks against these draws." in printed
    assert "3 components, tied covariances, by BIC" in printed
    assert scope["dt"]["posterior"].sizes["draw"] == 1000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bayesgmm.exceptions.UnboundedPosteriorWarning")  # of flat priors
@pytest.mark.parametrize("page", PAGES)
def test_code_of_pages_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(__file__).parent / "foreign", "output")  # CmdStan's files
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), flags=re.DOTALL)
    scope = {}
    for block in blocks:
        exec(block, scope)
    assert blocks


@pytest.mark.slow
def test_start_here_runs_from_its_first_line_to_its_last(tmp_path, monkeypatch):
    """Code and commands, in their order; commands that are meant to fail are followed by what they say."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(\w+)\n(.*?)```", (DOCS / "start.md").read_text(), flags=re.DOTALL)
    scope, outputs = {}, []
    for language, block in blocks:
        if language == "python":
            exec(block, scope)
        elif language == "sh":
            lines = block.replace("\\\n", "").splitlines()
            commands = [shlex.split(line) for line in lines if line.startswith("bayesgmm ")]
            outputs += [run(*arguments) for _, *arguments in commands]
        elif "error: " in block:
            assert outputs[-1].exit_code == 1
            assert " ".join(outputs.pop().output.split()) == " ".join(block.split())
    assert len(outputs) == 6
    assert {result.exit_code for result in outputs} == {0}
    said = outputs[0].output + outputs[1].output
    for line in (
        "4 tied  10505.7  10549.3",
        "Best by BIC: 4 tied.",
        "18 correlations are not shown",
        "ok: nothing speaks",
    ):
        assert line in said
        assert line in (DOCS / "start.md").read_text()
    for path in ("fit.nc", "report.html", "assigned.csv", "clusters.png"):
        assert (tmp_path / path).exists()


def test_every_check_stands_on_the_page_of_findings():
    """Every check that ``diagnose`` may make, by its name, and no other."""
    made = set()
    for source in (README.parent / "bayesgmm" / "posterior").glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Check":
                made |= _names(node.args[0])
    rows = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| [^|]+ \|$", (DOCS / "howto" / "fail.md").read_text(), flags=re.M
    )
    told = {name for row in rows for name in row.split("; ")} - {"check", "---"}
    assert len(made) > 20
    assert told == made


def _names(argument):
    """The names that a check's first argument stands for; of the effective sample sizes there are four."""
    if isinstance(argument, ast.Constant):
        return {argument.value}
    assert ast.unparse(argument) == "f'{kind} ESS, {name}'"
    return {f"{kind} ESS, {name}" for kind in ("bulk", "tail") for name in ("label-invariant", "parameters")}


@pytest.mark.parametrize(
    "path", [README, *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("howto/*.md"))], ids=lambda p: p.stem
)
def test_relative_links_lead_to_files(path):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL))
    assert [link for link in links if not (path.parent / link).exists()] == []
