"""How many threads a pass over rows may use: all cores, fewer while something limits it, one beside other blocks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import local

_thread = local()
_limit: int | None = None


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads that one pass may use now."""
    if getattr(_thread, "alone", False):
        return 1
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


@contextmanager
def one_of_many() -> Iterator[None]:
    """This thread does a block beside others that do theirs: it uses no other threads while the context lasts."""
    _thread.alone = True
    try:
        yield
    finally:
        _thread.alone = False
