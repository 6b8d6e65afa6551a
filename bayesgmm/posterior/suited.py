"""Which inference suits a table, and how many draws of it can be afforded."""

from bayesgmm.data.table import Table
from bayesgmm.posterior.checks import PARETO_K_LIMIT
from bayesgmm.search.mode import Mode

# From so many rows on the likelihood is taken for Gaussian.
MANY_ROWS = 100_000
# Steps of arithmetic that the log-likelihoods of its draws may take; but at least so many draws a chain.
MOST_WORK, LEAST_DRAWS = 4e11, 100


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
