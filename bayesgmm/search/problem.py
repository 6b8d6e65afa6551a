"""What is to be fitted, as functions of one flat vector of numbers.

A problem is a specification and a table. It knows two log-densities: of the *parameters* in the user's own terms, whose
maximum is the MAP, and of the unconstrained vector q, which is the first with the Jacobian of the map between them, and
which samplers and Gaussian approximations work on.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pytensor.tensor as pt
from scipy import sparse

from bayesgmm.data.table import Chunk, Table
from bayesgmm.exceptions import ModelError
from bayesgmm.graph.compiled import LogDensity
from bayesgmm.graph.log_posterior import LogPosterior
from bayesgmm.graph.mixture_map import MixtureMap
from bayesgmm.graph.non_centred import NonCentred
from bayesgmm.graph.roots import Roots
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.noise import Noise
from bayesgmm.model.em import expectation
from bayesgmm.model.mixture_model import MixtureModel
from bayesgmm.model.specification import Specification
from bayesgmm.search.curvature import term_of_many
from bayesgmm.search.fisher import Fisher
from bayesgmm.search.information import MixtureDensity, MixtureTerm
from bayesgmm.search.ordered import Ordered
from bayesgmm.search.passes import Passes, SummedDensity

if TYPE_CHECKING:
    import pymc as pm

# Rows on which hillsides are found, and climbed first, where there are more.
MANY_ROWS = 20_000
# Of a component whose mean chains see from it: one row at least, else it has none, and few.
FEW_ROWS = 0.5, 5.0
# Of a correlation matrix that an optimiser is to start from.
LEAST_EIGENVALUE = 1e-6
# What rounding alone explains leaves no variance for a component; it keeps this part of it.
LEAST_VARIANCE_SHARE = 0.01
# Log posteriors that agree to this part are the same.
SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Problem(Ordered):
    """A specification and a table, as densities of a flat vector."""

    specification: Specification
    table: Table
    graph: LogPosterior

    @classmethod
    def of(cls, model: "pm.Model", backend: str = "numba") -> "Problem":
        """The problem that a model poses, with densities of a backend (:mod:`bayesgmm.graph.backends`).

        Raises
        ------
        ModelError
            It was not made by :func:`bayesgmm.build_model`, or has discrete variables.
        """
        if not isinstance(model, MixtureModel):
            raise ModelError(
                f"a {type(model).__name__} that was not made by bayesgmm.build_model, or was made anew of one that "
                "was: pm.do, pm.observe, freeze_model and freeze_dims_and_data give models that no longer know their "
                "mixture. Pass the model that build_model returned (its data may be changed by pm.set_data, terms "
                "added to it), or use PyMC's own pm.sample and pm.find_MAP on this one."
            )
        missing = [name for name in ("weights", "means", "covariances") if name not in model.named_vars]
        if missing:
            raise ModelError(f"the model has lost the variable {', '.join(missing)}: build it anew.")
        return cls(model.specification, model.table, LogPosterior(model, backend))

    def __reduce__(self) -> Any:
        # Compiled functions do not pickle, and a pm.Model only by cloudpickle, which PyMC itself depends on.
        return _of_pickle, (cloudpickle.dumps(self.graph.model), self.graph.backend)

    def on(self, backend: str) -> "Problem":
        """The same problem with densities of another backend."""
        return self if self.graph.backend == backend else replace(self, graph=LogPosterior(self.model, backend))

    @property
    def model(self) -> MixtureModel:
        return self.graph.model

    @property
    def is_current(self) -> bool:
        """Whether the model's data are still those of this problem."""
        return self.graph.function.is_current()

    # The densities --------------------------------------------------------------------------------------------------

    @property
    def n_parameters(self) -> int:
        """Length of q."""
        return self.graph.n_parameters

    @cached_property
    def _data(self) -> dict[str, np.ndarray] | None:
        own = {"x_data": self.table.values, "sample_weight": self.table.row_weights} | self.table.pattern
        return None if self.model.table is self.table else own

    @cached_property
    def _densities(self) -> tuple[LogDensity, LogDensity]:
        whole = self.graph.densities(self._data, any_order=self.in_any_order)
        if self.table.elsewhere:
            return self._summed
        if not self.graph.rows_alone:  # terms of the user's would be asked for no rows, by code that checks no lengths
            return whole
        without: tuple[LogDensity | None, LogDensity | None] = (None, None)
        if not self.table.pattern:
            nothing = {"x_data": self.table.values[:0], "sample_weight": self.table.row_weights[:0]}
            without = self.graph.densities(nothing, any_order=self.in_any_order)
        first, second = (
            MixtureDensity(density, MixtureTerm(self.table, self._mixture_map, self.graph.owners, rest))
            for density, rest in zip(whole, without, strict=True)
        )
        return first, second

    @property
    def _summed(self) -> tuple[LogDensity, LogDensity]:
        """The densities of a table whose rows are not in memory."""
        if not self.graph.rows_alone:
            raise ModelError(
                "a term of yours takes the rows, which are not in memory: fit a sample of them, or leave the term out."
            )
        nothing = {"x_data": self.table.values[:0], "sample_weight": self.table.row_weights[:0]}
        passes = Passes(self.table)
        first, second = (
            SummedDensity(MixtureTerm(self.table, self._mixture_map, self.graph.owners, rest), rest, passes)
            for rest in self.graph.densities(nothing, any_order=self.in_any_order)
        )
        return first, second

    @property
    def _mixture_map(self) -> MixtureMap:
        # Problems of the same model and other rows share it: its graphs take a third of a second to make.
        if self.graph.map is None:
            self.graph.map = self._new_map
        return self.graph.map

    @property
    def _new_map(self) -> MixtureMap:
        family, k, d = self.specification.covariance, self.specification.n_components, self.specification.n_features
        return MixtureMap(self.graph, k, lambda covariances: family.matrices(covariances, k, d, xp=pt))

    @property
    def parameter_density(self) -> LogDensity:
        r""":math:`\log p(x, \theta(q))` and its gradient by q: no Jacobian, as ``pm.find_MAP`` has it.

        But for weights whose own density has no maximum, which are taken in the softmax basis
        (:mod:`bayesgmm.model.weights`).
        """
        return self._densities[0]

    @property
    def sampling_density(self) -> LogDensity:
        r""":math:`\log p(x, \theta(q)) + \log|\partial\theta/\partial q|` and its gradient by q.

        Where ``in_any_order``, averaged over all orders of the components: what has been drawn is put
        ``in_drawn_order``.
        """
        return self._densities[1]

    @property
    def rowless_density(self) -> LogDensity:
        """``sampling_density`` of no rows.

        Raises
        ------
        ModelError
            Not all of every row is seen, or other terms than the mixture take rows.
        """
        density = self.sampling_density
        rest = density.term.rest if isinstance(density, MixtureDensity | SummedDensity) else None
        if rest is None:
            raise ModelError(
                "a Gaussian likelihood is that of complete rows and of no other term that takes them: use "
                'likelihood="exact".'
            )
        return rest

    def sampling_log_densities(self, q: np.ndarray) -> np.ndarray:
        """``sampling_density`` at a batch ``q`` (B, P), (B,); rows that are not in memory are read once for all."""
        if not self.table.elsewhere:
            return np.array([self.sampling_density(one)[0] for one in q])
        density = self.sampling_density
        assert isinstance(density, SummedDensity)
        mixtures = self.mixtures(self.constrain(q))
        return np.array([density.rest(one)[0] for one in q]) + self.table.sum_over(partial(_log_likelihoods, mixtures))

    @cached_property
    def feature_scales(self) -> np.ndarray:
        """Standard deviation of each feature, (D,)."""
        return np.sqrt(self.table.moments[1])

    @cached_property
    def scales(self) -> np.ndarray:
        """A length for every entry of q over which the density changes, (P,): the features' for the means, else 1."""
        return self.graph.lengths({"means": self.feature_scales})

    @cached_property
    def _seen(self) -> np.ndarray:
        """The entries of q that hold covariances which are seen from roots of their own, (M, D (D + 1) / 2)."""
        if self.specification.relative_prior is None or not self.specification.correlated:
            return Roots.none().entries
        learned = self.specification.prior("reference") is not None
        names = ("log_cholesky", *(("reference_log_cholesky",) * learned))
        return np.concatenate([np.atleast_2d(self.graph.entries[name]) for name in names])

    def roots(self, q: np.ndarray) -> Roots:
        """The way to the z in which the densities are climbed and sampled near ``q``; q itself under other priors."""
        return Roots.at(q, self._seen) if self._seen.size else Roots.none()

    def non_centred(self, q: np.ndarray) -> NonCentred:
        """Which components have so few rows at ``q`` that chains see their means from them."""
        prior, family = self.specification.relative_prior, self.specification.covariance
        if prior is None or not family.per_component:
            return NonCentred.none()
        mixture = self.mixture(q)
        counts = expectation(mixture, self.table).counts
        few = np.flatnonzero((counts > FEW_ROWS[0]) & (counts < FEW_ROWS[1]))
        if not few.size:
            return NonCentred.none()
        means, covariances = (self.graph.entries[name][few] for name in ("means", "log_cholesky"))
        d = self.specification.n_features
        covariances = covariances.reshape(len(few), -1)
        if not family.per_feature:
            covariances = np.repeat(covariances, d, axis=1)
        outer = prior.outer if family.correlated else np.diag(np.broadcast_to(prior.outer, d))
        return NonCentred(means, covariances, q[means], outer)

    @cached_property
    def _fisher(self) -> Fisher | None:
        if self.specification.relative_prior is None:
            return None
        return Fisher(self.specification, self.graph.entries, self.scales)

    def round_axes(self, q: np.ndarray) -> sparse.csr_array | None:
        """Axes (P, P) of z in which the densities are nearly round at ``q``, by no second derivatives, if known.

        Raises
        ------
        numpy.linalg.LinAlgError
            A covariance is not positive definite there.
        """
        if self._fisher is not None:
            mixture = self.mixture(q)
            return self._fisher.axes(q, mixture, expectation(mixture, self.table).counts)
        term = term_of_many(self.parameter_density)
        return None if term is None else term.information_axes(q, self.scales)

    # There and back -------------------------------------------------------------------------------------------------

    def constrain(self, q: np.ndarray) -> dict[str, np.ndarray]:
        """All named variables at a batch ``q`` (B, P): name -> (B, ...)."""
        return self.graph.constrain(q)

    def mixture(self, q: np.ndarray) -> Mixture:
        """The mixture at ``q`` (P,)."""
        return self.mixtures(self.constrain(q))[0]

    def mixtures(self, values: dict[str, np.ndarray]) -> Mixture:
        """A batch of named variables as mixtures."""
        k, d = self.specification.n_components, self.specification.n_features
        covariances = self.specification.covariance.expand(values["covariances"], k, d)
        noise = None if self.table.box is None else Noise(values["noise"], *self.table.box)
        return Mixture(values["weights"], values["means"], covariances, noise)

    def unconstrained(self, mixture: Mixture) -> np.ndarray:
        """The q (P,) of a mixture; variables that a user added to the model stand at their initial values."""
        specification, family = self.specification, self.specification.covariance
        covariances = family.pool(mixture.full_covariances, mixture.weights)
        values = {"weights": mixture.weights, "means": mixture.means}
        if mixture.noise is not None:
            values["noise"] = np.asarray(mixture.noise.share)
        if specification.relative_prior is not None:
            relative = specification.relative_prior.coordinates(covariances, specification.rounding)
            return self._unconstrained(values | relative)
        diagonal = np.einsum("...ii->...i", covariances) if family.correlated else covariances
        rounding = specification.rounding if family.per_feature else specification.rounding.mean()
        variances = np.maximum(diagonal - rounding, LEAST_VARIANCE_SHARE * diagonal)
        values |= {"variances": variances, "scales": np.sqrt(variances)}
        if specification.correlated:
            values["correlation_cholesky"] = _correlation_cholesky(covariances, np.sqrt(diagonal))
        return self._unconstrained(values)

    def _unconstrained(self, values: dict[str, np.ndarray]) -> np.ndarray:
        if not {str(rv.name) for rv in self.model.free_RVs} <= set(values):
            initial = self.constrain(self.graph.initial)
            values = {name: value[0] for name, value in initial.items()} | values
        return self.graph.unconstrain(values)

    # Less of it -----------------------------------------------------------------------------------------------------

    def on_fewer_rows(self, rng: np.random.Generator) -> "Problem":
        """The problem of some of the rows, where there are very many: most of a climb needs no more."""
        # A user's own terms may need every row, and compiled code checks no lengths.
        if (self.table.counted.n_rows <= MANY_ROWS and not self.table.elsewhere) or not self.graph.rows_alone:
            return self
        return replace(self, table=self.table.counted.subsample(MANY_ROWS, rng))


def _log_likelihoods(mixtures: Mixture, chunk: Chunk) -> np.ndarray:
    """Of some rows under every mixture of a batch, (B,)."""
    return np.array([mixture.statistics(*chunk).log_likelihood for mixture in mixtures])


def _correlation_cholesky(covariances: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Cholesky factors of correlation matrices; of singular ones, with as much independence added as gives them one."""
    correlation = covariances / (scales[..., :, None] * scales[..., None, :])
    least = np.linalg.eigvalsh(correlation)[..., :1, None]
    share = np.maximum(LEAST_EIGENVALUE - least, 0)
    return np.linalg.cholesky((1 - share) * correlation + share * np.eye(scales.shape[-1]))


def _of_pickle(model: bytes, backend: str = "numba") -> Problem:
    return Problem.of(cloudpickle.loads(model), backend)
