"""Assignments with intervals of 1e6 rows under 4,000 draws of 5 components: time, and peak memory above the start's."""

import resource
import time

import numpy as np
from measure import keep
from problems import clusters

import bayesgmm as bg

N_ROWS, N_FEATURES, N_COMPONENTS, N_DRAWS = 1_000_000, 5, 5, 4_000


def peak_mib() -> float:
    """Peak resident memory, MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    x = clusters(N_ROWS, N_FEATURES, N_COMPONENTS)
    model = bg.build_model(x[:5_000], N_COMPONENTS, resolution=None)
    dt = bg.find_MAP(model, n_init=2, random_seed=1).laplace(N_DRAWS, random_seed=1)
    bg.assignments(dt, x[:1_000])  # compiled, or read from the cache
    before = peak_mib()
    began = time.perf_counter()
    soft = bg.assignments(dt, x)
    seconds = time.perf_counter() - began
    above = peak_mib() - before
    each = seconds / (N_ROWS * N_DRAWS * N_COMPONENTS) * 1e9
    result = sum(np.asarray(v).nbytes for v in soft.data_vars.values()) / 2**20
    keep(
        "assignments",
        [
            {
                "(N, D, K), draws": f"({N_ROWS}, {N_FEATURES}, {N_COMPONENTS}), {N_DRAWS}",
                "seconds": f"{seconds:.0f}",
                "ns a row, draw and component": f"{each:.1f}",
                "peak memory above the start's, MiB": f"{above:.0f}",
                "of which the result": f"{result:.0f}",
            }
        ],
        f"All responsibilities at once would be {N_ROWS * N_DRAWS * N_COMPONENTS * 8 / 1e9:.0f} GB.",
    )


if __name__ == "__main__":
    main()
