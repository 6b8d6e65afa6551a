"""Rows that are not in memory, and very many rows.

    python benchmarks/large.py zarr [rows]      # EM and MAP of rows in a Zarr array: memory, seconds a pass
    python benchmarks/large.py cluster [rows]   # a pass by two workers against one thread in this process
    python benchmarks/large.py sklearn          # a MAP fit against scikit-learn's, each to its own convergence
    python benchmarks/large.py gaussian         # Pareto k of the Gaussian likelihood, and its time against NUTS

Each prints what docs/large.md shows. Two at once would time each other.
"""

import resource
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.mixture import GaussianMixture

import bayesgmm as bg
from bayesgmm.data.cores import limited_to
from bayesgmm.data.large import LargeTable
from bayesgmm.data.table import Chunk, Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.em import expectation

CHUNK = 1_000_000


def mixture(n_components: int, n_features: int, seed: int = 0, apart: float = 3.0) -> Mixture:
    """Components a few standard deviations apart."""
    rng = np.random.default_rng(seed)
    factors = np.eye(n_features) + 0.3 * rng.normal(size=(n_components, n_features, n_features))
    return Mixture(
        rng.dirichlet(np.full(n_components, 5.0)), apart * rng.normal(size=(n_components, n_features)),
        factors @ factors.swapaxes(1, 2),
    )  # fmt: skip


def peak() -> float:
    """The most memory that this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(function, *arguments, repeats: int = 3) -> tuple[float, float]:
    """The median of some times in seconds, and their range."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - began)
    return float(np.median(times)), max(times) - min(times)


def read(block: np.ndarray) -> float:
    return float(block[0, 0])


def in_zarr(n_rows: int) -> None:
    import zarr

    truth, rng = mixture(5, 4), np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.zarr"
        array = zarr.create_array(path, shape=(n_rows, 4), chunks=(CHUNK, 4), dtype="f8", compressors=None)
        for start in range(0, n_rows, CHUNK):
            array[start : start + CHUNK] = truth.simulate(min(CHUNK, n_rows - start), rng)[0]
        some = truth.simulate(CHUNK, rng)[0]
        truth.statistics(some)
        before = peak()
        table = LargeTable.to_fit(path)
        whole, spread = timed(expectation, truth, table)
        reading, _ = timed(table.blocks.total, read)
        computing, _ = timed(truth.statistics, some)
        computing *= n_rows / len(some)
        print(f"{n_rows:.0e} x 4, K = 5: a pass {whole:.2f} s (range {spread:.2f}); reading alone {reading:.2f}, "
              f"computing alone {computing:.2f}: {whole / max(reading, computing):.2f} times the longer")  # fmt: skip
        began = time.perf_counter()
        estimate = bg.find_MAP(bg.build_model(path, 5), random_seed=1, progressbar=False)
        passes = estimate.problem.sampling_density.passes.n_passes  # type: ignore[attr-defined]
        print(
            f"find_MAP {time.perf_counter() - began:.0f} s, {passes} passes of climbs, converged {estimate.converged}"
        )
        print(f"memory: {before:.2f} GB before, {peak():.2f} at most; the rows are {8 * 4 * n_rows / 2**30:.2f}")
        order = np.argsort(estimate.mixture.means[:, 0])
        away = estimate.mixture.means[order] - truth.means[np.argsort(truth.means[:, 0])]
        print(f"means off the truth by {np.abs(away).max():.1e} at most")


def on_cluster(n_rows: int) -> None:
    import dask.array as da
    from distributed import Client, LocalCluster

    truth = mixture(5, 4)
    rows = truth.simulate(n_rows, np.random.default_rng(1))[0]
    chunk = -(-n_rows // 8)
    in_memory = Table.to_fit(rows)
    with limited_to(1):
        alone, spread = timed(expectation, truth, in_memory, repeats=5)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as workers, Client(workers):
        table = LargeTable.to_fit(da.from_array(rows, chunks=(chunk, 4)))
        expectation(truth, table)
        together, range_ = timed(expectation, truth, table, repeats=5)
        nothing, _ = timed(partial(table.sum_over, _nothing), repeats=5)
    print(f"{n_rows:.0e} x 4, K = 5: one thread {alone:.3f} s (range {spread:.3f}), two workers {together:.3f} "
          f"({range_:.3f}): {alone / together:.2f} times; a pass that does nothing {nothing:.3f}")  # fmt: skip


def _nothing(chunk: Chunk) -> float:
    return 0.0


def beside_sklearn() -> None:
    for n_rows, n_features, n_components in ((100_000, 2, 5), (100_000, 10, 8), (1_000_000, 5, 10)):
        x = mixture(n_components, n_features).simulate(n_rows, np.random.default_rng(1))[0]
        bg.find_MAP(bg.build_model(x[:1000], n_components), n_init=1, random_seed=0, progressbar=False)  # compiled
        ratios = []
        for seed in range(3):
            began = time.perf_counter()
            theirs = GaussianMixture(n_components, n_init=5, random_state=seed, max_iter=1000).fit(x)
            middle = time.perf_counter()
            ours = bg.find_MAP(bg.build_model(x, n_components), n_init=5, random_seed=seed, progressbar=False)
            ended = time.perf_counter()
            ratios.append((middle - began) / (ended - middle))
            gain = ours.log_likelihood - theirs.score(x) * n_rows
            print(f"({n_rows}, {n_features}, {n_components}): scikit-learn {middle - began:.2f} s, ours "
                  f"{ended - middle:.2f}, {ratios[-1]:.1f} times; {gain:+.2f} nats", flush=True)  # fmt: skip
        print(f"  median {np.median(ratios):.1f}, {min(ratios):.1f} to {max(ratios):.1f}", flush=True)


def gaussian() -> None:
    for n_rows, n_features, n_components in ((1_000, 2, 3), (10_000, 5, 4), (100_000, 2, 3), (100_000, 10, 8)):
        x = mixture(n_components, n_features).simulate(n_rows, np.random.default_rng(1))[0]
        model = bg.build_model(x, n_components)
        estimate = bg.find_MAP(model, random_seed=1, n_init=5, progressbar=False)
        times = {}
        for likelihood in ("gaussian", "exact"):
            if n_rows * n_features > 500_000 and likelihood == "exact":
                continue
            began = time.perf_counter()
            dt = bg.sample(
                model, estimate=estimate, start="heaviest", likelihood=likelihood, draws=250, random_seed=1,
                progressbar=False,
            )  # fmt: skip
            times[likelihood] = time.perf_counter() - began
            if likelihood == "gaussian":
                pareto_k = dt["posterior"].attrs["pareto_k"]
        said = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items())
        print(f"({n_rows}, {n_features}, {n_components}): Pareto k {pareto_k:.2f}; 4 x 250 draws: {said}", flush=True)


def main() -> None:
    warnings.simplefilter("ignore")
    what, *rest = sys.argv[1:] or [""]
    if what == "zarr":
        in_zarr(int(float(rest[0])) if rest else 100_000_000)
    elif what == "cluster":
        on_cluster(int(float(rest[0])) if rest else 10_000_000)
    elif what == "sklearn":
        beside_sklearn()
    elif what == "gaussian":
        gaussian()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
