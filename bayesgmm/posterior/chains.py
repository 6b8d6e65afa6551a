"""Chains against each other: first by what does not know the labels, then by the labelled parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.posterior.check import NO_LIMIT, Check
from bayesgmm.posterior.invariants import APART, ambiguous_share, groups_of_chains, invariants
from bayesgmm.posterior.relabel import relabelled, with_sampled_labels
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    import xarray as xr

# Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), https://doi.org/10.1214/20-BA1221.
RHAT_LIMIT = 1.01
ESS_PER_CHAIN = 100
# Where fewer are effective, so many times as many draws as would do if all went on alike are advised, and at most so
# many times as many as there were.
MARGIN, MOST_TIMES = 2, 40
# Statistics of chains need as many draws.
LEAST_DRAWS = 4
# With fewer, chains in one mode may look as if they were in several.
DRAWS_TO_TELL_MODES = 50
# A chain of which more draws than this repeat the one before did not move.
REPEATED_LIMIT = 0.5
# More draws than this whose best two orders nearly tie say that components are not told apart.
AMBIGUOUS_LIMIT = 0.05


@dataclass(frozen=True, eq=False)
class _Chains:
    """What chains are judged by, each computed once."""

    fit: Fit

    @cached_property
    def quantities(self) -> "xr.Dataset":
        return invariants(self.fit)

    @cached_property
    def rhat(self) -> float:
        """R-hat of what does not know the labels; 1 of a single chain."""
        return _largest_rhat(self.quantities)

    @cached_property
    def groups(self) -> np.ndarray:
        """Which chains are in the same place."""
        tell = self.rhat > RHAT_LIMIT and self.fit.n_draws >= DRAWS_TO_TELL_MODES
        return groups_of_chains(self.quantities) if tell else np.zeros(self.fit.n_chains, dtype=int)

    @cached_property
    def apart(self) -> bool:
        return bool(self.groups.max() > 0)

    @cached_property
    def as_labelled(self) -> tuple[float, float]:
        """R-hat of the parameters, and the share of ambiguous draws, under the labels that the fit has."""
        return _judged(self.fit)

    @cached_property
    def common(self) -> tuple[Fit, float, float]:
        """The fit under the labels by which to judge its parameters, with their R-hat and share of ambiguous draws.

        They are its own labels, or if new ones serve better, those.
        """
        rhat, ambiguous = self.as_labelled
        if rhat > RHAT_LIMIT or ambiguous > AMBIGUOUS_LIMIT:
            mended = relabelled(self.fit)
            judged = _judged(mended)
            if judged[0] <= max(rhat, APART) and judged[1] <= ambiguous and judged != (rhat, ambiguous):
                return mended, *judged
        return self.fit, rhat, ambiguous


def chain_checks(fit: Fit) -> Iterator[Check]:
    chains = _Chains(fit)
    if fit.n_draws < LEAST_DRAWS:
        yield Check(
            "draws", fit.n_draws, LEAST_DRAWS, False,
            sentence=lambda: f"fewer than {LEAST_DRAWS} draws a chain say nothing. Draw more.",
        )  # fmt: skip
        return
    yield _stuck(chains)
    if fit.n_chains > 1:
        yield _invariant_rhat(chains)
    yield from _labelled(chains)
    yield from _sample_sizes(chains)


def _stuck(chains: _Chains) -> Check:
    """A chain that did not move."""
    density = chains.quantities["log_density"].transpose("chain", "draw", "point").values
    repeated = (np.diff(density, axis=1) == 0).all(axis=2).mean(axis=1)
    worst = int(repeated.argmax())
    return Check(
        "share of repeated draws", float(repeated[worst]), REPEATED_LIMIT, bool(repeated[worst] <= REPEATED_LIMIT),
        "fail",
        lambda: f"chain {chains.fit.chain_names[worst]} is stuck: {repeated[worst]:.0%} of its draws repeat the one "
        "before. Try a longer tune, or leave the chain out.",
    )  # fmt: skip


def _invariant_rhat(chains: _Chains) -> Check:
    unweighed = chains.apart and chains.fit.chain_weights is None
    return Check(
        "R-hat, label-invariant", chains.rhat, RHAT_LIMIT, chains.rhat <= RHAT_LIMIT,
        "fail" if unweighed else "caution",
        lambda: _apart_in_words(chains) if chains.apart else
        f"R-hat (label-invariant) is {_shown(chains.rhat)}: the chains are too short to agree. Draw more.",
    )  # fmt: skip


def _apart_in_words(chains: _Chains) -> str:
    names, groups, weight = chains.fit.chain_names, chains.groups, chains.fit.chain_weights
    each = [groups == g for g in range(groups.max() + 1)]
    listed = " | ".join(", ".join(str(c) for c in names[own]) for own in each)
    start = f"different modes: chains stay apart ({listed}; R-hat of label-invariant quantities {chains.rhat:.2f}), "
    if weight is not None:
        shares = ", ".join(f"{weight[own].sum():.0%}" for own in each)
        return start + (
            f"in modes that hold {shares} of the posterior. This package's summaries weigh them so; a mean over all "
            "draws does not. Look at each mode, or try fewer components."
        )
    dispersed = "bayesgmm.sample(start='dispersed')" if chains.fit.specification is None else "start='dispersed'"
    return start + (
        f"and nothing says how much of the posterior each holds: do not pool them. Try {dispersed}, which weighs "
        "modes, longer chains (tune, draws), or fewer components."
    )


def _labelled(chains: _Chains) -> Iterator[Check]:
    """The parameters: under the sampler's labels, under the fit's, and under those by which to judge them."""
    fit = chains.fit
    if fit.permutation is not None:
        sampled = with_sampled_labels(fit).parameters
        yield Check("R-hat, parameters under the sampler's labels", _largest_rhat(sampled), NO_LIMIT, True)
    judged, rhat, ambiguous = chains.common
    if judged is not fit:
        before = chains.as_labelled[0]
        yield Check(
            "R-hat, parameters as labelled here", before, NO_LIMIT, False, "note",
            lambda: "label switching, which is harmless: the components have different labels in different draws as "
            f"they are here, with an R-hat of the parameters of {before:.2f}; under common labels it is {rhat:.3f}. "
            "Read single components from relabel(dt) only.",
        )  # fmt: skip
    if fit.n_chains > 1:
        yield _parameters_rhat(chains, rhat)
    yield Check(
        "share of ambiguous draws", ambiguous, AMBIGUOUS_LIMIT, ambiguous <= AMBIGUOUS_LIMIT,
        sentence=lambda: f"weak identification: {ambiguous:.0%} of the draws have two orders of the components that "
        "fit about as well, so single components mean little (densities and predictions do not need them). "
        "Try fewer components.",
    )  # fmt: skip


def _parameters_rhat(chains: _Chains, rhat: float) -> Check:
    import arviz_stats

    def sentence() -> str:
        if chains.apart:  # then the reason stands above
            return ""
        at = _largest_of(arviz_stats.rhat(chains.common[0].parameters))
        said = f"R-hat of the relabelled parameters is {_shown(rhat)} ({at})"
        if chains.rhat <= RHAT_LIMIT and rhat > APART:
            return (
                f"{said}, while label-invariant quantities agree: weak identification, components trade places. "
                "Try fewer."
            )
        return f"{said}: the chains do not agree on the components yet. Draw more, or try fewer components."

    return Check("R-hat, parameters", rhat, RHAT_LIMIT, rhat <= RHAT_LIMIT, sentence=sentence)


def _enough_draws(n_draws: int, part: float) -> int:
    """Draws a chain of which enough are effective, where of so many that ``part`` of enough were."""
    wanted = n_draws / max(part, 1 / MOST_TIMES)
    unit = 10 ** int(np.log10(wanted))
    return int(-(-wanted * MARGIN // unit) * unit)


def _sample_sizes(chains: _Chains) -> Iterator[Check]:
    """Effective sample sizes: each a check, and one sentence, that of the smallest."""
    import arviz_stats

    enough = ESS_PER_CHAIN * chains.fit.n_chains
    sizes = {
        (name, kind): _smallest(arviz_stats.ess(part, method=kind))
        for name, part in (("label-invariant", chains.quantities), ("parameters", chains.common[0].parameters))
        for kind in ("bulk", "tail")
    }
    least = min(sizes, key=lambda which: sizes[which])

    def sentence() -> str:
        if chains.apart:
            return ""
        traded = min(sizes["label-invariant", kind] for kind in ("bulk", "tail")) >= enough
        of = least[0]
        if of == "parameters":
            of = _largest_of(-arviz_stats.ess(chains.common[0].parameters, method=least[1]))
        return (
            f"the smallest effective sample size ({least[1]}, {of}) is {sizes[least]:.0f}, below {enough} "
            f"({ESS_PER_CHAIN} a chain): intervals are rough. "
            + ("Components trade places within chains; try fewer, or draw more: " if traded else "Draw more: ")
            + f"draws={_enough_draws(chains.fit.n_draws, sizes[least] / enough)}."
        )

    for which, ess in sizes.items():
        name, kind = which
        said = sentence if which == least else (lambda: "")
        yield Check(f"{kind} ESS, {name}", ess, enough, ess >= enough, sentence=said)


def _judged(fit: Fit) -> tuple[float, float]:
    return _largest_rhat(fit.parameters), ambiguous_share(fit)


def _largest_rhat(dataset: "xr.Dataset") -> float:
    """The largest R-hat of all; 1 of a single chain."""
    import arviz_stats

    if dataset.sizes["chain"] < 2:
        return 1.0
    found = arviz_stats.rhat(dataset)
    return float(np.nanmax([np.nanmax(np.append(v.values, 1.0)) for v in found.data_vars.values()]))


def _smallest(dataset: "xr.Dataset") -> float:
    return float(np.nanmin([np.nanmin(np.append(v.values, np.inf)) for v in dataset.data_vars.values()]))


def _largest_of(dataset: "xr.Dataset") -> str:
    """Which entry of which variable is the largest, such as ``means[2, 'depth']``."""
    largest = {name: float(np.nanmax(np.append(v.values, -np.inf))) for name, v in dataset.data_vars.items()}
    name = max(largest, key=lambda name: largest[name])
    variable = dataset[name]
    at = np.unravel_index(np.nanargmax(variable.values), variable.shape)
    labels = [variable[dim].values[i].item() if dim in variable.coords else int(i)
              for dim, i in zip(variable.dims, at, strict=True)]  # fmt: skip
    return f"{name}{labels or ''}"


def _shown(rhat: float) -> str:
    """To three digits, or to four where these would be the limit's."""
    return f"{rhat:.3f}" if round(rhat, 3) != RHAT_LIMIT else f"{rhat:.4f}"
