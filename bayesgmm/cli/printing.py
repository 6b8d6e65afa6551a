"""What commands say on a terminal: tables, sentences, and errors in one line."""

import contextlib
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.cells import cell_len
from rich.console import Console

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)
# Between the columns of a table.
GAP = "  "
# Of a probability's interval, for the number of digits.
LEAST_WIDTH = 1e-3
# Names that have less room than this beside the numbers are hard to read in pieces.
LEAST_ROOM = 20
# More correlations than these push all else off the screen: ten features and three components have 135.
MOST_CORRELATIONS = 10
# Arguments and the options that stand for them.
OPTIONS = {
    "n_components": "components", "covariance_type": "covariance", "inference": "inference", "missing": "missing",
    "resolution": "resolution", "noise": "noise", "draws": "draws", "chains": "chains", "tune": "tune",
    "n_init": "n-init", "random_seed": "seed", "start": "start", "sample_weight": "weight-column",
    "ci_prob": "ci-prob",
}  # fmt: skip
ARGUMENT = re.compile(rf"""\b(?P<name>{"|".join(OPTIONS)}) ?= ?(?P<value>'[^']*'|"[^"]*"|[\w.]+)""")
# There are no options of priors.
PRIORS = re.compile(r"\bPriors\([^)]*\)")
UNKNOWN = re.compile(rf"\bunknown ({'|'.join(OPTIONS)})\b")
# Those that are no English words are options without a value too.
NAME = re.compile(rf"\b({'|'.join(name for name in OPTIONS if '_' in name)})\b")


def with_options(text: str) -> str:
    """What is said of arguments, said of the options that stand for them: --start dispersed for start='dispersed'."""

    def option(given: re.Match[str]) -> str:
        name, value = f"--{OPTIONS[given['name']]}", given["value"].strip("'\"")
        return name if value == "True" else f"{name} {value}"

    said = UNKNOWN.sub(lambda found: f"unknown --{OPTIONS[found[1]]}", ARGUMENT.sub(option, text))
    said = NAME.sub(lambda name: f"--{OPTIONS[name[0]]}", PRIORS.sub(r"\g<0> in Python", said))
    # Without the function that takes the argument, where it is all that the function is called with.
    return re.sub(r"\b[\w.]+\((--[\w-]+ [\w.]+)\)", r"\1", said)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """What a user can mend is said in one line, with exit code 1; a fault of ours keeps its traceback.

    So are the package's own warnings, which need no line of code beside them here.
    """
    before = warnings.showwarning

    def show(message: Any, category: type[Warning], *rest: Any, **named: Any) -> None:
        if category.__module__.startswith("bayesgmm"):
            errors.print(f"warning: {with_options(str(message))}", style="yellow", markup=False, soft_wrap=True)
        else:
            before(message, category, *rest, **named)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    except (ValueError, TypeError) as error:
        if not type(error).__module__.startswith("bayesgmm"):
            raise
        errors.print(f"error: {with_options(str(error))}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def note(sentence: str) -> None:
    """Say on standard error, in one line, what was done with the user's table."""
    errors.print(f"note: {sentence}", markup=False, soft_wrap=True)


# Numbers --------------------------------------------------------------------------------------------------------------


def in_digits(values: Iterable[float], spread: float = math.nan) -> list[str]:
    """Numbers with the digits that their spread leaves them: two of its own, as in 215.37 of 215.12 to 215.61.

    Parameters
    ----------
    values : iterable of float
    spread : float, optional
        The width of the values' interval, or a standard deviation. Where there is none, three digits of each value.
    """
    values = [float(value) for value in values]
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if not (math.isfinite(spread) and spread > 0):
        return [_finite(value, lambda v: f"{v:.3g}" if not 1e3 <= abs(v) < 1e6 else f"{v:.0f}") for value in values]
    # float64 holds no more than 15 digits, whatever the spread.
    decimals = 1 - _exponent(max(spread, 1e-14 * largest))
    # Nobody reads many noughts before the digits, or after them.
    scientific = largest >= 1e9 or (decimals > 7 and largest < 1e-3)
    return [_finite(value, lambda v: _to(v, decimals, scientific)) for value in values]


def _to(value: float, decimals: int, scientific: bool) -> str:
    if not scientific:
        return f"{value:z.{max(0, decimals)}f}"
    value = round(value, decimals) if decimals > 0 else value
    return f"{value:.{max(0, _exponent(value) + decimals)}e}" if value else "0"


def _finite(value: float, written: Callable[[float], str]) -> str:
    if math.isnan(value):
        return "-"
    return written(value) if math.isfinite(value) else str(value)


def _exponent(value: float) -> int:
    """Of ten, in a number written as 1.23e4."""
    return int(f"{value:e}".partition("e")[2])


def _cells(row: dict[Any, Any]) -> list[str]:
    """A row of a table: what has an interval in the digits that the interval leaves it."""
    cells = {name: in_digits([v])[0] if isinstance(v, float) else str(v) for name, v in row.items()}
    if {"lower", "upper"} <= row.keys():
        of = next(name for name in ("mean", "probability") if name in row)
        triple = (of, "lower", "upper")
        width = row["upper"] - row["lower"]
        width = max(width, LEAST_WIDTH) if of == "probability" else width  # of what is all but sure digits say nothing
        cells |= dict(zip(triple, in_digits([row[n] for n in triple], width), strict=True))
    if {"value", "limit"} <= row.keys() and cells["value"] == cells["limit"] and row["value"] != row["limit"]:
        pair = ("value", "limit")  # a check that just fails is not to look as if it passed
        cells |= dict(zip(pair, in_digits([row[n] for n in pair], abs(row["value"] - row["limit"])), strict=True))
    if "sd" in row:
        cells["sd"] = in_digits([row["sd"]], row["sd"])[0]
    cells |= {name: _finite(row[name], "{:.3f}".format) for name in ("r_hat", "mean probability") if name in row}
    cells |= {name: _finite(row[name], "{:.0f}".format) for name in ("ess_bulk", "ess_tail") if name in row}
    return list(cells.values())


# Tables ---------------------------------------------------------------------------------------------------------------


def print_frame(frame: "pd.DataFrame", title: str) -> None:
    """Print a table that the terminal does not break."""
    heads = [str(name).replace("_", " ") for name in frame.columns]
    rows = [(str(name), _cells(row)) for name, row in zip(frame.index, frame.to_dict("records"), strict=True)]
    console.print(title, style="bold", markup=False, soft_wrap=True)
    for line in table_lines(heads, rows, console.width, corner=str(frame.index.name or "")):
        console.print(line, markup=False, soft_wrap=True)
    console.print()


def table_lines(
    heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], width: int, corner: str = ""
) -> list[str]:
    """The lines of a table with a name before each row.

    Numbers are never broken, and names only between words: where a word has no room beside the numbers, all names stand
    on lines of their own.
    """
    longest = max((cell_len(name) for name, _ in rows), default=0)
    word = max((cell_len(word) for name, _ in rows for word in name.split()), default=0)
    # Heads stand in one line where there is room, else a column is as wide as its widest number or its head's word.
    for parts in ([[head] for head in heads], [head.split() for head in heads]):
        widths = [max(map(cell_len, [*part, *(cells[j] for _, cells in rows)])) for j, part in enumerate(parts)]
        room = width - sum(w + len(GAP) for w in widths)
        if room >= longest:
            break
    beside = room >= max(word, min(longest, LEAST_ROOM))
    indent = max(cell_len(corner), min(longest, room)) if beside else 0

    def line(name: str, cells: Sequence[str]) -> str:
        padded = [" " * (w - cell_len(cell)) + cell for cell, w in zip(cells, widths, strict=True)]
        return GAP.join([name + " " * (indent - cell_len(name)), *padded]).rstrip()

    wrapped = [_between_words(head, w) for head, w in zip(heads, widths, strict=True)]
    depth = max(map(len, wrapped), default=1)
    raised = [[""] * (depth - len(head)) + head for head in wrapped]
    lines = [line(corner if i == depth - 1 else "", [head[i] for head in raised]) for i in range(depth)]
    for name, cells in rows:
        first, *rest = _between_words(name, indent)
        lines += [line(first, cells), *rest] if beside else [name, line("", cells)]
    return lines


