"""How often a search reaches the best optimum known, over 200 tables: ours by default, and scikit-learn's.

    python benchmarks/starts.py --out docs/starts.csv            # both, beside a search of 200 starts
    python benchmarks/starts.py --out before.csv --default-only  # the default search alone, of another commit
    python benchmarks/starts.py --out docs/starts.csv --known before.csv  # the default search, and all else from a file

The best known of a table is the best of the default search and of one with 200 starts of all kinds and another seed.
For scikit-learn, which maximises the likelihood, it is the best of ``n_init=10``, of ``n_init=40`` with another seed,
and of EM from our best optimum. A table is done once: tables that the file already has are passed over.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from data_sets import DataSet, from_r, real, simulated
from sklearn.mixture import GaussianMixture

import bayesgmm as bg

SIMULATED = 176
REACHED = 0.1


def random_mixtures(n: int, seed: int = 1) -> Iterator[DataSet]:
    """K = 3 to 20, D = 2 to 20, condition numbers of the covariances to 1e4, sizes to 100 : 1, near and far apart."""
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        k, d = int(rng.integers(3, 21)), int(rng.choice([2, 2, 3, 4, 5, 6, 8, 10, 15, 20]))
        spread, ratio, apart = 10 ** rng.uniform(0, 2), 10 ** rng.uniform(0, 2), rng.uniform(1, 4)
        sizes = np.geomspace(1, ratio, k)
        sizes *= rng.uniform(1, 3) * max(3 * d, 20) / sizes.mean()
        sizes = np.maximum(d + 2, sizes * min(1.0, 3000 / sizes.sum())).astype(int)
        rng.shuffle(sizes)
        parts = []
        for size in sizes:
            directions = np.linalg.qr(rng.normal(size=(d, d)))[0]
            scales = np.geomspace(1, spread, d)
            scales *= np.exp(rng.normal(0, 0.5)) / np.exp(np.log(scales).mean())
            centre = apart * k ** (1 / d) * rng.normal(size=d)
            parts.append(rng.multivariate_normal(centre, (directions * scales**2) @ directions.T, size=size))
        yield DataSet(f"random {i}", np.concatenate(parts), np.repeat(np.arange(k), sizes), k)


def by_default(data: DataSet, seed: int = 0) -> dict:
    """The default search."""
    model = bg.build_model(data.x, data.n_components)
    began = time.perf_counter()
    estimate = bg.find_MAP(model, random_seed=seed, progressbar=False)
    seconds = time.perf_counter() - began
    starts = estimate.starts
    row = {
        "set": data.name, "rows": len(data.x), "features": data.x.shape[1], "components": data.n_components,
        "log_posterior": estimate.log_posterior, "seconds": seconds, "starts": len(starts),
    }  # fmt: skip
    if getattr(starts, "kind", ()):
        row |= {"at_best": starts.at_best, "best_kind": starts.kind[starts.best]}
    return row


def compared(data: DataSet) -> dict:
    """The default search, a long one, and scikit-learn's."""
    row = by_default(data)
    long = bg.find_MAP(bg.build_model(data.x, data.n_components), n_init=200, random_seed=1000, progressbar=False)
    best = max(row["log_posterior"], long.log_posterior)
    mixture = long.mixture
    began = time.perf_counter()
    plain = GaussianMixture(data.n_components, n_init=10, random_state=0).fit(data.x)
    seconds = time.perf_counter() - began
    known = [
        plain.score(data.x),
        GaussianMixture(data.n_components, n_init=40, random_state=1).fit(data.x).score(data.x),
    ]
    ours = GaussianMixture(
        data.n_components, weights_init=mixture.weights / mixture.weights.sum(), means_init=mixture.means,
        precisions_init=np.linalg.inv(mixture.full_covariances),
    )  # fmt: skip
    known.append(ours.fit(data.x).score(data.x))
    return row | {
        "below_best": best - row["log_posterior"], "sklearn_below_best": (max(known) - known[0]) * len(data.x),
        "sklearn_seconds": seconds, "long_kind": long.starts.kind[long.starts.best],
    }  # fmt: skip


def beside_known(data: DataSet, known: pd.DataFrame) -> dict:
    """The default search, with the best known and scikit-learn's figures from an earlier run's row of the table."""
    row, before = by_default(data), known.loc[data.name]
    best = max(row["log_posterior"], before["log_posterior"] + before["below_best"])
    kept = ("sklearn_below_best", "sklearn_seconds", "long_kind")
    return row | {"below_best": best - row["log_posterior"]} | {name: before[name] for name in kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--default-only", action="store_true")
    parser.add_argument("--known", type=Path, help="file of an earlier run with the best known, on this machine")
    parser.add_argument("--simulated", type=int, default=SIMULATED)
    parser.add_argument("--every", type=int, default=1, help="of the tables only every so many")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = pd.read_csv(given.out).to_dict("records") if given.out.exists() else []
    done = {row["set"] for row in rows}
    tables = [*real(), *from_r(), *simulated(), *random_mixtures(given.simulated)]
    known = None if given.known is None else pd.read_csv(given.known).drop_duplicates("set").set_index("set")
    for data in tables[:: given.every]:
        if data.name in done or data.x.shape[0] * data.n_components * data.x.shape[1] ** 2 > 3e6:
            continue
        if known is not None:
            if data.name in known.index:
                rows.append(beside_known(data, known))
        else:
            rows.append(by_default(data) if given.default_only else compared(data))
        pd.DataFrame(rows).to_csv(given.out, index=False, float_format="%.9g")
        print(rows[-1:], flush=True)
    table = pd.DataFrame(rows)
    print(f"{len(table)} tables, {table['seconds'].sum():.0f} s")
    for name in ("below_best", "sklearn_below_best"):
        if name in table:
            short = table[name][table[name] >= REACHED]
            reached = 1 - len(short) / len(table)
            print(f"{name}: reached on {reached:.1%}; median shortfall of the rest {short.median():.1f} nats")


if __name__ == "__main__":
    main()
