"""Small real data sets."""

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load_faithful() -> "pd.DataFrame":
    """Old Faithful: 272 eruptions of the geyser, as a data frame (272, 2).

    Returns
    -------
    pandas.DataFrame
        Columns ``eruptions``, the duration of the eruption, and ``waiting``, the time to the next, both in minutes.

    References
    ----------
    Azzalini and Bowman (1990), A look at some data on the Old Faithful geyser, Applied Statistics 39, 357-365,
    https://doi.org/10.2307/2347385.

    Examples
    --------
    >>> from bayesgmm.datasets import load_faithful
    >>> load_faithful().shape
    (272, 2)
    """
    import pandas as pd

    with as_file(files(__name__) / "faithful.csv") as path:
        return pd.read_csv(path)
