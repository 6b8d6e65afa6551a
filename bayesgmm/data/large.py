"""A table whose rows are not in memory: what is known of all of them comes by passes, and some are at hand."""

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.data.blocks import Blocks
from bayesgmm.data.checks import check_limits, positions
from bayesgmm.data.resolution import check_resolution, off_grid
from bayesgmm.data.table import Chunk, Table
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError

# Rows at hand: of as many hillsides are found, and as many are kept with draws.
AT_HAND = 20_000
# Values off a feature's grid that a pass brings back, and how often the grid is then looked for anew.
FEW, LOOKS = 32, 4


@dataclass(frozen=True, eq=False)
class LargeTable(Table):
    """Rows that pass in blocks.

    ``values`` are some of them, drawn without replacement, and ``weights`` how many of all each of these stands for:
    so what is asked of single rows, by a picture say, is answered as of a weighted table. What is asked of all rows,
    ``n_rows``, ``total``, ``moments``, ``limits``, and every sum over them (:meth:`sum_over`), is exact.

    Parameters
    ----------
    blocks : Blocks
    survey : Survey
    """

    blocks: Blocks = field(repr=False, kw_only=True)
    survey: "Survey" = field(repr=False, kw_only=True)

    @classmethod
    def to_fit(cls, X: Any, *, resolution: Any = "auto", **others: Any) -> "LargeTable":
        """Rows to be fitted, all complete and each counted once.

        Raises
        ------
        InvalidDataError, InvalidDataTypeError, InvalidArgumentError
        """
        nothing = (None, False, "error")
        asked = [name for name, value in others.items() if not any(value is none for none in nothing)]
        if asked:
            raise InvalidArgumentError(
                f"{asked[0]} goes with rows in memory only: those in a file or on a cluster are complete and "
                f"count once. Leave {asked[0]} out, or load a sample of the rows."
            )
        blocks = Blocks.of(X).settled()
        if 0 in blocks.array.shape:
            raise InvalidDataError(
                f"X has {blocks.n_rows} rows and {blocks.n_features} columns: there is nothing to fit."
            )
        names = positions(blocks.n_features) if blocks.names is None else blocks.names
        some = _some(blocks.n_rows, AT_HAND, np.random.default_rng(0))
        values = blocks.rows(some)
        steps = check_resolution(resolution, values)
        automatic = isinstance(resolution, str)
        shift = np.nan_to_num(values, posinf=0, neginf=0).mean(axis=0)
        seen = values
        for look in range(LOOKS):
            survey = blocks.total(partial(_survey, shift, seen[0], steps * automatic), blocks.starts[:-1])
            survey.check(blocks, names)
            off = [survey.off[j] for j in range(len(names))]
            if not any(map(len, off)):
                break
            # Some rows are not on the grid that those at hand are on: it is finer, or there is none.
            more = np.array([np.resize(o, FEW) if len(o) else np.full(FEW, seen[0, j]) for j, o in enumerate(off)]).T
            seen = np.concatenate([seen, more])
            found = check_resolution("auto", seen) if look + 2 < LOOKS else np.zeros(len(names))
            steps = np.where([len(o) > 0 for o in off], found, steps)
        check_limits(survey.low, survey.high, names, blocks.n_rows)
        weights = None if len(some) == blocks.n_rows else np.full(len(some), blocks.n_rows / len(some))
        return cls(values, names, weights=weights, resolution=steps, blocks=blocks, survey=survey)

    # Of all rows ----------------------------------------------------------------------------------------------------

    @property
    def n_rows(self) -> int:
        return self.blocks.n_rows

    @property
    def total(self) -> float:
        return float(self.n_rows)

    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        return self.survey.moments

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        return self.survey.low, self.survey.high

    @property
    def elsewhere(self) -> bool:
        return True

    def sum_over(self, function: Any) -> Any:
        return self.blocks.total(partial(_of_chunk, function))

    # Parts of it ----------------------------------------------------------------------------------------------------

    @cached_property
    def at_hand(self) -> Table:
        return Table(self.values, self.features, weights=self.weights, resolution=self.resolution)

    @property
    def counted(self) -> Table:
        return self

    @property
    def complete(self) -> Table:
        return self

    def rows(self, chosen: np.ndarray) -> Table:
        values = self.blocks.rows(np.asarray(chosen))
        return Table(values, self.features, resolution=self.resolution)

    def subsample(self, most: int, rng: np.random.Generator) -> Table:
        if self.n_rows <= most:
            return self.rows(np.arange(self.n_rows))
        return self.rows(rng.choice(self.n_rows, most, replace=False))


class Survey(NamedTuple):
    """What one pass over rows finds out about them; surveys of different rows add up."""

    n_rows: int
    shift: np.ndarray  # (D,), about which the sums are
    first: np.ndarray  # (D,)
    second: np.ndarray  # (D,)
    low: np.ndarray
    high: np.ndarray
    bad: tuple[int, int] | None  # row and column of the first value that is not finite
    n_bad: int
    off: list[np.ndarray]  # of every feature a few values that are not on its grid

    def __add__(self, other: "Survey") -> "Survey":  # type: ignore[override]
        return Survey(
            self.n_rows + other.n_rows, self.shift, self.first + other.first, self.second + other.second,
            np.minimum(self.low, other.low), np.maximum(self.high, other.high), self.bad or other.bad,
            self.n_bad + other.n_bad,
            [np.concatenate([a, b])[:FEW] for a, b in zip(self.off, other.off, strict=True)],
        )  # fmt: skip

    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances, (D,)."""
        away = self.first / self.n_rows
        return self.shift + away, self.second / self.n_rows - away**2

    def check(self, blocks: Blocks, names: tuple[str, ...]) -> None:
        """Raise InvalidDataError where a value is not finite."""
        if self.bad is None:
            return
        row, column = self.bad
        block = int(np.searchsorted(blocks.starts, row, side="right")) - 1
        raise InvalidDataError(
            f"Input X contains NaN or infinity: row {row}, column {names[column]!r}, in block {block} (rows "
            f"{blocks.starts[block]} to {blocks.starts[block + 1] - 1}); {self.n_bad} such values in all. Drop or mend "
            "these rows first."
        )


def _survey(shift: np.ndarray, origin: np.ndarray, steps: np.ndarray, block: np.ndarray, start: int) -> Survey:
    finite = np.isfinite(block)
    n_bad = block.size - int(np.count_nonzero(finite))
    bad = None
    if n_bad:
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        bad = int(start) + row, column
        block = np.where(finite, block, 0.0)
    away = block - shift
    ones = np.ones(len(block))
    off = [off_grid(block[:, j], origin[j], step)[:FEW] if step > 0 else np.empty(0) for j, step in enumerate(steps)]
    least, most = (block.min(axis=0), block.max(axis=0)) if len(block) else (np.full_like(shift, np.inf),) * 2
    if not len(block):
        most = -most
    return Survey(len(block), shift, ones @ away, ones @ away**2, least, most, bad, n_bad, off)


def _of_chunk(function: Any, block: np.ndarray) -> Any:
    return function(Chunk(block, np.ones(1)))


def _some(n_rows: int, most: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(n_rows) if n_rows <= most else np.sort(rng.choice(n_rows, most, replace=False))
