"""The import contract holds what it says: the tree keeps it, and a planted violation of every kind breaks it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.private_names import is_private, uses

ROOT = Path(__file__).parents[1]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
PUBLIC = {"numba", "numba.types", "pymc", "pytensor", "pytensor.tensor"}


def lint(folder: Path) -> subprocess.CompletedProcess:
    """The linter in a process of its own, which imports the package from that folder."""
    command = [sys.executable, "-c", LINT, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder)})


@pytest.fixture
def tree(tmp_path):
    """A copy of what the contract is about."""
    for folder in ("bayesgmm", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_tree_keeps_the_contract():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


PLANTED = {
    "a room takes from a later one": ("mixture/widths.py", "from bayesgmm.model.priors import Priors", "one way"),
    "a room without a place": ("new_room/__init__.py", "import numpy", "one way"),
    "the mixture knows PyMC": ("mixture/mixture.py", "import pymc", "The mixture knows no PyMC"),
    "the mixture knows ArviZ, inside a function": (
        "mixture/mixture.py",
        "def f():\n    from arviz_stats import ess",
        "The mixture knows no PyMC",
    ),
    "relabelling knows PyTensor": ("mixture/labels.py", "import pytensor", "The mixture knows no PyMC"),
    "a second adaptor to nutpie": ("sampling/nuts.py", "def f():\n    import nutpie", "One adaptor to nutpie"),
    "a private name of PyMC": (
        "model/build.py",
        "from pymc.logprob.transforms import Transform",
        "Private names of a package",
    ),
    "a private name of PyTensor": (
        "search/problem.py",
        "def f():\n    from pytensor.graph.basic import Variable",
        "Private names of a package",
    ),
    "a private name of Numba": ("mixture/kernel.py", "from numba.core import cgutils", "Private names of a package"),
    "a private name of ArviZ": ("posterior/chains.py", "import arviz_stats.ecdf_utils", "Private names of a package"),
}


@pytest.mark.parametrize(("file", "line", "broken"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_breaks_it(tree, file, line, broken):
    path = tree / "bayesgmm" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    done = lint(tree)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(broken in line and "BROKEN" in line for line in done.stdout.splitlines()), done.stdout


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("from pymc import Model", None),
        ("import pymc as pm\npm.Model()", None),
        ("import pytensor\npytensor.config.base_compiledir", None),
        ("import pytensor.tensor as pt\npt.as_tensor(1)", None),
        ("from numba import types\ntypes.int64", None),
        ("from pytensor.tensor import TensorVariable", None),
        ("import pytensor\npytensor.__version__", None),
        ("import numpy.linalg", None),
        ("import pytensor\npytensor.printing(1)", None),
        ("from pymc.printing import str_for_dist", "pymc.printing.str_for_dist"),
        ("import pymc as pm\npm.printing.str_for_dist", "pymc.printing.str_for_dist"),
        ("import pymc as pm\npm._version", "pymc._version"),
        ("from pytensor import graph\ngraph.basic.Variable", "pytensor.graph.basic.Variable"),
        ("import pytensor.graph.basic", "pytensor.graph.basic"),
        ("from numpy import _core", "numpy._core"),
        ("import xarray as xr\nxr.core._aggregations", "xarray.core._aggregations"),
    ],
)
def test_what_is_private(source, private):
    found = {use.path for use in uses(source) if is_private(use, PUBLIC)}
    assert private in found if private else not found
