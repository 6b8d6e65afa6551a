"""What ArviZ takes amiss when trees are made."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def chain_and_draw_are_right() -> Iterator[None]:
    """ArviZ takes fewer draws than chains for a mistake in the order of the dimensions; here they are none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found chain dimension to be longer than draw dimension")
        yield
