"""How a default fit grows with features and components, on blobs far apart; beside ``pm.Mixture`` with nutpie.

    python benchmarks/growth.py ours      # seconds of MAP, NUTS, relabelling, diagnosis; verdict; gradient and floor
    python benchmarks/growth.py theirs    # pm.Mixture of MvNormal with nutpie, stopped after ten minutes a shape
    python benchmarks/growth.py           # both; "1000,2,5" as an argument: that shape alone

Every shape is timed in a process of its own, warm: what is compiled has been compiled in an earlier process. A
sampler's score is the smallest bulk effective sample size of weights, means and covariances over the seconds of tuning
and sampling. The gradient is that which the sampler calls, one thread, least of five.
"""

import json
import multiprocessing
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from gradient import as_c, floor
from measure import RESULTS, machine, seconds
from problems import pymc_mixture
from sampling import smallest_ess

SHAPES = [*((1_000, d, 5) for d in (2, 5, 10, 20, 30)), *((2_000, d, k) for d in (2, 5) for k in (3, 5, 10, 20))]
OUT = RESULTS.parents[1] / "docs" / "growth.csv"
KEY = ["rows", "features", "components"]
LIMIT = 600
CHAINS, DRAWS = 4, 1_000


def blobs(n_rows: int, n_features: int, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of equal spherical clusters, standard deviation 1, centres at least 8 apart, and their labels."""
    rng = np.random.default_rng([n_rows, n_features, n_components])
    side = 8.0 * n_components ** (1 / n_features)
    centres: list[np.ndarray] = []
    while len(centres) < n_components:
        centre = rng.uniform(-side, side, size=n_features)
        if all(np.linalg.norm(centre - other) > 8 for other in centres):
            centres.append(centre)
    labels = np.arange(n_rows) % n_components
    return np.array(centres)[labels] + rng.normal(size=(n_rows, n_features)), labels


def lap(call: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    made = call()
    return made, time.perf_counter() - began


def ours(shape: tuple[int, int, int]) -> dict[str, Any]:
    from sklearn.metrics import adjusted_rand_score

    import bayesgmm as bg
    from bayesgmm.data import cores
    from bayesgmm.search.problem import Problem

    x, labels = blobs(*shape)
    model, build = lap(lambda: bg.build_model(x, shape[2]))
    estimate, search = lap(lambda: bg.find_MAP(model, random_seed=0, progressbar=False))
    drawn, nuts = lap(lambda: bg.sample(model, estimate=estimate, random_seed=0, relabel=None, progressbar=False))
    dt, relabel = lap(lambda: bg.relabel(drawn))
    diagnosis, diagnose = lap(lambda: bg.diagnose(dt))
    posterior = dt["posterior"].dataset.transpose("chain", "draw", ...)
    ess = smallest_ess({name: posterior[name].values for name in ("weights", "means", "covariances")})
    problem = Problem.of(model)
    with cores.limited_to(1):
        call = as_c(problem, problem.unconstrained(estimate.mixture))
        call()
        gradient = min(seconds(call) for _ in range(5))
    divergent = int(dt["sample_stats"]["diverging"].sum())
    return {
        "rows": shape[0], "features": shape[1], "components": shape[2], "parameters": estimate.q.size,
        "build": build, "map": search, "nuts": nuts, "relabel": relabel, "diagnose": diagnose,
        "ess": ess, "ess_a_second": ess / nuts, "divergent": divergent, "verdict": diagnosis.verdict,
        "ari": adjusted_rand_score(labels, bg.assignments(dt)["label"].values),
        "gradient_ms": 1e3 * gradient, "gradient_to_floor": gradient / floor(*shape),
    }  # fmt: skip


def theirs(shape: tuple[int, int, int]) -> dict[str, Any]:
    """Compiling is left out; started at the centres, so that no chain is in another labelling."""
    import nutpie

    x, labels = blobs(*shape)
    k, d = shape[2], shape[1]
    points = {
        "weights": np.full(k, 1 / k), "means": np.array([x[labels == j].mean(axis=0) for j in range(k)]),
        "variances": np.ones((k, d)), "correlation_cholesky": np.tile(np.eye(d), (k, 1, 1)),
    }  # fmt: skip
    compiled = nutpie.compile_pymc_model(pymc_mixture(x, k), initial_points=points, jitter_rvs=set())
    dt, took = lap(lambda: nutpie.sample(compiled, draws=DRAWS, chains=CHAINS, cores=2, seed=0, progress_bar=False))
    ess = smallest_ess({name: dt["posterior"][name].values for name in ("weights", "means", "covariances")})
    return {"pymc_nuts": took, "pymc_ess_a_second": ess / took}


def _serve(name: str, shape: tuple[int, int, int], pipe: Any) -> None:
    warnings.simplefilter("ignore")
    pipe.send({"ours": ours, "theirs": theirs}[name](shape))


def in_a_process(name: str, shape: tuple[int, int, int], limit: float) -> dict[str, Any] | None:
    """What a process of its own found; nothing where it failed, None where it was stopped after ``limit`` seconds."""
    mine, pipe = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(name, shape, pipe), daemon=True)
    process.start()
    pipe.close()
    try:
        return mine.recv() if mine.poll(limit) else None
    except EOFError:
        return {}
    finally:
        process.terminate()
        process.join()


def main() -> None:
    which = [name for name in sys.argv[1:] if "," not in name] or ["ours", "theirs"]
    asked = [tuple(map(int, shape.split(","))) for shape in sys.argv[1:] if "," in shape]
    table = pd.read_csv(OUT).set_index(KEY) if OUT.exists() else pd.DataFrame()
    rows = table.to_dict("index") if len(table) else {}
    for shape in asked or SHAPES:
        row = rows.setdefault(shape, {})
        if "ours" in which:
            in_a_process("ours", shape, 10 * LIMIT)
            row |= in_a_process("ours", shape, 10 * LIMIT) or {}
        if "theirs" in which:
            found = in_a_process("theirs", shape, LIMIT)
            stopped = {"pymc_nuts": np.inf, "pymc_ess_a_second": np.nan}
            row |= stopped if found is None else {name: found.get(name, np.nan) for name in stopped}
        print(shape, json.dumps(row, default=str), flush=True)
        kept = [dict(zip(KEY, key, strict=True)) | row for key, row in rows.items()]
        pd.DataFrame(kept).to_csv(OUT, index=False, float_format="%.4g")
    print(machine())


if __name__ == "__main__":
    main()
