"""Whether to believe a posterior: the sampler's, the chains' and the starts' evidence as one verdict in words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.posterior.draws import Draws, observed

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), https://doi.org/10.1214/20-BA1221.
RHAT_LIMIT = 1.01
# Above this, chains have not mixed at all rather than not enough.
RHAT_FAILURE = 1.1
ESS_PER_CHAIN = 100
# Betancourt (2016), https://arxiv.org/abs/1604.00695.
EBFMI_LIMIT = 0.3
# A share of divergent draws above this says that part of the posterior was not reached.
DIVERGENT_FAILURE = 0.01
# An optimum within this many nats of the best may hold posterior mass that chains started at the best never saw.
OPTIMUM_GAP = 7.0


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` found.

    Attributes
    ----------
    verdict : {"ok", "caution", "fail"}
    reasons : tuple of str
        One sentence for every check that did not pass, with what to try next.
    table : pandas.DataFrame
        All checks: ``value``, ``limit``, ``passed``.
    """

    verdict: str
    reasons: tuple[str, ...]
    table: "pd.DataFrame"

    def __str__(self) -> str:
        words = {
            "ok": "ok: nothing speaks against these draws.",
            "caution": "caution: read the reasons before using these draws.",
            "fail": "fail: do not use these draws.",
        }
        return "\n".join([words[self.verdict], *(f"- {reason}" for reason in self.reasons)])


@dataclass
class _Checks:
    """Checks as they are made: rows of the table, and the reasons of those that did not pass."""

    rows: list[dict[str, Any]]
    reasons: list[tuple[str, str]]

    def add(
        self, name: str, value: float, limit: float, passed: bool, level: str = "caution", reason: str = ""
    ) -> None:
        self.rows.append({"check": name, "value": value, "limit": limit, "passed": bool(passed)})
        if not passed:
            self.reasons.append((level, reason))


def diagnose(dt: "xr.DataTree") -> Diagnosis:
    """Judge a tree of draws.

    Parameters
    ----------
    dt : xr.DataTree
        From :func:`sample` or ``MapEstimate.laplace``.

    Returns
    -------
    Diagnosis
        "fail": chains disagree, or the sampler missed part of the posterior. "caution": a result to be read with the
        reasons beside it. "ok": no check speaks against it.

    Raises
    ------
    ModelError
        The tree holds no mixture posterior.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), Rank-normalization, folding, and localization: an improved
    R-hat, Bayesian Analysis 16, 667-718, https://doi.org/10.1214/20-BA1221.
    """
    import pandas as pd

    draws = Draws.of(dt)
    checks = _Checks([], [])
    if dt["posterior"].attrs.get("inference_method") == "nuts":
        # ArviZ divides by the variance of what does not vary (K = 1: the weight); the NaN that comes of it is skipped.
        with np.errstate(invalid="ignore", divide="ignore"):
            _check_sampler(dt, checks)
            _check_chains(dt, checks)
    _check_starts(dt, checks)
    _check_components(dt, draws, checks)
    levels = {level for level, _ in checks.reasons}
    verdict = "fail" if "fail" in levels else "caution" if levels else "ok"
    return Diagnosis(
        verdict, tuple(reason for _, reason in checks.reasons), pd.DataFrame(checks.rows).set_index("check")
    )


def _check_sampler(dt: "xr.DataTree", checks: _Checks) -> None:
    import arviz_stats

    stats = dt["sample_stats"].dataset
    divergent = float(stats["diverging"].mean())
    checks.add(
        "divergent share", divergent, 0.0, divergent == 0, "fail" if divergent > DIVERGENT_FAILURE else "caution",
        f"{int(stats['diverging'].sum())} draws diverged: the sampler could not follow the posterior there. "
        "Try fewer components or more informative priors.",
    )  # fmt: skip
    if "reached_max_treedepth" in stats:
        deep = float(stats["reached_max_treedepth"].mean())
        checks.add(
            "share at maximum tree depth", deep, 0.0, deep == 0, "caution",
            f"{deep:.1%} of the draws reached the maximum tree depth: draws are correlated. Try a longer tune.",
        )  # fmt: skip
    ebfmi = float(np.min(arviz_stats.bfmi(dt)["energy"].values))
    checks.add(
        "E-BFMI", ebfmi, EBFMI_LIMIT, ebfmi >= EBFMI_LIMIT, "caution",
        f"E-BFMI is {ebfmi:.2f}: the energy mixes slowly, so tails may be missed. Try a longer tune.",
    )  # fmt: skip


