"""
Quickstart: an accuracy, and how sure we are of it
==================================================

Two blobs, a fit on four fifths of the rows, and the probabilities of the rest: the classical exercise. A posterior adds
what the classical answer lacks, an interval.
"""

# %%
# The data, and a held-out fifth of them.
import numpy as np
from sklearn.datasets import make_blobs
from sklearn.model_selection import train_test_split

import bayesgmm as bg

X, y = make_blobs(800, centers=2, n_features=2, random_state=12)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=21)


# %%
# The measure: :math:`100 (n - \sum |p - y|) / n`, with p the probability of the second blob. Which component that is
# is arbitrary; the training labels decide.
def accuracy(p: np.ndarray) -> np.ndarray:
    return 100 * (1 - np.abs(p - y_test).mean(axis=-1))


def component_of_blob_1(gmm: bg.GaussianMixture) -> int:
    return int(gmm.predict_proba(X_train)[y_train == 1].mean(axis=0).argmax())


# %%
# Both inferences.
for inference in ("map", "nuts"):
    gmm = bg.GaussianMixture(n_components=2, inference=inference, random_state=0).fit(X_train)
    k = component_of_blob_1(gmm)
    print(f"{inference}: Accuracy = {accuracy(gmm.predict_proba(X_test)[:, k]):.2f}%")

# %%
# What the posterior adds. Every draw of the parameters has an accuracy of its own; their spread is what 640 training
# rows leave open.
from bayesgmm.record.fit import Fit  # noqa: E402

draws = Fit.of(gmm.inference_data_).mixture
by_draw = accuracy(draws.responsibilities(X_test)[:, :, k])
low, high = np.quantile(by_draw, [0.055, 0.945])
print(f"89 % interval of the accuracy: {low:.2f}% to {high:.2f}%")

# %%
# And every row says how sure it is.
soft = bg.assignments(gmm.inference_data_, X_test)
unsure = soft.isel(obs_id=soft["entropy"].argsort()[-3:].values)
print(unsure[["probability", "lower", "upper"]].sel(component=k).to_dataframe().round(3))
