"""What is asked of a selection, checked before anything is computed."""

from typing import Any

import numpy as np

from bayesgmm.arguments import check_choice, check_count
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError, InvalidPriorError
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.model.specification import Specification
from bayesgmm.selection.ladder import Model


def check_numbers(n_components: Any) -> tuple[int, ...]:
    """Numbers of components, ascending, each once."""
    try:
        given = [n_components] if isinstance(n_components, int | np.integer) else list(n_components)
    except TypeError:
        given = [n_components]
    numbers = sorted({check_count(number, "n_components") for number in given})
    if not numbers:
        raise InvalidArgumentError(
            f"n_components = {n_components!r} is empty: give at least one number, such as range(1, 10)."
        )
    return tuple(numbers)


def check_names(covariances: Any) -> tuple[str, ...]:
    """Covariance structures, each once."""
    given = [covariances] if isinstance(covariances, str) else list(covariances)
    if not given:
        raise InvalidArgumentError(f"covariances = {covariances!r} is empty: give at least one, such as ('full',).")
    names = [check_choice(name, "covariance", tuple(COVARIANCE_TYPES)) for name in given]
    return tuple(name for name in COVARIANCE_TYPES if name in names)


def check_shortlist(shortlist: Any, numbers: tuple[int, ...], names: tuple[str, ...]) -> int | list[Model]:
    """The shortlist: a length, or the models that were named."""
    if isinstance(shortlist, int | np.integer | str):
        return check_count(shortlist, "shortlist", least=0)
    try:
        pairs = [Model(int(k), str(name)) for k, name in shortlist]
    except (TypeError, ValueError):
        raise InvalidArgumentError(
            f"shortlist = {shortlist!r} must be a number of models, or pairs such as (3, 'full')."
        ) from None
    for k, name in pairs:
        if k not in numbers or name not in names:
            raise InvalidArgumentError(
                f"shortlist has ({k}, {name!r}), which is none of the models that are compared: add it to n_components "
                "and covariances."
            )
    return list(dict.fromkeys(pairs))


def check_proper(assumed: Specification) -> None:
    """Raise InvalidPriorError where a prior has no integral, and so the model no evidence."""
    for prior in assumed.priors:
        if prior.improper:
            raise InvalidPriorError(
                f"the prior of the {prior.variable} ({prior.words}) has no integral, so there is no evidence: give a "
                "prior that has one, or compare at the maximum of the likelihood alone, with shortlist=0."
            )


def check_rows(table: Table, numbers: tuple[int, ...]) -> None:
    """Raise InvalidDataError where there are fewer rows than components."""
    counted = table.counted.n_rows
    if numbers[-1] > counted:
        raise InvalidDataError(
            f"n_samples = {counted} rows are fewer than n_components = {numbers[-1]}: choose n_components up to "
            f"{counted}, such as range(1, {min(10, counted + 1)})."
        )
