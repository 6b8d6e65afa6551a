"""An import contract of our own: the private names of a package that we build on are used in one room.

Public is what a package documents: the paths that the contract lists, and what they hold. All else of such a package
is private, and may change in any release: other submodules, and every name that begins with an underscore. Of a
package that the contract does not list, the names with an underscore are. The source is read, not run, so that an
import inside a function or for type checkers, and an attribute of an imported module, count like any other.

``lint-imports`` runs it (``[tool.importlinter]`` in pyproject.toml), and the tests read the same uses from here.
"""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

ROOT = Path(__file__).parents[1]


class Use(NamedTuple):
    """A name of another package, ``module.name``, where it stands; ``name`` is empty for the module itself."""

    importer: str
    line: int
    module: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def uses(source: str, importer: str = "") -> Iterator[Use]:
    """Every name of another package in a source text: imported, or reached from an imported module by dots."""
    tree = ast.parse(source)
    modules: dict[str, str] = {}  # what a module is called here -> the module
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.partition(".")[0]
                modules[local] = alias.name if alias.asname else local
                yield Use(importer, node.lineno, alias.name, "")
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                if is_module(f"{node.module}.{alias.name}"):
                    modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield Use(importer, node.lineno, str(node.module), alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, *rest = dotted(node)
            module = modules.get(first, "")
            # The last one is a name: a function may be called like the file that it is in.
            while module and len(rest) > 1 and is_module(f"{module}.{rest[0]}"):
                module += f".{rest.pop(0)}"
            if module:
                yield Use(importer, node.lineno, module, rest[0])


def dotted(node: ast.expr) -> list[str]:
    """The names of ``a.b.c``; one empty name where it does not begin with a name."""
    if isinstance(node, ast.Attribute):
        return [*dotted(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else [""]


@cache
def is_module(path: str) -> bool:
    """Whether a dotted path is a module of an installed package, by its files: nothing is imported."""
    package, *rest = path.split(".")
    spec = find_spec(package)
    folders = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    return not rest or any(
        f.joinpath(*rest).is_dir() or f.joinpath(*rest).with_suffix(".py").is_file() for f in folders
    )


def is_private(use: Use, public: set[str]) -> bool:
    """Whether a name is none of those that its package documents."""
    parts = use.path.split(".")
    if any(part.startswith("_") and not part.endswith("__") for part in parts):
        return True
    listed = use.package in {path.partition(".")[0] for path in public}
    return listed and use.module not in public and use.path not in public


def uses_in(package: Path) -> Iterator[Use]:
    """Every use of other packages in a package's files."""
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        for use in uses(path.read_text("utf-8"), module):
            if use.package != package.name:
                yield use


class PrivateNamesContract(Contract):
    """The contract's type: ``public`` are documented paths, ``rooms`` lines of "package -> room for the rest of it"."""

    public = fields.SetField(subfield=fields.StringField())
    rooms = fields.ListField(subfield=fields.StringField())

    def violations(self, package: Path) -> list[Use]:
        """Private names outside their room."""
        rooms = {name.strip(): room.strip() for name, room in (line.split("->") for line in self.rooms)}  # type: ignore
        found = (use for use in uses_in(package) if is_private(use, self.public))  # type: ignore
        return [use for use in found if not f"{use.importer}.".startswith(f"{rooms.get(use.package)}.")]

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        found = [use for root in self.session_options["root_packages"] for use in self.violations(ROOT / root)]
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for use in check.metadata["found"]:
            output.print_error(f"{use.importer} (l.{use.line}) uses {use.path}, a private name outside its room")