def _between_words(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(1, width), break_long_words=False, break_on_hyphens=False) or [""]


# What a fit says ------------------------------------------------------------------------------------------------------


def print_fit(dt: "xr.DataTree") -> None:
    """The three answers: the components, the rows' assignments, and whether to believe either."""
    from bayesgmm.arguments import check_ci_prob
    from bayesgmm.posterior.assignments import assignments
    from bayesgmm.posterior.diagnosis import diagnose
    from bayesgmm.reports.tables import assignment_table, least_certain, parameter_table

    ci_prob = check_ci_prob(None)
    intervals = f"({100 * ci_prob:g} % intervals)"
    table = parameter_table(dt, ci_prob)
    pairs = [name for name in table.index if str(name).startswith("corr(")]
    too_many = len(pairs) > MOST_CORRELATIONS
    print_frame(table.drop(index=pairs) if too_many else table, f"Components {intervals}")
    if too_many:
        console.print(f"{len(pairs)} correlations are not shown: --json has them.\n", markup=False)
    soft = assignments(dt)
    print_frame(assignment_table(dt, soft), "Soft assignments")
    print_frame(least_certain(soft), f"The least certain rows {intervals}")
    console.print("Diagnosis", style="bold")
    console.print(with_options(str(diagnose(dt))), markup=False)
    console.print()


def print_estimate(estimate: Any, seconds: float) -> None:
    starts = estimate.starts
    console.print(
        f"MAP in {seconds:.1f} s: log posterior {estimate.log_posterior:.3f}, log likelihood "
        f"{estimate.log_likelihood:.3f}, gradient norm {estimate.gradient_norm:.1e}, "
        f"{'converged' if estimate.converged else 'NOT converged'}; {len(starts.log_posterior)} starts found "
        f"{starts.n_optima} distinct {'optimum' if starts.n_optima == 1 else 'optima'}."
    )
