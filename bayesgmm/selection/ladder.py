"""The maximum of the likelihood of every number of components and covariance structure, each helped by its neighbours.

Up: the search for a model's maximum begins at that of fewer components, with spare ones where rows are crowded, and at
those of simpler structures. Down: at that of more components, merged. Then up once more, with what was found on the way
down; where a model is near the best by BIC, with many more starts. A model that holds another is never less likely.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import COVARIANCE_TYPES, CovarianceType
from bayesgmm.search.likelihood import Likelihood, Maximum
from bayesgmm.search.maximum_likelihood import PATIENCE, Found, LikelihoodSearch
from bayesgmm.search.split_and_merge import merged
from bayesgmm.search.starts import Views

# The structures, each after those that it holds.
HOLDS: dict[str, tuple[str, ...]] = {"spherical": (), "diag": ("spherical",), "tied": (), "full": ("tied", "diag")}
SWEEPS = UP, DOWN, AGAIN = "up", "down", "again"
# Ways in which spare components are put on the maximum of fewer.
WAYS = {UP: 3, DOWN: 0, AGAIN: 1}
# BIC from the best within which a maximum is to be reached so often, and is searched for by so many starts more for
# every component: of wine 7 tied components ended 9 nats short in one of three searches without them.
NEAR, OFTEN, PER_COMPONENT = 10.0, 3, 2
# Half the distance of the two that one component becomes, in its standard deviations: the likelihood hardly notices.
APART = 1e-3
# Nats by which a log-likelihood may fall by rounding.
ROUNDING = 1e-3


class Model(NamedTuple):
    """One of the models that are compared."""

    n_components: int
    covariance_type: str

    @property
    def family(self) -> CovarianceType:
        return COVARIANCE_TYPES[self.covariance_type]

    def n_parameters(self, n_features: int) -> int:
        """Free parameters."""
        return self.family.n_mixture_parameters(self.n_components, n_features)

    def bic(self, log_likelihood: float, table: Table) -> float:
        """Bayesian information criterion; smaller is better."""
        return -2 * log_likelihood + self.n_parameters(table.n_features) * float(np.log(table.total))


class Ladder:
    """All searches.

    Parameters
    ----------
    table : Table
    numbers : tuple of int
        Of components, ascending.
    covariances : tuple of str
    """

    def __init__(self, table: Table, numbers: tuple[int, ...], covariances: tuple[str, ...]):
        self.table, self.numbers = table, numbers
        self._names = [name for name in HOLDS if name in covariances]
        self._views = Views(table, np.random.default_rng(0))

    @property
    def steps(self) -> list[tuple[str, Model]]:
        """A sweep and a model, in the order in which they are climbed."""
        return [
            (sweep, Model(k, name))
            for sweep in SWEEPS
            for name in self._names
            for k in (self.numbers[::-1] if sweep == DOWN else self.numbers)
        ]

    def climb(self, sweep: str, model: Model, found: Mapping[Model, Found], seed: int) -> Found:
        """What is known of a model after a step, with what was ``found`` of all before it."""
        place = seed, SWEEPS.index(sweep), list(HOLDS).index(model.covariance_type), model.n_components
        search = LikelihoodSearch(
            Likelihood(self.table, model.family), model.n_components, np.random.default_rng(place), self._views
        )
        for mixture in self._neighbours(search, sweep, model, found):
            search.climb(mixture)
        if sweep == UP:
            search.run()
        elif sweep == AGAIN and model.n_components > 1 and self._near(model, found):
            search.climb(found[model].maximum.mixture)
            search.run(often=OFTEN, patience=max(PATIENCE, PER_COMPONENT * model.n_components))
        here = search.found if search.climbed else found[model]
        if search.climbed and model in found:
            here = found[model].joined(here)
        for fewer in self._held(model, found):
            if fewer.log_likelihood > here.maximum.log_likelihood + ROUNDING:
                here = here.joined(self._from_held(search, fewer.mixture, fewer.log_likelihood))
        return here

    def _near(self, model: Model, found: Mapping[Model, Found]) -> bool:
        """Whether a model is near the best by BIC."""
        bic = {
            other: other.bic(known.maximum.log_likelihood, self.table)
            for other, known in found.items()
            if not known.maximum.collapsed
        }
        return model in bic and bic[model] < min(bic.values()) + NEAR

    def _neighbours(
        self, search: LikelihoodSearch, sweep: str, model: Model, found: Mapping[Model, Found]
    ) -> Iterator[Mixture]:
        """Mixtures of as many components as a model has, from what was found of those beside it."""
        k, name = model
        for simpler in HOLDS[name]:
            if Model(k, simpler) in found:
                yield found[Model(k, simpler)].maximum.mixture
        place = self.numbers.index(k)
        if sweep == DOWN and place + 1 < len(self.numbers):
            yield merged(found[Model(self.numbers[place + 1], name)].maximum.mixture, k, model.family)
        if place:
            fewer = found[Model(self.numbers[place - 1], name)].maximum.mixture
            for _ in range(WAYS[sweep]):
                yield search.moves.with_spare(fewer, k - fewer.n_components)

    def _held(self, model: Model, found: Mapping[Model, Found]) -> Iterator[Maximum]:
        """What was found of the models that a model holds, where no component has collapsed."""
        k, name = model
        fewer = [Model(number, name) for number in self.numbers if number < k][-1:]
        for other in (*fewer, *(Model(k, simpler) for simpler in HOLDS[name])):
            if other in found and not found[other].maximum.collapsed:
                yield found[other].maximum

    def _from_held(self, search: LikelihoodSearch, mixture: Mixture, log_likelihood: float) -> Found:
        """The maximum above one of a model that is held, with a component twice: this itself if the climb collapses."""
        begin = _grown(mixture, search.n_components)
        ended = search.likelihood.climb(begin)
        if ended.collapsed:
            ended = Maximum(begin, log_likelihood, converged=False)
        return Found.among([ended])


def _grown(mixture: Mixture, n_components: int) -> Mixture:
    """A mixture with the heaviest component as two of half its weight, again and again; nearly the same density."""
    while mixture.n_components < n_components:
        heaviest = int(np.argmax(mixture.weights))
        order = np.append(np.arange(mixture.n_components), heaviest)
        weights, means = mixture.weights[order], mixture.means[order]
        weights[[heaviest, -1]] /= 2
        step = APART * mixture.scales[heaviest]
        means[heaviest] -= step
        means[-1] += step
        mixture = Mixture(weights, means, mixture.covariances[order])
    return mixture
