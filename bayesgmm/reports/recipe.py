"""Python that makes a fit again from its data."""

from collections.abc import Iterator

from bayesgmm.model.specification import Specification
from bayesgmm.record.fit import Fit

# What `sample` does unless a user says otherwise.
DEFAULT_RELABEL, DEFAULT_START = "stephens", "auto"


def recipe(fit: Fit) -> str | None:
    """A script for "your-data.csv"; None of draws whose model is not known."""
    if fit.specification is None or fit.provenance.method not in ("nuts", "laplace"):
        return None
    lines = [*_imports(fit.specification), "", *_model(fit, fit.specification), *_draws(fit)]
    return "\n".join([*lines, 'bg.report(dt, "report.html")'])


def _imports(specification: Specification) -> Iterator[str]:
    yield "import bayesgmm as bg"
    yield "import pandas as pd"
    if any("pm." in argument.split("#")[0] for argument in specification.arguments()):
        yield "import pymc as pm"


def _model(fit: Fit, specification: Specification) -> Iterator[str]:
    columns = ", ".join(repr(name) for name in fit.features)
    yield f'X = pd.read_csv("your-data.csv")[[{columns}]]'
    yield "model = bg.build_model("
    yield "    X,"
    if fit.table.weights is not None:
        yield "    sample_weight=...,  # the weights that the rows had"
    if fit.table.labels is not None:
        yield "    labels=...,  # the labels that were known of rows"
    if fit.table.errors is not None:
        yield "    measurement_covariance=...,  # that of the rows' errors"
    if fit.table.box is not None:
        yield "    noise=True,"
    if fit.gaps:
        yield '    missing="marginalise",'
    for argument in specification.arguments():
        yield f"    {argument},"
    yield ")"
    for term in specification.terms:
        yield f"# and add to the model, as it had been: {' '.join(term.split())}"


def _draws(fit: Fit) -> Iterator[str]:
    how = fit.provenance
    starts = [] if how.starts is None else [f"n_init={len(how.starts)}"]
    search = ", ".join(["model", *starts, *_seed(how.map_seed)])
    # An integer seed of the search's own: there was one before the draws.
    apart = how.method == "laplace" or how.map_seed is not None
    if how.starts is not None and "given" in how.starts.kind:
        yield "# The search began at starts that were given, as well; give them too, start=..."
    if apart:
        yield f"estimate = bg.find_MAP({search})"
    if how.method == "laplace":
        yield f"dt = {how.start or 'estimate'}.laplace({', '.join([str(fit.n_draws), *_seed(how.seed)])})"
        if how.relabelled is not None:
            yield f"dt = bg.relabel(dt, method={how.relabelled!r})"
        return
    given = ["model"]
    start = how.start or "estimate"  # draws of old releases started at the estimate
    if not start.startswith("estimate"):
        given += [f'start="{start}"'] * (start != DEFAULT_START) + ["estimate=estimate"] * apart
    elif apart:
        given.append(f"start={start}")
    given.append(f"draws={fit.n_draws}")
    if how.tuning_steps is not None:
        given.append(f"tune={how.tuning_steps}")
    given += [f"chains={fit.n_chains}", *_seed(how.seed)]
    if how.relabelled != DEFAULT_RELABEL:
        given.append(f"relabel={how.relabelled!r}" if how.relabelled == "ecr" else "relabel=None")
    if how.pareto_k is not None:
        given.append('likelihood="gaussian"')
    if how.backend != "numba":
        given.append(f'backend="{how.backend}"')
    if not how.complete:
        yield "# The run was stopped; these are the draws that it had kept by then."
    yield f"dt = bg.sample({', '.join(given)})"


def _seed(seed: int | None) -> list[str]:
    return [] if seed is None else [f"random_seed={seed}"]