def _check_chains(dt: "xr.DataTree", checks: _Checks) -> None:
    import arviz_stats
    import xarray as xr

    posterior = dt["posterior"].dataset
    # Sorted weights and the log posterior do not know the labels; the others do.
    invariant = xr.Dataset(
        {
            "log posterior": dt["sample_stats"]["lp"],
            "sorted weights": xr.apply_ufunc(
                np.sort, posterior["weights"], input_core_dims=[["component"]], output_core_dims=[["rank"]]
            ),
        }
    )
    labelled = posterior[["weights", "means", "scales"]]
    n_chains, n_draws = posterior.sizes["chain"], posterior.sizes["draw"]
    enough = ESS_PER_CHAIN * n_chains
    if n_chains > 1 and n_draws >= 4:
        for name, quantities, advice in (
            (
                "label-invariant",
                invariant,
                "the chains are in different modes, or too short. Draw more, or compare them.",
            ),
            ("parameters", labelled, "the chains do not agree on the components. Draw more, or try fewer components."),
        ):
            rhat = _largest(arviz_stats.rhat(quantities))
            checks.add(
                f"R-hat, {name}", rhat, RHAT_LIMIT, rhat <= RHAT_LIMIT, "fail" if rhat > RHAT_FAILURE else "caution",
                f"R-hat ({name}) is {rhat:.3f}: {advice}",
            )  # fmt: skip
    if n_draws >= 4:
        for kind in ("bulk", "tail"):
            ess = _smallest(arviz_stats.ess(xr.merge([invariant, labelled]), method=kind))
            checks.add(
                f"{kind} ESS", ess, enough, ess >= enough, "caution",
                f"the smallest {kind} effective sample size is {ess:.0f}, below {enough} ({ESS_PER_CHAIN} a chain): "
                "intervals are rough. Draw more.",
            )  # fmt: skip


def _check_starts(dt: "xr.DataTree", checks: _Checks) -> None:
    attrs = dt["posterior"].attrs
    if "map_converged" in attrs:
        checks.add(
            "MAP converged", float(attrs["map_converged"]), 1.0, bool(attrs["map_converged"]), "caution",
            "the optimiser stopped before the posterior mode. Try more starts (n_init) or fewer components.",
        )  # fmt: skip
    optima = np.atleast_1d(attrs.get("optima_log_posterior", []))
    if optima.size:
        near = int((optima > optima.max() - OPTIMUM_GAP).sum())
        gaps = ", ".join(f"{gap:.1f}" for gap in np.sort(optima.max() - optima)[1:6])
        checks.add(
            "optima near the best", near, 1.0, near == 1, "caution",
            f"the {int(attrs['n_init'])} starts found {near} optima within {OPTIMUM_GAP:g} nats of the best "
            f"(gaps {gaps}): there may be other clusterings of these data, which chains "
            "started at the best do not show. Try fewer components.",
        )  # fmt: skip


def _check_components(dt: "xr.DataTree", draws: Draws, checks: _Checks) -> None:
    rows = draws.weights.mean(axis=0) * len(observed(dt))
    smallest = float(rows.min())
    least = draws.n_features + 1
    checks.add(
        "rows in the smallest component", smallest, least, smallest >= least, "caution",
        f"component {int(rows.argmin())} holds about {smallest:.1f} rows, too few to show its shape: its parameters "
        "come from the prior. Try fewer components.",
    )  # fmt: skip


def _largest(dataset: "xr.Dataset") -> float:
    return float(np.nanmax([np.nanmax(np.append(v.values, 1.0)) for v in dataset.data_vars.values()]))


def _smallest(dataset: "xr.Dataset") -> float:
    return float(np.nanmin([np.nanmin(np.append(v.values, np.inf)) for v in dataset.data_vars.values()]))
