"""
What a fit can show
===================

"Which cluster is this row in, and how sure are we?" Every picture here is of one posterior: first this package's own,
which know what a mixture is, then ArviZ's, which work on the same tree as they are.
"""

import arviz as az
import numpy as np
import pymc as pm
from matplotlib import pyplot as plt

import bayesgmm as bg

X = bg.datasets.load_faithful()
model = bg.build_model(X, n_components=2)
dt = bg.sample(model, random_seed=1, progressbar=False)

# %%
# Assignments
# -----------
# Every row's probability of every component has an interval, and its entropy has two parts: ``expected_entropy``, as
# the components overlap there, and ``mutual_information``, as they are not known well enough. More data lessen only
# the second.

soft = bg.assignments(dt)
soft.to_dataframe().round(3).head(4)

# %%
# Rows fade to grey where the two best components draw level; here that is one eruption of 272.

bg.plot_clusters(dt, soft=soft)

# %%

bg.plot_uncertainty(dt, soft=soft)

# %%

bg.plot_assignments(dt, soft=soft, n_rows=12)

# %%
# Clusters without labels
# -----------------------
# The probability that two rows share a component does not depend on what components are called. The partition with
# the least expected variation of information is one clustering to report, and its credible ball says how far the
# posterior strays from it.

bg.plot_coclustering(dt)

# %%

best = bg.partition(dt, random_seed=1)
print(f"{best.n_clusters} clusters of {np.bincount(best.labels).tolist()} rows")
print(f"{best.ci_prob:.0%} of the posterior lies within {best.ball_radius:.3f} nats of it")

# %%
# Densities, conditionals, a regression
# -------------------------------------
# Marginals and conditionals of a Gaussian mixture are Gaussian mixtures, so their densities are exact.

bg.plot_density(dt)

# %%

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
bg.plot_density(dt, features=["waiting"], ax=left)
bg.plot_density(dt, given={"waiting": 68}, ax=right)

# %%
# The mean of one feature given another is a curve, with a band of its own.

waiting = np.linspace(40, 100, 80)
curve = bg.regression(dt, "eruptions", given={"waiting": waiting})
_, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(X["waiting"], X["eruptions"], ".", color="0.6")
ax.fill_between(waiting, curve["lower"], curve["upper"], alpha=0.3)
ax.plot(waiting, curve["mean"])
ax.set(xlabel="waiting (minutes)", ylabel="eruptions (minutes)")

# %%
# Starts and modes
# ----------------
# Four components are more than these data determine: ten starts find several optima.

bg.plot_modes(bg.find_MAP(bg.build_model(X, n_components=4), random_seed=1))

# %%
# ArviZ
# -----
# The weights' intervals are ArviZ's forest plot, in the components' colours.

bg.plot_weights(dt)

# %%

az.plot_trace_dist(dt, var_names=["weights", "means"])

# %%

az.plot_rank(dt, var_names=["weights"])

# %%

az.plot_forest(dt, var_names=["weights", "scales"], combined=True)

# %%

az.plot_pair(dt, var_names=["weights", "means"])

# %%
# With what PyMC's own verbs add to the tree: posterior predictive checks of every feature, and leave-one-out
# cross-validation with its Pareto shapes.

with model:
    pm.sample_posterior_predictive(dt, extend_inferencedata=True, progressbar=False, random_seed=1)
    pm.compute_log_likelihood(dt, progressbar=False)
az.plot_ppc_dist(dt, cols=["feature"], num_samples=40)

# %%

loo = az.loo(dt, pointwise=True)
az.plot_khat(loo)
print(f"elpd {loo.elpd:.1f}, standard error {loo.se:.1f}")

# %%
# All of it on one page, to hand to a colleague: :func:`bayesgmm.report`.
#
# .. code-block:: python
#
#    bg.report(dt, "report.html")
