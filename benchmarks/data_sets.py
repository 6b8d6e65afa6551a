"""Tables with which a default is chosen: real ones with known classes where there are some, and simulations."""

import io
import shutil
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import multivariate_normal
from sklearn import datasets
from sklearn.decomposition import PCA

import bayesgmm as bg


class DataSet(NamedTuple):
    """A table (N, D), its rows' classes (N,) where they are known, and the number of components to fit."""

    name: str
    x: np.ndarray
    classes: np.ndarray | None
    n_components: int


def real() -> Iterator[DataSet]:
    """Tables that scikit-learn and this package ship."""
    iris, wine, cancer = datasets.load_iris(), datasets.load_wine(), datasets.load_breast_cancer()
    yield DataSet("iris", iris.data, iris.target, 3)
    yield DataSet("wine", wine.data, wine.target, 3)
    yield DataSet("cancer, first 10", cancer.data[:, :10], cancer.target, 2)
    digits = datasets.load_digits()
    components = PCA(20, random_state=0).fit_transform(digits.data)
    yield DataSet("digits, 10 PCs", components[:, :10], digits.target, 10)
    yield DataSet("Old Faithful", bg.datasets.load_faithful().to_numpy(), None, 2)


def from_r() -> Iterator[DataSet]:
    """Tables of R's mclust and MASS; none where R or they are not installed."""
    wanted = {
        "diabetes": ("mclust", "class", None, 3),
        "banknote": ("mclust", "Status", None, 2),
        "thyroid": ("mclust", "Diagnosis", None, 3),
        "acidity": ("mclust", None, None, 2),
        "crabs": ("MASS", "sp:sex", ["FL", "RW", "CL", "CW", "BD"], 4),
        "fgl": ("MASS", "type", ["RI", "Na", "Mg", "Al", "Si", "Ca"], 4),
        "galaxies": ("MASS", None, None, 3),
    }
    for name, (package, classes, columns, n_components) in wanted.items():
        frame = of_r(f'data({name}, package="{package}")', f"as.data.frame({name})")
        if frame is None:
            continue
        labels = None
        if classes is not None:
            labels = pd.factorize(frame[classes.split(":")].astype(str).agg(" ".join, axis=1))[0]
            frame = frame.drop(columns=classes.split(":"))
        x = (frame if columns is None else frame[columns]).to_numpy(dtype=float)
        yield DataSet(name, x, labels, n_components)


# Tables that nothing here was chosen by: features and classes, in R.
OTHERS = {
    "ruspini": ("data(ruspini, package='cluster')", "ruspini", "rep(1:4, c(20, 23, 17, 15))"),
    "cats": ("data(cats, package='MASS')", "cats[2:3]", "cats$Sex"),
    "cars93": (
        "data(Cars93, package='MASS'); d <- Cars93", "d[c('Price', 'MPG.city', 'Horsepower', 'Weight', 'Wheelbase')]",
        "d$DriveTrain",
    ),
    "synth.tr": ("data(synth.tr, package='MASS')", "synth.tr[1:2]", "synth.tr$yc"),
    "chevron": ("data(chevron, package='mclust')", "chevron[2:3]", "chevron[[1]]"),
    "body": ("data(body, package='gclus')", "body[1:24]", "body$Gender"),
    "body, 8 features": ("data(body, package='gclus')", "body[1:8]", "body$Gender"),
    "Pima": (
        "data(PimaIndiansDiabetes2, package='mlbench'); d <- PimaIndiansDiabetes2",
        "d[c('glucose', 'pressure', 'triceps', 'insulin', 'mass', 'age')]", "d$diabetes",
    ),
    "biopsy": (
        "data(BreastCancer, package='mlbench'); d <- BreastCancer",
        "lapply(d[2:10], function(v) as.numeric(as.character(v)))", "d$Class",
    ),
    "ionosphere, 8 features": ("data(Ionosphere, package='mlbench'); d <- Ionosphere", "d[3:10]", "d$Class"),
    "sonar, 12 features": ("data(Sonar, package='mlbench'); d <- Sonar", "d[seq(1, 60, 5)]", "d$Class"),
    "vehicle": ("data(Vehicle, package='mlbench'); d <- Vehicle", "d[1:18]", "d$Class"),
    "vowel": ("data(Vowel, package='mlbench'); d <- Vowel", "lapply(d[2:10], as.numeric)", "d$Class"),
    "glass": ("data(Glass, package='mlbench'); d <- Glass", "d[1:9]", "d$Type"),
} | {
    name: (f"set.seed(1); d <- mlbench::mlbench.{call}", "d$x", "d$classes")
    for name, call in {
        "smiley": "smiley(500)", "shapes": "shapes(500)", "cassini": "cassini(500)", "2dnormals": "2dnormals(500)",
        "simplex": "simplex(600)", "ringnorm": "ringnorm(400, 4)", "twonorm": "twonorm(400, 6)",
        "threenorm": "threenorm(400, 5)", "waveform": "waveform(300)",
    }.items()
}  # fmt: skip


def others() -> Iterator[DataSet]:
    """Tables of R's mlbench, MASS, mclust, gclus and cluster by which no default was chosen; their complete rows."""
    for name, (before, x, classes) in OTHERS.items():
        frame = of_r(before, f"na.omit(data.frame(as.data.frame({x}), class=as.character({classes})))")
        if frame is not None:
            labels = pd.factorize(frame.pop("class"))[0]
            yield DataSet(name, frame.to_numpy(dtype=float), labels, labels.max() + 1)


