"""The components' parameters as tables of a page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bayesgmm.reports.findings import Findings
from bayesgmm.reports.numbers import estimates
from bayesgmm.reports.palette import colours, hexadecimal
from bayesgmm.reports.pictures import DARK

# A page has room for so many columns of estimates.
MOST_COLUMNS = 6
# A mean and the ends of its interval, or a word.
Cell = tuple[str, str, str] | str


@dataclass(frozen=True)
class Name:
    """What a row or column is about: a feature, with a name from the data, or a component, with its colours."""

    text: str
    colour: tuple[str, ...] = ()
    is_feature: bool = False


@dataclass(frozen=True)
class Grid:
    """A table of estimates.

    Parameters
    ----------
    caption : Name
    corner : str
        What the names of its rows are.
    columns, rows : tuples of Name
    cells : tuple of tuples of Cell
        Of every row.
    """

    caption: Name
    corner: str
    columns: tuple[Name, ...]
    rows: tuple[Name, ...]
    cells: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(cls, caption: Name, rows: Sequence[Name], columns: Sequence[tuple[Name, Sequence[Cell]]]) -> "Grid":
        """Of columns; where these are too many, and the rows are fewer, with rows for columns."""
        names, cells = tuple(name for name, _ in columns), tuple(tuple(own) for _, own in columns)
        if len(names) > MOST_COLUMNS and len(rows) < len(names):
            return cls(caption, "", tuple(rows), names, cells)
        return cls(caption, "component", names, tuple(rows), tuple(zip(*cells, strict=True)))


def parameter_grids(found: Findings) -> list[Grid]:
    """The weights and means, and the standard deviations."""
    fit, components = found.fit, found.components
    features = [Name(name, is_feature=True) for name in fit.features]
    names = component_names(found)
    means: list[tuple[Name, Sequence[Cell]]] = [
        (Name("weight"), estimates([c.weight for c in components])),
        (Name("rows most probably of it"), [str(c.rows) for c in components]),
        *((name, estimates([c.means[j] for c in components])) for j, name in enumerate(features)),
    ]
    tied = not fit.covariance.per_component
    own = components[:1] if tied else components
    scales: list[tuple[Name, Sequence[Cell]]] = [
        (name, estimates([c.scales[j] for c in own])) for j, name in enumerate(features)
    ]
    words = "Standard deviations" + ", the same in all components" * tied
    return [
        Grid.of(Name("Weights and means"), names, means),
        Grid.of(Name(words), [Name("all")] if tied else names, scales),
    ]


def covariance_grids(found: Findings) -> Iterator[Grid]:
    """The covariances of every component, or of all where they share them; none where features are not correlated."""
    fit = found.fit
    if not fit.covariance.correlated or fit.n_features == 1:
        return
    features = tuple(Name(name, is_feature=True) for name in fit.features)
    tied = not fit.covariance.per_component
    captions = (
        [Name("All components")] if tied else [Name(f"Component {n.text}", n.colour) for n in component_names(found)]
    )
    for caption, component in zip(captions, found.components, strict=False):
        # Each to its own decimals: the features' units are not those of one another.
        cells = tuple(tuple(estimates([cell])[0] for cell in row) for row in component.covariances)
        yield Grid(caption, "", features, features, cells)


def component_names(found: Findings) -> list[Name]:
    """The components, each with its colours in the page's light and dark pictures."""
    from matplotlib import style

    own = []
    for theme in ({}, DARK):
        with style.context(["default", theme]):
            own.append([hexadecimal(colour) for colour in colours(len(found.components))])
    return [Name(str(name), both) for name, both in zip(found.fit.components, zip(*own, strict=True), strict=True)]
