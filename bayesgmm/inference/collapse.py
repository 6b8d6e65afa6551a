r"""Components that have collapsed, and rows that lie exactly on a line or plane.

The width of a component is its least conditional scale as a share of the data's own in the same direction: the root
of the smallest eigenvalue of :math:`S^{-1} \Sigma_k`, S the covariance of the data. No change of units alters it.

Under LKJ(eta) a component on m rows of a slanted plane has a density that goes as :math:`|R|^{\eta - 1 - m/2}` while
its correlations become exact. So more than 2 (eta - 1) rows on one plane, if no rounding variance keeps the component
off it, make the posterior improper: it has no maximum, and its normaliser is infinite. The cause is in the data.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bayesgmm.exceptions import ImproperPosteriorError
from bayesgmm.inference.em import Mixture
from bayesgmm.likelihood import kernel
from bayesgmm.model.build import MixtureFacts

# A component narrower than this is looked at: the rows that it rests on may lie exactly on a plane.
SUSPICIOUS_WIDTH = 0.05
# The least width of a component, as a share of the data's own in the same direction, that is not a collapse.
COLLAPSED_WIDTH = 1e-3
# Rows looked at, planes tried through them, and pairs of features: a plane that holds a tenth of the rows in two
# features is missed once in 150 times.
MAX_ROWS = 1_000
TRIALS = 500
MAX_PAIRS = 45
# Before the fit, planes with less than this share of the rows are not looked for.
LEAST_SHARE = 0.05
# Distances, in units of rounding error of the standardised rows, that count as none.
ROUNDINGS = 64.0


def smallest_widths(covariances: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The width of every component, (K,), from covariances (K, D, D) and data (N, D)."""
    return np.array([_narrowest(c, x)[0] for c in covariances])


def _narrowest(covariance: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray]:
    """A component's width, and the direction (D,) of it, for rows of ``x``."""
    data = np.atleast_2d(np.cov(x, rowvar=False))
    scales = np.sqrt(np.diag(data))
    # Directions that the data themselves lack count as theirs: the ridge keeps the ratio finite there.
    correlation = data / np.outer(scales, scales) + 1e-14 * np.eye(len(data))
    inverse = np.linalg.inv(np.linalg.cholesky(correlation))
    whitened = inverse @ (covariance / np.outer(scales, scales)) @ inverse.T
    values, vectors = np.linalg.eigh(whitened)
    return float(np.sqrt(max(values[0], 0.0))), (inverse.T @ vectors[:, 0]) / scales


def named_rows(rows: np.ndarray, most: int = 8) -> str:
    """Row numbers of a (N,) bool array, in words."""
    numbers = np.flatnonzero(rows)
    shown = ", ".join(str(n) for n in numbers[:most])
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"


def check_data(facts: MixtureFacts, eta: float | None) -> None:
    """Look for a plane, in all features or in two of them, that holds a share of the rows, before anything is fitted.

    Raises
    ------
    ImproperPosteriorError
        With the rows and the remedies.
    """
    least = _least_rows(facts, eta)
    if least is None:
        return
    rng = np.random.default_rng(0)
    x = facts.x[facts.row_weights > 0]
    if len(x) > MAX_ROWS:
        x = x[rng.choice(len(x), MAX_ROWS, replace=False)]
    # One covariance for all components cannot close in on some of the rows.
    least = max(least, int(LEAST_SHARE * len(x))) if facts.structure.per_component else max(least, len(x))
    n_features = x.shape[1]
    pairs = list(combinations(range(n_features), 2))
    if len(pairs) > MAX_PAIRS:
        pairs = [pairs[i] for i in rng.choice(len(pairs), MAX_PAIRS, replace=False)]
    for chosen in [*pairs, *([tuple(range(n_features))] if n_features > 2 else [])]:
        plane = _plane_among(x[:, chosen], least, rng)
        if plane is not None:
            normal = np.zeros(n_features)
            normal[list(chosen)], through = plane
            middle = np.zeros(n_features)
            middle[list(chosen)] = through
            _raise_if_improper(facts, _Plane(normal, middle), least)


