"""What commands say to machines: one JSON document."""

import json
import math
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import xarray as xr

    from bayesgmm.posterior.diagnosis import Diagnosis


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on standard output; what is not finite is null, as JSON has no word for it."""
    # Dates and the like, from Parquet files, as text.
    typer.echo(json.dumps(_plain(document), ensure_ascii=False, indent=2, allow_nan=False, default=str))


def fit_document(dt: "xr.DataTree", estimate: Any) -> dict[str, Any]:
    """What :func:`bayesgmm.cli.printing.print_fit` says, for machines."""
    from bayesgmm.posterior.diagnosis import diagnose
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
