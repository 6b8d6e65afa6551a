"""Iris with one row in twenty labelled: how many of the others get their species; writes docs/labels.csv.

    python benchmarks/labels.py [number of draws of labels]

Labels are drawn again until every species has one. Ours: `GaussianMixture(3, inference="map").fit(X, labels=...)`.
Beside it scikit-learn's SelfTrainingClassifier over a logistic regression and over a support vector machine with
probabilities, and its LabelSpreading with both kernels, all with their defaults on standardised features. Aim: ours at
least the best of theirs.
"""

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC

import bayesgmm as bg

OUT = Path(__file__).parents[1] / "docs" / "labels.csv"
LABELLED = 0.05


def drawn_labels(y: np.ndarray, index: int) -> np.ndarray:
    """Species of some rows, at least one of each; -1 of the others."""
    rng = np.random.default_rng([2028, index])
    n = round(LABELLED * len(y))
    while True:
        chosen = rng.choice(len(y), n, replace=False)
        if len(np.unique(y[chosen])) == len(np.unique(y)):
            return np.where(np.isin(np.arange(len(y)), chosen), y, -1)


def ours(x: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    gmm = bg.GaussianMixture(3, inference="map", random_state=seed, progressbar=False)
    return gmm.fit(x, labels=labels).predict(x)


def without_labels(x: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """The control: scikit-learn's mixture, each cluster named by its labelled rows, if it has some."""
    found = GaussianMixture(3, n_init=5, random_state=seed).fit_predict(x)
    named = np.zeros(3, dtype=int)
    for k in range(3):
        own = labels[(found == k) & (labels >= 0)]
        named[k] = np.bincount(own).argmax() if own.size else 0
    return named[found]


def theirs(model: Callable[[int], object]) -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
    def predicted(x: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
        z = StandardScaler().fit_transform(x)
        return model(seed).fit(z, labels).predict(z)

    return predicted


METHODS = {
    "bayesgmm": ours,
    "self_training_logistic": theirs(lambda seed: SelfTrainingClassifier(LogisticRegression())),
    "self_training_svc": theirs(lambda seed: SelfTrainingClassifier(SVC(probability=True, random_state=seed))),
    "label_spreading_rbf": theirs(lambda seed: LabelSpreading()),
    "label_spreading_knn": theirs(lambda seed: LabelSpreading(kernel="knn")),
    "mixture_without_labels": without_labels,
}


def main(n_draws: int) -> None:
    warnings.simplefilter("ignore")
    x, y = load_iris(return_X_y=True)
    rows = []
    for i in range(n_draws):
        labels = drawn_labels(y, i)
        others = labels < 0
        row: dict[str, float] = {"draw": i, "labelled": int((~others).sum())}
        for name, method in METHODS.items():
            began = time.perf_counter()
            row[name] = float((method(x, labels, i)[others] == y[others]).mean())
            if name == "bayesgmm":
                row["seconds"] = time.perf_counter() - began
        rows.append(row)
        pd.DataFrame(rows).to_csv(OUT, index=False, float_format="%.4g")
    found = pd.DataFrame(rows)
    for name in METHODS:
        own = found[name]
        less = found["bayesgmm"] - own
        print(
            f"{name}: accuracy {own.mean():.3f} (sd {own.std():.3f}, least {own.min():.3f}); "
            f"ours less it {less.mean():+.3f} (standard error {less.sem():.3f})"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or (20,)))
