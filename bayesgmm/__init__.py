"""Bayesian Gaussian mixture models: soft assignments, and how sure one can be of them.

The public names are the ones below. They are imported when first used: ``import bayesgmm`` itself loads none of PyMC,
nutpie or matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "GaussianMixture": "bayesgmm.estimator",
    "Priors": "bayesgmm.model.priors",
    "build_model": "bayesgmm.model.build",
    "find_MAP": "bayesgmm.inference.map",
    "MapEstimate": "bayesgmm.inference.estimate",
    "Starts": "bayesgmm.inference.estimate",
    "sample": "bayesgmm.posterior.sample",
    "relabel": "bayesgmm.posterior.relabel",
    "save": "bayesgmm.posterior.storage",
    "load": "bayesgmm.posterior.storage",
    "open_run": "bayesgmm.posterior.storage",
    "assignments": "bayesgmm.posterior.assignments",
    "coclustering": "bayesgmm.posterior.coclustering",
    "partition": "bayesgmm.posterior.partition",
    "Partition": "bayesgmm.posterior.partition",
    "density": "bayesgmm.posterior.density",
    "regression": "bayesgmm.posterior.density",
    "diagnose": "bayesgmm.posterior.diagnostics",
    "Diagnosis": "bayesgmm.posterior.diagnostics",
    "plot_clusters": "bayesgmm.reports.plots",
    "plot_uncertainty": "bayesgmm.reports.plots",
    "plot_density": "bayesgmm.reports.plots",
    "plot_assignments": "bayesgmm.reports.charts",
    "plot_coclustering": "bayesgmm.reports.charts",
    "plot_weights": "bayesgmm.reports.charts",
    "plot_modes": "bayesgmm.reports.charts",
    "report": "bayesgmm.reports.html",
    "datasets": "bayesgmm",
    "exceptions": "bayesgmm",
}

__all__ = [
    "Diagnosis",
    "GaussianMixture",
    "MapEstimate",
    "Partition",
    "Priors",
    "Starts",
    "assignments",
    "build_model",
    "coclustering",
    "datasets",
    "density",
    "diagnose",
    "exceptions",
    "find_MAP",
    "load",
    "open_run",
    "partition",
    "plot_assignments",
    "plot_clusters",
    "plot_coclustering",
    "plot_density",
    "plot_modes",
    "plot_uncertainty",
    "plot_weights",
    "regression",
    "relabel",
    "report",
    "sample",
    "save",
]

if TYPE_CHECKING:
    from bayesgmm import datasets, exceptions
    from bayesgmm.estimator import GaussianMixture
    from bayesgmm.inference.estimate import MapEstimate, Starts
    from bayesgmm.inference.map import find_MAP
    from bayesgmm.model.build import build_model
    from bayesgmm.model.priors import Priors
    from bayesgmm.posterior.assignments import assignments
    from bayesgmm.posterior.coclustering import coclustering
    from bayesgmm.posterior.density import density, regression
    from bayesgmm.posterior.diagnostics import Diagnosis, diagnose
    from bayesgmm.posterior.partition import Partition, partition
    from bayesgmm.posterior.relabel import relabel
    from bayesgmm.posterior.sample import sample
    from bayesgmm.posterior.storage import load, open_run, save
    from bayesgmm.reports.charts import plot_assignments, plot_coclustering, plot_modes, plot_weights
    from bayesgmm.reports.html import report
    from bayesgmm.reports.plots import plot_clusters, plot_density, plot_uncertainty


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    where = _WHERE[name]
    value = import_module(f"{where}.{name}") if where == __name__ else getattr(import_module(where), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
