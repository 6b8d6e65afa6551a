"""The command line: ``bayesgmm demo`` and ``bayesgmm fit``."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

app = typer.Typer(
    help="Bayesian Gaussian mixtures: clusters of a table of numbers, and how sure one can be of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """What a user can mend is said in one line, with exit code 1; a fault of ours keeps its traceback.

    So are the package's own warnings, which need no line of code beside them here.
    """
    before = warnings.showwarning

    def show(message: Any, category: type[Warning], *rest: Any, **named: Any) -> None:
        if category.__module__.startswith("bayesgmm"):
            errors.print(f"warning: {message}", style="yellow", markup=False, soft_wrap=True)
        else:
            before(message, category, *rest, **named)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    except (ValueError, TypeError) as error:
        if not type(error).__module__.startswith("bayesgmm"):
            raise
        errors.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def read_table(path: Path, columns: str | None) -> "pd.DataFrame":
    """Read a CSV or Parquet file with a header, all columns or those named, which must be numeric."""
    import pandas as pd

    from bayesgmm.exceptions import InvalidDataError, InvalidDataTypeError

    if not path.is_file():
        raise InvalidDataError(f"there is no file {str(path)!r}.")
    try:
        frame = pd.read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else pd.read_csv(path)
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise InvalidDataError(f"{str(path)!r} cannot be read as CSV or Parquet: {error}") from None
    # pandas tells repeated names apart by a suffix: 1.0 again is 1.0.1.
    names = [str(name) for name in frame.columns]
    if names and all(_is_number(name) or _is_number(name.rsplit(".", 1)[0]) for name in names):
        raise InvalidDataError(
            f"{str(path)!r} has no header: its first line holds the numbers {', '.join(map(str, frame.columns[:4]))}. "
            "Add a first line with the columns' names."
        )
    if columns is not None:
        names = [name.strip() for name in columns.split(",")]
        missing = [name for name in names if name not in frame.columns]
        if missing:
            raise InvalidDataError(
                f"{str(path)!r} has no column {', '.join(map(repr, missing))}; "
                f"it has {', '.join(map(str, frame.columns))}."
            )
        frame = frame[names]
    if frame.empty:
        raise InvalidDataError(f"{str(path)!r} has a header but no rows.")
    text = {name: _first_text(frame[name]) for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])}
    if text:
        named = "; ".join(f"{name!r} (row {row}: {value!r})" for name, (row, value) in list(text.items())[:5])
        numeric = [str(name) for name in frame.columns if name not in text]
        remedy = f"--columns {','.join(numeric)}" if numeric else "a table with numbers"
        raise InvalidDataTypeError(f"columns that hold text: {named}. Choose the numeric ones: {remedy}.")
    return frame


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_text(column: "pd.Series") -> tuple[int, Any]:
    for row, value in enumerate(column):
        if not _is_number(str(value)):
            return row, value
    return 0, column.iloc[0]


def _print_frame(frame: "pd.DataFrame", title: str) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column(str(frame.index.name or ""), justify="left", no_wrap=True)
    for name in frame.columns:
        table.add_column(str(name), justify="right", overflow="fold")
    for index, row in frame.iterrows():
        table.add_row(str(index), *(_cell(name, value) for name, value in row.items()))
    console.print(table)
    console.print()


def _cell(column: Any, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if column == "r_hat":
        return f"{value:.3f}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _print_fit(dt: "xr.DataTree") -> None:
    """The three answers: the components, the rows' assignments, and whether to believe either."""
    from bayesgmm.posterior.assignments import assignments
    from bayesgmm.posterior.diagnostics import diagnose
    from bayesgmm.reports.tables import assignment_table, least_certain, parameter_table

    _print_frame(parameter_table(dt), "Components (89 % intervals)")
    soft = assignments(dt)
    _print_frame(assignment_table(dt, soft), "Soft assignments")
    _print_frame(least_certain(soft), "The least certain rows (89 % intervals)")
    console.print("Diagnosis", style="bold")
    console.print(str(diagnose(dt)), markup=False)
    console.print()


def _print_estimate(estimate: Any, seconds: float) -> None:
    starts = estimate.starts
    console.print(
        f"MAP in {seconds:.1f} s: log posterior {estimate.log_posterior:.3f}, log likelihood "
        f"{estimate.log_likelihood:.3f}, gradient norm {estimate.gradient_norm:.1e}, "
        f"{'converged' if estimate.converged else 'NOT converged'}; {len(starts.log_posterior)} starts found "
        f"{starts.n_optima} distinct {'optimum' if starts.n_optima == 1 else 'optima'}."
    )


