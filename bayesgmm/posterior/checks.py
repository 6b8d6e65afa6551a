"""All checks of a fit: of the run, the sampler, the chains, the modes and the components."""

from collections.abc import Iterator

import numpy as np

from bayesgmm.posterior.chains import LEAST_DRAWS, chain_checks
from bayesgmm.posterior.check import NO_LIMIT, Check
from bayesgmm.posterior.components import of_components
from bayesgmm.posterior.conflict import PULLED, Tail, pull, tails
from bayesgmm.posterior.elsewhere import of_these_rows, single
from bayesgmm.posterior.known_labels import of_labels
from bayesgmm.posterior.occupied import allocated, split_r_hat
from bayesgmm.posterior.values import of_the_gaps, of_the_mixture, of_the_table
from bayesgmm.record.fit import Fit
from bayesgmm.record.provenance import DIVERGENT_LIMIT, NEARLY_ALL, percentages
from bayesgmm.record.starts import FOUND_OFTEN, Starts

# Betancourt (2016), https://arxiv.org/abs/1604.00695.
EBFMI_LIMIT = 0.3
# Of draws that diverged: above it a part of the posterior will not have been reached.
DIVERGENT_FAILURE = 0.01
# Of draws at the maximum tree depth, which cost time and effective draws, and are no less right.
DEEP_LIMIT = 0.01
# Pareto shapes above this say that a mode's share is a rough guess (Vehtari, Simpson, Gelman, Yao and Gabry 2024).
PARETO_K_LIMIT = 0.7
# Where no shares of the modes are known: an optimum within this many nats of the best may hold posterior mass.
OPTIMUM_GAP = 7.0
# Where the best optimum was not found often, as many times the starts are advised.
AS_MANY_STARTS = 3
# Draws of a chain that are looked at for the number of occupied components, so that R-hat of it is rough.
OCCUPIED_DRAWS, OCCUPIED_LIMIT = 250, 1.1
# A prior has less of its mass as far out as the posterior in one fit in a thousand that it foresaw.
CONFLICT_LIMIT = 1e-3


def checks(fit: Fit) -> Iterator[Check]:
    """All checks of a fit."""
    if fit.n_chains * fit.n_draws == 1:
        yield single(fit)
        if not fit.has_rows:
            return
    elif fit.provenance.of_chains:
        yield _run_complete(fit)
        yield from _sampler(fit)
        yield from chain_checks(fit)
        yield from _occupied(fit)
    if fit.provenance.pareto_k is not None:
        yield _importance(fit.provenance.pareto_k)
    if fit.provenance.method in ("adopted", "given"):
        yield of_these_rows(fit)
    one_value, codes, redundant = of_the_table(fit)
    yield from (one_value, codes, redundant)
    yield from of_the_gaps(fit)
    yield from _modes(fit)
    yield from _priors(fit)
    yield from of_components(fit)
    yield from of_the_mixture(fit, codes, redundant)
    yield from of_labels(fit)


def _importance(pareto_k: float) -> Check:
    return Check(
        "Pareto k of the Gaussian", pareto_k, PARETO_K_LIMIT, pareto_k <= PARETO_K_LIMIT, "fail",
        lambda: f"the posterior is not like the Gaussian that the draws came from (Pareto k {pareto_k:.2f}, above "
        f"{PARETO_K_LIMIT}): use NUTS (bayesgmm.sample), on a sample of the rows where there are too many, or fewer "
        "components.",
    )  # fmt: skip


# The run and the sampler ----------------------------------------------------------------------------------------------


def _run_complete(fit: Fit) -> Check:
    complete = fit.provenance.complete
    return Check(
        "run complete", float(complete), 1.0, complete,
        sentence=lambda: f"the run was stopped early: {fit.n_chains} chains of {fit.n_draws} draws are here. "
        "Sample again if the effective sample sizes are too small.",
    )  # fmt: skip


