"""The ``pm.Model`` that knows what was assumed, and of which table."""

from dataclasses import replace
from typing import Any

import numpy as np
import pymc as pm

from bayesgmm.data.table import Table
from bayesgmm.graph.user_priors import in_words
from bayesgmm.model.specification import Specification


class MixtureModel(pm.Model):
    """A ``pm.Model`` that knows what was assumed and of which table, as its data stand now.

    It is an ordinary model, to which terms can be added and whose ``pm.Data`` can be set. PyMC's functions that make
    another model of it (``pm.do``, ``pm.observe``, ``freeze_dims_and_data``) make an ordinary one.

    Parameters
    ----------
    specification : Specification
    table : Table
    """

    def __init__(self, specification: Specification, table: Table):
        features = list(specification.features)
        # The parameters of the default priors are in their range.
        super().__init__(
            coords={"component": specification.components, "feature": features, "feature2": features},
            check_bounds=any(prior.users for prior in specification.priors),
            # A model of its own also where one is built within another's context.
            model=None,
        )
        self._specification, self._table = specification, table
        self._own: frozenset[str] = frozenset()

    def is_built(self) -> None:
        """Say that all that stands in the model now comes from its specification."""
        self._own = frozenset(self.named_vars)
        # The model's own copy, so that there is one; and to see whether it was set anew.
        self._table = self._table_of(self._table, built=False)

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """The data and the priors' numbers, by name, as they stand now."""
        return {str(v.name): v.get_value(borrow=True) for v in self.data_vars}

    @property
    def specification(self) -> Specification:
        """What is assumed."""
        added = [v for v in (*self.basic_RVs, *self.potentials) if v.name not in self._own]
        terms = tuple(in_words(v) if v in self.basic_RVs else f"{v.name} (a potential)" for v in added)
        return self._specification.with_numbers(self.numbers, terms)

    @property
    def table(self) -> Table:
        """What the likelihood is of."""
        return self._table_of(self._table)

    def _table_of(self, table: Table, *, built: bool = True) -> Table:
        numbers = self.numbers
        low, high = (numbers.get(f"noise_{side}") for side in ("low", "high"))
        own: dict[str, Any] = {
            "values": numbers["x_data"], "weights": numbers.get("sample_weight"), "resolution": numbers["resolution"],
            "errors": numbers.get("measurement_covariance"),
        }  # fmt: skip
        same_box = table.box is None or (low is table.box[0] and high is table.box[1])
        if same_box and all(value is getattr(table, name) for name, value in own.items()):
            return table
        if table.elsewhere and built:  # rows of a user's in the place of those at hand: they are the table now
            table = table.at_hand
        same = len(own["values"]) == table.n_rows
        return replace(
            table,
            names=table.names if same else None,
            labels=table.labels if same else None,
            box=None if low is None or high is None else (low, high),
            **own,
        )
