"""What a new user is told by default, held against what is known of the tables.

    python benchmarks/answers.py separation few labels agreement

separation: three clusters of 100 rows, standard deviations 1, ever further apart: standard deviations at the mode
    beside those of each cluster's own rows, and how often 89 % intervals (NUTS) hold the truth; scales 1 : 100.
few: two clusters of few rows of many features, apart in one of them: adjusted Rand indices, and the standard deviation
    in that feature as a share of the rows'.
labels: adjusted Rand indices of the default fit (NUTS) and of the mode, on all tables with known classes, beside
    scikit-learn's ``n_init=10``.
others: the same on tables of R's packages by which no default was chosen.
overlap: the same on 80 simulated tables whose clusters overlap, with log-densities of new rows of the same clusters.
probabilities: of new rows of these 80 tables, how often the most probable component is right, by its probability.
agreement: of seeds 0 to 7, and of five random rotations of wine.
"""

import sys
import time
import warnings
from itertools import pairwise

import numpy as np
from data_sets import DataSet, from_r, others, overlapping, real, simulated
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import special_ortho_group
from sklearn.datasets import load_iris, load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

import bayesgmm as bg

APART = (6, 20, 60, 200, 1000)
SETS = 20


def _mode(x: np.ndarray, n_components: int, seed: int = 0) -> bg.MapEstimate:
    return bg.find_MAP(bg.build_model(x, n_components), random_seed=seed, progressbar=False)


def _in_order(values: np.ndarray, means: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Values of components, (K, ...), in the order of the clusters."""
    return values[linear_sum_assignment(cdist(centres, means))[1]]


def _deviation(x: list[np.ndarray], centres: np.ndarray, estimate: bg.MapEstimate) -> float:
    """The most that a standard deviation at the mode differs from that of its cluster's rows, as a share of it."""
    mixture = estimate.mixture
    scales = np.sqrt(np.einsum("kii->ki", mixture.full_covariances))
    return np.abs(_in_order(scales, mixture.means, centres) / [rows.std(axis=0) for rows in x] - 1).max()


def separation() -> None:
    print(
        "apart | largest deviation of a standard deviation at the mode from its rows' | 89 % intervals cover | verdicts"
    )
    for apart in APART:
        centres = np.array([(0.0, 0.0), (apart, 0.0), (0.0, apart)])
        off, covered, verdicts = [], [], []
        for i in range(SETS):
            rng = np.random.default_rng([apart, i])
            parts = [rng.normal(c, 1.0, size=(100, 2)) for c in centres]
            estimate = _mode(np.concatenate(parts), 3)
            off.append(_deviation(parts, centres, estimate))
            dt = bg.sample(estimate.problem.model, start=estimate, random_seed=0, progressbar=False)
            posterior = dt["posterior"].dataset
            low, high = (np.sqrt(posterior["variances"].quantile(p, ("chain", "draw"))).values for p in (0.055, 0.945))
            # All the truths are 1, so the order of the components does not matter.
            covered.append(((low <= 1) & (high >= 1)).mean())
            verdicts.append(bg.diagnose(dt).verdict)
        said = ", ".join(f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts)))
        print(f"{apart} | {max(off):.1%} (mean {np.mean(off):.1%}) | {np.mean(covered):.1%} | {said}", flush=True)
    off, centres = [], np.array([(0, 0), (300, 0)])
    for i in range(SETS):
        rng = np.random.default_rng([100, i])
        parts = [rng.normal(c, scale, size=(50, 2)) for c, scale in zip(centres, (1, 100), strict=True)]
        off.append(_deviation(parts, centres, _mode(np.concatenate(parts), 2)))
    print(f"scales 1 : 100: largest deviation {max(off):.1%}, mean {np.mean(off):.1%}")


def few() -> None:
    print("rows x features, apart | adjusted Rand index at the mode | scikit-learn's | standard deviation / its rows'")
    for n, d, apart in ((12, 6, 6), (12, 6, 12), (20, 8, 8), (25, 10, 10), (25, 10, 20), (30, 12, 20), (60, 12, 8)):
        found = []
        for seed in range(8):
            rng = np.random.default_rng([n, d, apart, seed])
            parts = rng.normal(size=(2, n, d))
            parts[1, :, 0] += apart
            x, classes = np.concatenate(parts), np.repeat([0, 1], n)
            mixture = _mode(x, 2).mixture
            plain = GaussianMixture(2, n_init=10, random_state=0).fit(x)
            labels = mixture.responsibilities(x).argmax(axis=1), plain.predict(x)
            wide = np.sqrt(mixture.full_covariances[:, 0, 0].mean() / parts[:, :, 0].var(axis=1).mean())
            found.append([*(adjusted_rand_score(classes, own) for own in labels), wide])
        print(
            f"{n} + {n} x {d}, {apart} | " + " | ".join(f"{v:.2f}" for v in np.median(found, axis=0)),
            np.mean(np.array(found)[:, 0] > 0.9),
            flush=True,
        )


