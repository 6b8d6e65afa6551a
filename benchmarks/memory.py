"""Peak memory of NUTS with 4 x 200 draws at N = 1e6, less that of the same script at N = 1e3."""

import subprocess
import sys
from pathlib import Path

from measure import keep

SCRIPT = """
import resource, sys
sys.path.insert(0, {here!r})
from problems import clusters
import bayesgmm as bg
model = bg.build_model(clusters({n}, 5, 5), 5, resolution=None)
start = bg.find_MAP(model, n_init=2, random_seed=1)
bg.sample(model, draws=200, chains=4, cores=2, start=start, random_seed=1, progressbar=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_mib(n_rows: int) -> float:
    """Peak resident memory of the script, MiB (Linux counts in KiB)."""
    code = SCRIPT.format(here=str(Path(__file__).parent), n=n_rows)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


if __name__ == "__main__":
    small, large = peak_mib(1_000), peak_mib(1_000_000)
    data = 1_000_000 * 5 * 8 / 2**20
    keep(
        "memory",
        [
            {
                "(N, D, K)": "(1000000, 5, 5)",
                "peak at N = 1e3, MiB": f"{small:.0f}",
                "peak at N = 1e6, MiB": f"{large:.0f}",
                "difference / data": f"{(large - small) / data:.2f}",
            }
        ],
        f"The data are {data:.0f} MiB. Aim: under 2 times the data.",
    )
