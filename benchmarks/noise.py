"""Clusters among uniform noise: whether intervals hold its share, and whose clusters are right; writes docs/noise.csv.

    python benchmarks/noise.py [number of tables]

Tables of 300 rows with 2 to 4 components in 2 to 4 features, of which a tenth, give or take chance, is uniform over
the bounding box of the others. Ours: NUTS with `noise=True`, the 89 % interval of the share, and the adjusted Rand
index of the labels of `assignments`, noise being a cluster of its own; also that of the rows of clusters alone. Beside
it mclust with the true noise for a first guess of it, which no user has: of the same covariance structure ("VVV"), and
of the one that its BIC prefers. Aim: intervals cover, and an index at least mclust's.
"""

import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import adjusted_rand_score

import bayesgmm as bg

OUT = Path(__file__).parents[1] / "docs" / "noise.csv"
ROWS, SHARE, INTERVAL = 300, 0.1, 0.89
# Standard deviations between centres, at least.
APART = 4.0
DRAWS = {"draws": 300, "chains": 2, "cores": 1, "progressbar": False}
MCLUST = """
suppressMessages(library(mclust))
for (i in 0:{last}) {{
  X <- as.matrix(read.csv(sprintf("{folder}/%d.csv", i)))
  what <- X[, ncol(X)]
  X <- X[, -ncol(X)]
  for (models in list("VVV", NULL)) {{
    args <- list(data = X, G = max(what), initialization = list(noise = which(what == 0)), verbose = FALSE)
    if (!is.null(models)) args$modelNames <- models
    fit <- do.call(Mclust, args)
    if (is.null(fit)) fit <- list(classification = rep(0, nrow(X)))
    cat(i, fit$classification, "\\n")
  }}
}}
"""


def table(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and the component of each, -1 where it is noise."""
    rng = np.random.default_rng([2029, index])
    k, d = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    factors = rng.normal(size=(k, d, d)) / np.sqrt(d)
    covariances = factors @ factors.swapaxes(1, 2) + 0.3 * np.eye(d)
    # Drawn until they lie apart.
    while True:
        means = APART * rng.normal(size=(k, d))
        if min(np.linalg.norm(means[a] - means[b]) for a in range(k) for b in range(a)) >= APART:
            break
    of = rng.choice(k, size=ROWS, p=rng.dirichlet(np.full(k, 20.0)))
    x = np.array([rng.multivariate_normal(means[j], covariances[j]) for j in of])
    noise = rng.random(ROWS) < SHARE
    low, high = x[~noise].min(axis=0), x[~noise].max(axis=0)
    x[noise] = rng.uniform(low, high, size=(int(noise.sum()), d))
    return x, np.where(noise, -1, of)


def indices(of: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Adjusted Rand indices: of all rows, and of those of clusters."""
    return adjusted_rand_score(of, found), adjusted_rand_score(of[of >= 0], found[of >= 0])


def ours(x: np.ndarray, of: np.ndarray, seed: int) -> dict[str, float | str]:
    began = time.perf_counter()
    model = bg.build_model(x, int(of.max()) + 1, resolution=None, noise=True)
    estimate = bg.find_MAP(model, random_seed=seed, progressbar=False)
    dt = bg.sample(model, start=estimate, random_seed=seed, **DRAWS)
    share = dt["posterior"]["noise"].values
    lower, upper = np.quantile(share, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    seconds = time.perf_counter() - began
    index, of_clusters = indices(of, bg.assignments(dt, progressbar=False)["label"].values)
    return {
        "share": share.mean(), "lower": lower, "upper": upper, "covered": bool(lower <= SHARE <= upper),
        "index": index, "index_of_clusters": of_clusters, "verdict": bg.diagnose(dt).verdict, "seconds": seconds,
    }  # fmt: skip


def mclusts(tables: list[tuple[np.ndarray, np.ndarray]]) -> list[dict[str, float]]:
    if shutil.which("Rscript") is None:
        return [{} for _ in tables]
    with tempfile.TemporaryDirectory() as folder:
        for i, (x, of) in enumerate(tables):
            pd.DataFrame(x).assign(what=of + 1).to_csv(f"{folder}/{i}.csv", index=False)
        script = MCLUST.format(last=len(tables) - 1, folder=folder)
        done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=True)
    found: list[dict[str, float]] = [{} for _ in tables]
    for line in done.stdout.splitlines():
        i, *labels = map(int, line.split())
        name = "mclust_vvv" if "mclust_vvv" not in found[i] else "mclust"
        found[i] |= dict(zip((name, f"{name}_of_clusters"), indices(tables[i][1], np.array(labels)), strict=True))
    return found


def main(n_tables: int) -> None:
    warnings.simplefilter("ignore")
    tables = [table(i) for i in range(n_tables)]
    rows = []
    for i, ((x, of), theirs) in enumerate(zip(tables, mclusts(tables), strict=True)):
        row = {"table": i, "n_components": int(of.max()) + 1, "n_features": x.shape[1], "noise": (of < 0).mean()}
        rows.append(row | ours(x, of, i) | theirs)
        pd.DataFrame(rows).to_csv(OUT, index=False, float_format="%.4g")
        if i % 10 == 9:
            summarise(pd.DataFrame(rows))
    summarise(pd.DataFrame(rows))


def summarise(found: pd.DataFrame) -> None:
    n, held = len(found), int(found["covered"].sum())
    chance = binomtest(held, n, INTERVAL).pvalue
    print(f"{n} tables: {held} intervals hold the share, {held / n:.0%}, of {INTERVAL:.0%} (p = {chance:.2g})")
    for of_what, own in (("all rows", ""), ("rows of clusters", "_of_clusters")):
        index = found[f"index{own}"]
        said = [f"ours {index.mean():.3f}"]
        for name in ("mclust_vvv", "mclust"):
            if name in found:
                less = index - found[f"{name}{own}"]
                said.append(
                    f"{name} {found[name + own].mean():.3f} (ours less it {less.mean():+.4f}, se {less.sem():.4f}, "
                    f"ours higher {(less > 1e-9).sum()}, lower {(less < -1e-9).sum()})"
                )
        print(f"  adjusted Rand index of {of_what}: " + ", ".join(said))
    print(
        "  verdicts", dict(found["verdict"].value_counts()), "seconds", round(found["seconds"].median(), 1), flush=True
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or (50,)))
