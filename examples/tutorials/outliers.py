"""
Mistakes in a table
===================

The question: some rows of a table do not belong. Two columns were swapped, a unit was
wrong, a line was mistyped. Which rows are they, and what would they have done to the
clusters?

The data are the measured penguins, of which 5 % are spoiled here in the ways in which
tables are. We know which they are; the mixture does not.
"""

# %%
import textwrap

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.metrics import adjusted_rand_score

import bayesgmm as bg

FEATURES = [
    "bill_length_mm",
    "bill_depth_mm",
    "flipper_length_mm",
    "body_mass_g",
]
penguins = bg.datasets.load_penguins().dropna(subset=FEATURES).reset_index(drop=True)
clean = penguins[FEATURES].astype(float)
X = clean.copy()

rng = np.random.default_rng(4)
spoiled = rng.choice(len(X), 18, replace=False)
swapped, shifted, slipped = np.array_split(spoiled, 3)
X.loc[swapped, ["bill_length_mm", "bill_depth_mm"]] = clean.loc[
    swapped, ["bill_depth_mm", "bill_length_mm"]
].to_numpy()
X.loc[shifted, "body_mass_g"] = (
    clean.loc[shifted, "body_mass_g"] / 2.2
)  # pounds and kilograms, confused
X.loc[slipped, FEATURES] += rng.normal(size=(len(slipped), 4)) * [
    12,
    5,
    30,
    1500,
]  # a line was mistyped
wrong = np.isin(np.arange(len(X)), spoiled)
X.loc[spoiled[:3]].round(1)

# %%
# Without and with a place for them
# ---------------------------------
# ``noise=True`` adds rows of no component, spread evenly over the data's bounding
# box. Nobody says which or how many.
plain = bg.GaussianMixture(3, random_state=1, progressbar=False).fit(X)
gmm = bg.GaussianMixture(3, noise=True, random_state=1, progressbar=False).fit(X)
print("without noise:", bg.diagnose(plain.inference_data_))
print("with noise:", bg.diagnose(gmm.inference_data_))

# %%
# How well the clusters agree with the species, of the rows that are right.
agreement = {
    "clean table": adjusted_rand_score(
        penguins["species"],
        bg.GaussianMixture(3, inference="map", random_state=1).fit_predict(clean),
    ),
    "without noise": adjusted_rand_score(
        penguins["species"][~wrong], plain.predict(X)[~wrong]
    ),
    "with noise": adjusted_rand_score(
        penguins["species"][~wrong], gmm.predict(X)[~wrong]
    ),
}
pd.Series(agreement, name="adjusted Rand index").to_frame().round(3)

# %%
# What the mistakes do without a place: a component widens to take them in.
figure, axes = plt.subplots(
    1, 2, figsize=(11, 4.6), layout="constrained", sharex=True, sharey=True
)
for ax, (name, fit) in zip(
    axes, {"without noise": plain, "with noise": gmm}.items(), strict=True
):
    bg.plot_clusters(fit, features=["bill_length_mm", "bill_depth_mm"], ax=ax)
    ax.plot(
        X["bill_length_mm"][wrong],
        X["bill_depth_mm"][wrong],
        "o",
        mfc="none",
        mec="#d55e00",
        ms=9,
        label="spoiled",
    )
    ax.set_title(name, fontsize="medium")
axes[0].legend(loc="upper right")

# %%
# Which rows?
# -----------
# The probability of each row of being of no component.
noise = bg.assignments(gmm)["noise"].to_series()
found = noise > 0.5
rows = X.assign(noise=noise.to_numpy(), spoiled=wrong).sort_values(
    "noise", ascending=False
)
rows.head(10).round(2)

# %%
pd.crosstab(wrong, found.to_numpy(), rownames=["spoiled"], colnames=["called noise"])

# %%
# How unusual a row is
# --------------------
# ``anomaly`` needs no noise in the model: how seldom the fitted density makes a row
# that is less likely. A tail probability below 1 in 1,000 is rare among 342 good
# rows.
bg.plot_anomaly(gmm)

# %%
# A paragraph for a paper
# -----------------------
share = gmm.inference_data_["posterior"]["noise"]
low, high = (float(share.quantile(q)) for q in (0.055, 0.945))
print(
    textwrap.fill(
        f"To guard against errors of entry, rows were allowed to belong to no "
        f"component (uniform over the bounding box of the data; prior of their share "
        f"Beta(1.5, 8.5)). The posterior mean of the share was "
        f"{float(share.mean()):.1%} (89 % interval {low:.1%} to {high:.1%}; "
        f"{wrong.mean():.1%} had been spoiled). {int(found.sum())} rows had a "
        f"probability above one half of being of no component; "
        f"{int((found.to_numpy() & wrong).sum())} of these were among the "
        f"{wrong.sum()} spoiled ones. The agreement of the other rows' clusters with "
        f"the species was {agreement['with noise']:.2f} (adjusted Rand index), "
        f"{agreement['without noise']:.2f} without a place for such rows, and "
        f"{agreement['clean table']:.2f} in the table before it was spoiled."
    )
)
