"""The commands: ``bayesgmm fit``, ``select``, ``diagnose``, ``assign``, ``impute``, ``plot``, ``report``, ``demo``."""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bayesgmm.cli.beside import Beside, ErrorColumns
from bayesgmm.cli.cells import Missing, typed
from bayesgmm.cli.columns import fitted_columns, split_names
from bayesgmm.cli.documents import diagnosis_document, print_json
from bayesgmm.cli.fitting import fit_command
from bayesgmm.cli.imputing import impute_command
from bayesgmm.cli.options import (
    CiProb,
    DropMissing,
    Json,
    Na,
    Plot,
    SavedFit,
    given_value,
)
from bayesgmm.cli.printing import console, note, one_line_errors, print_estimate, print_fit, print_frame, with_options
from bayesgmm.cli.reading import read_fit, read_frame
from bayesgmm.cli.selecting import select_command
from bayesgmm.cli.writing import check_outputs, write_frame, write_picture

app = typer.Typer(
    help="Bayesian Gaussian mixtures: clusters of a table of numbers, and how sure one can be of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("fit")(fit_command)
app.command("select")(select_command)
app.command("impute")(impute_command)
EXIT_CODES = {"ok": 0, "caution": 3, "fail": 4}


@app.command("diagnose")
def diagnose_command(file: SavedFit, json: Json = False) -> None:
    """Say whether to believe a saved fit, and why. The exit code is 0 for ok, 3 for caution, 4 for fail.

    Example: bayesgmm diagnose fit.nc
    """
    with one_line_errors():
        from bayesgmm import diagnose

        diagnosis = diagnose(read_fit(file))
        if json:
            print_json(diagnosis_document(diagnosis))
        else:
            table = diagnosis.table.astype({"value": float, "limit": float, "passed": str})
            print_frame(table, "Checks")
            console.print(with_options(str(diagnosis)), markup=False)
    raise typer.Exit(EXIT_CODES[diagnosis.verdict])


@app.command()
def assign(
    file: SavedFit,
    data: Annotated[Path, typer.Argument(help="CSV, TSV or Parquet file with the fitted columns.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV or Parquet file to write. Default: CSV on the terminal.")
    ] = None,
    na: Na = None,
    drop_missing: DropMissing = False,
    error_columns: ErrorColumns = None,
    ci_prob: CiProb = None,
    json: Json = False,
) -> None:
    """Assign new rows to the components of a saved fit, with how sure that is.

    The table is written with these columns added: component, probability, lower, upper, entropy, mutual_information,
    and the probability of every component.

    Example: bayesgmm assign fit.nc new.csv --out assigned.csv
    """
    with one_line_errors():
        from bayesgmm import assignments
        from bayesgmm.data.reading import listed
        from bayesgmm.record.fit import Fit
        from bayesgmm.reports.tables import with_assignments

        check_outputs({"--out": out}, file, data, tables=[out])
        dt = read_fit(file)
        fitted = Fit.of(dt)
        features = fitted.features
        beside = Beside(None, None, None if error_columns is None else split_names(error_columns, "--error-columns"))
        # Of the other columns every letter is kept.
        frame = read_frame(data, numbers=[*features, *beside.names])
        beside.without(frame, data)  # where there is no such column, this says so
        if error_columns is None and fitted.has_rows and fitted.table.errors is not None:
            note("counted rows as measured exactly, unlike those that were fitted; --error-columns says their errors.")
        if fitted.has_rows and fitted.table.labels is not None:
            note("took no labels as known, unlike the fit: probabilities are by the values alone.")
        if type(frame.index).__name__ != "RangeIndex":  # Parquet's rows may have names: a column like others
            frame = frame.reset_index()
        new = fitted_columns(frame, data, features, Missing(tuple(na or ()), drop_missing, fitted.gaps))
        kept = frame.loc[new.index]
        known = beside.arguments(kept, features)
        assigned = with_assignments(kept, assignments(dt, new, ci_prob=ci_prob, progressbar=not json, **known))
        replaced = [name for name in kept.columns if not assigned[name].equals(kept[name])]
        if replaced:
            note(f"of the columns of {str(data)!r}, {listed(replaced)} had the names of new ones and were replaced.")
        if out is not None:
            write_frame(assigned, out)
        if json:
            print_json({"rows": typed(assigned).to_dict("records")} if out is None else {"saved": [str(out)]})
        elif out is None:
            typer.echo(assigned.to_csv(index=False), nl=False)
        else:
            console.print(f"Saved {out}", markup=False, soft_wrap=True)


@app.command()
def plot(
    what: Annotated[Plot, typer.Argument(help="The picture.", show_default=False)],
    file: SavedFit,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="PNG, SVG or PDF file. Default: the picture's name, as PNG.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="One or two columns, separated by commas (clusters, uncertainty, density).")
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option(help="A column held at a value, such as waiting=80 (density). Repeat for more.")
    ] = None,
    json: Json = False,
) -> None:
    """Draw a picture of a saved fit.

    Example: bayesgmm plot density fit.nc --features eruptions --given waiting=80 --out density.png
    """
    with one_line_errors():
        from matplotlib import use

        use("agg")
        import bayesgmm as bg
        from bayesgmm.exceptions import InvalidArgumentError

        arguments: dict[str, Any] = {}
        if features is not None:
            arguments["features"] = split_names(features, "--features")
        if given:
            arguments["given"] = dict(given_value(text) for text in given)
        taken = {Plot.clusters: {"features"}, Plot.uncertainty: {"features"}, Plot.density: {"features", "given"}}
        unused = set(arguments) - taken.get(what, set())
        if unused:
            raise InvalidArgumentError(f"plot {what} takes no --{sorted(unused)[0]}.")
        path = Path(f"{what}.png") if out is None else out
        check_outputs({"--out": path}, file)
        draw: Callable[..., Any] = getattr(bg, f"plot_{what}")
        drawn = draw(read_fit(file), **arguments)
        write_picture(drawn, path)
        if json:
            print_json({"saved": [str(path)]})
        else:
            console.print(f"Saved {path}", markup=False, soft_wrap=True)


