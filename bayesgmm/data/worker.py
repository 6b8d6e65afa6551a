"""Whether a thread does a task on a cluster's worker, which does as many at a time as it has threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local

_thread = local()


@contextmanager
def task() -> Iterator[None]:
    """What is done meanwhile is a worker's task."""
    _thread.busy = True
    try:
        yield
    finally:
        _thread.busy = False


def on_worker() -> bool:
    """Whether this thread does a worker's task: it is to use no other threads."""
    return getattr(_thread, "busy", False)
