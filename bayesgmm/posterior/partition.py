r"""One clustering to report, and how far the posterior strays from it.

Two clusterings c and z with cluster sizes :math:`n_m`, :math:`n_l` and common rows :math:`n_{ml}` are

.. math:: d(c, z) = a \Big[ \sum_m f(n_m) + \sum_l f(n_l) - 2 \sum_{m,l} f(n_{ml}) \Big]

apart: f(n) = n log n and a = 1/N give the variation of information (Meila 2007), f(n) = n^2 and a = 1/(N (N - 1)) the
share of the pairs of rows that one joins and the other does not (Binder 1978). So one search serves both: rows are
moved one at a time to the cluster that lessens the mean distance from the posterior's allocations most (as Dahl,
Johnson and Mueller 2022 do), clusters are merged where that does, and the best of several starts is kept.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_choice, check_ci_prob, check_count, random_generator
from bayesgmm.data.observations import Rows
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.mixture.elementary import jit
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.notebook import card
from bayesgmm.posterior.assignments import BLOCK_DOUBLES
from bayesgmm.progress import progress
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    import xarray as xr

LOSSES = ("vi", "binder")
# Allocations kept, rows times draws (256 MB); with more, draws are thinned.
MAX_ALLOCATIONS = 2**27
LEAST_DRAWS = 50
MAX_SWEEPS = 200
# Sweeps that a start usually takes.
SWEEPS_A_START = 10
# More clusters than this, and than four times the components, are not looked for.
MAX_CLUSTERS = 50


@dataclass(frozen=True)
class Partition:
    """What :func:`partition` found.

    Attributes
    ----------
    labels : (N,) int array
        Cluster of every row; 0 is the largest.
    n_clusters : int
    expected_loss : float
        Posterior mean of the distance from ``labels``: nats for "vi", a share of the pairs for "binder".
    ball_radius : float
        The posterior probability of clusterings no further than this from ``labels`` is ``ci_prob``.
    ball_n_clusters : (int, int)
        The least and the most clusters in that ball.
    furthest : (N,) int array
        A sampled clustering at the ball's rim: what else the data allow.
    loss, ci_prob : str, float
        As asked for.
    n_draws : int
        Sampled clusterings that all this is computed from.
    """

    labels: np.ndarray = field(repr=False)
    n_clusters: int
    expected_loss: float
    ball_radius: float
    ball_n_clusters: tuple[int, int]
    furthest: np.ndarray = field(repr=False)
    loss: str
    ci_prob: float
    n_draws: int

    def _repr_html_(self) -> str:
        unit = "nats" if self.loss == "vi" else "of the pairs of rows"
        fewest, most = self.ball_n_clusters
        lines = (
            f"expected loss {self.expected_loss:.4g} {unit} ({self.loss}), of {self.n_draws} sampled clusterings",
            f"{self.ci_prob:.0%} of the posterior lies within {self.ball_radius:.4g}: {fewest} to {most} clusters",
        )
        sizes = np.bincount(self.labels)
        return card(
            f"Partition into {self.n_clusters} cluster{'s' * (self.n_clusters > 1)}", lines=lines,
            head=("cluster", "rows"), rows=list(enumerate(sizes)),
        )  # fmt: skip


def partition(
    dt: "xr.DataTree",
    *,
    loss: str = "vi",
    ci_prob: float | None = None,
    n_init: int = 10,
    random_seed: Any = None,
    progressbar: bool = True,
) -> Partition:
    r"""The clustering of the fitted rows with the least expected loss, and its credible ball.

    .. math:: c^* = \arg\min_c \frac1S \sum_s d(c, z^{(s)}), \qquad z^{(s)}_n \sim
              \mathrm{Categorical}(r_{n1}^{(s)}, \dots, r_{nK}^{(s)}) .

    Components of the mixture are not always clusters: two that cover the same rows become one here. The search is a
    local one from ``n_init`` starts, with one sampled allocation for every draw.

    Parameters
    ----------
    dt : xr.DataTree
        Draws; they need not be relabelled.
    loss : {"vi", "binder"}, default "vi"
        Variation of information, or Binder's loss, which tends to leave single rows in clusters of their own.
    ci_prob : float, optional
        Posterior probability of the credible ball. Default: ArviZ's ``rcParams["stats.ci_prob"]``.
    n_init : int, default 10
    random_seed : int or numpy.random.Generator, optional
    progressbar : bool, default True
        Show a bar where there is much to compute.

    Returns
    -------
    Partition

    Raises
    ------
    InvalidArgumentError, ModelError

    References
    ----------
    Wade and Ghahramani (2018), Bayesian cluster analysis: point estimation and credible balls, Bayesian Analysis 13,
    559-626, https://doi.org/10.1214/17-BA1073. Binder (1978), Bayesian cluster analysis, Biometrika 65, 31-38,
    https://doi.org/10.1093/biomet/65.1.31. Dahl, Johnson and Mueller (2022), Search algorithms and loss functions for
    Bayesian clustering, J. Computational and Graphical Statistics 31, 1189-1201,
    https://doi.org/10.1080/10618600.2022.2069779. Meila (2007), Comparing clusterings - an information based distance,
    J. Multivariate Analysis 98, 873-895, https://doi.org/10.1016/j.jmva.2006.11.013.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> dt = bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1)
    >>> best = bg.partition(dt, random_seed=1)
    >>> best.n_clusters, best.labels[:4]
    (2, array([0, 1, 0, 1]))
    """
    check_choice(loss, "loss", LOSSES)
    ci_prob = check_ci_prob(ci_prob)
    n_init = check_count(n_init, "n_init")
    rng = random_generator(random_seed)
    fit = Fit.of(dt)
    draws, x = fit.mixture, fit.observations
    if len(x) < 2:
        raise InvalidArgumentError("a partition needs at least 2 rows.")
    allocations = sample_allocations(draws, x, rng)
    labels, expected = minimise(allocations, draws.n_components, loss, n_init, rng, progressbar=progressbar)
    distance = distances(labels, allocations, draws.n_components, loss)
    radius = float(np.quantile(distance, ci_prob, method="inverted_cdf"))
    inside = np.flatnonzero(distance <= radius)
    occupied = [len(np.unique(allocations[:, s])) for s in inside]
    furthest = allocations[:, inside[distance[inside].argmax()]]
    return Partition(
        labels=labels,
        n_clusters=int(labels.max()) + 1,
        expected_loss=float(expected),
        ball_radius=radius,
        ball_n_clusters=(min(occupied), max(occupied)),
        furthest=by_size(furthest.astype(int)),
        loss=loss,
        ci_prob=ci_prob,
        n_draws=allocations.shape[1],
    )


def sample_allocations(draws: Mixture, x: Rows, rng: np.random.Generator) -> np.ndarray:
    """A component for every row under every draw, or under evenly spaced ones where N is large, (N, S)."""
    most = max(LEAST_DRAWS, MAX_ALLOCATIONS // len(x))
    if len(draws) > most:
        draws = draws.thinned(most)
    allocations = np.empty((len(x), len(draws)), dtype=np.uint16)
    block = max(1, BLOCK_DOUBLES // (len(draws) * draws.n_components))
    for start in range(0, len(x), block):
        r = draws.memberships(x[start : start + block])
        u = rng.random(r.shape[:2])[..., None]
        # The last component takes what rounding leaves.
        allocations[start : start + block] = (u > np.cumsum(r, axis=2)[..., :-1]).sum(axis=2).T
    return allocations


def minimise(
    allocations: np.ndarray,
    n_components: int,
    loss: str,
    n_init: int,
    rng: np.random.Generator,
    *,
    progressbar: bool = False,
) -> tuple[np.ndarray, float]:
    """The clustering (N,) with the least mean distance from the allocations (N, S), and that distance."""
    n_rows, n_draws = allocations.shape
    f = _cost(n_rows, loss)
    n_clusters = min(n_rows, max(MAX_CLUSTERS, 4 * n_components))
    best, least = np.zeros(n_rows, dtype=np.int64), np.inf
    work = float(n_init * SWEEPS_A_START * allocations.size * n_components)
    with progress("Partition", n_init, work=work, show=progressbar) as done:
        for start in range(n_init):
            # From one cluster, from sampled allocations, and from nothing (-1), a row at a time in random order.
            labels = np.full(n_rows, 0 if start == 0 else -1, dtype=np.int64)
            if start % 2 == 1:
                labels[:] = allocations[:, rng.integers(n_draws)]
            _descend(labels, allocations, n_components, n_clusters, f, rng.permutation(n_rows), MAX_SWEEPS)
            expected = distances(labels, allocations, n_components, loss).mean()
            if expected < least - 1e-12:
                best, least = labels, expected
            done()
    return by_size(best), least


def distances(labels: np.ndarray, allocations: np.ndarray, n_components: int, loss: str) -> np.ndarray:
    """Distance of a clustering (N,) from every allocation (N, S)."""
    n_rows = len(labels)
    f = _cost(n_rows, loss)
    labels = np.unique(labels, return_inverse=True)[1]
    joint = _joint(labels, allocations, n_components, int(labels.max()) + 1)
    scale = n_rows if loss == "vi" else n_rows * (n_rows - 1)
    own, theirs = f[np.bincount(labels)].sum(), f[joint.sum(axis=0)].sum(axis=1)
    # Not negative; rounding may say otherwise in the last digit.
    return np.maximum(own + theirs - 2 * f[joint].sum(axis=(0, 2)), 0) / scale


def by_size(labels: np.ndarray) -> np.ndarray:
    """The same clusters, numbered from the largest on."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return rank[inverse]


