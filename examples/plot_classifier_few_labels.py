"""
A classifier on codes, from few labels
======================================

Many rows, few of them labelled: codes are learned from all rows without a label, and a linear
classifier from the labelled ones. Beside a classifier on the pixels and one
on principal components, what does that win?
"""

# %%
# Digits: 1,200 to learn features from, 597 to test on. `GradSparseCoder` finds codes by
# optimization, `TopKSAE` by one product.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from skamort import GradSparseCoder, TopKSAE

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, train_size=1200, random_state=0)
features = {
    "pixels": None,
    "20 principal components": PCA(20, random_state=0).fit(X_train),
    "TopKSAE, 12 of 256 codes": TopKSAE(256, k=12, tol=0.005, random_state=0).fit(X_train),
    "GradSparseCoder, 128 atoms": GradSparseCoder(128, alpha=0.1, tol=0.02, random_state=0).fit(
        X_train
    ),
}
inputs = {
    name: (X_train, X_test) if f is None else (f.transform(X_train), f.transform(X_test))
    for name, f in features.items()
}

# %%
# Ten draws of the labels for each number of them. With a hundred labels and more the codes are the
# better features; with twenty or fifty they win nothing, and those found by optimization lose.

numbers = (20, 50, 100, 200, 500)
accuracy = {name: np.empty((len(numbers), 10)) for name in inputs}
for i, n_labels in enumerate(numbers):
    draws = StratifiedShuffleSplit(10, train_size=n_labels, random_state=0).split(X_train, y_train)
    for j, (labelled, _) in enumerate(draws):
        for name, (Z_train, Z_test) in inputs.items():
            model = make_pipeline(Normalizer(), LogisticRegression(C=30, max_iter=1000))
            model.fit(Z_train[labelled], y_train[labelled])
            accuracy[name][i, j] = model.score(Z_test, y_test)

figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
styles = zip(("0.4", "#CC79A7", "#E69F00", "#0072B2"), "vs^o", strict=True)
for (name, values), (color, marker) in zip(accuracy.items(), styles, strict=True):
    print(f"{name:28}" + " ".join(f"{mean:.3f}" for mean in values.mean(axis=1)))
    spread = values.std(axis=1) / np.sqrt(10)
    ax.errorbar(
        numbers, values.mean(axis=1), spread, color=color, marker=marker, capsize=3, label=name
    )
ax.set(xscale="log", xticks=numbers, xticklabels=numbers, xlabel="labelled digits")
ax.set(ylabel="accuracy on other digits (bar: standard error)", title="A classifier on codes")
ax.minorticks_off()
ax.grid(alpha=0.3)
ax.legend(loc="lower right")
plt.show()
