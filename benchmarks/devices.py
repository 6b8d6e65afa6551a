"""One pass over the rows with its gradient, and a posterior: JAX on the device that it finds, against the CPU kernel.

``python benchmarks/devices.py --rows 1e5,1e6,1e7,1e8 --bandwidth 3350`` on a GPU of 3,350 GB/s; without options it is
small enough for a laptop's processor. A pass reads every row once, N D numbers: what it reads in a second, as a part of
the memory's bandwidth, says how far it is from the best that any code can do. The aim is half.

``--posterior 1e6,8,32`` takes the seconds of 4 chains of ``--draws`` draws in JAX too, the search for the mode not
counted; without ``--kernel`` the processor's share of the work is left out.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np
from measure import seconds
from problems import clusters

import bayesgmm as bg
import bayesgmm.graph.jax  # JAX in double precision
from bayesgmm.mixture import jax_pass, kernel

REPEATS = 5


def least_seconds(call: Callable[[], object]) -> float:
    """Of a few calls after one that compiles."""
    call()
    return min(seconds(call) for _ in range(REPEATS))


def row(n_rows: int, d: int, k: int, what: str, size: int, took: float, bandwidth: float | None) -> dict[str, str]:
    rate = n_rows * d * size / took / 1e9
    return {
        "(N, D, K)": f"({n_rows:.0e}, {d}, {k})",
        "what": what,
        "gradients a second": f"{1 / took:.3g}",
        "GB a second": f"{rate:.3g}",
        "of the bandwidth": "" if bandwidth is None else f"{rate / bandwidth:.1%}",
    }


def gradients(n_rows: int, d: int, k: int, *, cpu_kernel: bool, bandwidth: float | None) -> list[dict[str, str]]:
    """Gradients a second of a mixture near the truth: in JAX in both precisions, and by the kernel."""
    x = clusters(n_rows, d, k)
    mixture = np.full(k, 1 / k), x[:k].copy(), np.tile(np.eye(d), (k, 1, 1))
    device = jax.devices()[0].device_kind
    found = []
    for dtype in (np.float64, np.float32):
        rows, given = jax.device_put(x.astype(dtype)), jax.device_put(mixture)
        function = jax.jit(
            lambda rows, given: jax_pass.gradient(
                jax_pass.Rows(rows), jax_pass.Mixture(*given, diagonal=False), jnp.ones(1)
            )
        )
        took = least_seconds(lambda: jax.block_until_ready(function(rows, given)))  # noqa: B023
        what = f"JAX, {device}, {np.dtype(dtype).name}"
        found.append(row(n_rows, d, k, what, np.dtype(dtype).itemsize, took, bandwidth))
    if cpu_kernel:
        took = least_seconds(lambda: kernel.gradient(x, *mixture, False, np.ones(1)))
        found.append(row(n_rows, d, k, "kernel, all processors", 8, took, None))
    return found


def posterior(n_rows: int, d: int, k: int, *, draws: int, cpu_kernel: bool) -> list[dict[str, str]]:
    """Seconds of four chains from the mode on, compiling included."""
    model = bg.build_model(clusters(n_rows, d, k), k)
    estimate = bg.find_MAP(model, n_init=1, random_seed=0, progressbar=False, backend="jax")
    found = []
    for backend in ("jax", "jax-float32", *(("numba",) if cpu_kernel else ())):
        began = time.perf_counter()
        dt = bg.sample(
            model, draws=draws, start=estimate, random_seed=1, relabel=None, progressbar=False, backend=backend
        )
        found.append(
            {
                "(N, D, K)": f"({n_rows:.0e}, {d}, {k})",
                "backend": backend,
                "seconds": f"{time.perf_counter() - began:.3g}",
                "steps a draw": f"{float(dt['sample_stats']['n_steps'].mean()):.1f}",
            }
        )
    return found


def shown(rows: list[dict[str, str]]) -> None:
    """As a table of the docs."""
    print("| " + " | ".join(rows[0]) + " |", "|" + " --- |" * len(rows[0]), sep="\n")
    print(*("| " + " | ".join(row.values()) + " |" for row in rows), sep="\n", flush=True)


def shape(text: str) -> tuple[int, int, int]:
    n, d, k = (int(float(part)) for part in text.split(","))
    return n, d, k


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1e4,1e5", help="N, one or several")
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--components", type=int, default=8)
    parser.add_argument("--bandwidth", type=float, help="of the device's memory, in GB a second")
    parser.add_argument("--posterior", type=shape, help="N,D,K of the posterior that is drawn from")
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--kernel", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args(arguments)
    rows = []
    for n in given.rows.split(","):
        size = int(float(n)), given.features, given.components
        rows += gradients(*size, cpu_kernel=given.kernel, bandwidth=given.bandwidth)
    shown(rows)
    if given.posterior is not None:
        print()
        shown(posterior(*given.posterior, draws=given.draws, cpu_kernel=given.kernel))


if __name__ == "__main__":
    main()
