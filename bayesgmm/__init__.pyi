from . import datasets, exceptions
from .estimator import GaussianMixture
from .imputer import MixtureImputer
from .model.build import build_model
from .model.priors import Priors
from .posterior.adopt import adopt, from_arrays
from .posterior.anomaly import anomaly
from .posterior.assignments import assignments
from .posterior.coclustering import coclustering
from .posterior.density import density, regression
from .posterior.diagnosis import Diagnosis, diagnose
from .posterior.evidence import Evidence, evidence
from .posterior.impute import denoise, impute
from .posterior.occupied import occupied
from .posterior.partition import Partition, partition
from .posterior.relabel import relabel
from .posterior.sample import open_run, sample
from .record.starts import Starts
from .record.storage import load, save
from .reports.anomaly import plot_anomaly
from .reports.clusters import plot_clusters
from .reports.densities import plot_density
from .reports.modes import plot_modes
from .reports.occupied import plot_occupied
from .reports.page import report
from .reports.rows import plot_assignments, plot_coclustering
from .reports.selection import plot_selection
from .reports.uncertainty import plot_uncertainty
from .reports.weights import plot_weights
from .search.estimate import MapEstimate
from .search.find_map import find_MAP
from .selection.select import select
from .selection.selection import Selection

__version__: str
__all__ = [
    "Diagnosis",
    "Evidence",
    "GaussianMixture",
    "MapEstimate",
    "MixtureImputer",
    "Partition",
    "Priors",
    "Selection",
    "Starts",
    "adopt",
    "anomaly",
    "assignments",
    "build_model",
    "coclustering",
    "datasets",
    "denoise",
    "density",
    "diagnose",
    "evidence",
    "exceptions",
    "find_MAP",
    "from_arrays",
    "impute",
    "load",
    "occupied",
    "open_run",
    "partition",
    "plot_anomaly",
    "plot_assignments",
    "plot_clusters",
    "plot_coclustering",
    "plot_density",
    "plot_modes",
    "plot_occupied",
    "plot_selection",
    "plot_uncertainty",
    "plot_weights",
    "regression",
    "relabel",
    "report",
    "sample",
    "save",
    "select",
]
