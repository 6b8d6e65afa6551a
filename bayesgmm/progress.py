"""A progress bar for computations that a user has to wait for."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Fewer steps of arithmetic than this are over before a bar would be read.
WORTH_A_BAR = 2e9


def is_watched() -> bool:
    """Whether someone may be watching: standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def progress(label: str, total: int, *, work: float, show: bool) -> Iterator[Callable[[], None]]:
    """A function to call after each of ``total`` steps; it draws a bar on a terminal if all the ``work`` is long."""
    if not show or work < WORTH_A_BAR:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not (console.is_terminal or is_watched()):  # a log has no use for a bar
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)
