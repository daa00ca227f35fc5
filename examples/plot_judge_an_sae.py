"""
========================
Judge somebody's encoder
========================

An autoencoder comes as files: its dictionary, and an encoder that was trained with it. How far are
the encoder's codes from the best codes for that very dictionary?

Here an autoencoder in the format of SAELens is loaded, its amortization gap measured with a
certificate, its reconstructions compared with those of as many better codes, and the atoms found
that it misses most. Then the encoder is replaced and the result saved. For the files of other
packages see
:ref:`Autoencoders of other packages <other-packages>`; a module that you have in memory goes to
:func:`skamort.interop.wrap`.
"""

# %%
# The autoencoder, in two files
# =============================
# One that was trained on patches of photographs, and written as SAELens writes them.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import skamort
from skamort import ITOCoder, TopKSAE
from skamort.datasets import load_image_patches
from skamort.interop import from_saelens, to_saelens
from skamort.metrics import amortization_gap, fraction_variance_unexplained

X = load_image_patches(6000, random_state=0)
X, X_test = X[:5000], X[5000:]
folder = Path(tempfile.mkdtemp())
to_saelens(TopKSAE(256, k=8, tol=0.01, random_state=0).fit(X), folder / "downloaded")
print(*sorted(path.name for path in (folder / "downloaded").iterdir()))

# %%
# As an estimator it gives the codes that it gives there.

sae = from_saelens(folder / "downloaded")
codes = sae.transform(X_test)
l0 = (codes > 0).sum(axis=1).mean()
print(f"{type(sae).__name__}: {codes.shape[1]} latents, {l0:.1f} active")

# %%
# Its gap, with a certificate
# ===========================
# TopK has no weight of the L1 norm of its own, so we choose the one to be judged at. The best codes
# then solve a convex problem, and no encoder at all could do better than the lower bound.

print(amortization_gap(sae, X_test, alpha=0.25))

# %%
# As many codes, but better ones
# ==============================
# The same dictionary and the same number of codes. ``topk_refined`` keeps the support that the
# encoder has found and solves for the coefficients; ``ormp`` looks for the support too.

k = sae.k
refined = ITOCoder(estimator=sae, algorithm="topk_refined", n_nonzero_coefs=k).fit(X)
best = ITOCoder(estimator=sae, algorithm="ormp", n_nonzero_coefs=k).fit(X)
coders = {"encoder": sae, "its support,\nbest sizes": refined, "a support\nsearched anew": best}
fvu = {
    name: fraction_variance_unexplained(X_test, coder.inverse_transform(coder.transform(X_test)))
    for name, coder in coders.items()
}
for name, value in fvu.items():
    print(f"{value:.3f} of the variance unexplained: {' '.join(name.split())}")

# %%
# What it misses most
# ===================
# Atoms that the better codes use on rows where the encoder does not, by the energy of those codes.

best_codes = best.transform(X_test)
missed = np.where(codes > 0, 0, best_codes)
share = np.square(missed).sum(axis=0) / np.square(best_codes).sum(axis=0).clip(1e-12)
worst = np.argsort(-np.square(missed).sum(axis=0))[:8]

figure, axes = plt.subplot_mosaic(
    [["fvu", *range(4)], ["fvu", *range(4, 8)]], width_ratios=[3, 1, 1, 1, 1], figsize=(9, 3.8)
)
axes["fvu"].bar(list(fvu), list(fvu.values()), color=["0.7", "#4c6a8c", "#e08a3c"])
axes["fvu"].set_ylabel("variance unexplained")
axes["fvu"].set_title(f"{k} codes a patch, one dictionary")
side = round(sae.n_features_in_**0.5)
for place, atom in enumerate(worst):
    axes[place].imshow(sae.components_[atom].reshape(side, side), cmap="gray")
    axes[place].set_title(f"{share[atom]:.0%}", fontsize="small")
    axes[place].axis("off")
figure.suptitle("Atoms missed most, and the share missed", x=0.73)
figure.tight_layout()

# %%
# Keep the dictionary, replace the encoder
# ========================================
# The new coder is saved with the autoencoder inside, in files without code.

best.save(folder / "better")
again = skamort.load(folder / "better")
print(f"{again.score(X_test):.3f} of the variance explained, before {sae.score(X_test):.3f}")