def of_r(before: str, frame: str) -> pd.DataFrame | None:
    """A data frame of R; None where R or the package is not installed."""
    if shutil.which("Rscript") is None:
        return None
    script = f"{before}; write.csv({frame}, row.names=FALSE)"
    run = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True)
    return None if run.returncode else pd.read_csv(io.StringIO(run.stdout))


def _mixture(name, rng, sizes, means, covariances, far=None, n_components=None) -> DataSet:
    x = np.concatenate(
        [rng.multivariate_normal(m, c, size=n) for n, m, c in zip(sizes, means, covariances, strict=True)]
    )
    classes = np.repeat(np.arange(len(sizes)), sizes)
    if far is not None:
        x, classes = np.concatenate([x, [far]]), np.append(classes, len(sizes))
    return DataSet(name, x, classes, n_components or len(set(classes)))


def _turned(rng, n_features: int, condition: float) -> np.ndarray:
    """A covariance of determinant 1 in random directions, its standard deviations 1 : ``condition``."""
    directions = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    scales = np.geomspace(1, condition, n_features)
    return (directions * (scales / np.exp(np.log(scales).mean())) ** 2) @ directions.T


def simulated(seed: int = 0) -> Iterator[DataSet]:
    """Shapes of mixtures that no prior of ours made."""
    rng = np.random.default_rng(seed)
    eye = np.eye(2)
    for apart in (6, 60, 1000):
        yield _mixture(f"{apart} sds apart", rng, [100] * 3, [(0, 0), (apart, 0), (0, apart)], [eye] * 3)
    yield _mixture("scales 1 : 100", rng, [50, 50], [(0, 0), (300, 0)], [eye, 1e4 * eye])
    yield _mixture("a row far away", rng, [100, 100], [(0, 0), (6, 0)], [eye] * 2, far=(999, 999))
    yield _mixture("crossing", rng, [100, 100], [(0, 0)] * 2, [np.diag([25, 0.0625]), np.diag([0.0625, 25])])
    yield _mixture("nested", rng, [100, 100], [(0, 0)] * 2, [eye, 36 * eye])
    yield _mixture("sizes 15 : 1", rng, [300, 20], [(0, 0), (5, 0)], [eye] * 2)
    yield _mixture("overlapping", rng, [150, 150], [(0, 0), (2, 0)], [eye] * 2)
    correlated = np.array([[1, 0.99], [0.99, 1]])
    yield _mixture("correlations 0.99", rng, [80] * 3, [(0, 0), (1, -1), (2, 2)], [correlated] * 3)
    offsets = [np.zeros(5), np.r_[0.8, -0.8, 0, 0, 0], np.r_[0, 0, 0.8, -0.8, 0]]
    yield _mixture("correlations 0.99 of five", rng, [60] * 3, offsets, [0.01 * np.eye(5) + 0.99] * 3)
    shapes = [_turned(rng, 4, 10) for _ in range(3)]
    yield _mixture("elongated, 4 features", rng, [60] * 3, 4 * rng.normal(size=(3, 4)), shapes)
    shapes = [_turned(rng, 8, 30) for _ in range(4)]
    yield _mixture("elongated, 8 features", rng, [60] * 4, 2 * rng.normal(size=(4, 8)), shapes)
    yield _mixture("24 rows of 6 features", rng, [12, 12], [np.zeros(6), 3 * np.ones(6)], [np.eye(6)] * 2)
    yield _mixture("2 of 10 features", rng, [80, 80], [np.zeros(10), np.r_[4, 4, np.zeros(8)]], [np.eye(10)] * 2)
    shapes = [_turned(rng, 3, 4) * scale for scale in (1, 1, 0.2, 3, 1, 0.5)]
    yield _mixture("six components", rng, [50] * 6, 6 * rng.normal(size=(6, 3)), shapes)


class WithTruth(NamedTuple):
    """A simulated table, as many rows again of the same clusters five times, and labels by the true densities."""

    data: DataSet
    held_out: np.ndarray
    best_labels: np.ndarray


def overlapping(uneven: bool, n_sets: int = 40) -> Iterator[WithTruth]:
    """K = 2 to 5 clusters of 2 to 5 features so near that labels cannot all be right; of like sizes, or not."""
    for i in range(n_sets):
        rng = np.random.default_rng([77, i, uneven])
        k, d = int(rng.integers(2, 6)), int(rng.integers(2, 6))
        n = int(rng.choice([40, 70, 120])) * k
        share = rng.dirichlet(np.full(k, 2.0)) if uneven else np.full(k, 1 / k)
        sizes = np.maximum(np.round(n * share).astype(int), 8)
        factor = rng.normal(size=(k, d, d)) / np.sqrt(d)
        covariances = factor @ factor.transpose(0, 2, 1) + 0.3 * np.eye(d)
        means = rng.uniform(1.2, 2.2) * rng.normal(size=(k, d))
        clusters = list(zip(means, covariances, sizes, strict=True))
        x = np.concatenate([rng.multivariate_normal(m, c, size) for m, c, size in clusters])
        held_out = np.concatenate([rng.multivariate_normal(m, c, 5 * size) for m, c, size in clusters])
        true = [np.log(size / len(x)) + multivariate_normal(m, c).logpdf(x) for m, c, size in clusters]
        name = f"{'un' * uneven}even {i}"
        yield WithTruth(DataSet(name, x, np.repeat(np.arange(k), sizes), k), held_out, np.argmax(true, axis=0))