def labels(*tables: DataSet) -> None:
    print("table | rows x features, K | index of the default fit | of the mode | of scikit-learn | verdict | seconds")
    found = []
    for data in tables or [*simulated(), *from_r(), *real()]:
        if data.classes is None:
            continue
        began = time.perf_counter()
        fitted = bg.GaussianMixture(data.n_components, random_state=0).fit(data.x)
        took = time.perf_counter() - began
        plain = GaussianMixture(data.n_components, n_init=10, random_state=0).fit(data.x)
        at_mode = _mode(data.x, data.n_components).mixture.responsibilities(data.x).argmax(axis=1)
        predicted = (fitted.predict(data.x), at_mode, plain.predict(data.x))
        found.append([adjusted_rand_score(data.classes, own) for own in predicted])
        scores = " | ".join(f"{score:.2f}" for score in found[-1])
        shape = f"{data.x.shape[0]} x {data.x.shape[1]}, {data.n_components}"
        print(f"{data.name} | {shape} | {scores} | {bg.diagnose(fitted).verdict} | {took:.1f}", flush=True)
    # To the second digit, as scores are read.
    scores = np.round(found, 2)
    for name, column in (("default fit", 0), ("mode", 1)):
        ahead = scores[:, column] - scores[:, 2]
        print(f"{name}: level or ahead on {(ahead >= 0).sum()} of {len(ahead)}; mean difference {ahead.mean():+.3f}")


def overlap() -> None:
    print("table | rows x features, K | by the true densities | default fit | mode | scikit-learn | verdict | held out")
    for uneven in (False, True):
        scores, densities = [], []
        for data, held_out, best in overlapping(uneven):
            fits = [
                bg.GaussianMixture(data.n_components, random_state=0).fit(data.x),
                bg.GaussianMixture(data.n_components, random_state=0, inference="map").fit(data.x),
                GaussianMixture(data.n_components, n_init=10, random_state=0).fit(data.x),
            ]
            predicted = [best, *(fit.predict(data.x) for fit in fits)]
            scores.append([adjusted_rand_score(data.classes, own) for own in predicted])
            densities.append([fit.score(held_out) for fit in fits])
            shape = f"{data.x.shape[0]} x {data.x.shape[1]}, {data.n_components}"
            said = " | ".join(f"{v:.2f}" for v in scores[-1])
            held = " ".join(f"{v:.3f}" for v in densities[-1])
            print(f"{data.name} | {shape} | {said} | {bg.diagnose(fits[0]).verdict} | {held}", flush=True)
        found = np.round(scores, 2)
        level = (found[:, 1:3] >= found[:, 3:]).sum(axis=0)
        means = [np.mean(v, axis=0).round(3) for v in (scores, densities)]
        print(f"{'un' * uneven}even: indices {means[0]}, held out {means[1]}")
        print(f"default fit level or ahead on {level[0]}, mode on {level[1]} of {len(found)}")


def probabilities() -> None:
    """Whether the largest probabilities of new rows are as often right as they say, components matched to clusters."""
    found: dict[str, list[np.ndarray]] = {}
    for data, held_out, _ in (table for uneven in (False, True) for table in overlapping(uneven)):
        k, classes = data.n_components, np.repeat(np.arange(data.n_components), 5 * np.bincount(data.classes))
        drawn = bg.GaussianMixture(k, random_state=0).fit(data.x)
        verdict = bg.diagnose(drawn).verdict
        fits = {
            "default": drawn,
            "mode": bg.GaussianMixture(k, random_state=0, inference="map").fit(data.x),
            "scikit-learn": GaussianMixture(k, n_init=10, random_state=0).fit(data.x),
        }
        for name, fit in fits.items():
            probability = fit.predict_proba(held_out)
            hits = np.array([probability[classes == own].sum(axis=0) for own in range(k)])
            clusters, components = linear_sum_assignment(-hits)
            cluster_of = clusters[np.argsort(components)]
            right = cluster_of[probability.argmax(axis=1)] == classes
            found.setdefault(f"{verdict}, {name}", []).append(np.stack([probability.max(axis=1), right], axis=1))
    edges = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1 + 1e-9)
    print("fit | tables | " + " | ".join(f"{low:.2f} to {min(high, 1):.2f}" for low, high in pairwise(edges)))
    for name, tables in sorted(found.items()):
        said, right = np.concatenate(tables).T
        bins = [(said >= low) & (said < high) for low, high in pairwise(edges)]
        print(f"{name} | {len(tables)} | " + " | ".join(f"{said[b].mean():.2f}: {right[b].mean():.2f}" for b in bins))


def agreement() -> None:
    for name, x, k in (("iris", load_iris().data, 3), ("wine", load_wine().data, 3)):
        found = [_mode(x, k, seed).log_posterior for seed in range(8)]
        print(f"{name}, seeds 0 to 7: log posterior within {np.ptp(found):.2g} nats")
    x = load_wine().data
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    densities = []
    for seed in range(5):
        turned = x @ special_ortho_group.rvs(x.shape[1], random_state=seed)
        densities.append(_mode(turned, 3).mixture.log_density(turned).mean())
    print(f"wine, five rotations: log-density a row within {np.ptp(densities):.2g} nats")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for wanted in sys.argv[1:] or ["separation", "few", "labels", "others", "overlap", "probabilities", "agreement"]:
        {
            "separation": separation, "few": few, "labels": labels, "others": lambda: labels(*others()),
            "overlap": overlap, "probabilities": probabilities, "agreement": agreement,
        }[wanted]()  # fmt: skip
