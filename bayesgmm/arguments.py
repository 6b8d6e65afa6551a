"""The checks that arguments pass before any computation, each with a message that says what to do."""

import numbers
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError

# What a fit may be asked for by a word, in Python and on the command line.
INFERENCES = ("nuts", "map", "laplace", "auto")
# Where chains start, by inference; without chains there is nothing to disperse.
STARTS = {"nuts": ("auto", "heaviest", "dispersed"), "map": ("auto", "heaviest")}
STARTS |= {"auto": STARTS["nuts"], "laplace": STARTS["map"]}
# Endings of a page's name.
PAGES = ("", ".html", ".htm")
# What "auto" looks for K up to.
MOST_COMPONENTS = 9


def check_count(value: Any, name: str, *, least: int = 1) -> int:
    """An integer argument of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidArgumentError(f"{name} = {value!r} must be an integer of at least {least}.")
    if value < least:
        raise InvalidArgumentError(f"{name} = {value} must be at least {least}.")
    return int(value)


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """An argument that names one of ``choices``."""
    if value not in choices:
        raise InvalidArgumentError(f"unknown {name} {value!r}: choose one of {', '.join(map(repr, choices))}.")
    return str(value)


def check_random_state(random_state: Any) -> np.random.RandomState:
    """scikit-learn's: None, an integer or a RandomState; a Generator too."""
    from sklearn.utils import check_random_state as checked

    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(int(random_state.integers(2**32)))
    try:
        return checked(random_state)
    except ValueError:
        raise InvalidArgumentError(
            f"random_state = {random_state!r} must be None, an integer from 0 to 2**32 - 1, or a random generator of "
            "NumPy's."
        ) from None


def check_page(path: Any, name: str) -> None:
    """The path of a page: another ending than one of HTML would say that something else is there."""
    if Path(path).suffix.lower() not in PAGES:
        raise InvalidArgumentError(
            f"{name} {str(path)!r}: a page is HTML. End the name with .html; a browser prints it as PDF."
        )


def random_generator(random_seed: Any) -> np.random.Generator:
    """NumPy's generator from a ``random_seed``: None, an integer of at least 0 or several, or a generator itself."""
    try:
        return np.random.default_rng(random_seed)
    except (TypeError, ValueError):
        raise InvalidArgumentError(
            f"random_seed = {random_seed!r} must be None, an integer of at least 0, or a random generator of NumPy's."
        ) from None


def check_probability(value: Any, name: str) -> float:
    """An argument strictly between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating) or not 0 < value < 1:
        raise InvalidArgumentError(f"{name} = {value!r} must be a number strictly between 0 and 1.")
    return float(value)


def check_ci_prob(value: Any) -> float:
    """The probability of intervals; None is ArviZ's ``rcParams["stats.ci_prob"]``."""
    if value is None:
        from arviz_base import rcParams

        value = float(rcParams["stats.ci_prob"])
    return check_probability(value, "ci_prob")
