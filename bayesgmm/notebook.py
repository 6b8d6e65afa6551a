"""What a notebook shows of a value: a small table, in the notebook's own colours."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# Features, and rows of a table, that a notebook has room for.
MOST_FEATURES, MOST_ROWS = 6, 12
# Letters of a name.
MOST_LETTERS = 32


def card(title: str, *, lines: Iterable[str] = (), head: Sequence[Any] = (), rows: Iterable[Sequence[Any]] = ()) -> str:
    """HTML of a title, some sentences and a table; numbers and names alike are text in it.

    Parameters
    ----------
    title : str
    lines : iterable of str
    head : sequence
        The names of the table's columns; none, no table.
    rows : iterable of sequences
        The table's cells; of more than twelve rows the first are shown, and how many more there are.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("bayesgmm", "reports/templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    cells = [[_words(cell) for cell in row] for row in rows]
    return templates.get_template("card.html").render(
        title=title,
        lines=list(lines),
        head=[_words(name) for name in head],
        rows=cells[:MOST_ROWS],
        more=max(len(cells) - MOST_ROWS, 0),
    )


def components_card(
    title: str, lines: Iterable[str], names: Any, features: Sequence[str], weights: Any, means: Any
) -> str:
    """The card of a mixture: the weight and the mean of every component, in its first features.

    Parameters
    ----------
    title, lines
        As for :func:`card`.
    names : (K,) sequence
    features : sequence of D str
    weights, means : (K,) and (K, D) arrays
    """
    shown = min(len(features), MOST_FEATURES)
    hidden = len(features) - shown
    said = [*lines, *[f"Means of the first {shown} of {len(features)} features."] * bool(hidden)]
    weights, means = np.asarray(weights), np.asarray(means)
    rows = [(names[k], f"{weights[k]:.3f}", *(f"{m:.4g}" for m in means[k, :shown])) for k in range(len(weights))]
    return card(title, lines=said, head=("component", "weight", *features[:shown]), rows=rows)


class FittedCard:
    """What a notebook shows of a scikit-learn estimator: scikit-learn's own diagram, and below it what was fitted."""

    def _card(self) -> str:
        """What was fitted; "" before the fit."""
        raise NotImplementedError

    @property
    def _repr_html_(self) -> Any:
        own = super()._repr_html_  # type: ignore[misc]  # an AttributeError where scikit-learn is set to show text
        return lambda: own() + self._card()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += self._card()
        return bundle


def _words(cell: Any) -> str:
    words = " ".join(str(cell).split())
    return words if len(words) <= MOST_LETTERS else words[: MOST_LETTERS - 1] + "\u2026"
