"""
Many rows
=========

The question: which colours is a photograph made of, and how sure is that of each
pixel? A pixel is a row, its red, green and blue are the features; every second pixel
of each line makes 136,640 rows. They stand in a file, and are read from it in blocks.
"""

# %%
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_sample_image

import bayesgmm as bg

photograph = load_sample_image("flower.jpg")
rows = photograph[:, ::2].reshape(-1, 3).astype(float)
folder = Path(tempfile.mkdtemp())
np.save(folder / "pixels.npy", rows)
print(f"{rows.shape[0]:,} rows, {(folder / 'pixels.npy').stat().st_size / 1e6:.1f} MB")

# %%
# The fit
# -------
# A path is all that it takes. ``inference="auto"`` takes a Gaussian in the
# likelihood's place, which one pass over all rows then corrects, and says so.
gmm = bg.GaussianMixture(5, inference="auto", random_state=1, progressbar=False)
gmm.fit(str(folder / "pixels.npy"))
print(f"{gmm.inference_}: {gmm.inference_reason_}")
print(bg.diagnose(gmm.inference_data_))

# %%
# With so many rows the parameters are known well, if the model is true: 89 %
# intervals of the means are from a third of a step of colour to two and a half, of
# 255.
posterior = gmm.inference_data_["posterior"]
means = pd.DataFrame(
    posterior["means"].mean(("chain", "draw")).values,
    columns=["red", "green", "blue"],
)
ends = posterior["means"].quantile([0.055, 0.945], dim=("chain", "draw")).values
means = means.assign(
    share=gmm.weights_, widest_interval=(ends[1] - ends[0]).max(axis=1)
)
means.round(3)

# %%
# Every pixel
# -----------
# Of a path ``predict_proba`` gives a dask array, computed block by block when it is
# asked for; of an array in memory, such as every third pixel of every third line
# here, an array.
shown = photograph[::3, ::3]
probability = gmm.predict_proba(shown.reshape(-1, 3))
label = probability.argmax(axis=1)
shape = shown.shape[:2]
figure, axes = plt.subplots(1, 3, figsize=(11, 2.9), layout="constrained")
axes[0].imshow(shown)
axes[1].imshow(gmm.means_[label].reshape(*shape, 3).clip(0, 255).astype(np.uint8))
drawn = axes[2].imshow(
    probability.max(axis=1).reshape(shape), cmap="magma", vmin=0.2, vmax=1
)
figure.colorbar(drawn, ax=axes[2], shrink=0.8)
for ax, title in zip(
    axes,
    ["photograph", "mean colour of the component", "probability of it"],
    strict=True,
):
    ax.set_title(title, fontsize="medium")
    ax.set_axis_off()

# %%
# What the numbers do not say
# ---------------------------
# Neighbouring pixels are alike, and the mixture takes rows for independent. So the
# intervals above are too narrow for anything but this photograph's own mixture; the
# pictures and the assignments do not suffer. Check what a model assumes before
# believing an interval of many rows: there the assumptions are wrong long before the
# numbers are.

# %%
# A paragraph for a paper
# -----------------------
sure = (probability.max(axis=1) > 0.9).mean()
largest = int(gmm.weights_.argmax())
colour = ", ".join(f"{value:.0f}" for value in gmm.means_[largest])
print(
    textwrap.fill(
        f"Colours of {len(rows):,} pixels were described by a mixture of five "
        f"Gaussian components with full covariances (bayesgmm {bg.__version__}; "
        f"{gmm.inference_}: the likelihood approximated by a Gaussian around its "
        f"mode and corrected by importance sampling). The largest component, with a "
        f"mean colour of ({colour}), holds {gmm.weights_[largest]:.0%} of the "
        f"pixels. {sure:.0%} of the pixels have a probability above 0.9 of one "
        f"component."
    )
)
