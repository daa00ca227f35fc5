"""
A given number of active latents
================================

`TopKSAE` fixes how many latents are active, and so does `GradSparseCoder` with ``n_nonzero_coefs``,
which finds its codes by a pursuit instead of an encoder. How much of the error of a TopK
autoencoder is its dictionary's, and how much its encoder's?
"""

# %%
# Patches of photographs, 8 x 8 pixels, and codes >= 0 for all. `TopKSAE` learns a dictionary and
# its encoder; `ITOCoder` keeps that dictionary and finds better codes for it, with as many
# non-zeros a sample; `GradSparseCoder` learns a dictionary for codes that are found so.

import matplotlib.pyplot as plt
import numpy as np

from skamort import GradSparseCoder, ITOCoder, TopKSAE
from skamort.datasets import load_image_patches

X = load_image_patches(6000, patch_size=8, random_state=0)
X, X_test = X[:5000], X[5000:]
shared = {"n_components": 128, "random_state": 0}
pursuit = {"algorithm": "ormp", "positive_code": True}

numbers, fitted = (2, 4, 8, 16), {}
errors = {"TopKSAE": [], "its dictionary, better codes": [], "GradSparseCoder": []}
for k in numbers:
    sae = TopKSAE(k=k, tol=0.02, **shared).fit(X)
    ito = ITOCoder(estimator=sae, n_nonzero_coefs=k, **pursuit).fit(X)
    coder = GradSparseCoder(n_nonzero_coefs=k, tol=0.01, **shared).fit(X)
    fitted[k] = sae, coder
    for found, estimator in zip(errors.values(), (sae, ito, coder), strict=True):
        found.append(1 - estimator.score(X_test))
    print(f"k={k:2d}: " + ", ".join(f"{name} {found[-1]:.1%}" for name, found in errors.items()))

# %%
# Better codes for the same atoms win most, atoms that were learned for such codes the rest. Right,
# the atoms that are used most with 8 active latents.

figure, (left, *panels) = plt.subplots(
    1, 3, figsize=(13, 4), layout="constrained", width_ratios=(1.4, 1, 1)
)
for name, found in errors.items():
    left.plot(numbers, found, "o-", label=name)
left.set(xlabel="active latents a sample", ylabel="variance unexplained, other patches")
left.set(xscale="log", yscale="log", xticks=numbers, xticklabels=numbers)
left.minorticks_off()
left.set(yticks=[0.05, 0.1, 0.2, 0.4], yticklabels=["5 %", "10 %", "20 %", "40 %"])
left.legend()

for panel, estimator in zip(panels, fitted[8], strict=True):
    most = np.argsort(-np.count_nonzero(estimator.transform(X_test), axis=0))[:64]
    tiles = estimator.components_[most].reshape(8, 8, 8, 8)
    tiles = np.pad(tiles, [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=np.nan)
    panel.imshow(tiles.transpose(0, 2, 1, 3).reshape(72, 72), cmap="gray")
    panel.set_title(type(estimator).__name__)
    panel.axis("off")
plt.show()