@app.command()
def fit(
    data: Annotated[Path, typer.Argument(help="CSV or Parquet file with a header.", show_default=False)],
    components: Annotated[int, typer.Option("--components", "-k", help="Number of components.")] = 2,
    covariance: Annotated[str, typer.Option(help="full, tied, diag or spherical.")] = "full",
    inference: Annotated[str, typer.Option(help="nuts (full posterior) or map (mode and Laplace draws).")] = "nuts",
    columns: Annotated[str | None, typer.Option(help="Columns to use, separated by commas. Default: all.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to save the draws (netCDF).")] = Path("fit.nc"),
    draws: Annotated[int, typer.Option(help="Draws of every chain.")] = 1000,
    chains: Annotated[int, typer.Option(help="Chains.")] = 4,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="New folder that keeps draws as they come, should the process be killed.")
    ] = None,
) -> None:
    """Fit a mixture to a table and save its draws.

    Example: bayesgmm fit faithful.csv --components 2 --out fit.nc
    """
    with _one_line_errors():
        import numpy as np

        from bayesgmm import build_model, find_MAP, sample, save
        from bayesgmm.estimator import INFERENCES
        from bayesgmm.posterior.storage import check_writable
        from bayesgmm.validation import check_choice, check_count

        check_choice(inference, "inference", INFERENCES)
        check_count(draws, "draws")
        check_count(chains, "chains")
        check_writable(out)
        frame = read_table(data, columns)
        model = build_model(frame, components, covariance_type=covariance)
        rng = np.random.default_rng(seed)
        began = time.perf_counter()
        estimate = find_MAP(model, random_seed=rng)
        _print_estimate(estimate, time.perf_counter() - began)
        if inference == "nuts":
            began = time.perf_counter()
            dt = sample(
                model, draws=draws, chains=chains, start=estimate, random_seed=rng, store=store,
                progressbar=console.is_terminal,
            )  # fmt: skip
            console.print(f"NUTS in {time.perf_counter() - began:.1f} s: {chains} chains of {draws} draws.\n")
        else:
            dt = estimate.laplace(draws * chains, random_seed=rng)
            console.print(f"Laplace approximation: {draws * chains} draws.\n")
        _print_fit(dt)
        save(dt, out)
        console.print(f"Saved {out}", markup=False)


@app.command("diagnose")
def diagnose_command(
    file: Annotated[
        Path, typer.Argument(help="A saved fit (netCDF), or the folder of a stored run.", show_default=False)
    ],
) -> None:
    """Say whether to believe a saved fit, and why. The exit code is 0 for ok, 3 for caution, 4 for fail.

    Example: bayesgmm diagnose fit.nc
    """
    with _one_line_errors():
        from bayesgmm import diagnose, load, open_run

        diagnosis = diagnose(open_run(file) if file.is_dir() else load(file))
        table = diagnosis.table.astype({"value": float, "limit": float, "passed": str})
        _print_frame(table, "Checks")
        console.print(str(diagnosis), markup=False)
    raise typer.Exit({"ok": 0, "caution": 3, "fail": 4}[diagnosis.verdict])


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for fit.nc and clusters.png.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
) -> None:
    """Old Faithful's eruptions as a mixture of two components, by MAP and by NUTS.

    Example: bayesgmm demo --out demo
    """
    with _one_line_errors():
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot as plt

        from bayesgmm import build_model, find_MAP, plot_clusters, sample, save
        from bayesgmm.datasets import load_faithful

        console.print("Old Faithful: 272 eruptions, their duration and the time to the next; two components.\n")
        model = build_model(load_faithful(), n_components=2)
        began = time.perf_counter()
        estimate = find_MAP(model, random_seed=seed)
        _print_estimate(estimate, time.perf_counter() - began)
        began = time.perf_counter()
        dt = sample(model, start=estimate, random_seed=seed, progressbar=console.is_terminal)
        console.print(f"NUTS in {time.perf_counter() - began:.1f} s: 4 chains of 1000 draws.\n")
        _print_fit(dt)
        save(dt, out / "fit.nc")
        ax = plot_clusters(dt)
        ax.set_title("Old Faithful: 50 % and 95 % ellipses under 60 posterior draws", fontsize="medium")
        plt.gcf().savefig(out / "clusters.png", dpi=160)
        console.print(f"Saved {out / 'fit.nc'} and {out / 'clusters.png'}", markup=False)


def main() -> None:
    """Entry point of the ``bayesgmm`` command."""
    app()
