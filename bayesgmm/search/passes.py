"""Log-densities of rows that are not in memory: a pass over all of them for every value, shared by those who wait."""

import time
from functools import partial
from threading import Condition, Lock

import numpy as np

from bayesgmm.data.table import Chunk, Table
from bayesgmm.graph.compiled import CalledBack, LogDensity
from bayesgmm.mixture import kernel
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.statistics import Statistics
from bayesgmm.search.information import MixtureTerm

# A pass waits so long for others to join it, as a part of what the last one took, and in seconds at least.
WAIT, LEAST_WAIT = 0.1, 2e-3


class SummedDensity(LogDensity):
    """A log-density of a table of rows that are not in memory.

    It is the density of no rows, and the mixture's part by a pass over all. By Fisher's identity the pass has the
    gradient by weights, means and covariances, which is pulled back to q. A sampler calls it as a C function, as it
    does others; chains that run side by side share passes.
    """

    def __init__(self, term: MixtureTerm, rest: LogDensity, passes: "Passes"):
        self.term, self.rest, self.passes = term, rest, passes
        self.function, self.held, self.inputs = CalledBack(self.__call__), [], np.zeros(1, dtype=np.int64)

    def __call__(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.rest(q)
        if not np.isfinite(value):
            return value, gradient
        with self.passes.lock:
            mixture = Mixture(*(v[0] for v in self.term.map(q[None])))
        log_likelihood, *slopes = kernel.slopes(self.passes.statistics(mixture), mixture.weights)
        with self.passes.lock:
            return value + log_likelihood, gradient + self.term.map.pullback(q[None], slopes)[0]


class Passes:
    """Passes over the rows of a table, each for all the mixtures that wait for one.

    Who finds no pass about to begin begins one, after a moment in which others may join; who comes while one runs waits
    for the next.
    """

    def __init__(self, table: Table):
        self.table, self.n_passes = table, 0
        # Graphs that are run node by node keep their values while they run.
        self.lock = Lock()
        self._condition = Condition()
        self._waiting: list[_Asked] = []
        self._running, self._seconds = False, 0.0

    def statistics(self, mixture: Mixture) -> Statistics:
        """The statistics of all rows under a mixture."""
        asked = _Asked(mixture)
        with self._condition:
            self._waiting.append(asked)
            while self._running and not asked.done:
                self._condition.wait()
            if not asked.done:
                self._running = True
        if not asked.done:
            self._run()
        if asked.error is not None:
            raise asked.error
        assert asked.statistics is not None
        return asked.statistics

    def _run(self) -> None:
        time.sleep(max(LEAST_WAIT, WAIT * self._seconds) if self.n_passes else 0.0)
        with self._condition:
            batch, self._waiting = self._waiting, []
        began = time.perf_counter()
        try:
            found = self.table.sum_over(partial(_statistics, [asked.mixture for asked in batch]))
            for asked, statistics in zip(batch, found, strict=True):
                asked.statistics = statistics
        except BaseException as error:
            for asked in batch:
                asked.error = error
        with self._condition:
            self._seconds, self.n_passes, self._running = time.perf_counter() - began, self.n_passes + 1, False
            for asked in batch:
                asked.done = True
            self._condition.notify_all()


class _Asked:
    """A mixture that waits for its statistics."""

    def __init__(self, mixture: Mixture):
        self.mixture, self.done = mixture, False
        self.statistics: Statistics | None = None
        self.error: BaseException | None = None


def _statistics(mixtures: list[Mixture], chunk: Chunk) -> np.ndarray:
    """Of some rows under every mixture: an array of objects, which are added one by one."""
    found = np.empty(len(mixtures), dtype=object)
    found[:] = [mixture.statistics(*chunk) for mixture in mixtures]
    return found
