"""One pool of threads for all passes over the data.

A pass over many rows is cut into chunks, each with sums of its own, which are added in the chunks' order. Where the cuts
are depends on the data's shape alone, so the result does not depend on the number of threads, nor on which thread took
which chunk.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_pool: ThreadPoolExecutor | None = None
_limit: int | None = None


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads that one pass may use now."""
    return available_cores() if _limit is None else _limit


@contextmanager
def limited_to(n: int) -> Iterator[None]:
    """At most ``n`` threads a pass, in the whole process, while the context lasts."""
    global _limit
    before, _limit = _limit, max(1, n)
    try:
        yield
    finally:
        _limit = before


def share(n_tasks: int, task: Callable[[int], None]) -> None:
    """Call ``task(i)`` for i = 0 ... n_tasks - 1, on this thread and on the pool's."""
    remaining = iter(range(n_tasks))

    def work() -> None:
        for i in remaining:  # advancing a range's iterator is atomic
            task(i)

    helpers = [_executor().submit(work) for _ in range(min(threads(), n_tasks) - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            helper.result()


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max_workers=max(1, available_cores()), thread_name_prefix="bayesgmm")
        return _pool


def _forget_pool() -> None:
    # A forked process has none of its parent's threads.
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
