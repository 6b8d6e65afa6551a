r"""Checks of a mixture that was not fitted here, and of one that has a single draw.

Where a likelihood of N rows outweighs the priors its gradient by the variances is near 0, which says

.. math:: q_j = \frac1N \sum_{nk} r_{nk} \frac{(x_{nj} - \mu_{kj})^2}{\sigma_{kj}^2} \approx 1

of every feature j. Standard deviations that were read as variances, rows in other units than the means, and axes that
were mistaken for one another are far from it.
"""

import numpy as np

from bayesgmm.mixture.mixture import Mixture
from bayesgmm.posterior.check import Check
from bayesgmm.record.fit import Fit

# Draws and rows of which the distances are taken.
MOST_DRAWS, MOST_ROWS = 20, 2_000
# Rows as much further from their component, or nearer to it, than the draws say are not those of the draws.
LARGEST_RATIO = 1.5


def single(fit: Fit) -> Check:
    """That there is one mixture, and no posterior."""
    remedy = "sample(model) or estimate.laplace()" if fit.provenance.method == "map" else "bayesgmm.sample"
    return Check(
        "draws", 1, 2, False,
        sentence=lambda: "there are no draws of a posterior, only one mixture: nothing says how sure its numbers are, "
        f"and intervals have no width. For draws fit the rows by {remedy}.",
    )  # fmt: skip


def of_these_rows(fit: Fit) -> Check:
    """Whether rows are as far from their components as the draws say."""
    draws = fit.mixture.thinned(MOST_DRAWS)
    rows = fit.table.counted.subsample(MOST_ROWS, np.random.default_rng(0))
    x = rows.values
    squares = np.mean([_squares(one, x) for one in draws], axis=0)
    ratio = np.sqrt(squares)
    j = int(np.abs(np.log(ratio)).argmax())
    off = float(max(ratio[j], 1 / ratio[j]))
    return Check(
        "rows' distance from their component", float(ratio[j]), LARGEST_RATIO, off <= LARGEST_RATIO, "fail",
        lambda: f"rows and draws do not go together: about the means of their components the rows have {ratio[j]:.2g} "
        f"times the standard deviation of {fit.features[j]} that the draws have. Check that X is in the units of the "
        "draws, as a model of standardised rows needs these, and that the variable holds what it was given as: "
        "covariances, scales, variances, precisions or cholesky.",
    )  # fmt: skip


def _squares(mixture: Mixture, x: np.ndarray) -> np.ndarray:
    """The mean over rows of the squared distances from a component, in its standard deviations, (D,)."""
    away = (x[:, None] - mixture.means) / mixture.scales
    return np.einsum("nk,nkj->j", mixture.responsibilities(x), away**2) / len(x)
