"""
Looking at features
===================

What does a latent stand for? `FeatureReport` makes a page that shows, for each, what it is active
on, what is near it and whatever else is known of it. Here of digits and of image patches; texts,
with their tokens shaded, are shown the same way.

Run as a script it writes ``results/features_digits.html`` and ``results/features_patches.html``:
open them in a browser, search, sort, and go through the latents with the arrow keys.
"""

# %%
# Digits of 8 x 8 pixels and at most 6 latents for each. Labels are no part of the fit.

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skamort import SAEEncoder, TopKSAE
from skamort.datasets import load_image_patches
from skamort.inspection import FeatureReport, top_activations
from skamort.metrics import semantic_consistency

results = Path("results")
results.mkdir(exist_ok=True)

digits, labels = load_digits(return_X_y=True)
digits = digits / 16
sae = TopKSAE(128, k=6, tol=1e-3, random_state=0).fit(digits)
FeatureReport(
    sae,
    digits,
    show=lambda row: digits[row].reshape(8, 8),
    show_atom=lambda atom: atom.reshape(8, 8),
    labels=labels,
    title="Features of digits",
    random_state=0,
).save(results / "features_digits.html")

# %%
# The rows that the page shows are those of `top_activations`: eight latents, of which each stands
# for one class as far as its strongest digits go, their atoms on the left.


def draw(estimator, X, latents, n_top=8):
    """Draw the atoms of latents, and the rows on which each is strongest."""
    table = top_activations(estimator, X, n_top=n_top, latents=latents)
    side = int(X.shape[1] ** 0.5)
    _, axes = plt.subplots(len(latents), n_top + 1, figsize=(6.5, 5.8), layout="constrained")
    for latent, line in zip(latents, axes, strict=True):
        rows = np.asarray(table["row"])[np.asarray(table["latent"]) == latent]
        for ax, image in zip(line, [estimator.components_[latent], *X[rows]], strict=False):
            ax.imshow(image.reshape(side, side), cmap="gray")
        line[0].set_ylabel(latent, rotation=0, ha="right", va="center")
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
    plt.show()


consistency = semantic_consistency(sae.transform(digits), labels)
print(f"{np.mean(consistency > 0.9):.0%} of the latents are of one class in nine of ten digits")
draw(sae, digits, np.argsort(-consistency, kind="stable")[:8])

# %%
# Patches of photographs, 12 x 12 pixels, less their mean: zero is grey. A latent's strongest
# patches have its atom in common, an edge or a line at one place.

patches = load_image_patches(8000, random_state=0)
sae = SAEEncoder(144, alpha=0.1, random_state=0).fit(patches)
FeatureReport(
    sae,
    patches,
    show=lambda row: patches[row].reshape(12, 12),
    show_atom=lambda atom: atom.reshape(12, 12),
    title="Features of image patches",
    settings={"data": "8,000 patches of 12 x 12 pixels"},
    random_state=0,
).save(results / "features_patches.html")
used = np.argsort(-(sae.transform(patches) > 0).sum(axis=0))
draw(sae, patches, used[:8])

# %%
# Texts have a shading of their own: ``show=TokenContexts(tokens, activations)``, with the
# activations that :func:`skamort.hooks.collect_activations` returns.
#
# What a reconstruction misses is worth a look as well. `score_samples` is low for rows that the
# atoms cannot tell: of digits upside down, most score lower than nearly all others.

sae = TopKSAE(128, k=6, tol=1e-3, random_state=0).fit(digits[:1200])
upright, turned = sae.score_samples(digits[1200:]), sae.score_samples(digits[1200:, ::-1])
low = np.quantile(upright, 0.05)
print(f"{np.mean(turned < low):.0%} of the digits upside down score below 95% of the others")
