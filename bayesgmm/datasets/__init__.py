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
    return _read("faithful.csv")


def load_galaxies() -> "pd.DataFrame":
    """Velocities of 82 galaxies in the Corona Borealis region, as a data frame (82, 1).

    Gaps between groups of velocities are evidence of voids and superclusters. The 78th value is 26.960, as in the
    source; copies of the data elsewhere have 26.690.

    Returns
    -------
    pandas.DataFrame
        Column ``velocity``, in 1,000 km/s.

    References
    ----------
    Postman, Huchra and Geller (1986), Probes of large-scale structure in the Corona Borealis region, Astronomical
    Journal 92, 1238-1247, https://doi.org/10.1086/114257. Roeder (1990), Density estimation with confidence sets
    exemplified by superclusters and voids in the galaxies, JASA 85, 617-624,
    https://doi.org/10.1080/01621459.1990.10474918.

    Examples
    --------
    >>> from bayesgmm.datasets import load_galaxies
    >>> load_galaxies().shape
    (82, 1)
    """
    return _read("galaxies.csv")


def load_penguins() -> "pd.DataFrame":
    """Penguins of three species on islands of the Palmer Archipelago, as a data frame (344, 8).

    Returns
    -------
    pandas.DataFrame
        Columns ``species`` (Adelie, Chinstrap, Gentoo), ``island``, ``bill_length_mm``, ``bill_depth_mm``,
        ``flipper_length_mm``, ``body_mass_g``, ``sex`` and ``year``. Two birds were not measured, and of eleven the
        sex is missing.

    References
    ----------
    Gorman, Williams and Fraser (2014), Ecological sexual dimorphism and environmental variability within a community
    of Antarctic penguins, PLoS ONE 9(3), e90081, https://doi.org/10.1371/journal.pone.0090081. Horst, Hill and Gorman
    (2020), palmerpenguins, https://doi.org/10.5281/zenodo.3960218, in the public domain (CC0).

    Examples
    --------
    >>> from bayesgmm.datasets import load_penguins
    >>> load_penguins()["species"].value_counts().to_dict()
    {'Adelie': 152, 'Gentoo': 124, 'Chinstrap': 68}
    """
    return _read("penguins.csv")


def _read(name: str) -> "pd.DataFrame":
    import pandas as pd

    with as_file(files(__name__) / name) as path:
        return pd.read_csv(path)
