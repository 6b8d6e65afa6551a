"""What a full posterior says of a model: how well it predicts rows left out, its evidence, whether to believe it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.model.priors import Priors
from bayesgmm.model.specification import Specification
from bayesgmm.posterior.diagnosis import diagnose
from bayesgmm.posterior.evidence import evidence
from bayesgmm.posterior.sample import sample
from bayesgmm.record.fit import Fit
from bayesgmm.search.find_map import find_MAP

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Log-densities of rows under draws that are held at once (320 MB), and fewer draws than which say nothing.
MOST_NUMBERS, LEAST_DRAWS = 40_000_000, 100


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the draws of a model say.

    Attributes
    ----------
    loo : ArviZ's ELPDData or None
        The expected log predictive density by leave-one-out; None where it is undefined.
    log_evidence, log_evidence_se : float
    verdict : str
        Of :func:`bayesgmm.diagnose`.
    doubts : tuple of str
        Why not to trust the numbers.
    """

    loo: Any
    log_evidence: float
    log_evidence_se: float
    verdict: str
    doubts: tuple[str, ...]

    @classmethod
    def none(cls, reason: str) -> "Judgement":
        """Of a model that could not be sampled."""
        return cls(None, np.nan, np.nan, "fail", (reason,))

    @classmethod
    def of(cls, dt: "xr.DataTree", seed: int) -> "Judgement":
        """Of relabelled draws."""
        fit, doubts = Fit.of(dt), []
        loo = None
        if fit.table.weights is not None:
            doubts.append("rows have weights: to leave one out is not defined")
        elif fit.table.n_rows * LEAST_DRAWS > MOST_NUMBERS:
            doubts.append(f"{fit.table.n_rows:,} rows are too many to leave one out")
        else:
            loo = leave_one_out(fit)
            rough = int((np.asarray(loo.pareto_k) > loo.good_k).sum())
            if rough:
                have = "row has" if rough == 1 else "rows have"
                doubts.append(f"elpd: {rough} {have} a Pareto k above {loo.good_k:.2f}")
        found, diagnosis = evidence(dt, random_seed=seed), diagnose(dt)
        doubts += [f"evidence: {reason}" for reason in found.reasons]
        doubts += [f"draws: {reason}" for reason in diagnosis.reasons]
        return cls(loo, found.log_evidence, found.standard_error, diagnosis.verdict, tuple(doubts))


def leave_one_out(fit: Fit) -> Any:
    r"""ArviZ's leave-one-out by Pareto-smoothed importance sampling, of whole rows with the components summed out.

    .. math:: \mathrm{elpd} = \sum_n \log p(x_n \mid x_{-n})

    Vehtari, Gelman and Gabry (2017), Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC,
    Statistics and Computing 27, 1413-1432, https://doi.org/10.1007/s11222-016-9696-4.
    """
    import arviz_stats
    import xarray as xr
    from arviz_stats.base import array_stats

    pooled = fit.in_proportion
    x, draws = pooled.observations, pooled.every_draw
    stride = -(-len(draws) * len(x) // MOST_NUMBERS)
    by_draw = draws[::stride].log_density(x) if stride > 1 else draws.log_density(x)
    shape = (pooled.n_chains, pooled.n_draws) if stride == 1 else (1, len(by_draw))
    by_chain = by_draw.reshape(*shape, len(x))
    effective = float(array_stats.ess(by_chain.sum(axis=2), chain_axis=0, draw_axis=1, method="mean"))
    relative = min(effective / len(by_draw), 1.0) if np.isfinite(effective) else 1.0
    group = xr.Dataset({"x": (("chain", "draw", "obs_id"), by_chain)})
    tree = xr.DataTree.from_dict({"log_likelihood": group})
    with warnings.catch_warnings():
        # Of large Pareto k, which are counted above.
        warnings.simplefilter("ignore", UserWarning)
        return arviz_stats.loo(tree, pointwise=True, reff=relative)


def compared(judged: "Mapping[str, Judgement]") -> "pd.DataFrame":
    """The models side by side by leave-one-out: ``weight``, ``elpd_diff`` from the best, and its error ``dse``.

    The weights are those of the mixture of predictive distributions that predicts rows left out best, of models whose
    draws can be used. Yao, Vehtari, Simpson and Gelman (2018), Using stacking to average Bayesian predictive
    distributions, Bayesian Analysis 13, 917-1007, https://doi.org/10.1214/17-BA1091.
    """
    import arviz_stats
    import pandas as pd

    loos = {name: one.loo for name, one in judged.items() if one.loo is not None and one.verdict != "fail"}
    if len(loos) < 2:
        return pd.DataFrame({"weight": 1.0, "elpd_diff": 0.0, "dse": 0.0}, index=list(loos))
    with warnings.catch_warnings():
        # Of large Pareto k, which are counted.
        warnings.simplefilter("ignore", UserWarning)
        table = arviz_stats.compare(loos, method="stacking", round_to="none")
    # ArviZ's difference is what the best is above a model; adding 0 makes 0 of -0.
    return table[["weight", "elpd_diff", "dse"]].assign(elpd_diff=0 - table["elpd_diff"].abs())


def sampled(table: Table, model: tuple[int, str], priors: Priors | None, seed: int, show: bool) -> "xr.DataTree":
    """Draws of a model's posterior; an interruption leaves none."""
    k, name = model
    specification = Specification.of(table, k, covariance_type=name, priors=priors)
    with warnings.catch_warnings():
        # What they warn of is in the verdict.
        warnings.simplefilter("ignore", UserWarning)
        built = specification.build(table)
        estimate = find_MAP(built, random_seed=seed, progressbar=show)
        dt = sample(built, estimate=estimate, random_seed=seed, progressbar=show)
    if not Fit.of(dt).provenance.complete:
        raise KeyboardInterrupt
    return dt
