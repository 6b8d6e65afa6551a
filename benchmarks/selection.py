"""How often criteria find the true number of components, on simulated tables; writes docs/selection.csv.

    python benchmarks/selection.py [number of tables] [of these, with evidence]

A table is done once: remove docs/selection.csv to begin anew.

Each table has 2 to 6 components of one of the four covariance structures in 2 to 4 features, with centres from a
normal distribution of 3 or 6 standard deviations, and 40 or 120 rows a component. Ours: the least BIC, ICL and AIC of
36 models that are sound, BIC of any that have not collapsed, and of the three of the least BIC that of the highest
evidence. Beside them scikit-learn's loop over BIC
with its default of one start, the components that its BayesianGaussianMixture (of 9, default priors) gives rows, and
mclust's BIC of its models EEE, VVV, VVI and VII, where R has it.
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
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

import bayesgmm as bg

NUMBERS = range(1, 10)
TYPES = ("full", "tied", "diag", "spherical")
OUT = Path(__file__).parents[1] / "docs" / "selection.csv"
MCLUST = """
suppressMessages(library(mclust))
for (i in 0:{last}) {{
  X <- as.matrix(read.csv(sprintf("{folder}/%d.csv", i)))
  seconds <- system.time(fit <- Mclust(X, G = 1:9, modelNames = c("EEE", "VVV", "VVI", "VII"), verbose = FALSE))[3]
  cat(i, fit$G, seconds, "\\n")
}}
"""


def table(index: int) -> tuple[np.ndarray, int, str, float, int]:
    """Rows, the number of components, the structure, how far apart, and rows a component."""
    rng = np.random.default_rng([2026, index])
    k, d = int(rng.integers(2, 7)), int(rng.integers(2, 5))
    structure, apart, rows = TYPES[index % 4], (3.0, 6.0)[index // 4 % 2], (40, 120)[index // 8 % 2]
    means = apart * rng.normal(size=(k, d))
    factors = rng.normal(size=(k, d, d)) / np.sqrt(d)
    covariances = factors @ factors.swapaxes(1, 2) + 0.2 * np.eye(d)
    if structure == "tied":
        covariances[:] = covariances[0]
    if structure == "diag":
        covariances *= np.eye(d)
    if structure == "spherical":
        covariances = np.exp(rng.normal(0, 0.5, size=(k, 1, 1))) * np.eye(d)
    labels = rng.choice(k, size=rows * k, p=rng.dirichlet(np.full(k, 5.0)))
    x = np.array([rng.multivariate_normal(means[j], covariances[j]) for j in labels])
    return x, k, structure, apart, rows


def ours(x: np.ndarray, evidence: bool) -> dict[str, float]:
    began = time.perf_counter()
    selection = bg.select(x, n_components=NUMBERS, shortlist=0, random_seed=0, progressbar=False)
    found = {"seconds": time.perf_counter() - began}
    sound = selection.table[selection.table["sound"]]
    any_maximum = selection.table[~selection.table["doubts"].str.contains("collapsed")]
    found["bic_of_any"] = int(any_maximum.loc[any_maximum["bic"].idxmin(), "n_components"])
    charged = {name: (sound[name] + sound["spurious_penalty"]).idxmin() for name in ("bic", "icl", "aic")}
    found |= {name: int(sound.loc[row, "n_components"]) for name, row in charged.items()}
    found["structure"] = sound["covariance_type"].iloc[0]
    if evidence:
        best = [tuple(pair) for pair in sound[["n_components", "covariance_type"]].head(3).to_numpy()]
        asked = {"n_components": sorted({k for k, _ in best}), "covariances": sorted({name for _, name in best})}
        sampled = bg.select(x, shortlist=best, random_seed=0, progressbar=False, **asked).table
        usable = sampled[sampled["log_evidence"].notna() & (sampled["verdict"] != "fail")]
        found["evidence"] = usable.loc[usable["log_evidence"].idxmax(), "n_components"] if len(usable) else np.nan
    return found


def scikit_learns(x: np.ndarray) -> dict[str, float]:
    began = time.perf_counter()
    bic = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for structure in TYPES:
            for k in NUMBERS:
                fit = GaussianMixture(k, covariance_type=structure, random_state=0).fit(x)
                bic[k, structure] = fit.bic(x)
        seconds = time.perf_counter() - began
        bayesian = BayesianGaussianMixture(n_components=9, random_state=0, max_iter=1000).fit(x)
    best = min(bic, key=lambda model: bic[model])
    return {
        "sklearn_bic": best[0], "sklearn_structure": best[1], "sklearn_seconds": seconds,
        "sklearn_bayesian": len(np.unique(bayesian.predict(x))),
    }  # fmt: skip


def mclusts(n_tables: int) -> dict[int, dict[str, float]]:
    if shutil.which("Rscript") is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(n_tables):
            pd.DataFrame(table(i)[0]).to_csv(f"{folder}/{i}.csv", index=False)
        script = MCLUST.format(last=n_tables - 1, folder=folder)
        done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=False)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {int(i): {"mclust_bic": int(k), "mclust_seconds": float(seconds)} for i, k, seconds in lines}


def main(n_tables: int, n_evidence: int) -> None:
    theirs = mclusts(n_tables)
    rows = pd.read_csv(OUT).to_dict("records") if OUT.exists() else []
    done = {row["table"] for row in rows}
    for i in range(n_tables):
        if i in done:
            continue
        x, k, structure, apart, per = table(i)
        # Spread over the designs.
        with_evidence = i % max(1, n_tables // max(n_evidence, 1)) == 0 and n_evidence > 0
        row = {"table": i, "true": k, "true_structure": structure, "apart": apart, "rows": per, "features": x.shape[1]}
        rows.append(row | ours(x, with_evidence) | scikit_learns(x) | theirs.get(i, {}))
        pd.DataFrame(rows).to_csv(OUT, index=False, float_format="%.4g")
        print(rows[-1], flush=True)
    summarise(pd.DataFrame(rows))


def summarise(found: pd.DataFrame) -> None:
    criteria = ("bic", "bic_of_any", "icl", "aic", "evidence", "sklearn_bic", "sklearn_bayesian", "mclust_bic")
    names = [name for name in criteria if name in found]
    for by, group in [("all", found), *found.groupby(["apart", "rows"])]:
        said = []
        for name in names:
            own = group[group[name].notna()]
            off = own[name] - own["true"]
            said.append(f"{name} {(off == 0).mean():.0%} (fewer {(off < 0).mean():.0%}, n {len(own)})")
        print(by, "; ".join(said))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or (100, 25)))
