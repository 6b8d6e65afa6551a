"""One pool of threads for all passes over the data.

A pass over many rows is cut into portions, each with sums of its own, which are added in the portions' order. Where the
cuts are depends on the data's shape alone, so the result does not depend on the number of threads, nor on which thread
took which chunk.

Compiled code shares its portions out by calling back to Python, which has a portable pool of threads. The portions
themselves run without the interpreter's lock.

Why a pool of its own and not Numba's ``prange``: passes are called by several of the sampler's threads at once, and
Numba's default threading layer ("workqueue") ends the process when two threads enter it; the layers that may be shared
("omp", "tbb") are not installed everywhere, and neither survives a fork. ``prange`` also divides sums by the number of
threads, so that the same seed would give other draws on another machine, and its threads cannot be lent to chains
(``limited_to``) without setting them for the whole process.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

import llvmlite.binding
import numba
from numba.extending import intrinsic

from bayesgmm.data.cores import available_cores, threads

_lock = Lock()
_pool: ThreadPoolExecutor | None = None
_interrupted = False
# What ctypes made for compiled code to call; it must outlive the code.
_callbacks: list[Any] = []


@contextmanager
def one_for_matrices() -> Iterator[None]:
    """Linear algebra takes one thread meanwhile, in the whole process.

    A mixture's matrices are small. The threads of NumPy's BLAS and of SciPy's spin while they wait for more: beside
    another busy process a search in 1,000 rows of 2 features took 2 to 9 s with them, and 1 s without.
    """
    with _linear_algebra().limit(limits=1, user_api="blas"):
        yield


@contextmanager
def all_for_matrices() -> Iterator[None]:
    """Linear algebra takes as many threads as a pass meanwhile: of matrices of a thousand rows."""
    with _linear_algebra().limit(limits=threads(), user_api="blas"):
        yield


@cache
def _linear_algebra() -> Any:
    import scipy.linalg  # noqa: F401  (it has a BLAS of its own, which must be there to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def share(n_tasks: int, task: Callable[[int], Any]) -> None:
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


def raise_interrupt() -> None:
    """Raise the KeyboardInterrupt that came while compiled code was waiting for its portions, if one did."""
    global _interrupted
    if _interrupted:
        _interrupted = False
        raise KeyboardInterrupt


@intrinsic
def pointer(typingctx, address):
    """A memory address as a pointer, in compiled code."""

    def codegen(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(numba.types.voidptr))

    return numba.types.voidptr(address), codegen


def named(symbol: str, address: int | None) -> Any:
    """A function f(i, address) at an address, for compiled code that knows it by the name of a symbol."""
    llvmlite.binding.add_symbol(symbol, address)
    return numba.types.ExternalFunction(symbol, numba.types.void(numba.types.int64, numba.types.int64))


def shared_by_threads(symbol: str, task: Callable[[int, int], None]) -> Any:
    """A function f(n, address) for compiled code that calls ``task(i, address)`` for all i < n on the pool's threads.

    It is found by the name of a symbol, since code that is cached on disk may hold no address of this process. A task
    may be done twice, and must give the same then.
    """
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)

    @prototype
    def callback(n: int, address: int) -> None:
        global _interrupted
        try:
            share(n, lambda i: task(i, address))
        except KeyboardInterrupt:
            # An exception cannot pass through compiled code: do the pass again, and let `raise_interrupt` raise it.
            _interrupted = True
            share(n, lambda i: task(i, address))

    _callbacks.append(callback)
    return named(symbol, ctypes.cast(callback, ctypes.c_void_p).value)


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max_workers=available_cores(), thread_name_prefix="bayesgmm")
        return _pool


def _forget_pool() -> None:
    # A forked process has none of its parent's threads.
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
