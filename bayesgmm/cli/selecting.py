"""The command ``bayesgmm select``, and ``--components auto``."""

import math
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesgmm.cli.cells import Missing, typed
from bayesgmm.cli.columns import columns_option, columns_to_fit, split_names
from bayesgmm.cli.documents import print_json
from bayesgmm.cli.options import Columns, DropMissing, Json, Na, OfMissing, missing_values
from bayesgmm.cli.printing import console, note, one_line_errors, print_frame
from bayesgmm.cli.reading import read_frame
from bayesgmm.cli.writing import check_outputs, write_frame, write_picture
from bayesgmm.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import pandas as pd

    from bayesgmm.selection.selection import Selection

# Models that are printed.
SHOWN = 12


def select_command(
    data: Annotated[Path, typer.Argument(help="CSV, TSV or Parquet file with a header.", show_default=False)],
    components: Annotated[
        str, typer.Option("--components", "-k", help="Numbers of components: 1:9, or 2,4,6.", metavar="RANGE")
    ] = "1:9",
    covariances: Annotated[
        str, typer.Option(help="Covariance structures, separated by commas.")
    ] = "full,tied,diag,spherical",
    shortlist: Annotated[
        int, typer.Option(help="Models of the least BIC whose posterior is sampled. 0: none.", min=0)
    ] = 3,
    columns: Columns = None,
    na: Na = None,
    drop_missing: DropMissing = False,
    missing: OfMissing = "error",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to save the table (CSV or Parquet).")] = None,
    picture: Annotated[Path | None, typer.Option("--plot", help="Also draw it: a PNG, SVG or PDF file.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed. Default: a new one.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder that keeps what was computed, to go on with after an interruption.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare numbers of components and covariance structures.

    Example: bayesgmm select faithful.csv --components 1:9 --covariances full,tied
    """
    with one_line_errors():
        from matplotlib import use

        use("agg")
        import bayesgmm as bg

        numbers = numbers_of_components(components)
        names = None if columns is None else split_names(columns)
        kinds = split_names(covariances, "--covariances")
        gaps = missing_values(na, drop_missing, missing)
        frame = read_frame(data)
        check_outputs({"--out": out, "--plot": picture}, data, tables=[out])
        rows = columns_to_fit(frame, data, names, gaps)
        try:
            selection = bg.select(
                rows, n_components=numbers, covariances=kinds, shortlist=shortlist, missing=missing,
                random_seed=seed, store=store, progressbar=not json,
            )  # fmt: skip
        except KeyboardInterrupt:
            note("interrupted" + (": nothing was kept." if store is None else ": the same command goes on from here."))
            raise typer.Exit(130) from None
        saved = []
        if out is not None:
            write_frame(selection.table, out)
            saved.append(str(out))
        if picture is not None:
            write_picture(bg.plot_selection(selection), picture)
            saved.append(str(picture))
        if json:
            print_json(selection_document(selection) | {"saved": saved})
            return
        print_selection(selection)
        if selection.passed_over:
            console.print(selection.passed_over, markup=False, soft_wrap=True)
        console.print(f"Fit it: {_fit_of_usable(selection, data, names, gaps)}", markup=False, soft_wrap=True)
        if saved:
            console.print("Saved " + " and ".join(saved), markup=False, soft_wrap=True)


def best_number(
    rows: "pd.DataFrame", covariance: str, seed: int, *, missing: str, resolution: Any, json: bool
) -> "Selection":
    """The selection among 1 to 9 components of one covariance structure, by BIC alone; it is printed."""
    import bayesgmm as bg
    from bayesgmm.arguments import MOST_COMPONENTS

    numbers = range(1, min(MOST_COMPONENTS, len(rows)) + 1)
    selection = bg.select(
        rows, n_components=numbers, covariances=[covariance], shortlist=0, missing=missing,
        resolution=resolution, random_seed=seed, progressbar=not json,
    )  # fmt: skip
    if not json:
        print_selection(selection)
        console.print()
    return selection


def numbers_of_components(text: str) -> list[int]:
    """Numbers of components from ``1:9``, ``2,4,6`` or both."""
    numbers: list[int] = []
    for part in text.split(","):
        first, colon, last = part.partition(":")
        try:
            low = int(first)
            high = int(last) if colon else low
        except ValueError:
            raise InvalidArgumentError(
                f"--components {text!r} must be whole numbers, such as 1:9 for 1 to 9, or 2,4,6."
            ) from None
        if high < low:
            raise InvalidArgumentError(
                f"--components {part!r} is empty: write the smaller number first, {last}:{first}."
            )
        numbers += range(low, high + 1)
    return numbers


def print_selection(selection: "Selection") -> None:
    """The best models, and what speaks against them."""
    shown = selection.table.head(SHOWN)
    names = [f"{k} {name}" for k, name in zip(shown["n_components"], shown["covariance_type"], strict=True)]
    table = shown[["bic", "icl"]].map("{:.1f}".format)
    if (shown["verdict"] != "").any():
        table = table.assign(
            elpd_from_best=_with_errors(shown["elpd_diff"], shown["elpd_diff_se"]),
            log_evidence=_with_errors(shown["log_evidence"], shown["log_evidence_se"]),
            weight=["-" if math.isnan(weight) else f"{weight:.2f}" for weight in shown["weight"]],
            verdict=[verdict or "-" for verdict in shown["verdict"]],
        )
    print_frame(
        table.set_axis(names, axis="index").rename_axis("model"),
        f"The {len(shown)} best of {len(selection.table)} models, by BIC (smaller is better)",
    )
    k, name = selection.best
    others = [f"{a} {b}" for a, b in selection.indistinguishable[1:]]
    for criterion, (other, structure) in selection.others.items():
        console.print(f"By {criterion}: {other} {structure}.", markup=False)
    console.print(
        f"Best by BIC: {k} {name}." + (f" Not distinguishable from it: {', '.join(others)}." if others else ""),
        markup=False,
    )
    if selection.edge:
        console.print(selection.edge, markup=False, soft_wrap=True)
    for model, doubts in zip(names, shown["doubts"], strict=True):
        if doubts:
            console.print(f"- {model}: {doubts}", markup=False, soft_wrap=True)


def _fit_of_usable(selection: "Selection", data: Path, names: Sequence[str] | None, gaps: Missing) -> str:
    """The command that fits the usable model to the same rows and columns, to be pasted into a shell."""
    k, name = selection.usable
    command = ["bayesgmm fit", shlex.quote(str(data)), f"--components {k}"]
    command += [f"--covariance {name}"] * (name != "full")
    command += [] if names is None else [columns_option(names)]
    command += [f"--na {shlex.quote(text)}" for text in gaps.na]
    command += ["--drop-missing"] * gaps.drop + ["--missing marginalise"] * gaps.keep
    return " ".join(command)


def _with_errors(values: Iterable[float], errors: Iterable[float]) -> list[str]:
    pairs = zip(values, errors, strict=True)
    return ["-" if math.isnan(value) else f"{value:z.2f} \u00b1 {error:.2f}" for value, error in pairs]


def selection_document(selection: "Selection") -> dict[str, Any]:
    """A selection for machines."""
    k, name = selection.best
    others = [{"n_components": a, "covariance_type": b} for a, b in selection.indistinguishable]
    usable, structure = selection.usable
    return {
        "best": {"n_components": k, "covariance_type": name},
        "usable": {"n_components": usable, "covariance_type": structure},
        "indistinguishable": others,
        "models": typed(selection.table).to_dict("records"),
        "seed": selection.random_seed,
    }
