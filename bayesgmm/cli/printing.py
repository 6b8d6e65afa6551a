"""What commands say: tables and sentences on a terminal, or one JSON document for machines."""

import contextlib
import json
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesgmm.posterior.diagnostics import Diagnosis

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
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


def print_frame(frame: "pd.DataFrame", title: str) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column(str(frame.index.name or ""), justify="left", no_wrap=True)
    for name in frame.columns:
        table.add_column(str(name).replace("_", " "), justify="right", overflow="fold")
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


def print_fit(dt: "xr.DataTree") -> None:
    """The three answers: the components, the rows' assignments, and whether to believe either."""
    from bayesgmm.posterior.assignments import assignments
    from bayesgmm.posterior.diagnostics import diagnose
    from bayesgmm.reports.tables import assignment_table, least_certain, parameter_table

    print_frame(parameter_table(dt), "Components (89 % intervals)")
    soft = assignments(dt)
    print_frame(assignment_table(dt, soft), "Soft assignments")
    print_frame(least_certain(soft), "The least certain rows (89 % intervals)")
    console.print("Diagnosis", style="bold")
    console.print(str(diagnose(dt)), markup=False)
    console.print()


def print_estimate(estimate: Any, seconds: float) -> None:
    starts = estimate.starts
    console.print(
        f"MAP in {seconds:.1f} s: log posterior {estimate.log_posterior:.3f}, log likelihood "
        f"{estimate.log_likelihood:.3f}, gradient norm {estimate.gradient_norm:.1e}, "
        f"{'converged' if estimate.converged else 'NOT converged'}; {len(starts.log_posterior)} starts found "
        f"{starts.n_optima} distinct {'optimum' if starts.n_optima == 1 else 'optima'}."
    )


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on standard output; what is not finite is null, as JSON has no word for it."""
    typer.echo(json.dumps(_plain(document), ensure_ascii=False, indent=2))


def fit_document(dt: "xr.DataTree", estimate: Any) -> dict[str, Any]:
    """What :func:`print_fit` says, for machines."""
    from bayesgmm.posterior.diagnostics import diagnose
    from bayesgmm.reports.tables import assignment_table, parameter_table

    starts = estimate.starts
    return {
        "map": {
            "log_posterior": estimate.log_posterior,
            "log_likelihood": estimate.log_likelihood,
            "converged": estimate.converged,
            "starts": len(starts.log_posterior),
            "distinct_optima": starts.n_optima,
        },
        "parameters": parameter_table(dt).to_dict("index"),
        "assignments": assignment_table(dt).reset_index().to_dict("records"),
        "diagnosis": diagnosis_document(diagnose(dt)),
    }


def diagnosis_document(diagnosis: "Diagnosis") -> dict[str, Any]:
    """A diagnosis for machines."""
    return {
        "verdict": diagnosis.verdict,
        "reasons": list(diagnosis.reasons),
        "checks": diagnosis.table.reset_index().to_dict("records"),
    }


def _plain(value: Any) -> Any:
    """Numbers, strings, lists and dicts of Python's own."""
    if isinstance(value, dict):
        return {str(name): _plain(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
