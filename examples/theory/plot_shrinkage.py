"""
What a penalty takes from reconstructions
=========================================

An L1 penalty finds few codes and makes them smaller than they should be. Two numbers say by how
much reconstructions shrink: the slope of reconstructions on the data, which counts what is left out
too, and the relative size of what is reconstructed, which does not
(:func:`~skamort.metrics.reconstruction_slope`, :func:`~skamort.metrics.reconstruction_bias`). Here
for every estimator, at six codes a patch or a few more.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

import skamort
from skamort.datasets import load_image_patches
from skamort.metrics import (
    fraction_variance_unexplained,
    mean_l0,
    reconstruction_bias,
    reconstruction_slope,
)

# %%
# Patches of photographs, 72 atoms. Those that know a number of codes are told it, or reach it by
# `target_l0`; optimization takes a penalty that leaves it nine, and `AmortizedCoder` learns from it
# and has more.

X = load_image_patches(3000, patch_size=6, random_state=0)
X, X_test = X[:2000], X[2000:]
L0, ALPHA = 6, 0.1
warnings.simplefilter("ignore", ConvergenceWarning)  # a few epochs tell enough


def make_estimators(seed):
    shared = {"n_components": 72, "random_state": seed}
    trained = shared | {"max_iter": 25}
    reached = trained | {"target_l0": L0}
    sae = skamort.SAEEncoder(**reached)
    teacher = skamort.GradSparseCoder(**shared, alpha=ALPHA, tol=0.01, positive_code=True)
    pursued = {"n_nonzero_coefs": L0, "positive_code": True}
    return {
        "SAEEncoder": sae,
        "WeightedSAE": skamort.WeightedSAE(**reached),
        "MLPEncoder": skamort.MLPEncoder(**reached),
        "LISTAEncoder": skamort.LISTAEncoder(**reached),
        "GradSparseCoder": teacher,
        "AmortizedCoder": skamort.AmortizedCoder(
            teacher=teacher, encoder=skamort.LISTAEncoder(max_iter=10), random_state=seed
        ),
        "ITOCoder of the SAE": skamort.ITOCoder(estimator=sae, alpha=ALPHA),
        "GatedSAE": skamort.GatedSAE(**reached),
        "JumpReLUSAE": skamort.JumpReLUSAE(**reached),
        "TopKSAE": skamort.TopKSAE(**trained, k=L0),
        "BatchTopKSAE": skamort.BatchTopKSAE(**trained, k=L0),
        "MatryoshkaSAE": skamort.MatryoshkaSAE(**trained, k=L0),
        "GradSparseCoder, k-sparse": skamort.GradSparseCoder(**shared, **pursued, tol=0.01),
    }


def measure(estimator):
    codes = estimator.transform(X_test)
    X_hat, center = estimator.inverse_transform(codes), estimator.intercept_
    return (
        mean_l0(codes),
        fraction_variance_unexplained(X_test, X_hat),
        reconstruction_slope(X_test - center, X_hat - center),
        reconstruction_bias(X_test - center, X_hat - center),
    )


table = {}
for seed in range(2):
    for name, estimator in make_estimators(seed).items():
        table.setdefault(name, []).append(measure(estimator.fit(X)))
columns = "codes", "unexplained", "slope", "relative size"
print(f"{'':>26}" + "".join(f"{column:>16}" for column in columns))
for name, rows in table.items():
    pairs = zip(np.mean(rows, axis=0), np.std(rows, axis=0), strict=True)
    print(f"{name:>26}" + "".join(f"{f'{mean:.3f} ± {std:.3f}':>16}" for mean, std in pairs))

# %%
# Those that pay for the size of codes lie below a relative size of 1: what they explain they make
# too small, after so few epochs `LISTAEncoder` most. Gates that pay for their own size shrink less.
# Those that pay for the number of codes, or are given it, lie near 1, and their slope is about what
# they explain.

figure, axis = plt.subplots(figsize=(9, 5.6), layout="constrained")
rows = np.arange(len(table))[::-1]
means, spreads = (np.array([f(each, axis=0) for each in table.values()]) for f in (np.mean, np.std))
for column, marker, color in (3, "o", "#c8641e"), (2, "s", "#4c6a8c"):
    look = {"fmt": marker, "color": color, "capsize": 3, "label": columns[column]}
    axis.errorbar(means[:, column], rows, xerr=spreads[:, column], **look)
axis.plot(1 - means[:, 1], rows, "x", color="0.4", label="share explained")
axis.axvline(1, color="0.6", linestyle=":")
axis.set_yticks(rows, table)
axis.set(xlabel="other patches", title="Shrinkage at six codes a patch or a few more")
axis.grid(color="0.9")
axis.legend(loc="lower left")
plt.show()
