"""``bayesgmm fit``."""

import time
from pathlib import Path
from typing import Annotated

import typer

from bayesgmm.cli.beside import Beside, ErrorColumns, LabelColumn, WeightColumn
from bayesgmm.cli.columns import columns_to_fit, split_names
from bayesgmm.cli.documents import fit_document, print_json
from bayesgmm.cli.options import (
    Columns,
    DropMissing,
    Json,
    Na,
    OfMissing,
    Resolution,
    check_store,
    missing_values,
    recorded_steps,
    whole_number,
)
from bayesgmm.cli.printing import console, one_line_errors, print_estimate, print_fit
from bayesgmm.cli.reading import read_frame
from bayesgmm.cli.selecting import best_number
from bayesgmm.cli.writing import check_outputs


def fit_command(
    data: Annotated[Path, typer.Argument(help="CSV, TSV or Parquet file with a header.", show_default=False)],
    components: Annotated[
        str,
        typer.Option(
            "--components", "-k", help="Number of components; auto: that of the least BIC.", metavar="INTEGER|auto"
        ),
    ] = "2",
    covariance: Annotated[str, typer.Option(help="full, tied, diag or spherical.")] = "full",
    inference: Annotated[
        str,
        typer.Option(
            help="nuts: the full posterior; map: the mode, and Laplace draws; laplace: nuts with a Gaussian in the "
            "likelihood's place, for very many rows; auto: nuts or laplace, by the rows."
        ),
    ] = "nuts",
    columns: Columns = None,
    na: Na = None,
    drop_missing: DropMissing = False,
    missing: OfMissing = "error",
    label_column: LabelColumn = None,
    weight_column: WeightColumn = None,
    error_columns: ErrorColumns = None,
    resolution: Resolution = "auto",
    noise: Annotated[
        bool, typer.Option("--noise", help="Rows may be of no component: uniform over the data's bounding box.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to save the draws (netCDF).")] = Path("fit.nc"),
    report: Annotated[Path | None, typer.Option(help="Also write a page about the fit, such as report.html.")] = None,
    draws: Annotated[int, typer.Option(help="Draws of every chain.")] = 1000,
    chains: Annotated[int, typer.Option(help="Chains.")] = 4,
    tune: Annotated[
        int | None, typer.Option(help="Draws of every chain before those, which it learns its steps by. Default: 200.")
    ] = None,
    n_init: Annotated[
        str, typer.Option(help="Starts of the search; auto: until it comes back to its best.", metavar="INTEGER|auto")
    ] = "auto",
    seed: Annotated[int | None, typer.Option(help="Random seed. Default: a new one, which is saved.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="New folder that keeps draws as they come, should the process be killed.")
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            help="Where chains start: auto (where the posterior's mass is), heaviest or dispersed modes. "
            "With --inference map: auto is the highest density, heaviest the mode that holds most."
        ),
    ] = "auto",
    json: Json = False,
) -> None:
    """Fit a mixture to a table and save its draws.

    Example: bayesgmm fit faithful.csv --components 2 --out fit.nc --report report.html
    """
    with one_line_errors():
        import numpy as np

        import bayesgmm as bg
        from bayesgmm.arguments import INFERENCES, STARTS, check_choice, check_count
        from bayesgmm.record.fit import Fit

        n_components = whole_number("n_components", "--components", components)
        check_choice(inference, "inference", INFERENCES)
        check_choice(start, "start", STARTS[inference])
        gaps = missing_values(na, drop_missing, missing)
        n_starts = whole_number("n_init", "--n-init", n_init)
        check_count(draws, "draws")
        if tune is not None:
            check_count(tune, "tune")
        check_count(chains, "chains")
        names = None if columns is None else split_names(columns)
        if store is not None:
            check_store(store, inference)
        frame = read_frame(data)
        check_outputs({"--out": out, "--report": report}, data, pages=[report])
        errors = None if error_columns is None else split_names(error_columns, "--error-columns")
        beside = Beside(label_column, weight_column, errors)
        rows = columns_to_fit(beside.without(frame, data), data, names, gaps)
        steps = recorded_steps(resolution, list(rows.columns))
        known = beside.arguments(frame.loc[rows.index], list(rows.columns))
        # Saved with the draws, so that every fit can be made again.
        seed = int(np.random.default_rng().integers(2**31)) if seed is None else check_count(seed, "seed", least=0)
        selection = None
        if n_components is None:
            beside.check_selection(noise)
            selection = best_number(rows, covariance, seed, missing=missing, resolution=steps, json=json)
            n_components = selection.best[0]
        model = bg.build_model(
            rows, n_components, covariance_type=covariance, missing=missing, resolution=steps, noise=noise, **known
        )
        began = time.perf_counter()
        estimate = bg.find_MAP(
            model, n_init="auto" if n_starts is None else n_starts, random_seed=seed, progressbar=not json
        )
        if not json:
            print_estimate(estimate, time.perf_counter() - began)
        began = time.perf_counter()
        if inference in ("map", "laplace"):
            estimate = estimate.taken(start)
        if inference != "map":
            from bayesgmm.posterior.suited import drawn

            if not json:
                console.print(f"Sampling {chains} chains of {draws} draws; --inference map would end here.")
            dt, done, reason = drawn(
                model, estimate, inference, draws=draws, chains=chains, tune=tune, start=start, random_seed=seed,
                store=store, progressbar=not json,
            )  # fmt: skip
            sizes = dt["posterior"].sizes  # fewer draws than were asked for, after an interruption
            by = "NUTS" if done == "nuts" else "NUTS with a Gaussian in the likelihood's place"
            why = f" ({reason})" if inference == "auto" else ""
            said = f"{by}{why} in {time.perf_counter() - began:.1f} s: {chains} chains of {sizes['draw']} draws.\n"
        else:
            dt = estimate.laplace(draws * chains, random_seed=seed)
            said = f"Laplace approximation: {draws * chains} draws.\n"
        if selection is not None:
            dt = Fit.of(dt).selected_from(selection.table).tree
        # Saved before anything else can go wrong.
        saved = [bg.save(dt, out)]
        if not json:
            console.print(said)
            print_fit(dt)
        if report is not None:
            saved.append(bg.report(dt, report))
        if json:
            print_json(fit_document(dt, estimate) | {"seed": seed, "saved": [str(path) for path in saved]})
        else:
            console.print("Saved " + " and ".join(map(str, saved)), markup=False, soft_wrap=True)
