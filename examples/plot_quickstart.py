"""
Quickstart
==========

Learn sparse features of handwritten digits, see what they cost and what they look like.
"""

# %%
# Any array will do; here 1,797 images of 8 x 8 pixels.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skamort import GradSparseCoder, ITOCoder, SAEEncoder
from skamort.inspection import DictionaryDisplay
from skamort.metrics import amortization_gap, dead_fraction, mean_l0

X = load_digits().data / 16
X_train, X_test = X[:1500], X[1500:]

# %%
# A sparse autoencoder finds codes in one product and a ReLU. The weight ``alpha`` of its L1 penalty
# follows from the data.

sae = SAEEncoder(n_components=100, random_state=0).fit(X_train)
codes = sae.transform(X_test)
print(f"alpha = {sae.alpha_:.3f}: {mean_l0(codes):.1f} of 100 codes are active in an image")
print(f"{dead_fraction(codes):.0%} of the atoms are never used")
print(f"they explain {sae.score(X_test):.1%} of the variance")

# %%
# How good are these codes? The amortization gap says how much lower the objective could be with the
# same dictionary and better codes, and a duality gap certifies the answer. `ITOCoder` finds them.

gap = amortization_gap(sae, X_test)
print(gap)

ito = ITOCoder(estimator=sae).fit(X_train)
print(f"with optimized codes: {mean_l0(ito.transform(X_test)):.1f} active")
print(f"gap that is left: {amortization_gap(ito, X_test).gap:.2g}")

# %%
# Sparse coding learns the dictionary with such codes from the start.

coder = GradSparseCoder(n_components=100, random_state=0).fit(X_train)

figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
for ax, estimator in zip(axes, [sae, coder], strict=True):
    DictionaryDisplay.from_estimator(estimator, ax=ax)
plt.show()
