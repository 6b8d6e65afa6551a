"""The options that commands share, and what their texts mean."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bayesgmm.arguments import check_choice, check_count
from bayesgmm.cli.cells import Missing
from bayesgmm.data.table import MARGINALISE, MISSING
from bayesgmm.exceptions import InvalidArgumentError

SavedFit = Annotated[
    Path, typer.Argument(help="A saved fit (netCDF), or the folder of a stored run.", show_default=False, metavar="FIT")
]
Na = Annotated[
    list[str] | None,
    typer.Option(
        "--na",
        help="What stands for a missing value, beside an empty cell, and NA among numbers. Repeat for more.",
        metavar="TEXT",
    ),
]
DropMissing = Annotated[bool, typer.Option("--drop-missing", help="Leave out rows with missing values.")]
OfMissing = Annotated[
    str,
    typer.Option(
        "--missing", help="What becomes of missing values: error, or marginalise to fit what was seen of a row."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(help="Columns to use, separated by commas. Default: all but those that only count the rows."),
]
Resolution = Annotated[
    str,
    typer.Option(
        help="The step that columns were recorded to: auto, none, a number, or one a column, separated by commas.",
        metavar="auto|none|NUMBERS",
    ),
]
CiProb = Annotated[
    float | None, typer.Option(help="Probability of the intervals. Default: ArviZ's, 0.89.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]


class Plot(StrEnum):
    """The pictures that ``bayesgmm plot`` draws."""

    clusters = "clusters"
    uncertainty = "uncertainty"
    density = "density"
    assignments = "assignments"
    coclustering = "coclustering"
    weights = "weights"
    modes = "modes"


def whole_number(name: str, option: str, text: str) -> int | None:
    """The number given to an option, of which a word or 3.5 is refused in one line as 0 is; None of "auto"."""
    if text == "auto":
        return None
    try:
        number = int(text)
    except ValueError:
        raise InvalidArgumentError(
            f"{option} {text!r} must be a whole number of at least 1, such as {option} 2, or auto."
        ) from None
    return check_count(number, name)


def recorded_steps(text: str, columns: Sequence[str]) -> str | list[float] | None:
    """What the user said about the steps that the columns were recorded to, as ``build_model`` takes it."""
    if text in ("auto", "none"):
        return None if text == "none" else text
    try:
        steps = [float(step) for step in text.split(",")]
    except ValueError:
        raise InvalidArgumentError(
            f"--resolution {text!r} must be auto, none, a number such as 0.1, or one a column, separated by commas."
        ) from None
    if len(steps) not in (1, len(columns)):
        raise InvalidArgumentError(
            f"--resolution {text!r} has {len(steps)} numbers for {len(columns)} columns ({', '.join(columns)}): give "
            "one for all, or one for each, 0 where a column was not rounded."
        )
    return steps * (len(columns) // len(steps))


def missing_values(na: list[str] | None, drop: bool, word: str) -> Missing:
    """What the user said about missing values where a mixture is fitted."""
    keep = check_choice(word, "missing", MISSING) == MARGINALISE
    if keep and drop:
        raise InvalidArgumentError(
            "--missing marginalise fits what was seen of every row, and --drop-missing leaves rows out: give one of "
            "the two."
        )
    return Missing(tuple(na or ()), drop, keep, choice=True)


def check_store(store: Path, inference: str) -> None:
    """Find out before the fit whether ``--store`` can keep its draws."""
    if inference != "nuts":
        raise InvalidArgumentError(
            f"--store keeps the draws of NUTS, which --inference {inference} may not be: leave it out, or ask for nuts."
        )
    if store.exists():
        raise InvalidArgumentError(
            f"--store {str(store)!r} exists, and may hold draws: name a folder that does not exist yet "
            "(bayesgmm diagnose reads a stored run)."
        )


def given_value(text: str) -> tuple[str, float]:
    """A column and its value from ``column=value``."""
    name, _, value = text.rpartition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise InvalidArgumentError(f"--given {text!r} must be a column and a number, such as waiting=80.") from None