def _sampler(fit: Fit) -> Iterator[Check]:
    diverging, deep = fit.statistic("diverging"), fit.statistic("reached_max_treedepth")
    if diverging is not None:
        share = float(diverging.mean())
        yield Check(
            "divergent share", share, DIVERGENT_LIMIT, share <= DIVERGENT_LIMIT,
            "fail" if share > DIVERGENT_FAILURE else "caution",
            lambda: f"{int(diverging.sum())} of {diverging.size} draws diverged: the sampler could not follow the "
            "posterior there. Try fewer components or more informative priors.",
        )  # fmt: skip
    if deep is not None:
        share_deep = float(deep.mean())
        yield Check(
            "share at maximum tree depth", share_deep, DEEP_LIMIT, share_deep <= DEEP_LIMIT,
            sentence=lambda: f"{int(deep.sum())} of {deep.size} draws reached the maximum tree depth: "
            "draws are correlated. Try a longer tune.",
        )  # fmt: skip
    if fit.n_draws >= LEAST_DRAWS and "energy" in fit.statistics:
        import arviz_stats

        ebfmi = float(np.min(arviz_stats.bfmi(fit.tree)["energy"].values))
        yield Check(
            "E-BFMI", ebfmi, EBFMI_LIMIT, ebfmi >= EBFMI_LIMIT,
            sentence=lambda: f"E-BFMI is {ebfmi:.2f}: the energy mixes slowly, so tails may be missed. "
            "Try a longer tune.",
        )  # fmt: skip


