"""The columns that a command uses, as numbers: which they are, and what to do about cells that hold none."""

import csv
import io
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.cli.cells import Column, Missing
from bayesgmm.cli.printing import note
from bayesgmm.cli.reading import alike
from bayesgmm.data.reading import listed
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError, InvalidDataTypeError

if TYPE_CHECKING:
    import pandas as pd

# More different texts than this in a column of numbers are not words for a missing value.
MOST_WORDS = 5


def split_names(text: str, option: str = "--columns") -> list[str]:
    """The names in an option, as ``--columns a,b``; one that holds a comma stands in double quotes."""
    try:
        names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    except csv.Error:
        names = []
    if not names or not all(names):
        raise InvalidArgumentError(f"{option} {text!r} names no column: give names separated by commas, such as a,b.")
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        raise InvalidArgumentError(
            f"{option} names {repeated[0]!r} more than once: {columns_option(dict.fromkeys(names), option)}."
        )
    return names


def columns_option(names: Iterable[str], option: str = "--columns") -> str:
    """The option with these names, to be pasted into a shell."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return f"{option} {shlex.quote(line.getvalue())}"


def columns_to_fit(frame: "pd.DataFrame", path: Path, names: Sequence[str] | None, missing: Missing) -> "pd.DataFrame":
    """The columns that were named, or all but those that only count the rows, as numbers: in complete rows, if asked.

    Raises
    ------
    InvalidDataError, InvalidDataTypeError
    """
    if names is not None:
        unknown = [name for name in names if name not in frame.columns]
        if unknown:
            raise InvalidDataError(
                f"{str(path)!r} has no column {listed([repr(n) for n in unknown])}; it has "
                f"{listed([str(n) for n in frame.columns], 20)}.{alike(unknown[0], list(frame.columns))}"
            )
        frame = frame[list(names)]
    columns = {str(name): Column.of(frame[name], missing.na) for name in frame.columns}
    counting = [name for name, column in columns.items() if names is None and column.counts_rows(name)]
    text = {name: column for name, column in columns.items() if column.is_text}
    used = {name: column for name, column in columns.items() if name not in text and name not in counting}
    if not used and counting:
        raise InvalidDataError(
            f"{str(path)!r} has no column of numbers but {_named(counting)}, which only counts the rows: "
            f"{columns_option(counting)} uses it nevertheless."
        )
    if not used:
        raise InvalidDataTypeError(
            f"{str(path)!r} has no column of numbers, but {_examples(text)}: name another file, or separate its "
            "columns by commas, semicolons or tabs."
        )
    if text or any(column.wrong.any() for column in used.values()):
        raise InvalidDataTypeError(_what_is_wrong(path, used, text, counting, missing))
    if counting:
        verb, pronoun = ("counts", "it") if len(counting) == 1 else ("count", "them")
        note(f"left out {_named(counting)}, which only {verb} the rows; {columns_option(columns)} keeps {pronoun}.")
    return _complete(used, frame, missing)


def fitted_columns(frame: "pd.DataFrame", path: Path, features: Sequence[str], missing: Missing) -> "pd.DataFrame":
    """The columns of the features that were fitted, as numbers: in complete rows, if asked.

    Raises
    ------
    InvalidDataError, InvalidDataTypeError
    """
    absent = [name for name in features if name not in frame.columns]
    if absent:
        raise InvalidDataError(
            f"{str(path)!r} has no column {listed([repr(n) for n in absent])}; it has "
            f"{listed([str(n) for n in frame.columns], 20)}. Name its columns as they were when the mixture was "
            f"fitted: {listed(list(features), 20)}."
        )
    columns = {name: Column.of(frame[name], missing.na) for name in features}
    if any(column.wrong.any() for column in columns.values()):
        raise InvalidDataTypeError(_wrong_cell(path, columns, missing))
    return _complete(columns, frame, missing)


def _named(names: Sequence[str]) -> str:
    return listed([repr(name) for name in names])


def _examples(columns: dict[str, Column]) -> str:
    """Columns of text, each with the first of it."""

    def example(name: str, column: Column) -> str:
        if not column.wrong.any():
            return f"{name!r} (empty)"
        row = int(column.wrong.to_numpy().argmax())
        return f"{name!r} (row {row}: {str(column.cells.iloc[row])!r})"

    return "columns that hold text: " + "; ".join(example(*item) for item in list(columns.items())[:5])


def _what_is_wrong(
    path: Path, used: dict[str, Column], text: dict[str, Column], counting: list[str], missing: Missing
) -> str:
    """The sentence about cells that are no numbers, with options that can be pasted as they are."""
    if not text:
        return _wrong_cell(path, used, missing, counting)
    hopeless = [name for name, column in used.items() if len(column.words) > MOST_WORDS]
    chosen = {name: column for name, column in used.items() if name not in hopeless} or used
    options = [columns_option(chosen), *_missing_options(chosen, missing)]
    also = f" ({_named(counting)} only counts the rows)" if counting else ""
    return f"{_examples(text)}. Choose the numeric ones: {' '.join(options)}{also}."


def _wrong_cell(path: Path, columns: dict[str, Column], missing: Missing, counting: Sequence[str] | None = None) -> str:
    """The sentence about the first cell that is no number in a column of numbers; ``counting`` where one can choose."""
    name, column = next((name, column) for name, column in columns.items() if column.wrong.any())
    row = int(column.wrong.to_numpy().argmax())
    said = f"{str(path)!r} has no number in row {row} (the first is 0), column {name!r}, but {column.words[0]!r}"
    hopeless = [n for n, c in columns.items() if len(c.words) > MOST_WORDS]
    if not hopeless:
        options = f"{said}. If that is a missing value, add {' '.join(_missing_options(columns, missing))}"
        if missing.keep:
            return f"{options}."
        fit = "; --missing marginalise instead of --drop-missing fits what was seen of them" if missing.choice else ""
        return f"{options}, which leaves out the rows with missing values{fit}."
    said += f", and {len(columns[hopeless[0]].words)} different texts in column {hopeless[0]!r}: correct them"
    chosen = {n: c for n, c in columns.items() if n not in hopeless}
    if counting is None or not chosen:
        return f"{said} in the file."
    return f"{said}, or use {' '.join([columns_option(chosen), *_missing_options(chosen, missing)])}."


def _missing_options(columns: dict[str, Column], missing: Missing) -> list[str]:
    """The options with which the rows of these columns that lack a number are left out."""
    words = list(dict.fromkeys(word for column in columns.values() for word in column.words))
    options = [f"--na {shlex.quote(word)}" for word in words]
    lacking = words or any(column.values.isna().any() for column in columns.values())
    return [*options, "--drop-missing"] if lacking and not missing.drop and not missing.keep else options


def _complete(columns: dict[str, Column], frame: "pd.DataFrame", missing: Missing) -> "pd.DataFrame":
    """The columns' numbers, in the rows that have all of them or with gaps; their names are the frame's."""
    import pandas as pd

    commas = [name for name in frame.attrs.get("decimal_commas", ()) if name in columns]
    if commas:
        note(f"read commas as decimal points in {_named(commas)}.")
    numbers = pd.DataFrame({name: column.values for name, column in columns.items()})
    absent = numbers.isna()
    rows = absent.any(axis=1).to_numpy()
    n_absent, n_rows = int(rows.sum()), len(rows)
    if n_absent == 0 or (missing.keep and not missing.drop):
        return numbers
    row = int(rows.argmax())
    name = str(numbers.columns[int(absent.iloc[row].to_numpy().argmax())])
    if not missing.drop:
        raise InvalidDataError(
            f"no value in row {row} (the first is 0), column {name!r}; {n_absent} of {n_rows} rows have a missing "
            f"value: add --drop-missing to leave {'that row' if n_absent == 1 else 'those rows'} out"
            + (", or --missing marginalise to fit what was seen of every row." if missing.choice else ".")
        )
    if n_absent == n_rows:
        each = absent.sum()
        raise InvalidDataError(
            f"every one of the {n_rows} rows has a missing value: column {str(each.idxmax())!r} lacks most, "
            f"{int(each.max())}. Fill it in, or use other columns."
        )
    note(
        f"left out {n_absent} of {n_rows} rows, which have missing values: "
        f"{listed([str(i) for i in np.flatnonzero(rows)], 10)} (the first row is 0)."
    )
    return numbers[~rows]
