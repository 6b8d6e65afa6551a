r"""Rows that lie exactly on a line or plane, under which a posterior may be improper.

Under LKJ(eta) a component on m rows of a slanted plane has a density that goes as :math:`|R|^{\eta - 1 - m/2}` while
its correlations become exact. So more than 2 (eta - 1) rows on one plane, if no rounding variance keeps the component
off it, make the posterior improper: it has no maximum, and its normaliser is infinite. The cause is in the data.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.exceptions import ImproperPosteriorError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.widths import named_rows, narrowest, own_rows
from bayesgmm.model.specification import Specification

# A component narrower than this is looked at: the rows that it rests on may lie exactly on a plane.
SUSPICIOUS_WIDTH = 0.05
# Rows looked at, planes tried through them, and pairs of features: a plane that holds a tenth of the rows in two
# features is missed once in 150 times.
MAX_ROWS = 1_000
TRIALS = 500
MAX_PAIRS = 45
# Before the fit, planes with less than this share of the rows are not looked for.
LEAST_SHARE = 0.05
# Distances, in units of rounding error of the standardised rows, that count as none.
ROUNDINGS = 64.0


def check_data(specification: Specification, table: Table) -> None:
    """Look for a plane, in all features or in two of them, that holds a share of the rows, before anything is fitted.

    Raises
    ------
    ImproperPosteriorError
        With the rows and the remedies.
    """
    least = _least_rows(specification)
    if least is None:
        return
    rng = np.random.default_rng(0)
    x = table.complete.counted.subsample(MAX_ROWS, rng).values
    # One covariance for all components cannot close in on some of the rows.
    least = max(least, int(LEAST_SHARE * len(x))) if specification.covariance.per_component else max(least, len(x))
    n_features = table.n_features
    pairs = list(combinations(range(n_features), 2))
    if len(pairs) > MAX_PAIRS:
        pairs = [pairs[i] for i in rng.choice(len(pairs), MAX_PAIRS, replace=False)]
    for chosen in [*pairs, *([tuple(range(n_features))] if n_features > 2 else [])]:
        plane = _plane_among(x[:, chosen], least, rng)
        if plane is not None:
            normal, middle = np.zeros(n_features), np.zeros(n_features)
            normal[list(chosen)], middle[list(chosen)] = plane.normal, plane.through
            _raise_if_improper(table, _Plane(normal, middle), least)


def check_components(specification: Specification, table: Table, mixtures: list[Mixture]) -> None:
    """Look for rows on a plane beneath components that an optimiser left collapsed.

    Raises
    ------
    ImproperPosteriorError
        With the rows and the remedies.
    """
    least = _least_rows(specification)
    if least is None or not specification.covariance.per_component:
        return
    table = table.complete
    x, counted, rng = table.values, table.row_weights > 0, np.random.default_rng(0)
    for mixture in mixtures:
        for k, covariance in enumerate(mixture.full_covariances):
            width, direction = narrowest(covariance, x[counted])
            if width > SUSPICIOUS_WIDTH:
                continue
            off = np.abs((x - mixture.means[k]) @ direction)
            near = counted & own_rows(mixture, x, k) & (off <= 3 * np.sqrt(direction @ covariance @ direction))
            plane = _plane_among(x[near][:MAX_ROWS], least, rng)
            if plane is not None:
                _raise_if_improper(table, plane, least)


@dataclass(frozen=True)
class _Plane:
    """normal @ (x - through) = 0 (a line where D = 2)."""

    normal: np.ndarray
    through: np.ndarray


def _least_rows(specification: Specification) -> int | None:
    """Rows on one plane that the priors cannot bear; None where there are no planes, or too weak a prior to promise."""
    eta = specification.eta
    if eta is None or eta <= 1 + specification.n_features / 2:
        return None
    return int(np.floor(2 * (eta - 1))) + 1


def _rounding(x: np.ndarray, scale: np.ndarray) -> float:
    """Distances of standardised rows that are none, but for rounding."""
    return float(ROUNDINGS * np.finfo(np.float64).eps * (1 + (np.abs(x).max(axis=0) / scale).max()))


def _plane_among(x: np.ndarray, least: int, rng: np.random.Generator) -> _Plane | None:
    """A slanted plane on which at least ``least`` of the rows lie exactly."""
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
    return _Plane(normals[best] / scale, centre + points[best] * scale) if counts[best] >= least else None


def _raise_if_improper(table: Table, plane: _Plane, least: int) -> None:
    # The rounding variance keeps a component off every plane that is not parallel to all recorded features.
    if plane.normal**2 @ table.rounding > 0:
        return
    x, counted = table.values, table.row_weights > 0
    scale = x[counted].std(axis=0)
    length = np.linalg.norm(plane.normal * scale)
    rows = counted & (np.abs((x - plane.through) @ plane.normal) <= length * 4 * _rounding(x[counted], scale))
    if rows.sum() >= least:
        raise ImproperPosteriorError(_message(table, plane, rows))


def _message(table: Table, plane: _Plane, rows: np.ndarray) -> str:
    normal = plane.normal / np.abs(plane.normal).max()
    taking_part = np.flatnonzero(np.abs(normal) > 1e-9)
    names = [table.features[j] for j in taking_part]
    terms = " ".join(f"{normal[j]:+.4g} {table.features[j]}" for j in taking_part)
    shape = "line" if len(table.features) == 2 else "plane"
    m = int(rows.sum())
    return (
        f"{m} rows lie exactly on a {shape} ({terms.lstrip('+')} = {normal @ plane.through:.6g}): rows "
        f"{named_rows(rows, table.names)}. A component on them has no least volume, so the posterior is improper and "
        f"has no maximum. Drop one of the features {', '.join(names)}, give their recording step (resolution=...), or "
        f"a prior against exact correlation, Priors(lkj_eta={np.floor(m / 2) + 2:g})."
    )
