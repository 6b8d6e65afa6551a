"""The command ``bayesgmm impute``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from bayesgmm.arguments import check_count
from bayesgmm.cli.cells import Missing, typed
from bayesgmm.cli.columns import fitted_columns
from bayesgmm.cli.documents import print_json
from bayesgmm.cli.options import Json, Na, SavedFit
from bayesgmm.cli.printing import console, note, one_line_errors
from bayesgmm.cli.reading import read_fit, read_frame
from bayesgmm.cli.writing import check_outputs, write_frame
from bayesgmm.data.observations import Observations
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError

if TYPE_CHECKING:
    import pandas as pd

    from bayesgmm.record.fit import Fit

# The column that tells completed tables apart.
DRAW = "draw"


def impute_command(
    file: SavedFit,
    data: Annotated[
        Path | None,
        typer.Argument(help="CSV, TSV or Parquet file with the fitted columns. Default: the rows that were fitted."),
    ] = None,
    draws: Annotated[
        int,
        typer.Option(
            help="Completed tables, one below another, told apart by a column draw. 0: one, of expected values.", min=0
        ),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV or Parquet file to write. Default: CSV on the terminal.")
    ] = None,
    na: Na = None,
    seed: Annotated[int, typer.Option(help="Random seed of the draws.")] = 0,
    json: Json = False,
) -> None:
    """Complete a table by a saved fit of rows with missing values (bayesgmm fit --missing marginalise).

    What was seen is written as it stands, other columns too. Expected values are right one by one, but vary less than
    what they stand for: for an analysis of completed tables take --draws 20, make it of each, and look at the spread.

    Example: bayesgmm impute fit.nc data.csv --out completed.csv
    """
    with one_line_errors():
        from bayesgmm import impute
        from bayesgmm.record.fit import Fit

        check_outputs({"--out": out}, *[path for path in (file, data) if path is not None], tables=[out])
        seed = check_count(seed, "seed", least=0)
        dt = read_fit(file)
        fit = Fit.of(dt)
        if not fit.gaps:
            raise InvalidArgumentError(
                f"{str(file)!r} is a fit of complete rows: make it anew by bayesgmm fit --missing marginalise."
            )
        frame, rows = _table(fit, data, Missing(tuple(na or ()), keep=True))
        if draws and DRAW in frame.columns:
            raise InvalidDataError(f"{str(data)!r} has a column {DRAW!r}, as the completed tables have: rename it.")
        unseen = rows.isna()
        if draws:
            given = None if data is None else rows
            completed = impute(dt, given, draws=draws, random_seed=seed, progressbar=not json)["x"].values
        else:
            taken = fit.table if data is None else fit.rows(rows)
            completed = fit.mixture.expect_rows(Observations(taken.values, taken.labels, taken.errors))[None]
        table = _completed(frame, completed, unseen, bool(draws))
        note(
            f"completed {int(unseen.to_numpy().sum())} values in {int(unseen.any(axis=1).sum())} of {len(rows)} rows"
            + (f", {draws} times." if draws else ".")
        )
        if out is not None:
            write_frame(table, out)
        if json:
            print_json({"rows": typed(table).to_dict("records")} if out is None else {"saved": [str(out)]})
        elif out is None:
            typer.echo(table.to_csv(index=False), nl=False)
        else:
            console.print(f"Saved {out}", markup=False, soft_wrap=True)


def _table(fit: "Fit", data: Path | None, missing: Missing) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """The table to complete, and the numbers in its fitted columns."""
    import pandas as pd

    if data is None:
        rows = pd.DataFrame(fit.x, columns=list(fit.features))
        return rows, rows
    # Of the other columns every letter is kept.
    frame = read_frame(data, numbers=fit.features)
    if type(frame.index).__name__ != "RangeIndex":  # Parquet's rows may have names: a column like others
        frame = frame.reset_index()
    return frame, fitted_columns(frame, data, fit.features, missing)


def _completed(frame: "pd.DataFrame", values: np.ndarray, unseen: "pd.DataFrame", told_apart: bool) -> "pd.DataFrame":
    """The table, once for each of the completed values (S, N, D)."""
    import pandas as pd

    tables = []
    for draw, x in enumerate(values):
        columns = {}
        for j, name in enumerate(unseen.columns):
            cells, absent = frame[name], unseen[name].to_numpy()
            if not absent.any():
                continue
            if pd.api.types.is_numeric_dtype(cells):
                columns[name] = cells.astype(float).mask(absent, x[:, j])
            else:  # as it is written, letter by letter
                columns[name] = cells.mask(absent, pd.Series([f"{v:.10g}" for v in x[:, j]], index=cells.index))
        table = frame.assign(**columns)
        if told_apart:
            table.insert(0, DRAW, draw)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
