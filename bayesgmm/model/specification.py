r"""All that is assumed of a table: K, the covariances' structure, every prior in numbers, the recording resolution.

The one source of it: the ``pm.Model``, EM's pseudo-counts, the number of parameters, the words and the equation of a
report, the Python that makes a fit again, and what stands in a saved file (:mod:`bayesgmm.model.paper`) all come from
here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.arguments import check_choice, check_count
from bayesgmm.data.known import check_classes
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidDataError, InvalidPriorError, ModelError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import COVARIANCE_TYPES, CovarianceType
from bayesgmm.model.em import EMPTY_COUNT, NOISE_PRIOR
from bayesgmm.model.prior import STICKS, VARIANCE_SHAPE, WITHIN, Prior, brief_number, by_feature
from bayesgmm.model.priors import Priors, default_variance_scale
from bayesgmm.model.relative import RelativePrior
from bayesgmm.model.weights import WeightsPrior
from bayesgmm.model.within import WithinPrior

if TYPE_CHECKING:
    from bayesgmm.model.mixture_model import MixtureModel

# Variances of a component that rows leave without width, in EM without priors, as a part of those within components.
LEAST_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class Specification:
    """What is assumed.

    Parameters
    ----------
    features : tuple of D str
    n_components : int
    covariance : CovarianceType
    priors : tuple of Prior
    resolution : (D,) array
        Recording steps; their rounding variance is part of every covariance.
    typical_variance_scale : (D,) array
        Of the default prior of the variances, whether or not that is in use: EM must not collapse under any prior.
    terms : tuple of str
        What a user added to the model, in words.
    classes : tuple of str, optional
        What the first components are called, where labels named them.
    """

    features: tuple[str, ...]
    n_components: int
    covariance: CovarianceType
    priors: tuple[Prior, ...]
    resolution: np.ndarray = field(repr=False)
    typical_variance_scale: np.ndarray = field(repr=False)
    terms: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls, table: Table, n_components: int, *, covariance_type: str = "full", priors: Priors | None = None
    ) -> "Specification":
        """What is assumed of a table; see :func:`bayesgmm.build_model`.

        Raises
        ------
        InvalidDataError, InvalidArgumentError, InvalidPriorError
        """
        n_components = check_count(n_components, "n_components")
        covariance = COVARIANCE_TYPES[check_choice(covariance_type, "covariance_type", tuple(COVARIANCE_TYPES))]
        priors = Priors() if priors is None else priors
        if not isinstance(priors, Priors):
            raise InvalidPriorError(f"priors = {priors!r} must be a bayesgmm.Priors.")
        counted = table.n_rows if table.weights is None else int((table.weights > 0).sum())
        if counted < n_components:
            raise InvalidDataError(
                f"n_samples = {counted} rows are fewer than n_components = {n_components}: "
                f"choose n_components <= {counted} or add rows."
            )
        if table.labels is not None:
            check_classes(table.labels, table.classes, n_components)
        return cls(
            features=table.features,
            n_components=n_components,
            covariance=covariance,
            priors=(*priors.resolved(table, n_components, covariance), *_noise(table)),
            resolution=np.zeros(table.n_features) if table.resolution is None else table.resolution,
            typical_variance_scale=default_variance_scale(table, n_components),
            classes=table.classes,
        )

    # What it knows --------------------------------------------------------------------------------------------------

    @property
    def n_features(self) -> int:
        return len(self.features)

    @property
    def components(self) -> np.ndarray:
        """The components' names, (K,): numbers, or the classes that labels named and numbers after them."""
        numbers = np.arange(self.n_components)
        return numbers if self.classes is None else np.array([*self.classes, *numbers[len(self.classes) :].astype(str)])

    @cached_property
    def rounding(self) -> np.ndarray:
        """What every covariance holds besides, (D,): rounding variances (Sheppard's correction), and float64's own."""
        return self.resolution**2 / 12 + self.floor

    @property
    def floor(self) -> np.ndarray:
        """A variance of each feature, (D,), that keeps every covariance within what float64 can invert."""
        own = 0.0 if self.relative_prior is None else self.relative_prior.floor
        return np.array(np.broadcast_to(own, (self.n_features,)))

    @property
    def correlated(self) -> bool:
        """Whether there are correlations."""
        return self.covariance.correlated and self.n_features > 1

    @property
    def n_parameters(self) -> int:
        """Free parameters of the mixture; what has only a prior in common, a reference or a concentration, is none."""
        of_components = self.covariance.n_mixture_parameters(self.n_components, self.n_features)
        return of_components + (self.prior("noise") is not None)

    def prior(self, *variables: str) -> Prior | None:
        """The prior of the first of these variables that has one."""
        return next((prior for prior in self.priors if prior.variable in variables), None)

    @property
    def eta(self) -> float | None:
        """LKJ's eta, 0 where the density of the correlations is flat; None where there are none."""
        prior = self.prior("correlations")
        return None if prior is None else float(prior.numbers["lkj_eta"])

    @cached_property
    def weights_prior(self) -> WeightsPrior:
        """The prior of the weights."""
        prior = self.prior("weights")
        assert prior is not None
        given = prior.numbers.get("concentration")
        return WeightsPrior(prior.distribution == STICKS, None if given is None else np.asarray(given))

    @cached_property
    def relative_prior(self) -> RelativePrior | WithinPrior | None:
        """The prior of the covariances around a reference, or within that of all rows, where it is the one."""
        prior, reference = self.prior("covariances"), self.prior("reference")
        if prior is None or prior.users:
            return None
        numbers = {**prior.numbers} if reference is None else {**prior.numbers, **reference.numbers}
        outer = np.asarray(numbers["reference_cholesky" if "reference_cholesky" in numbers else "total_cholesky"])
        if prior.distribution == WITHIN:
            own = (float(numbers[f"within_{name}"]) for name in ("rows", "spread", "ceiling", "wall"))
            return WithinPrior(self.covariance, outer, *own)
        rows, shares = (np.asarray(numbers[name]) for name in ("likeness", "likeness_shares"))
        spread, wall = (float(numbers[f"scale_{name}"]) for name in ("spread", "wall"))
        total = 0.0 if reference is None else float(reference.numbers["within_rows"])
        return RelativePrior(self.covariance, outer, rows, shares, spread, wall, reference is not None, total)

    @property
    def flat(self) -> bool:
        """Whether the log posterior is the log-likelihood, but for a constant (:meth:`Priors.flat`)."""
        concentration = self.weights_prior.concentration
        even = not self.weights_prior.sticks and concentration is not None and bool((concentration == 1).all())
        names = [prior.distribution for prior in self.priors if prior.improper]
        return even and names == ["Flat", "HalfFlat"] and self.prior("scales") is not None and not self.eta

    def covariance_step(self, counts: np.ndarray, scatter: np.ndarray, last: Mixture | None) -> np.ndarray:
        """EM's M-step of the covariances: what the priors make of counts (K,) and scatter (K, D, D).

        By its mode an inverse-gamma (a, b) is 2 a + 2 rows of scatter 2 b. A user's own prior counts as what the
        default is worth: EM only finds where to start from.
        """
        if self.relative_prior is not None:
            return self.relative_prior.covariances(counts, scatter, last, self.rounding)
        prior = self.prior("variances")
        scale = None if prior is None else prior.variance_scale
        scale = np.broadcast_to(self.typical_variance_scale if scale is None else scale, (self.n_features,))
        covariances = (scatter + np.diag(2 * scale)) / (counts + 2 * VARIANCE_SHAPE + 2)[:, None, None]
        return self.covariance.expand(self.covariance.pool(covariances, counts + EMPTY_COUNT), *scatter.shape[:2])

    def likeliest_covariances(self, counts: np.ndarray, scatter: np.ndarray, last: Mixture | None) -> np.ndarray:
        """EM's M-step of the covariances without priors, with some width where a component's rows show none."""
        covariances = scatter / (counts + EMPTY_COUNT)[:, None, None]
        within = np.einsum("kii->i", scatter) / counts.sum()
        units = np.sqrt(np.where(within > 0, within, 1.0))
        if np.isfinite(covariances).all():
            narrow = np.linalg.eigvalsh(covariances / np.outer(units, units))[:, 0] < LEAST_SHARE
            covariances += narrow[:, None, None] * np.diag(np.maximum(self.rounding, LEAST_SHARE * units**2))
        return self.covariance.expand(self.covariance.pool(covariances, counts + EMPTY_COUNT), *scatter.shape[:2])

    @property
    def unbounded_because(self) -> tuple[str, ...]:
        """Reasons why the posterior density may have no maximum; empty where one must exist."""
        reasons = []
        concentration = self.weights_prior.concentration
        if concentration is not None and concentration.min() < 1 and not self.weights_prior.in_softmax_basis:
            reasons.append(
                f"concentration = {concentration.min():g} is below 1: the density is unbounded where a weight is 0"
            )
        least = 1 + self.n_features / 2
        if self.eta is not None and self.covariance.per_component and self.eta <= least:
            given = f"{self.eta:g} is not above 1 + D/2 = {least:g}" if self.eta > 0 else '"flat"'
            reasons.append(f"lkj_eta = {given}: a component on rows that lie on a hyperplane may collapse")
        # What the variances are kept away from 0 by: their own prior, or that of its scale.
        prior = self.prior("variance_scale") or self.prior("variances", "scales")
        rounded = (self.resolution > 0).all()
        if prior is not None and self.covariance.per_component and not rounded and not prior.vanishes_at_zero():
            reasons.append(
                f"the prior of the {prior.variable} ({prior.words}) does not keep them away from 0, and not every "
                "feature has a recording resolution: a component may collapse on tied rows"
            )
        return tuple(reasons)

    def check_proper(self) -> None:
        """Raise InvalidPriorError where a component without rows could be anywhere, so that there is no posterior."""
        improper = [prior.variable for prior in self.priors if prior.improper]
        if improper and self.n_components > 1:
            raise InvalidPriorError(
                f"the prior of the {improper[0]} has no integral, so there is no posterior to draw from: a component "
                "without rows could be anywhere. Use priors that have one, such as the default, or find_MAP alone."
            )

    def with_numbers(self, numbers: Mapping[str, np.ndarray], terms: tuple[str, ...] = ()) -> "Specification":
        """The same assumptions with other numbers, by the names under which the model keeps them."""
        return replace(
            self,
            priors=tuple(prior.with_numbers(numbers) for prior in self.priors),
            resolution=np.asarray(numbers.get("resolution", self.resolution)),
            terms=terms,
        )

    def build(self, table: Table) -> "MixtureModel":
        """The ``pm.Model`` of a table.

        Raises
        ------
        ModelError
            A user added terms, which are known in words only.
        """
        from bayesgmm.model.build import build

        if self.terms:
            raise ModelError(
                f"these draws are of a model with terms of its own ({'; '.join(self.terms)}), which only that model "
                "has: pass it, evidence(dt, model=model) or open_run(path, model=model)."
            )

        return build(self, table)

    # In words -------------------------------------------------------------------------------------------------------

    @property
    def equation(self) -> str:
        """The model as LaTeX."""
        k = "" if not self.covariance.per_component else "_k"
        return rf"p(x) = \sum_{{k=1}}^{{{self.n_components}}} \pi_k\, N(x \mid \mu_k, \Sigma{k})"

    def in_words(self) -> list[tuple[str, str]]:
        """Every prior, and the resolution where there is one, as a name and a sentence with its numbers."""
        said = [(prior.variable, prior.in_words(self.features)) for prior in self.priors]
        if (self.resolution > 0).any():
            steps = [brief_number(step) if step > 0 else "not rounded" for step in self.resolution]
            said.append(("recorded in steps of", by_feature(self.features, steps)))
        return said

    @property
    def not_defaults(self) -> dict[str, str]:
        """A user's own priors and terms in words, by their variables."""
        said = {prior.variable: f"{prior.variable} ~ {prior.words}" for prior in self.priors if prior.users}
        weights = self.prior("weights")
        if weights is not None and self.weights_prior.sticks:
            # Of relabelled draws a component is a cluster, and its stick is kept beside.
            where = "in the sampler's labels (sample_stats permutation, once relabelled)"
            said["weights"] = f"weights ~ {weights.in_words(self.features)} {where}"
        return said | {words.split(" ", 1)[0]: words for words in self.terms}

    def arguments(self) -> list[str]:
        """What stands for these assumptions in a call of ``build_model``, as Python.

        A prior that no call gives is left out, with a comment in its place.
        """
        said = [f"n_components={self.n_components}", f"covariance_type={self.covariance.name!r}"]
        said.append(f"resolution={self.resolution.tolist()}" if (self.resolution > 0).any() else "resolution=None")
        given, missing = [], []
        weights = self.weights_prior
        if weights.sticks:
            given.append('weights="stick-breaking"')
        if weights.concentration is not None and (weights.concentration != 1).any():
            given.append(f"concentration={weights.concentration.tolist()}")
        for prior in self.priors:
            if prior.users and ".dist(" in prior.words:
                given.append(f"{prior.variable}=pm.{prior.words}")
            elif prior.users:
                missing.append(f"  # and your prior of the {prior.variable}: {prior.words}")
        if self.eta is not None and self.eta != (self.n_features + 3) / 2:
            given.append(f"lkj_eta={self.eta:g}" if self.eta > 0 else 'lkj_eta="flat"')
        given += self._reference_argument()
        if given or missing:
            said.append(f"priors=bg.Priors({', '.join(given)}){''.join(missing)}")
        return said

    def _reference_argument(self) -> list[str]:
        prior = self.prior("covariances")
        if prior is not None and self.relative_prior is not None:
            return [f"reference={_square(self.relative_prior.centre, self.n_features)}"] if prior.given else []
        apart = any(prior.users for prior in self.priors if prior.variable not in ("means", "concentration"))
        usual = self.eta is None or self.eta == (self.n_features + 3) / 2
        return ["reference=None"] if usual and not apart else []


def _noise(table: Table) -> Iterator[Prior]:
    if table.box is not None:
        a, b = NOISE_PRIOR
        yield Prior("noise", "Beta", {"noise_a": np.array(a), "noise_b": np.array(b)})


def _square(reference: np.ndarray, n_features: int) -> list:
    """A reference in its natural shape as a matrix, for a call."""
    matrix = reference if reference.ndim == 2 else np.diag(np.broadcast_to(reference, (n_features,)))
    return matrix.tolist()
