"""How draws came about: by what, from where, with which seeds and versions, and which modes were known."""

import json
import numbers
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from bayesgmm.record.starts import Starts

# What computes, and so may change results.
PACKAGES = ("pymc", "pytensor", "nutpie", "arviz", "numpy", "scipy", "numba", "jax", "numpyro")
# A mode that holds less of the posterior than this is not worth a chain.
NEGLIGIBLE_SHARE = 0.01
# What the other modes hold beside one that holds this share moves no interval.
NEARLY_ALL = 0.95
LARGEST_INTEGER = 2**63
# Of draws that diverged: above it a part of the posterior may not have been reached. A limit of 0 made a run the worse
# the longer it was: of 16,000 draws one diverges somewhere.
DIVERGENT_LIMIT = 1e-3


def versions_here() -> dict[str, str]:
    """The versions of Python and of the packages that compute, as they are on this machine."""
    from bayesgmm import __version__

    # Its own, not its metadata's: those of an editable installation are as old as it is.
    found = {"Python": platform.python_version(), "bayesgmm": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True, eq=False)
class Modes:
    """The posterior's modes as the search found them.

    Attributes
    ----------
    shares : (M,) array
        Of the posterior, by Laplace's method; NaN where unknown.
    log_evidence : (M,) array
        Log of each mode's part of the evidence, by Laplace's method.
    optima : (M,) int array
        Which of the starts' optima each mode is above. The first is that of the draws.
    started_shares, started_pareto_k : (M',) arrays or None
        Of the modes that chains were started at, if several: shares by importance sampling, and how far to rely on
        them.
    """

    shares: np.ndarray
    log_evidence: np.ndarray
    optima: np.ndarray
    started_shares: np.ndarray | None = None
    started_pareto_k: np.ndarray | None = None

    @property
    def others(self) -> list[float]:
        """The shares of the modes after the first that are not negligible, or not known."""
        return others_that_matter(self.shares)

    @property
    def without_chains(self) -> list[float]:
        """Of those, the ones at which no chain was started: chains start at the first."""
        started = 1 if self.started_shares is None else len(self.started_shares)
        return self.others[started - 1 :]


