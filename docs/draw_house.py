"""The picture of the house, drawn from the import contract and the source: ``python docs/draw_house.py``.

The rooms and their order come from ``pyproject.toml``, the arcs from the imports in the source, and each of the
values stands in the room that defines its class. ``conf.py`` draws it anew when one of these has changed.
"""

import ast
import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc, FancyBboxPatch

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bayesgmm"
PICTURE = Path(__file__).parent / "_static" / "house.svg"
# The six values, and Statistics; in Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = {
    "Table": "#0072B2", "Mixture": "#D55E00", "Statistics": "#D55E00", "Specification": "#009E73",
    "Problem": "#CC79A7", "Mode": "#CC79A7", "Fit": "#E69F00",
}  # fmt: skip
GREY, INK = "#8a8f98", "#22262e"
VALUE = {"fontsize": 10, "weight": "bold"}
# Rooms are so far apart and so wide; arcs are so high, in their width; and let others shine through.
PITCH, WIDE, FLAT, ALPHA = 1.45, 1.25, 0.72, 0.62
STYLE = {"font.family": "DejaVu Sans", "svg.fonttype": "path", "svg.hashsalt": "bayesgmm"}


def rooms_in_order() -> tuple[list[str], list[str]]:
    """The rooms from the first that data pass through to the last, and the files that serve them all."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")[::-1]
    first = layers.index("data")
    return layers[first:], [name.strip() for layer in layers[:first] for name in layer.split("|")]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def sources() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def imports_between(trees: dict[Path, ast.Module]) -> Counter:
    """(room that is imported, room that imports) -> how often a file of one imports a file of the other."""
    pairs = set()
    for path, tree in trees.items():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                package, _, rest = name.partition(".")
                if package == PACKAGE.name and rest:
                    pairs.add((path, room_of(path), rest.split(".")[0], ".".join(rest.split(".")[:2])))
    return Counter((imported, importer) for _, importer, imported, _ in pairs if imported != importer)


def values_in(trees: dict[Path, ast.Module]) -> dict[str, list[str]]:
    """Room -> which of the values it defines."""
    found: dict[str, set[str]] = {}
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in COLOURS:
                found.setdefault(room_of(path), set()).add(node.name)
    return {room: sorted(names, key=list(COLOURS).index) for room, names in found.items()}


def draw(rooms: list[str], shared: list[str], imports: Counter, values: dict[str, list[str]]) -> Figure:
    """Rooms from left to right; an arc above them from each to those that import it, one below were it not allowed."""
    figure, ax = plt.subplots(figsize=(11.5, 5.2), layout="constrained")
    at = {room: PITCH * i for i, room in enumerate(rooms)}
    colour = {room: COLOURS[values[room][0]] if room in values else GREY for room in rooms}
    for (imported, importer), n in sorted(imports.items(), key=lambda item: -item[1]):
        if imported in at and importer in at:
            allowed = at[imported] < at[importer]
            arc(ax, at[imported], at[importer], lw=width(n), color=colour[imported] if allowed else "red")
    for room, x in at.items():
        ax.add_patch(rounded(x - WIDE / 2, -0.3, WIDE, 0.6, fc="white", ec=colour[room], lw=1.6))
        ax.text(x, -0.02, room, ha="center", va="center", fontsize=8, color=INK)
        for i, value in enumerate(values.get(room, ())):
            ax.text(x, -0.62 - 0.38 * i, value, ha="center", va="center", color=colour[room], **VALUE)
    whole = at[rooms[-1]] + WIDE
    n = sum(n for (imported, importer), n in imports.items() if imported in shared and importer in at)
    ax.add_patch(rounded(-WIDE / 2, -1.85, whole, 0.44, fc="#f1f2f4", ec="none"))
    words = f"{', '.join(shared[:-1])} and {shared[-1]} serve every room: {n} imports"
    ax.text(whole / 2 - WIDE / 2, -1.64, words, ha="center", va="center", fontsize=9.5, color=INK)
    for i, n in enumerate((1, 5, 10)):
        y = FLAT * at[rooms[-1]] / 2 - 0.1 - 0.4 * i
        ax.plot([-WIDE / 2, 0.1], [y, y], lw=width(n), color=GREY, alpha=ALPHA, solid_capstyle="butt")
        ax.text(0.3, y, f"{n} import{'s' * (n > 1)}", va="center", fontsize=9.5, color=INK)
    ax.set(xlim=(-WIDE, whole), ylim=(-1.95, FLAT * at[rooms[-1]] / 2 + 0.5), aspect="equal")
    ax.axis("off")
    return figure


def width(n: int) -> float:
    """The line width of some imports."""
    return 0.6 + 0.5 * n


def arc(ax: Axes, start: float, end: float, **style: Any) -> None:
    """Above the line where it leads to the right, below it where it leads back."""
    up, span = end > start, abs(end - start)
    angles = (0, 180) if up else (180, 360)
    middle = ((start + end) / 2, 0.3 if up else -0.3)
    ax.add_patch(Arc(middle, span, FLAT * span, theta1=angles[0], theta2=angles[1], alpha=ALPHA, **style))


def rounded(x: float, y: float, wide: float, high: float, **style: Any) -> FancyBboxPatch:
    return FancyBboxPatch((x, y), wide, high, boxstyle="round,pad=0,rounding_size=0.12", **style)


def main() -> None:
    """Write the picture where what it shows has changed."""
    trees = sources()
    (rooms, shared), imports, values = rooms_in_order(), imports_between(trees), values_in(trees)
    shown = json.dumps([rooms, shared, sorted((*pair, n) for pair, n in imports.items()), values]).replace('"', "'")
    if PICTURE.exists() and shown in PICTURE.read_text("utf-8"):
        return
    with plt.rc_context(STYLE):
        figure = draw(rooms, shared, imports, values)
        figure.savefig(PICTURE, metadata={"Date": None, "Description": shown})
        plt.close(figure)


if __name__ == "__main__":
    main()
