"""The scikit-learn face: ``GaussianMixture`` with a posterior behind it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted

from bayesgmm.arguments import INFERENCES, MOST_COMPONENTS, STARTS, check_choice, check_count, check_random_state
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidArgumentError, ModelError
from bayesgmm.prediction import LARGEST_SEED, Point, Predictions
from bayesgmm.record.fit import Fit
from bayesgmm.scikit_learn import ScikitLearn

if TYPE_CHECKING:
    import xarray as xr

    from bayesgmm.selection.selection import Selection


# Draws that `inference_data_` holds after a MAP fit.
LAPLACE_DRAWS = 1000


class GaussianMixture(ScikitLearn, Predictions, DensityMixin, BaseEstimator):
    r"""A Gaussian mixture whose answers come with their uncertainty.

    .. math:: p(x) = \sum_{k=1}^K \pi_k\, N(x \mid \mu_k, \Sigma_k)

    Parameters
    ----------
    n_components : int or "auto", default 2
        K. "auto": that of the least BIC among 1 to 9, of the given covariance type (:func:`bayesgmm.select`).
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
    inference : {"nuts", "map", "laplace", "auto"}, default "nuts"
        The full posterior by NUTS, its mode, or NUTS with a Gaussian in the likelihood's place, corrected by importance
        sampling (``likelihood="gaussian"`` of :func:`bayesgmm.sample`). "auto": with 100,000 rows or more, or rows that
        are not in memory, "laplace", unless its Pareto k is above 0.7 and the rows are in memory; else "nuts";
        ``inference_`` and ``inference_reason_`` say which and why. Predictions average over the posterior, but for
        "map", where they use the mode.
    priors : Priors, optional
        Default: scaled to the data.
    resolution : "auto", None, float or (D,) array, default "auto"
        The step that each feature was recorded to; see :func:`bayesgmm.build_model`.
    missing : {"error", "marginalise"}, default "error"
        What becomes of NaN, in the rows that are fitted and in new ones; "marginalise": a row counts with what was seen
        of it. See :func:`bayesgmm.build_model`.
    noise : bool, default False
        Whether rows may be of no component: these are uniform over the data's bounding box, and ``predict`` gives -1
        (or "noise", where components have names). ``predict_proba`` then adds up to less than 1.
    n_init : int or "auto", default "auto"
        Starts of the search for the mode; see :func:`bayesgmm.find_MAP`.
    max_iter : int, optional
        Iterations of every climb to the mode; see :func:`bayesgmm.find_MAP`. Default: to the top.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, optional
        The first ``n_init`` starts (of "auto" one) are scikit-learn's. Default: the search's own.
    weights_init, means_init, precisions_init : arrays, optional
        Parameters of those starts, in the shapes of ``weights_``, ``means_`` and ``precisions_``; what is left out is
        that of ``init_params``, "kmeans" by default. ``n_init=1``: the climb from there alone.
    warm_start : bool, default False
        Whether a fit begins at the mode of the last one, and climbs from there alone.
    draws, tune, chains, cores : int
        Of NUTS; see :func:`bayesgmm.sample`.
    start : {"auto", "heaviest", "dispersed"}, default "auto"
        Under "nuts", where chains start; see :func:`bayesgmm.sample`. Under "map", which mode is taken: "auto" the one
        of the highest density, which is what MAP means, with a warning where it holds little of the posterior;
        "heaviest" the one that holds most.
    random_state : int, RandomState or None
    progressbar : bool, default True
        Show a bar on a terminal or in a notebook where there is much to compute.

    Attributes
    ----------
    weights_ : (K,) array
    means_ : (K, D) array
    covariances_, precisions_, precisions_cholesky_ : arrays
        In scikit-learn's shapes: full (K, D, D), tied (D, D), diag (K, D), spherical (K,). Under "nuts" weights, means
        and covariances are posterior means, and the precisions are the inverses of those covariances.
    n_components_ : int
        K of the fit.
    components_ : (K,) array
        The components' names: numbers, but for classes that ``labels`` named.
    selection_ : Selection or None
        With "auto", the models that were compared.
    inference_, inference_reason_ : str
        What was done, and why.
    converged_ : bool
        Whether the mode was reached.
    n_iter_ : int
        Iterations of the optimiser from the best start.
    lower_bound_ : float
        Mean log-likelihood of the rows at the mode, in nats.
    map_ : MapEstimate
        The mode; NUTS starts from it.
    inference_data_ : xarray.DataTree
        "nuts": relabelled draws. "map": draws of the Laplace approximation, made when first asked for.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> X = bg.datasets.load_faithful()
    >>> gmm = bg.GaussianMixture(n_components=2, inference="map", random_state=1).fit(X)
    >>> gmm.predict_proba(X[:1]).round(3)
    array([[0., 1.]])
    """

    def __init__(
        self,
        n_components=2,
        *,
        covariance_type="full",
        inference="nuts",
        priors=None,
        resolution="auto",
        missing="error",
        noise=False,
        n_init="auto",
        max_iter=None,
        init_params=None,
        weights_init=None,
        means_init=None,
        precisions_init=None,
        warm_start=False,
        draws=1000,
        tune=None,
        chains=4,
        cores=None,
        start="auto",
        random_state=None,
        progressbar=True,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.inference = inference
        self.priors = priors
        self.resolution = resolution
        self.missing = missing
        self.noise = noise
        self.n_init = n_init
        self.max_iter = max_iter
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.warm_start = warm_start
        self.draws = draws
        self.tune = tune
        self.chains = chains
        self.cores = cores
        self.start = start
        self.random_state = random_state
        self.progressbar = progressbar

    # Fitting --------------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        labels: Any = None,
        measurement_covariance: Any = None,
    ) -> "GaussianMixture":
        """Fit the mixture.

        Parameters
        ----------
        X : (N, D) array or data frame
        y : ignored
        sample_weight : (N,) array, optional
            2 counts a row twice.
        labels : (N,) array, optional
            Components that are known of rows: numbers, -1 unknown, or names of classes, None or NaN unknown, which
            ``predict`` then returns. See :func:`bayesgmm.build_model`.
        measurement_covariance : (N, D) or (N, D, D) array, optional
            Variances or covariances of the errors with which rows were measured.

        Returns
        -------
        self

        Raises
        ------
        InvalidDataError, InvalidDataTypeError, InvalidPriorError

        Warns
        -----
        MultipleModesWarning
            The mode that was taken holds little of the posterior, or chains could not start at every mode.
        """
        from bayesgmm.model.build import build_model
        from bayesgmm.search.find_map import find_MAP

        self._check_arguments()
        given = {"labels": labels, "noise": self.noise or None, "measurement_covariance": measurement_covariance}
        apart = [name for name, value in given.items() if value is not None]
        if apart and isinstance(self.n_components, str):
            raise InvalidArgumentError(
                f"{apart[0]} and n_components = {self.n_components!r}: the models that would be compared know nothing "
                f"of {apart[0]}. Give the number of components."
            )
        self.n_components_ = self._chosen(X, sample_weight)
        model = build_model(
            X,
            self.n_components_,
            covariance_type=self.covariance_type,
            priors=self.priors,
            resolution=self.resolution,
            sample_weight=sample_weight,
            missing=self.missing,
            labels=labels,
            noise=self.noise,
            measurement_covariance=measurement_covariance,
        )
        self.components_ = model.specification.components
        self._remember_features(X, model.table)
        random = check_random_state(self.random_state)
        starts, n_init = self._starts(model.table, random)
        seeds = [int(random.randint(LARGEST_SEED)) for _ in range(2 if self.inference == "map" else 3)]
        self.map_ = find_MAP(
            model, n_init=n_init, start=starts, max_iter=self.max_iter, random_seed=seeds[0],
            progressbar=self.progressbar,
        )  # fmt: skip
        if self.inference in ("map", "laplace"):
            self.map_ = self.map_.taken(self.start)
        self._laplace_seed = seeds[1]
        self.converged_ = self.map_.converged
        self.n_iter_ = int(self.map_.starts.iterations[self.map_.starts.best])
        self._point, point = Point.of(self.map_), self.map_.point
        self.weights_, self.means_, self.covariances_ = point["weights"], point["means"], point["covariances"]
        self._inference_data: xr.DataTree | None = None
        self.inference_, self.inference_reason_ = self.inference, "asked for"
        if self.inference != "map":
            self._sample(model, seeds[2])
        return self

    def _check_arguments(self) -> None:
        self._check_starts()
        check_choice(self.inference, "inference", INFERENCES)
        check_choice(self.start, f"start (inference={self.inference!r})", STARTS[self.inference])
        if self.inference != "map":
            for name in ("draws", "chains"):
                check_count(getattr(self, name), name)

    def _chosen(self, X: Any, sample_weight: Any) -> Any:
        """K, where it is to be found."""
        self.selection_: Selection | None = None
        if isinstance(self.n_components, Iterable) and not isinstance(self.n_components, str):
            raise InvalidArgumentError(
                f'n_components = {self.n_components!r} must be one number, or "auto"; bayesgmm.select compares several.'
            )
        if not isinstance(self.n_components, str):
            return self.n_components
        from bayesgmm.selection.select import select

        if self.n_components != "auto":
            raise InvalidArgumentError(
                f'n_components = {self.n_components!r} must be an integer of at least 1, or "auto".'
            )
        table = Table.to_fit(X, sample_weight=sample_weight, resolution=None, missing=self.missing)
        most = min(MOST_COMPONENTS, table.counted.n_rows)
        self.selection_ = select(
            X,
            n_components=range(1, most + 1),
            covariances=(self.covariance_type,),
            shortlist=0,
            resolution=self.resolution,
            sample_weight=sample_weight,
            missing=self.missing,
            random_seed=int(check_random_state(self.random_state).randint(LARGEST_SEED)),
            progressbar=self.progressbar,
        )
        return self.selection_.best[0]

    def _sample(self, model: Any, seed: int) -> None:
        from bayesgmm.posterior.suited import drawn

        dt, self.inference_, self.inference_reason_ = drawn(
            model, self.map_, self.inference, draws=self.draws, tune=self.tune, chains=self.chains, cores=self.cores,
            random_seed=seed, start=self.start, progressbar=self.progressbar,
        )  # fmt: skip
        self._inference_data = self._with_selection(dt)
        fit = Fit.of(self._inference_data).in_proportion
        means = fit.tree["posterior"].dataset.mean(("chain", "draw"))
        self.weights_ = means["weights"].transpose("component").values
        self.means_ = means["means"].transpose("component", "feature").values
        self.covariances_ = means["covariances"].transpose(*fit.covariance.dims).values

    @property
    def inference_data_(self) -> "xr.DataTree":
        """Draws: of NUTS, or of the Laplace approximation after a MAP fit."""
        check_is_fitted(self)
        if self._inference_data is None:
            if not hasattr(self, "map_"):
                raise ModelError(
                    "this GaussianMixture came from scikit-learn with its parameters alone, so it has no posterior and "
                    "no draws: fit it to the data, as set_params(priors=None, inference='nuts').fit(X), say."
                )
            drawn = self.map_.laplace(LAPLACE_DRAWS, random_seed=self._laplace_seed)
            self._inference_data = self._with_selection(drawn)
        return self._inference_data

    def _with_selection(self, dt: "xr.DataTree") -> "xr.DataTree":
        return dt if self.selection_ is None else Fit.of(dt).selected_from(self.selection_.table).tree