def check_components(facts: MixtureFacts, eta: float | None, mixtures: list[Mixture]) -> None:
    """Look for rows on a plane beneath components that an optimiser left collapsed.

    Raises
    ------
    ImproperPosteriorError
        With the rows and the remedies.
    """
    least = _least_rows(facts, eta)
    if least is None or not facts.structure.per_component:
        return
    counted, rng = facts.row_weights > 0, np.random.default_rng(0)
    for mixture in mixtures:
        for k, covariance in enumerate(mixture.covariances):
            width, direction = _narrowest(covariance, facts.x[counted])
            if width > SUSPICIOUS_WIDTH:
                continue
            own = kernel.responsibilities(facts.x, *mixture.arrays, False)[1][:, k] > 0.5
            off = np.abs((facts.x - mixture.means[k]) @ direction)
            near = counted & own & (off <= 3 * np.sqrt(direction @ covariance @ direction))
            plane = _plane_among(facts.x[near][:MAX_ROWS], least, rng)
            if plane is not None:
                _raise_if_improper(facts, _Plane(*plane), least)


@dataclass(frozen=True)
class _Plane:
    """normal @ (x - through) = 0 (a line where D = 2)."""

    normal: np.ndarray
    through: np.ndarray


def _least_rows(facts: MixtureFacts, eta: float | None) -> int | None:
    """Rows on one plane that the priors cannot bear; None where there are no planes, or too weak a prior to promise."""
    n_features = facts.x.shape[1]
    if eta is None or n_features == 1 or eta <= 1 + n_features / 2:
        return None
    return int(np.floor(2 * (eta - 1))) + 1


def _rounding(x: np.ndarray, scale: np.ndarray) -> float:
    """Distances of standardised rows that are none, but for rounding."""
    return float(ROUNDINGS * np.finfo(np.float64).eps * (1 + (np.abs(x).max(axis=0) / scale).max()))


def _plane_among(x: np.ndarray, least: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Normal and a point of a slanted plane on which at least ``least`` of the rows lie exactly."""
    n_rows, n_features = x.shape
    if n_rows < max(least, n_features + 1):
        return None
    scale = x.std(axis=0)
    if (scale == 0).any():
        return None
    centre = x.mean(axis=0)
    z = (x - centre) / scale
    # Planes through as many random rows as make one; and through all rows, for all may lie on one.
    corners = z[rng.integers(n_rows, size=(TRIALS, n_features))]
    normals = np.linalg.svd(corners[:, 1:] - corners[:, :1], full_matrices=True)[2][:, -1]
    normals = np.concatenate([normals, np.linalg.svd(z - z.mean(axis=0), full_matrices=False)[2][-1:]])
    points = np.concatenate([corners[:, 0], z.mean(axis=0)[None]])
    off = np.abs(z @ normals.T - (points * normals).sum(axis=1))
    counts = (off <= _rounding(x, scale)).sum(axis=0)
    # A plane across one axis is a tie in one feature, which the variances' prior can bear.
    counts[(np.abs(normals) > 1e-9).sum(axis=1) < 2] = 0
    best = int(counts.argmax())
    return (normals[best] / scale, centre + points[best] * scale) if counts[best] >= least else None


def _raise_if_improper(facts: MixtureFacts, plane: _Plane, least: int) -> None:
    # The rounding variance keeps a component off every plane that is not parallel to all recorded features.
    if plane.normal**2 @ facts.rounding > 0:
        return
    counted = facts.row_weights > 0
    scale = facts.x[counted].std(axis=0)
    length = np.linalg.norm(plane.normal * scale)
    rows = counted & (
        np.abs((facts.x - plane.through) @ plane.normal) <= length * 4 * _rounding(facts.x[counted], scale)
    )
    if rows.sum() >= least:
        raise ImproperPosteriorError(_message(facts, plane, rows))


def _message(facts: MixtureFacts, plane: _Plane, rows: np.ndarray) -> str:
    normal = plane.normal / np.abs(plane.normal).max()
    taking_part = np.flatnonzero(np.abs(normal) > 1e-9)
    names = [facts.features[j] for j in taking_part]
    terms = " ".join(f"{normal[j]:+.4g} {facts.features[j]}" for j in taking_part)
    shape = "line" if len(facts.features) == 2 else "plane"
    m = int(rows.sum())
    return (
        f"{m} rows lie exactly on a {shape} ({terms.lstrip('+')} = {normal @ plane.through:.6g}): rows "
        f"{named_rows(rows)}. A component on them has no least volume, so the posterior is improper and has no "
        f"maximum. Drop one of the features {', '.join(names)}, give their recording step (resolution=...), or a prior "
        f"against exact correlation, Priors(lkj_eta={np.floor(m / 2) + 2:g})."
    )
