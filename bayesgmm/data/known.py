"""Labels that are known of some rows: the classes that they name, and the rows of each."""

from numbers import Real
from typing import Any

import numpy as np

from bayesgmm.data.observations import UNKNOWN
from bayesgmm.data.reading import listed
from bayesgmm.exceptions import InvalidArgumentError

# No component has a number so large.
MOST = 2**31


def read_labels(labels: Any, n_rows: int) -> tuple[np.ndarray, tuple | None]:
    """The component of every row, (N,) int64, -1 where it is not known; and the classes' names in that order.

    Whole numbers are components themselves, and have no names; anything else is a class's name.

    Raises
    ------
    InvalidArgumentError
    """
    import pandas as pd

    given = np.asarray(labels, dtype=object)
    if given.shape != (n_rows,):
        raise InvalidArgumentError(
            f"labels has shape {given.shape}; X has {n_rows} rows: give one per row, -1 unknown."
        )
    known = ~np.asarray(pd.isna(given), dtype=bool)
    # Digits as text are a name: what is no component's number can be given so.
    if any(not isinstance(value, Real | np.bool) for value in given[known]):
        # An array of names and numbers is of text.
        known[known] = [value not in (UNKNOWN, str(UNKNOWN)) for value in given[known]]
        names = sorted({str(value) for value in given[known]})
        codes = np.full(n_rows, UNKNOWN)
        codes[known] = np.searchsorted(names, [str(value) for value in given[known]])
        return codes, tuple(names)
    numbers = np.array([float(value) for value in given[known]])
    odd = numbers[~((numbers == np.round(numbers)) & (numbers >= UNKNOWN) & (numbers < MOST))]
    if odd.size:
        raise InvalidArgumentError(
            f"labels holds {odd[0]:g}: a number is a component, from 0 on, or -1 where none is known. Give classes "
            "that are no such numbers as text."
        )
    codes = np.full(n_rows, UNKNOWN)
    codes[known] = numbers.astype(np.int64)
    return codes, None


def check_classes(labels: np.ndarray, classes: tuple | None, n_components: int) -> None:
    """Raise InvalidArgumentError where there are more classes than components."""
    if classes is not None and len(classes) > n_components:
        raise InvalidArgumentError(
            f"labels name {len(classes)} classes ({listed([repr(name) for name in classes])}), which are more than "
            f"n_components = {n_components}: choose n_components >= {len(classes)}."
        )
    if labels.max() >= n_components:
        raise InvalidArgumentError(
            f"labels holds {labels.max()}, and with n_components = {n_components} components are numbered from 0 to "
            f"{n_components - 1}: number them so, give classes as text, or choose more components."
        )