@app.command("report")
def report_command(
    file: SavedFit,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    ci_prob: CiProb = None,
    json: Json = False,
) -> None:
    """Write a page about a saved fit: one HTML file to hand to a colleague.

    Example: bayesgmm report fit.nc --out report.html
    """
    with one_line_errors():
        from matplotlib import use

        use("agg")
        import bayesgmm as bg

        check_outputs({"--out": out}, file, pages=[out])
        path = bg.report(read_fit(file), out, title=title, ci_prob=ci_prob, progressbar=not json)
        if json:
            print_json({"saved": [str(path)]})
        else:
            console.print(f"Saved {path}", markup=False, soft_wrap=True)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the fit, a picture and a page.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
) -> None:
    """Old Faithful's eruptions as a mixture of two components, by MAP and by NUTS.

    Example: bayesgmm demo --out demo
    """
    with one_line_errors():
        from matplotlib import use

        use("agg")
        import bayesgmm as bg

        console.print("Old Faithful: 272 eruptions, their duration and the time to the next; two components.\n")
        model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
        began = time.perf_counter()
        estimate = bg.find_MAP(model, random_seed=seed)
        print_estimate(estimate, time.perf_counter() - began)
        began = time.perf_counter()
        dt = bg.sample(model, start=estimate, random_seed=seed)
        sizes = dt["posterior"].sizes
        console.print(
            f"NUTS in {time.perf_counter() - began:.1f} s: {sizes['chain']} chains of {sizes['draw']} draws.\n"
        )
        print_fit(dt)
        saved = [bg.save(dt, out / "fit.nc")]
        ax = bg.plot_clusters(dt)
        ax.set_title("Old Faithful: 50 % and 95 % ellipses under 60 posterior draws", fontsize="medium")
        write_picture(ax, out / "clusters.png")
        saved += [out / "clusters.png", bg.report(dt, out / "report.html", title="Old Faithful's eruptions")]
        console.print("Saved " + ", ".join(map(str, saved)), markup=False, soft_wrap=True)


# New objects from which on Python looks for cycles that nothing holds. With its own 2,000, and a look at all objects at
# the process's end, a MAP took 6.0 s and a posterior 7.9 s; so they take 4.3 and 6.5 (medians of five, in turn).
MANY_OBJECTS = 100_000


def main() -> None:
    """Entry point of the ``bayesgmm`` command."""
    gc.set_threshold(MANY_OBJECTS, *gc.get_threshold()[1:])
    try:
        app()
    finally:
        gc.freeze()  # what was written is on disk; the rest goes with the process