def _cost(n_rows: int, loss: str) -> np.ndarray:
    """f(0) ... f(N)."""
    n = np.arange(n_rows + 1, dtype=np.float64)
    return n * np.log(np.maximum(n, 1)) if loss == "vi" else n**2


@jit
def _joint(labels, allocations, n_components, n_clusters):
    """Rows that a cluster and a component have in common, (M, S, K); rows with label -1 are not counted."""
    n_rows, n_draws = allocations.shape
    joint = np.zeros((n_clusters, n_draws, n_components), dtype=np.int64)
    for n in range(n_rows):
        if labels[n] >= 0:
            for s in range(n_draws):
                joint[labels[n], s, allocations[n, s]] += 1
    return joint


@jit
def _descend(labels, allocations, n_components, n_clusters, f, order, max_sweeps):
    """Move rows, then merge clusters, until neither lessens the mean distance; ``labels`` are changed in place."""
    n_rows, n_draws = allocations.shape
    joint = _joint(labels, allocations, n_components, n_clusters)
    sizes = np.zeros(n_clusters, dtype=np.int64)
    for n in range(n_rows):
        if labels[n] >= 0:
            sizes[labels[n]] += 1
    for _ in range(max_sweeps):
        moved = False
        for n in order:
            own = labels[n]
            if own >= 0:
                sizes[own] -= 1
                for s in range(n_draws):
                    joint[own, s, allocations[n, s]] -= 1
            # To stay wins a tie, so that the descent ends.
            best, least = own, np.inf
            if own >= 0:
                least = _joining(n, own, allocations, joint, sizes, f) - 1e-9
            empty_seen = False
            for m in range(n_clusters):
                if m == own or (sizes[m] == 0 and empty_seen):
                    continue
                empty_seen |= sizes[m] == 0
                cost = _joining(n, m, allocations, joint, sizes, f)
                if cost < least:
                    best, least = m, cost
            moved |= best != own
            labels[n] = best
            sizes[best] += 1
            for s in range(n_draws):
                joint[best, s, allocations[n, s]] += 1
        if not moved and not _merge(labels, joint, sizes, f):
            break


