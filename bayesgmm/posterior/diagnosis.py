"""Whether to believe a posterior: the sampler's, the chains' and the starts' evidence as one verdict in words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.notebook import card
from bayesgmm.posterior.checks import checks
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# From the worst on.
VERDICTS = ("fail", "caution", "ok")


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` found.

    Attributes
    ----------
    verdict : {"ok", "caution", "fail"}
    reasons : tuple of str
        One sentence for every check that did not pass, with what to try next.
    table : pandas.DataFrame
        All checks: ``value``, ``limit``, ``passed``.
    """

    verdict: str
    reasons: tuple[str, ...]
    table: "pd.DataFrame"

    def __str__(self) -> str:
        words = {
            "ok": "ok: nothing speaks against these draws.",
            "caution": "caution: read the reasons before using these draws.",
            "fail": "fail: do not use these draws.",
        }
        return "\n".join([words[self.verdict], *(f"- {reason}" for reason in self.reasons)])

    def _repr_html_(self) -> str:
        words, *reasons = str(self).split("\n")
        rows = [
            (name, f"{value:.4g}", "" if np.isnan(limit) else f"{limit:.4g}", "yes" if passed else "no")
            for name, value, limit, passed in self.table.itertuples()
        ]
        head = ("check", "value", "limit", "passed")
        return card(f"Diagnosis, {words}", lines=reasons, head=head, rows=sorted(rows, key=lambda row: row[-1]))


def diagnose(dt: "xr.DataTree") -> Diagnosis:
    """Judge a tree of draws.

    Parameters
    ----------
    dt : xr.DataTree
        From :func:`sample` or ``MapEstimate.laplace``.

    Returns
    -------
    Diagnosis
        "fail": chains disagree, or the sampler missed part of the posterior. "caution": a result to be read with the
        reasons beside it. "ok": no check speaks against it.

    Raises
    ------
    ModelError
        The tree holds no mixture posterior.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), Rank-normalization, folding, and localization: an improved
    R-hat, Bayesian Analysis 16, 667-718, https://doi.org/10.1214/20-BA1221.
    """
    import pandas as pd

    fit = Fit.of(dt)
    # ArviZ divides by the variance of what does not vary (K = 1: the weight); the NaN that comes of it is skipped.
    with np.errstate(invalid="ignore", divide="ignore"):
        made = list(checks(fit))
        failed = [(check.level, check.sentence()) for check in made if not check.passed]
    said = [(level, sentence) for level, sentence in failed if sentence]
    verdict = next(v for v in VERDICTS if v == "ok" or v in {level for level, _ in said})
    table = pd.DataFrame(
        [{"check": c.name, "value": c.value, "limit": c.limit, "passed": bool(c.passed)} for c in made]
    )
    return Diagnosis(verdict, tuple(sentence for _, sentence in said), table.set_index("check"))
