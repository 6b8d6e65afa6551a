"""Climbs on disk: a search that was stopped goes on where it was."""

import hashlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm.exceptions import StorageError
from bayesgmm.record.storage import check_writable, write_whole
from bayesgmm.search.climb import Optimum
from bayesgmm.search.problem import Problem

# Seconds between writes of a climb under way: what it did since the last is done again.
PAUSE = 2.0
# A climb that was kept is one of this problem if the log posterior at its end is what was kept, to this part of itself.
SAME = 1e-9
SEED = "seed.txt"


@dataclass(frozen=True)
class Checkpoint:
    """A folder of climbs, each a file named after where it began; without a path nothing is kept.

    A search is a function of the data, the model and the seed, so that one that begins anew comes to the same starts,
    and finds their climbs here. A folder may serve several searches: what is of another is never found, or is known by
    its log posterior.

    Parameters
    ----------
    path : Path or None
    """

    path: Path | None = None

    def seed(self, given: Any) -> Any:
        """The seed of a search: the given one, or where there is none the first one's, which is kept."""
        if self.path is None:
            return given
        check_writable(self.path / SEED)
        if given is not None:
            return given
        place = self.path / SEED
        if not place.is_file():
            write_whole(str(np.random.SeedSequence().entropy).encode(), place)
        try:
            return int(place.read_text())
        except ValueError as error:
            raise StorageError(f"{str(place)!r} holds no seed: name another folder.") from error

    def climbed(
        self,
        problem: Problem,
        start: np.ndarray,
        climb: Callable[..., Optimum],
        *,
        max_iter: int | None = None,
    ) -> Optimum:
        """The optimum above a start: what was kept, or where ``climb(problem, q, max_iter=, each=)`` ends from there.

        ``each`` is to be called with every q that the climb comes to, and its log posterior.
        """
        if self.path is None:
            return climb(problem, start, max_iter=max_iter)
        asked = start.tobytes() + f"{problem.table.n_rows} {max_iter}".encode()
        place = self.path / f"{hashlib.sha256(asked).hexdigest()}.npz"
        kept = _read(place, problem)
        if kept is not None and kept["ended"]:
            return Optimum(**{name: kept[name].item() for name in _NUMBERS}, q=kept["q"], message=str(kept["message"]))
        optimum = climb(problem, start if kept is None else kept["q"], max_iter=max_iter, each=_Kept(place))
        numbers = {name: getattr(optimum, name) for name in _NUMBERS}
        _write(place, q=optimum.q, **numbers, message=optimum.message, ended=True)
        return optimum


_NUMBERS = ("log_posterior", "gradient_norm", "decrement", "iterations", "moved")


class _Kept:
    """Keeps where a climb is, every so often."""

    def __init__(self, place: Path):
        self._place, self._written = place, time.monotonic()

    def __call__(self, q: np.ndarray, log_posterior: float) -> None:
        if time.monotonic() - self._written > PAUSE:
            _write(self._place, q=q, log_posterior=log_posterior, ended=False)
            self._written = time.monotonic()


def _write(place: Path, **values: Any) -> None:
    file = io.BytesIO()
    np.savez(file, **values)
    write_whole(file.getvalue(), place)


def _read(place: Path, problem: Problem) -> dict[str, np.ndarray] | None:
    """What was kept, if it is of this problem."""
    if not place.is_file():
        return None
    try:
        with np.load(place) as file:
            kept = dict(file)
        q, then = kept["q"], float(kept["log_posterior"])
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(
            f"{str(place)!r} is not a climb that was kept: delete it, or name another folder."
        ) from error
    now = problem.parameter_density(q)[0]
    return kept if abs(now - then) <= SAME * max(1.0, abs(then)) else None