@dataclass(frozen=True, eq=False)
class Provenance:
    """How draws came about.

    Attributes
    ----------
    method : str
        "nuts", "laplace", "map" for the mode alone, "adopted" for chains from elsewhere, "given" for known parameters.
    library : str
        What drew them.
    backend : str
        What it took the log posterior from.
    starts : Starts or None
    converged : bool or None
        Whether the search reached the mode.
    seed, map_seed : int or None
        Of the draws, and of the search.
    tuning_steps : int or None
    acceptance : float or None
        The share of proposals that a sampler's steps were tuned to.
    start : str
        Where chains were started, as a user would write it.
    modes : Modes or None
    complete : bool
        Whether the run ended by itself.
    pareto_k : float or None
        The Pareto shape of the weights by which draws of a Gaussian were drawn anew.
    relabelled : str or None
        By which method.
    versions : dict
        Of Python and of the packages that drew them.
    created : str
        When the tree was made.
    """

    method: str
    library: str = "bayesgmm"
    backend: str = "numba"
    starts: Starts | None = None
    converged: bool | None = None
    seed: int | None = None
    map_seed: int | None = None
    tuning_steps: int | None = None
    acceptance: float | None = None
    start: str = ""
    modes: Modes | None = None
    complete: bool = True
    pareto_k: float | None = None
    relabelled: str | None = None
    versions: dict[str, str] = field(default_factory=versions_here)
    created: str = ""

    @property
    def of_chains(self) -> bool:
        """Whether the draws are those of Markov chains."""
        return self.method in ("nuts", "adopted")

    def changed(self, **changes: Any) -> "Provenance":
        return replace(self, **changes)

    @property
    def attrs(self) -> dict[str, Any]:
        """As attributes of a tree: numbers, strings and flat arrays, which netCDF and JSON can hold."""
        from bayesgmm import __version__

        attrs: dict[str, Any] = {
            "creation_library": "bayesgmm",
            "creation_library_version": __version__,
            "inference_method": self.method,
            "inference_library": self.library,
            "inference_library_version": self.versions.get(self.library, ""),
            "complete": int(self.complete),
            "versions": json.dumps(self.versions),
        }
        for name, value in (("random_seed", self.seed), ("map_random_seed", self.map_seed)):
            if value is not None:  # a file holds integers of 64 bits
                attrs[name] = value if value < LARGEST_INTEGER else str(value)
        if self.backend != "numba":
            attrs["backend"] = self.backend
        if self.tuning_steps is not None:
            attrs["tuning_steps"] = self.tuning_steps
        if self.acceptance is not None:
            attrs["target_accept"] = self.acceptance
        if self.start:
            attrs["start"] = self.start
        if self.converged is not None:
            attrs["map_converged"] = int(self.converged)
        if self.starts is not None:
            attrs |= {
                "n_init": len(self.starts),
                "optima_log_posterior": self.starts.optima,
                "starts_log_posterior": self.starts.log_posterior,
                "starts_optimum": self.starts.optimum,
                "starts_converged": self.starts.converged.astype(np.int64),
                "starts_moved": self.starts.moved.astype(np.int64),
                "starts_iterations": self.starts.iterations,
                "starts_kind": ", ".join(self.starts.kind),
            }
        if self.modes is not None:
            attrs |= {
                "mode_shares": self.modes.shares,
                "mode_log_evidence": self.modes.log_evidence,
                "mode_optima": self.modes.optima,
            }
            if self.modes.started_shares is not None:
                attrs["started_mode_shares"] = self.modes.started_shares
                attrs["started_mode_pareto_k"] = self.modes.started_pareto_k
        if self.pareto_k is not None:
            attrs["pareto_k"] = self.pareto_k
        if self.relabelled is not None:
            attrs["relabelled"] = self.relabelled
        return attrs

    @classmethod
    def of(cls, attrs: Mapping[Any, Any]) -> "Provenance":
        """Read from the attributes of a tree; what is not there is not known."""

        def array(name: str, kind: type = float) -> np.ndarray | None:
            return np.atleast_1d(attrs[name]).astype(kind) if name in attrs else None

        def whole(name: str) -> int | None:
            return int(attrs[name]) if name in attrs else None

        reached, optimum = array("starts_log_posterior"), array("starts_optimum", int)
        starts = None
        if reached is not None and optimum is not None:
            unknown = np.zeros(len(reached), dtype=bool)
            iterations = array("starts_iterations", int)
            kinds = str(attrs["starts_kind"]).split(", ") if "starts_kind" in attrs else ["unknown"] * len(reached)
            starts = Starts(
                reached, optimum,
                unknown if (converged := array("starts_converged", bool)) is None else converged,
                unknown if (moved := array("starts_moved", bool)) is None else moved,
                np.zeros(len(reached), dtype=int) if iterations is None else iterations,
                tuple(kinds),
            )  # fmt: skip
        shares, modes = array("mode_shares"), None
        if shares is not None:
            evidence, optima = array("mode_log_evidence"), array("mode_optima", int)
            modes = Modes(
                shares, np.full(len(shares), np.nan) if evidence is None else evidence,
                np.arange(len(shares)) if optima is None else optima,
                array("started_mode_shares"), array("started_mode_pareto_k"),
            )  # fmt: skip
        return cls(
            method=str(attrs.get("inference_method", "")),
            library=str(attrs.get("inference_library", "")),
            backend=str(attrs.get("backend", "numba")),
            starts=starts,
            converged=bool(attrs["map_converged"]) if "map_converged" in attrs else None,
            seed=whole("random_seed"),
            map_seed=whole("map_random_seed"),
            tuning_steps=whole("tuning_steps"),
            acceptance=float(attrs["target_accept"]) if "target_accept" in attrs else None,
            start=str(attrs.get("start", "")),
            modes=modes,
            complete=bool(attrs.get("complete", 1)),
            pareto_k=float(attrs["pareto_k"]) if "pareto_k" in attrs else None,
            relabelled=str(attrs["relabelled"]) if "relabelled" in attrs else None,
            versions=json.loads(attrs["versions"]) if "versions" in attrs else {},
            created=str(attrs.get("created_at", "")),
        )


def others_that_matter(share: np.ndarray) -> list[float]:
    """The shares after the first that are not negligible, or not known."""
    return [float(s) for s in share[1:] if not s < NEGLIGIBLE_SHARE]


def percentages(share: Iterable[float]) -> str:
    """Shares in words."""
    return ", ".join("an unknown share" if np.isnan(s) else f"{s:.0%}" for s in share)


def seed_of(random_seed: Any) -> int | None:
    """What is kept of a random seed: the number, if it is one."""
    return int(random_seed) if isinstance(random_seed, numbers.Integral) else None
