"""Draws with one number of occupied components, of these alone, and under labels that identify them."""

import numpy as np

from bayesgmm.arguments import check_count
from bayesgmm.exceptions import ModelError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.posterior.occupied import allocated
from bayesgmm.posterior.relabel import relabelled
from bayesgmm.record.fit import Fit

# Fewer draws than this with the number that was asked for summarise nothing.
LEAST_DRAWS = 20


def identified(fit: Fit, n_occupied: int, method: str) -> Fit:
    """The draws with so many occupied components that can be told apart, without the empty components.

    A draw is identified if its occupied components are nearest to different ones of the relabelled means, as seen in
    the spread of the draws about these.
    """
    wanted = check_count(n_occupied, "n_occupied")
    pooled = fit.in_proportion
    counts = allocated(pooled.table.counted, pooled.every_draw, np.random.default_rng(0))
    number = (counts > 0).sum(axis=1)
    chosen = np.flatnonzero(number == wanted)
    if len(chosen) < LEAST_DRAWS:
        seen = ", ".join(f"{k} ({share:.0%})" for k, share in _shares(number))
        raise ModelError(
            f"n_occupied = {wanted}: {len(chosen)} of {len(number)} draws have so many occupied components, too few to "
            f"summarise. The draws have {seen}."
        )
    # Those with most rows first: the empty ones come last.
    order = np.argsort(-counts[chosen], axis=1, kind="stable")[:, :wanted]
    alone = relabelled(pooled.of_draws(chosen, order), method)
    told = _told_apart(alone.every_draw)
    if told.sum() < LEAST_DRAWS:
        raise ModelError(
            f"n_occupied = {wanted}: of {len(chosen)} draws with so many occupied components {int(told.sum())} can be "
            "identified: the components are not told apart. Summarise the partition (bayesgmm.partition) instead."
        )
    return alone.of_draws(
        np.flatnonzero(told), n_occupied=wanted, share_occupied=len(chosen) / len(number),
        share_identified=float(told.mean()),
    )  # fmt: skip


def _told_apart(draws: Mixture) -> np.ndarray:
    """Whether every draw's components are nearest to different ones of the mean components, (S,)."""
    centres, spread = draws.means.mean(axis=0), draws.means.std(axis=0)
    # One spread for all centres: a wide one would draw the others' draws to it.
    common = np.sqrt((spread**2).mean(axis=0))
    apart = ((draws.means[:, :, None] - centres) / np.maximum(common, np.finfo(float).tiny)) ** 2
    nearest = apart.sum(axis=-1).argmin(axis=-1)
    return (np.sort(nearest, axis=1) == np.arange(draws.n_components)).all(axis=1)


def _shares(number: np.ndarray) -> list[tuple[int, float]]:
    values, counts = np.unique(number, return_counts=True)
    return [(int(k), float(c / len(number))) for k, c in zip(values, counts, strict=True)]
