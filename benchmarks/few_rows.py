"""Tables of 12 to 70 rows, most of them without clusters, by default: divergences, effective draws, verdicts.

    python benchmarks/few_rows.py    # writes docs/few_rows.csv

R's tables, and rows of one Gaussian or of clusters 5 apart. Drawn "once", with the steps that are the default; "by
default", where chains in which too many draws diverge are drawn again with smaller steps; and "as advised", with as
many draws as the diagnosis then asks for. Seed 1.
"""

import re
import sys
import time
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from data_sets import DataSet, of_r
from measure import RESULTS

import bayesgmm as bg
from bayesgmm.sampling import nuts

OUT = RESULTS.parents[1] / "docs" / "few_rows.csv"
TABLES_OF_R = (
    "attitude", "stackloss", "cluster::agriculture", "longley", "data.frame(precip)", "MASS::Rubber", "USArrests",
    "trees", "MASS::hills", "data.frame(MASS::chem)", "mtcars", "rock", "swiss", "cars", "LifeCycleSavings",
)  # fmt: skip
# Rows, features, components.
SHAPES = (
    (12, 1, 2), (20, 1, 2), (40, 1, 2), (20, 2, 2), (40, 2, 2), (30, 4, 2), (60, 4, 3), (40, 8, 2), (25, 3, 2),
    (70, 1, 3), (60, 10, 2), (15, 2, 2),
)  # fmt: skip
APART = 0, 5


def tables() -> Iterator[DataSet]:
    for name in TABLES_OF_R:
        frame = of_r("invisible()", name)
        if frame is not None:
            yield DataSet(name, frame.select_dtypes("number").to_numpy(dtype=float), None, 2)
    for i, (n, d, k) in enumerate(SHAPES):
        for apart in APART:
            rng = np.random.default_rng([77, i, apart])
            centres = rng.normal(size=(k, d)) * apart / np.sqrt(2 * d)
            factors = rng.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d) / 2
            labels = rng.choice(k, n)
            x = centres[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n, d)))
            yield DataSet(f"{n} x {d}, K = {k}, {apart} apart", x, labels, k)


def figures(estimate: bg.MapEstimate, draws: int = 1000) -> tuple[dict[str, object], bg.Diagnosis]:
    began = time.perf_counter()
    dt = bg.sample(estimate.problem.model, estimate=estimate, draws=draws, random_seed=1, progressbar=False)
    seconds = time.perf_counter() - began
    diagnosis = bg.diagnose(dt)
    table = diagnosis.table["value"]
    return {
        "draws": draws,
        "target": dt.attrs["target_accept"],
        "diverging": int(dt["sample_stats"]["diverging"].sum()),
        "effective": table[table.index.str.contains("ESS")].min(),
        "verdict": diagnosis.verdict,
        "seconds": seconds,
    }, diagnosis


def main() -> None:
    warnings.simplefilter("ignore")
    smaller, rows = nuts.SMALLER_STEPS, []
    for data in tables():
        estimate = bg.find_MAP(bg.build_model(data.x, data.n_components), random_seed=1, progressbar=False)
        about = {"set": data.name, "rows": len(data.x), "features": data.x.shape[1], "components": data.n_components}
        nuts.SMALLER_STEPS = ()
        rows.append(about | {"drawn": "once"} | figures(estimate)[0])
        nuts.SMALLER_STEPS = smaller
        found, diagnosis = figures(estimate)
        rows.append(about | {"drawn": "by default"} | found)
        advised = re.search(r"draws=(\d+)", " ".join(diagnosis.reasons))
        if advised:
            rows.append(about | {"drawn": "as advised"} | figures(estimate, int(advised[1]))[0])
        print(*rows[-3:], sep="\n", flush=True)
        pd.DataFrame(rows).to_csv(OUT, index=False, float_format="%.4g")


if __name__ == "__main__":
    sys.exit(main())
