"""
What the default priors say before they see the data
====================================================

Prior predictive rows of three data sets. Good defaults cover the data's range, since otherwise they would argue with
the data, and are not absurdly wide, since otherwise they would say nothing. The bars are the central 50 %, 89 % and
99 % of the predictive rows of every feature, the dots the data; the unit is the data's range.
"""

# %%
import numpy as np
import pymc as pm
from matplotlib import pyplot as plt
from sklearn.datasets import load_iris, load_wine

import bayesgmm as bg

DATA = {
    "Old Faithful, K = 2": (bg.datasets.load_faithful(), 2),
    "iris, K = 3": (load_iris(as_frame=True).data, 3),
    "wine, K = 3": (load_wine(as_frame=True).data, 3),
}
LEVELS = {0.99: 1.5, 0.89: 4.0, 0.5: 8.0}  # probability and line width

figure, axes = plt.subplots(1, 3, figsize=(11, 5), layout="constrained", sharex=True)
for ax, (name, (X, n_components)) in zip(axes, DATA.items(), strict=True):
    model = bg.build_model(X, n_components)
    prior = pm.sample_prior_predictive(300, model=model, random_seed=1)
    rows = prior["prior_predictive"]["x"].values.reshape(-1, X.shape[1])
    x = X.to_numpy(dtype=float)
    low, span = x.min(axis=0), np.ptp(x, axis=0)
    for j in range(X.shape[1]):
        for level, width in LEVELS.items():
            ends = (np.quantile(rows[:, j], [(1 - level) / 2, (1 + level) / 2]) - low[j]) / span[j]
            ax.plot(ends, [j, j], color="#0072B2", alpha=0.35, linewidth=width, solid_capstyle="butt")
        ax.scatter((x[:, j] - low[j]) / span[j], np.full(len(x), j), s=3, color="black", zorder=3)
    ax.set_yticks(range(X.shape[1]), X.columns, fontsize="small")
    ax.set_title(name, fontsize="medium")
    ax.set_xlim(-4, 5)
    ax.spines[["top", "right"]].set_visible(False)
figure.supxlabel("ranges of the data, from its minimum", fontsize="medium")
plt.show()
