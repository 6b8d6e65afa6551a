"""Draws by the inference that was asked for: which suits a table, and how many can be afforded."""

from typing import TYPE_CHECKING, Any

from bayesgmm.data.table import Table
from bayesgmm.posterior.checks import PARETO_K_LIMIT
from bayesgmm.posterior.sample import sample
from bayesgmm.record.fit import Fit
from bayesgmm.search.estimate import MapEstimate
from bayesgmm.search.mode import Mode

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

# From so many rows on the likelihood is taken for Gaussian.
MANY_ROWS = 100_000
# Steps of arithmetic that the log-likelihoods of its draws may take; but at least so many draws a chain.
MOST_WORK, LEAST_DRAWS = 4e11, 100


def drawn(
    model: "pm.Model", estimate: MapEstimate, inference: str, *, draws: int, chains: int, start: str, **others: Any
) -> tuple["xr.DataTree", str, str]:
    """Draws by an inference, "nuts", "laplace" or "auto", and which it was, and why; ``others`` are :func:`sample`'s.

    "laplace": NUTS with a Gaussian in the likelihood's place.
    """

    def by(inference: str) -> "xr.DataTree":
        if inference == "nuts":
            return sample(model, draws=draws, chains=chains, start=start, estimate=estimate, **others)
        few = affordable(estimate.problem.table, estimate.problem.specification.n_components, draws, chains)
        return sample(
            model, draws=few, chains=chains, start="heaviest", estimate=estimate, likelihood="gaussian", **others
        )

    if inference != "auto":
        return by(inference), inference, "asked for"
    table = estimate.problem.table
    chosen, reason = suited(table, estimate.mode)
    dt = by(chosen)
    pareto_k = Fit.of(dt).provenance.pareto_k
    if pareto_k is None:  # NUTS, or interrupted
        return dt, chosen, reason
    chosen, reason = kept(table, pareto_k)
    return by(chosen) if chosen == "nuts" else dt, chosen, reason


def suited(table: Table, mode: Mode) -> tuple[str, str]:
    """The inference that "auto" tries at a mode, and why."""
    if table.n_rows < MANY_ROWS and not table.elsewhere:
        return "nuts", f"{table.n_rows:,} rows are fewer than {MANY_ROWS:,}"
    if mode.factor is None:
        return "nuts", "the posterior is not curved in every direction at its mode"
    return "laplace", f"{table.n_rows:,} rows"


def kept(table: Table, pareto_k: float) -> tuple[str, str]:
    """Whether a Gaussian likelihood is kept for its Pareto k, or NUTS does better, and why."""
    said = f"{table.n_rows:,} rows: a Gaussian likelihood, Pareto k {pareto_k:.2f}"
    if pareto_k <= PARETO_K_LIMIT:
        return "laplace", said
    if not table.elsewhere:
        return "nuts", f"{said}, above {PARETO_K_LIMIT}"
    return "laplace", f"{said}, above {PARETO_K_LIMIT}: not to be relied on"


def affordable(table: Table, n_components: int, draws: int, chains: int) -> int:
    """Draws of every chain under a Gaussian likelihood, each of which takes a log-likelihood."""
    per_draw = table.n_rows * n_components * (4.0 + 0.1 * table.n_features**2)
    return min(draws, max(LEAST_DRAWS, int(MOST_WORK / per_draw / chains)))
