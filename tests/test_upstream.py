"""The private names of other packages that we build on, held against what is installed.

A failure here says which name is gone, what it was used for and what to do: see ``bayesgmm/graph/upstream.py``.
"""

import inspect
import subprocess
import sys
import tomllib
from functools import reduce
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from pytensor.compile.mode import get_mode
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors

import bayesgmm as bg
from bayesgmm.graph.upstream import PRIVATE_NAMES, TESTED_WITH, PrivateName
from scripts.private_names import is_private, uses_in

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DEPENDENCIES = [Requirement(line) for line in PYPROJECT["project"]["dependencies"]]
PUBLIC = next(
    set(contract["public"])
    for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
    if contract["type"] == "private_names"
)


def said(row: PrivateName, what: str) -> str:
    return (
        f"{row.module}.{row.name} {what} in {row.package} {version(row.package)} "
        f"(last tested with {TESTED_WITH[row.package]}). We use it for: {row.use}. What to do: {row.remedy}."
    )


def problem_with(row: PrivateName) -> str | None:
    """What is wrong with a row of the table, in plain words; None where nothing is."""
    try:
        value = getattr(import_module(row.module), row.name)
    except (ImportError, AttributeError):
        return said(row, "is gone")
    for path in row.has:
        try:
            reduce(getattr, path.split("."), value)
        except AttributeError:
            return said(row, f"has no {path} any more")
    if not row.accepts:
        return None
    parameters = inspect.signature(value).parameters
    missing = [name for name in row.accepts if name not in parameters]
    return said(row, f"takes no {', '.join(missing)} any more") if missing else None


@pytest.mark.parametrize("row", PRIVATE_NAMES, ids=lambda row: f"{row.module}.{row.name}")
def test_a_private_name_is_as_we_use_it(row):
    problem = problem_with(row)
    assert problem is None, problem


def test_what_is_gone_is_said_in_plain_words():
    row = PRIVATE_NAMES[0]
    assert "is gone" in problem_with(row._replace(name="Discontinuous"))
    assert "is gone" in problem_with(row._replace(module="pymc.no_such_module"))
    assert "has no no_such_attribute" in problem_with(row._replace(has=("no_such_attribute",)))
    problem = problem_with(row._replace(accepts=("no_such_argument",)))
    assert "takes no no_such_argument" in problem
    assert row.use in problem
    assert row.remedy in problem
    assert version("pymc") in problem


def test_the_table_is_complete():
    """Every private name in the source has its row, and every row is used."""
    used = {use.path for use in uses_in(ROOT / "bayesgmm") if is_private(use, PUBLIC)}
    # What another module says of itself: the names of PyMC's distributions.
    used.discard("pymc.distributions.__all__")
    assert used == {f"{row.module}.{row.name}" for row in PRIVATE_NAMES}


# What is relied on and is no name that could be imported -----------------------------------------------------------


@pytest.mark.parametrize("name", ["local_check_parameter_to_ninf_switch", "local_remove_check_parameter"])
def test_the_rewrites_that_pymc_chooses_between_are_known(name):
    """A query passes over names that no rewrite has: checks of parameters would stay in the graph, and raise."""
    sigma = pt.scalar()
    graph = rewrite_graph(pm.logp(pm.Normal.dist(0, sigma), 0.0), include=("canonicalize", name))
    left = [str(v.owner.op) for v in ancestors([graph]) if v.owner is not None]
    assert not [op for op in left if "Check" in op], (
        f"PyMC's rewrite {name} has another name now: compiled.py asks for it"
    )


def test_a_mode_has_the_rewrites_it_was_given():
    assert hasattr(get_mode("NUMBA").provided_optimizer, "including"), "PyTensor's modes no longer say their rewrites"


def test_a_linker_hands_over_its_function():
    x = pt.vector()
    function = pytensor.function([x], x + 1, mode="NUMBA")
    assert hasattr(function.vm, "jit_fn"), "PyTensor's compiled function is no longer `function.vm.jit_fn`: compiled.py"


def test_a_distribution_keeps_its_parameters_after_generator_and_size():
    node = pm.Normal.dist(2.0, 3.0).owner
    parameters = [p.eval() for p in node.inputs[2:]]
    assert parameters == [2.0, 3.0], "a random variable's parameters are no longer its inputs from 2 on: user_priors.py"
    names = pm.distributions.__all__
    assert "Normal" in names, "pm.distributions no longer says what it holds: user_priors.py"


def test_a_model_has_what_the_log_posterior_reads():
    model = bg.build_model(bg.datasets.load_faithful(), 2)
    for name in (
        "rvs_to_values", "values_to_rvs", "rvs_to_transforms", "value_vars", "discrete_value_vars", "free_RVs",
        "deterministics", "basic_RVs", "potentials", "data_vars", "named_vars", "named_vars_to_dims", "dim_lengths",
        "replace_rvs_by_values", "initial_point", "logp", "register_rv", "check_bounds",
    ):  # fmt: skip
        assert hasattr(model, name), f"pm.Model has no {name} any more: bayesgmm/graph/log_posterior.py reads it"


def test_generated_source_can_be_given_a_folder():
    """Without it every process leaves its generated files in the temporary folder."""
    assert hasattr(pytensor.config, "generated_src_dir"), "PyTensor's option generated_src_dir is gone: compiled.py"


# The versions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dependency", DEPENDENCIES, ids=lambda d: d.name)
def test_what_is_installed_is_what_we_ask_for(dependency):
    installed = version(dependency.name)
    assert dependency.specifier.contains(installed, prereleases=True), (
        f"{dependency.name} {installed} is outside {dependency.specifier}, which has been tested"
    )


@pytest.mark.parametrize("package", TESTED_WITH)
def test_packages_with_private_names_have_an_upper_bound(package):
    """At the next version that has not been tested: the next minor one, as none of the five keeps private names."""
    [dependency] = [d for d in DEPENDENCIES if d.name == package]
    [bound] = [Version(s.version) for s in dependency.specifier if s.operator == "<"]
    tested = Version(TESTED_WITH[package])
    assert (bound.major, bound.minor) == (tested.major, tested.minor + 1)


def test_what_nutpie_has_of_arviz_is_what_arviz_base_has():
    """It is given arviz_base in ArviZ's place (``bayesgmm/sampling/nutpie.py``), and ArviZ stays what it is."""
    code = """
import sys, bayesgmm.sampling.nutpie as adaptor
nutpie = adaptor._nutpie()
assert "arviz" not in sys.modules and "matplotlib" not in sys.modules
import ast, inspect, arviz_base
sample = sys.modules["nutpie.sample"]
used = {node.attr for node in ast.walk(ast.parse(inspect.getsource(sample)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "arviz"}
assert used and all(hasattr(arviz_base, name) for name in used), used
import arviz
assert arviz.__name__ == "arviz" and hasattr(arviz, "plot_trace")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