@jit
def _joining(n, m, allocations, joint, sizes, f):
    """What it costs that row n joins cluster m."""
    n_draws = allocations.shape[1]
    common = 0.0
    for s in range(n_draws):
        count = joint[m, s, allocations[n, s]]
        common += f[count + 1] - f[count]
    return f[sizes[m] + 1] - f[sizes[m]] - 2.0 * common / n_draws


@jit
def _merge(labels, joint, sizes, f):
    """Merge the two clusters whose merging lessens the mean distance most, if any does."""
    n_clusters, n_draws, n_components = joint.shape
    best_a, best_b, least = -1, -1, -1e-9
    for a in range(n_clusters):
        for b in range(a):
            if sizes[a] > 0 and sizes[b] > 0:
                common = 0.0
                for s in range(n_draws):
                    for k in range(n_components):
                        i, j = joint[a, s, k], joint[b, s, k]
                        common += f[i + j] - f[i] - f[j]
                cost = f[sizes[a] + sizes[b]] - f[sizes[a]] - f[sizes[b]] - 2.0 * common / n_draws
                if cost < least:
                    best_a, best_b, least = a, b, cost
    if best_a < 0:
        return False
    for n in range(len(labels)):
        if labels[n] == best_a:
            labels[n] = best_b
    sizes[best_b] += sizes[best_a]
    sizes[best_a] = 0
    joint[best_b] += joint[best_a]
    joint[best_a] = 0
    return True
