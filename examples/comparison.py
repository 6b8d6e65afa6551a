"""
Where a Gaussian mixture works, and where it fails
==================================================

The classical six data sets, each fitted by a mixture with as many components as it has groups (three where it has
none). Rows take their component's colour and fade to grey where two components tie; the ground is shaded in the same
way, and the lines hold 50 % and 95 % of each component.

A mixture of Gaussians is at home in the lower row: blobs of any size and slant. In the upper row it fails, and no
certainty of the assignments tells that. Data without structure get components all the same, since three pieces describe
a square better than one; moons and circles are not Gaussian. The certainty is that of the assignment *given* a mixture
of Gaussians, so look at the picture, or at posterior predictive checks, before believing it.
"""

# %%
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.preprocessing import StandardScaler

import bayesgmm as bg
from bayesgmm.reports.clusters import ellipse
from bayesgmm.reports.palette import certainty_colours, colours

N = 500
rng = np.random.default_rng(30)
blobs, _ = make_blobs(N, random_state=170)

DATA = {
    "no structure": (rng.uniform(size=(N, 2)), 3),
    "two moons": (make_moons(N, noise=0.05, random_state=30)[0], 2),
    "circles": (make_circles(N, factor=0.5, noise=0.05, random_state=30)[0], 2),
    "varied variances": (make_blobs(N, cluster_std=[1.0, 2.5, 0.5], random_state=170)[0], 3),
    "anisotropic": (blobs @ np.array([[0.6, -0.6], [-0.4, 0.8]]), 3),
    "blobs": (make_blobs(N, random_state=8)[0], 3),
}


# %%
def draw(ax: plt.Axes, X: np.ndarray, n_components: int) -> float:
    """One data set, fitted and drawn; returns the mean probability of the rows' best components."""
    gmm = bg.GaussianMixture(n_components, inference="map", random_state=0).fit(X)
    low, high = X.min(axis=0) - 0.35, X.max(axis=0) + 0.35
    across, up = np.meshgrid(np.linspace(low[0], high[0], 220), np.linspace(low[1], high[1], 220))
    ground = certainty_colours(gmm.predict_proba(np.column_stack([across.ravel(), up.ravel()])))
    pale = 0.25 * ground.reshape(220, 220, 3) + 0.75
    ax.imshow(pale, extent=(low[0], high[0], low[1], high[1]), origin="lower", aspect="auto")
    probability = gmm.predict_proba(X)
    ax.scatter(*X.T, c=certainty_colours(probability), s=9, edgecolors="#404040", linewidths=0.2)
    for k, colour in enumerate(colours(n_components)):
        for level in (0.5, 0.95):
            ax.plot(*ellipse(gmm.means_[k], gmm.covariances_[k], level).T, color=colour, linewidth=1.2)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
    return float(probability.max(axis=1).mean())


figure, axes = plt.subplots(2, 3, figsize=(10, 6.6), layout="constrained")
for ax, (name, (X, n_components)) in zip(axes.flat, DATA.items(), strict=True):
    certainty = draw(ax, StandardScaler().fit_transform(X), n_components)
    ax.set_title(f"{name} (mean certainty {certainty:.0%})", fontsize="medium")
plt.show()
