"""A check as a value."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

# Of something that is told but has no limit.
NO_LIMIT = np.nan


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    name : str
    value, limit : float
    passed : bool
    level : {"note", "caution", "fail"}
        What it is not to pass.
    sentence : callable
        What to say then, with what to try next; it is called only then. "" leaves it to another check.
    """

    name: str
    value: float
    limit: float
    passed: bool
    level: str = "caution"
    sentence: Callable[[], str] = field(default=lambda: "", repr=False)
