"""Whether to believe a posterior: the sampler's, the chains' and the starts' evidence as one verdict in words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import ModelError
from bayesgmm.inference.collapse import COLLAPSED_WIDTH, named_rows, smallest_widths
from bayesgmm.inference.modes import in_words, others_that_matter
from bayesgmm.posterior.draws import Draws, observed
from bayesgmm.posterior.invariants import APART, ambiguous_share, groups_of_chains, invariants
from bayesgmm.posterior.relabel import relabel, with_sampled_labels

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), https://doi.org/10.1214/20-BA1221.
RHAT_LIMIT = 1.01
ESS_PER_CHAIN = 100
# Statistics of chains need as many draws.
LEAST_DRAWS = 4
# With fewer, chains in one mode may look as if they were in several.
DRAWS_TO_TELL_MODES = 50
# Betancourt (2016), https://arxiv.org/abs/1604.00695.
EBFMI_LIMIT = 0.3
# A share of divergent draws above this says that part of the posterior was not reached.
DIVERGENT_FAILURE = 0.01
# A chain of which more draws than this repeat the one before did not move.
REPEATED_LIMIT = 0.5
# Pareto shapes above this say that a mode's share is a rough guess (Vehtari, Simpson, Gelman, Yao and Gabry 2024).
PARETO_K_LIMIT = 0.7
# Where no shares of the modes are known: an optimum within this many nats of the best may hold posterior mass.
OPTIMUM_GAP = 7.0
# More draws than this whose best two orders nearly tie say that components are not told apart.
AMBIGUOUS_LIMIT = 0.05


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
        if not passed and reason:
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
    if len(draws) == 0:
        raise ModelError("the tree holds no draws: the run was stopped before any were kept. Sample again.")
    checks = _Checks([], [])
    if dt["posterior"].attrs.get("inference_method") == "nuts":
        # ArviZ divides by the variance of what does not vary (K = 1: the weight); the NaN that comes of it is skipped.
        with np.errstate(invalid="ignore", divide="ignore"):
            _check_run(dt, checks)
            _check_sampler(dt, checks)
            _check_chains(dt, checks)
    _check_modes(dt, checks)
    _check_components(dt, draws, checks)
    levels = {level for level, _ in checks.reasons}
    verdict = "fail" if "fail" in levels else "caution" if "caution" in levels else "ok"
    return Diagnosis(
        verdict, tuple(reason for _, reason in checks.reasons), pd.DataFrame(checks.rows).set_index("check")
    )


def _check_run(dt: "xr.DataTree", checks: _Checks) -> None:
    complete = dt["posterior"].attrs.get("complete", 1)
    sizes = dt["posterior"].sizes
    checks.add(
        "run complete", float(complete), 1.0, bool(complete), "caution",
        f"the run was stopped early: {sizes['chain']} chains of {sizes['draw']} draws are here. "
        "Sample again if the effective sample sizes are too small.",
    )  # fmt: skip


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
    if dt["posterior"].sizes["draw"] < LEAST_DRAWS:
        return
    ebfmi = float(np.min(arviz_stats.bfmi(dt)["energy"].values))
    checks.add(
        "E-BFMI", ebfmi, EBFMI_LIMIT, ebfmi >= EBFMI_LIMIT, "caution",
        f"E-BFMI is {ebfmi:.2f}: the energy mixes slowly, so tails may be missed. Try a longer tune.",
    )  # fmt: skip


def _check_chains(dt: "xr.DataTree", checks: _Checks) -> None:
    """Chains against each other: first by what does not know the labels, then by the labelled parameters."""
    import arviz_stats

    quantities = invariants(dt)
    sizes = dt["posterior"].sizes
    _check_repeats(quantities, checks)
    if sizes["draw"] < LEAST_DRAWS:
        checks.add(
            "draws", sizes["draw"], LEAST_DRAWS, False, "caution",
            f"fewer than {LEAST_DRAWS} draws a chain say nothing. Draw more.",
        )  # fmt: skip
        return
    apart = False
    if sizes["chain"] > 1:
        rhat = _largest(arviz_stats.rhat(quantities))
        tell = rhat > RHAT_LIMIT and sizes["draw"] >= DRAWS_TO_TELL_MODES
        groups = groups_of_chains(quantities) if tell else np.zeros(sizes["chain"], dtype=int)
        apart = groups.max() > 0
        checks.add(
            "R-hat, label-invariant", rhat, RHAT_LIMIT, rhat <= RHAT_LIMIT,
            "fail" if apart and "chain_weight" not in dt["sample_stats"] else "caution",
            _apart(dt, groups, rhat) if apart else
            f"R-hat (label-invariant) is {rhat:.3f}: the chains are too short to agree. Draw more.",
        )  # fmt: skip
    dt, labelled_rhat, ambiguous = _under_common_labels(dt, checks)
    if sizes["chain"] > 1:
        checks.add(
            "R-hat, parameters", labelled_rhat, RHAT_LIMIT, labelled_rhat <= RHAT_LIMIT, "caution",
            # Of chains that stay apart, the reason stands above.
            "" if apart else f"R-hat of the relabelled parameters is {labelled_rhat:.3f}"
            + (
                ", while label-invariant quantities agree: weak identification, components trade places. Try fewer."
                if rhat <= RHAT_LIMIT and labelled_rhat > APART
                else ": the chains do not agree on the components yet. Draw more, or try fewer components."
            ),
        )  # fmt: skip
    checks.add(
        "share of ambiguous draws", ambiguous, AMBIGUOUS_LIMIT, ambiguous <= AMBIGUOUS_LIMIT, "caution",
        f"weak identification: {ambiguous:.0%} of the draws have two orders of the components that fit about as well, "
        "so single components mean little (densities and predictions do not need them). Try fewer components.",
    )  # fmt: skip
    _check_sample_sizes({"label-invariant": quantities, "parameters": _labelled(dt)}, apart, checks)


def _check_sample_sizes(parts: dict[str, "xr.Dataset"], apart: bool, checks: _Checks) -> None:
    """Effective sample sizes: all in the table, and one reason, that of the smallest."""
    import arviz_stats

    enough = ESS_PER_CHAIN * next(iter(parts.values())).sizes["chain"]
    sizes = {
        (name, kind): _smallest(arviz_stats.ess(part, method=kind))
        for name, part in parts.items()
        for kind in ("bulk", "tail")
    }
    least = min(sizes, key=lambda which: sizes[which])
    traded = min(sizes["label-invariant", kind] for kind in ("bulk", "tail")) >= enough
    reason = (
        f"the smallest effective sample size ({least[1]}, {least[0]}) is {sizes[least]:.0f}, below {enough} "
        f"({ESS_PER_CHAIN} a chain): intervals are rough. "
        + ("Components trade places within chains; try fewer, or draw more." if traded else "Draw more.")
    )
    for (name, kind), ess in sizes.items():
        given = "" if apart or (name, kind) != least else reason
        checks.add(f"{kind} ESS, {name}", ess, enough, ess >= enough, "caution", given)


def _apart(dt: "xr.DataTree", groups: np.ndarray, rhat: float) -> str:
    chains = dt["posterior"].dataset["chain"].values
    listed = " | ".join(", ".join(str(c) for c in chains[groups == g]) for g in range(groups.max() + 1))
    start = f"different modes: chains stay apart ({listed}; R-hat of label-invariant quantities {rhat:.2f}), "
    if "chain_weight" in dt["sample_stats"]:
        weight = dt["sample_stats"].dataset["chain_weight"].values
        shares = ", ".join(f"{weight[groups == g].sum():.0%}" for g in range(groups.max() + 1))
        return start + (
            f"in modes that hold {shares} of the posterior. This package's summaries weigh them so; a mean over all "
            "draws does not. Look at each mode, or try fewer components."
        )
    return start + (
        "and nothing says how much of the posterior each holds: do not pool them. Try start='dispersed', which weighs "
        "modes, a longer tune, or fewer components."
    )


def _check_repeats(quantities: "xr.Dataset", checks: _Checks) -> None:
    """A chain that did not move."""
    density = quantities["log_density"].transpose("chain", "draw", "point").values
    if density.shape[1] < 2:
        return
    repeated = (np.diff(density, axis=1) == 0).all(axis=2).mean(axis=1)
    worst = int(repeated.argmax())
    checks.add(
        "share of repeated draws", repeated[worst], REPEATED_LIMIT, repeated[worst] <= REPEATED_LIMIT, "fail",
        f"chain {quantities['chain'].values[worst]} is stuck: {repeated[worst]:.0%} of its draws repeat the one "
        "before. Try a longer tune, or leave the chain out.",
    )  # fmt: skip


def _under_common_labels(dt: "xr.DataTree", checks: _Checks) -> tuple["xr.DataTree", float, float]:
    """The tree under the labels by which to judge its parameters: its own, or if new ones serve better, those.

    With it, the parameters' R-hat (1 for a single chain) and the share of ambiguous draws under these labels.
    """
    import arviz_stats

    def judge(tree: "xr.DataTree") -> tuple[float, float]:
        several = tree["posterior"].sizes["chain"] > 1
        return _largest(arviz_stats.rhat(_labelled(tree))) if several else 1.0, ambiguous_share(tree)

    if "permutation" in dt["sample_stats"]:
        sampled, _ = judge(with_sampled_labels(dt))
        checks.add("R-hat, parameters under the sampler's labels", sampled, np.nan, True)
    rhat, ambiguous = judge(dt)
    if rhat <= RHAT_LIMIT and ambiguous <= AMBIGUOUS_LIMIT:
        return dt, rhat, ambiguous
    relabelled = relabel(dt)
    mended = judge(relabelled)
    if mended[0] > max(rhat, APART) or mended[1] > ambiguous or mended == (rhat, ambiguous):
        return dt, rhat, ambiguous
    checks.add(
        "R-hat, parameters as labelled here", rhat, np.nan, False, "note",
        "label switching, which is harmless: the components have different labels in different draws as they are here, "
        f"with an R-hat of the parameters of {rhat:.2f}; under common labels it is {mended[0]:.3f}. "
        "Read single components from relabel(dt) only.",
    )  # fmt: skip
    return relabelled, *mended


def _check_modes(dt: "xr.DataTree", checks: _Checks) -> None:
    """What the starts found beside what the chains saw."""
    attrs = dt["posterior"].attrs
    if "map_converged" in attrs:
        checks.add(
            "MAP converged", float(attrs["map_converged"]), 1.0, bool(attrs["map_converged"]), "caution",
            "the optimiser stopped before the posterior mode. Try more starts (n_init) or fewer components.",
        )  # fmt: skip
    optima = np.atleast_1d(attrs.get("optima_log_posterior", []))
    if optima.size:
        checks.add("distinct optima", optima.size, np.nan, True)
    if optima.size > 1:
        best, second = np.sort(optima)[::-1][:2]
        checks.add("gap to the second optimum, nats", best - second, np.nan, True)
    if "mode_shares" in attrs:
        others = others_that_matter(np.atleast_1d(attrs["mode_shares"]))
        evidence = f"{len(others)} of them, holding about {in_words(others)} of the posterior"
    else:
        others = list(np.sort(optima.max() - optima)[1:]) if optima.size else []
        others = [gap for gap in others if gap < OPTIMUM_GAP]
        gaps = ", ".join(f"{gap:.1f}" for gap in others[:5])
        evidence = f"{len(others)} of them, within {OPTIMUM_GAP:g} nats of the best (gaps {gaps})"
    dispersed = "started_mode_shares" in attrs
    if optima.size:
        checks.add(
            "other modes that matter", len(others), 0.0, not others or dispersed, "caution",
            f"different modes: the {int(attrs.get('n_init', 0))} starts found other optima than the one that these "
            f"draws are of, {evidence}. Try start='dispersed', or fewer components.",
        )  # fmt: skip
    if dispersed and "chain_weight" in dt["sample_stats"]:
        worst = float(np.max(attrs["started_mode_pareto_k"]))
        checks.add(
            "Pareto k of the modes' shares", worst, PARETO_K_LIMIT, worst <= PARETO_K_LIMIT, "caution",
            f"the modes' shares are rough: the Pareto shape of their importance weights is {worst:.2f}.",
        )  # fmt: skip


def _check_components(dt: "xr.DataTree", draws: Draws, checks: _Checks) -> None:
    x = observed(dt)
    rows = draws.weights.mean(axis=0) * len(x)
    smallest = float(rows.min())
    least = draws.n_features + 1
    checks.add(
        "rows in the smallest component", smallest, least, smallest >= least, "caution",
        f"component {int(rows.argmin())} holds about {smallest:.1f} rows, too few to show its shape: its parameters "
        "come from the prior. Try fewer components.",
    )  # fmt: skip
    middle = len(draws) // 2
    widths = np.array([smallest_widths(draws.mixture(s)[2], x) for s in {0, middle, len(draws) - 1}])
    width = np.median(widths, axis=0)
    k = int(width.argmin())
    collapsed = width[k] < COLLAPSED_WIDTH
    named = named_rows(draws.responsibilities(x, middle)[:, k] > 0.5) if collapsed else ""
    checks.add(
        "narrowest component", width[k], COLLAPSED_WIDTH, not collapsed, "caution",
        f"component {k} has collapsed to {width[k]:.1e} of the data's width in one direction, on rows {named}. "
        "Give a resolution, use the default priors, or try fewer components.",
    )  # fmt: skip


def _labelled(dt: "xr.DataTree") -> "xr.Dataset":
    """The parameters by which labels and chains are judged."""
    return dt["posterior"].dataset[["weights", "means", "scales"]]


def _largest(dataset: "xr.Dataset") -> float:
    return float(np.nanmax([np.nanmax(np.append(v.values, 1.0)) for v in dataset.data_vars.values()]))


def _smallest(dataset: "xr.Dataset") -> float:
    return float(np.nanmin([np.nanmin(np.append(v.values, np.inf)) for v in dataset.data_vars.values()]))
