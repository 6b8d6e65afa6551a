"""The README's code runs as it stands."""

import re
import shutil
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


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
@pytest.mark.parametrize("page", ["gaps", "rows", "large", "jax", "adopt", "mclust", "sklearn"])
def test_code_of_pages_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(__file__).parent / "foreign", "output")  # CmdStan's files
    blocks = re.findall(r"```python\n(.*?)```", (README.parent / "docs" / f"{page}.md").read_text(), flags=re.DOTALL)
    scope = {}
    for block in blocks:
        exec(block, scope)
    assert blocks