def _occupied(fit: Fit) -> Iterator[Check]:
    """Whether the chains agree on the number of components with rows, where the prior leaves some empty."""
    prior = None if fit.specification is None else fit.specification.weights_prior
    every = prior is None or (not prior.sticks and prior.concentration is not None and prior.concentration.min() >= 1)
    if every or fit.n_chains < 2 or fit.n_components < 2 or fit.n_draws < LEAST_DRAWS:
        return
    stride = -(-fit.n_draws // OCCUPIED_DRAWS)
    some = np.arange(fit.n_chains * fit.n_draws).reshape(fit.n_chains, -1)[:, ::stride]
    counts = allocated(fit.table.counted, fit.every_draw[some.ravel()], np.random.default_rng(0))
    r_hat = split_r_hat((counts > 0).sum(axis=1).reshape(some.shape))
    yield Check(
        "R-hat, number of occupied components", r_hat, OCCUPIED_LIMIT, not r_hat > OCCUPIED_LIMIT,
        sentence=lambda: f"chains do not agree on the number of components that have rows (R-hat {r_hat:.2f}): they "
        "hardly move between numbers. Fit with a larger concentration, such as Priors(concentration=0.3), and ask "
        "occupied(dt, concentration=...) for this one.",
    )  # fmt: skip


# What the starts found beside what the chains saw ---------------------------------------------------------------------


def _modes(fit: Fit) -> Iterator[Check]:
    provenance = fit.provenance
    if fit.specification is not None and fit.specification.unbounded_because:
        # Where the density has no maximum none can be missed.
        return
    if provenance.converged is not None:
        yield Check(
            "MAP converged", float(provenance.converged), 1.0, provenance.converged,
            sentence=lambda: "the optimiser stopped before the posterior mode. Try more starts (n_init) or fewer "
            "components.",
        )  # fmt: skip
    if provenance.starts is None:
        return
    if fit.n_components > 1:
        modes = provenance.modes
        yield _found_again(provenance.starts, 0 if modes is None or not len(modes.optima) else int(modes.optima[0]))
    optima = provenance.starts.optima
    yield Check("distinct optima", optima.size, NO_LIMIT, True)
    if optima.size > 1:
        yield Check("gap to the second optimum, nats", float(optima[0] - optima[1]), NO_LIMIT, True)
    modes = provenance.modes
    others = [g for g in optima[0] - optima[1:] if g < OPTIMUM_GAP] if modes is None else modes.without_chains
    if modes is not None and np.sum(others) <= 1 - NEARLY_ALL:  # not so if a share is unknown
        others = []
    dispersed = modes is not None and modes.started_shares is not None

    def sentence() -> str:
        evidence = f"{len(others)} of them, holding about {percentages(others)} of the posterior"
        if modes is None:
            gaps = ", ".join(f"{gap:.1f}" for gap in others[:5])
            evidence = f"{len(others)} of them, within {OPTIMUM_GAP:g} nats of the best (gaps {gaps})"
        draws_of = "those at which chains began" if dispersed else "the one that these draws are of"
        exact = provenance.of_chains and provenance.pareto_k is None
        remedy = "start='dispersed'" if exact else "NUTS (inference='nuts', or bayesgmm.sample)"
        if dispersed:
            remedy = f"more chains (chains={fit.n_chains + len(others)})"
        return (
            f"different modes: the {len(provenance.starts or ())} starts found other optima than {draws_of}, "
            f"{evidence}. Try {remedy}, or fewer components."
        )

    yield Check("other modes that matter", len(others), 0.0, not others, sentence=sentence)
    if modes is not None and modes.started_pareto_k is not None and fit.chain_weights is not None:
        worst = float(np.max(modes.started_pareto_k))
        yield Check(
            "Pareto k of the modes' shares", worst, PARETO_K_LIMIT, worst <= PARETO_K_LIMIT,
            sentence=lambda: f"the modes' shares are rough: the Pareto shape of their importance weights is "
            f"{worst:.2f}.",
        )  # fmt: skip


def _found_again(starts: Starts, optimum: int) -> Check:
    """Whether the search came back to the optimum: one that a single start found may not be the best there is."""
    times = starts.at(optimum)

    def sentence() -> str:
        found = "once" if times == 1 else f"{times} times"
        apart = ", and no two starts ended at the same optimum" if len(starts) == starts.n_optima > 1 else ""
        more = 100 * -(-AS_MANY_STARTS * len(starts) // 100)
        return (
            f"the search may have missed the best optimum: of {len(starts)} starts "
            f"{'the one that these draws are of' if optimum else 'the best'} was found {found}{apart}. "
            f"Try more starts (find_MAP(n_init={more})), fewer components, or a simpler covariance_type."
        )

    return Check("starts that found the best optimum", times, FOUND_OFTEN, times >= FOUND_OFTEN, sentence=sentence)


# The priors beside the posterior --------------------------------------------------------------------------------------


def _priors(fit: Fit) -> Iterator[Check]:
    """Data that contradict a prior."""
    found = list(tails(fit))
    if not found:
        return
    worst = min(found, key=lambda tail: tail.mass)
    against = [tail for tail in found if tail.mass < CONFLICT_LIMIT]
    # Scales that the default did not foresee, of so many rows that it does not move them, are as they should be.
    pulled = pull(fit) if any(tail.prior.variable == "covariances" for tail in against) else 1.0
    against = [tail for tail in against if tail.prior.variable != "covariances" or pulled > PULLED]

    def sentence() -> str:
        said = "; ".join(_contradicted(fit, tail) for tail in against)
        remedy = "The posterior is a compromise between the two: try the default priors, or wider ones."
        if any(tail.prior.variable == "covariances" for tail in against):
            off = (
                "though its rows have none" if np.isinf(pulled) else f"{pulled:.2g} times its rows', or as little of it"
            )
            remedy = (
                f"A component has a width in some direction {off}: it is the prior's. Give the covariance within a "
                "typical cluster, a (D, D) array: Priors(reference=...)."
            )
        return f"the data contradict the prior of the {said}. {remedy}"

    yield Check("mass of a prior beyond the posterior", worst.mass, CONFLICT_LIMIT, not against, sentence=sentence)


def _contradicted(fit: Fit, tail: Tail) -> str:
    words = tail.prior.in_words(fit.features)
    every = tail.prior.variable in ("weights", "means") or fit.covariance.per_component
    where = f"component {fit.components[tail.at[0]]}" if every else "the components'"
    return f"{tail.prior.variable} ({words}), which has {tail.mass:.0e} of its mass as far out as {where}"
