"""
Gene programs of single cells
=============================

A cell runs a few programs at a time, each of which switches many genes on. Counts of transcripts
show their sum, with most entries zero. Sparse codes say which programs a cell runs, where matrix
factorizations name nearly all of them for every cell.
"""

# %%
# Simulated, since then the truth is known: 3,000 cells, 400 genes, 16 programs, one to three in a
# cell, and about 1,500 transcripts read from each.

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import NMF, PCA

from skamort import GradSparseCoder, SAEEncoder, TopKSAE
from skamort.metrics import latent_mcc, mean_l0

rng = np.random.default_rng(0)
N_CELLS, N_GENES, N_PROGRAMS = 3000, 400, 16
genes = np.array([f"gene{i}" for i in range(N_GENES)])
switched = rng.random((N_PROGRAMS, N_GENES)) < 0.08
programs = switched * rng.gamma(2, 1, (N_PROGRAMS, N_GENES))
running = np.argsort(rng.random((N_CELLS, N_PROGRAMS)), axis=1) < rng.integers(1, 4, (N_CELLS, 1))
usage = running * rng.gamma(3, 1 / 3, (N_CELLS, N_PROGRAMS))
rate = rng.gamma(0.5, 0.5, N_GENES) + usage @ programs  # what every cell needs, and the programs
depth = rng.lognormal(np.log(1500), 0.4, (N_CELLS, 1))
counts = rng.poisson(rate / rate.sum(axis=1, keepdims=True) * depth)
print(f"{np.mean(counts == 0):.0%} of the counts are zero")

# %%
# Counts per 1,500 transcripts and their logarithm, as usual. What all cells share is the intercept.
# A few components more than there are programs do no harm.

X = np.log1p(1500 * counts / counts.sum(axis=1, keepdims=True))
shared = {"tol": 1e-3, "random_state": 0}
methods = {
    "SAEEncoder": SAEEncoder(24, **shared),
    "TopKSAE, k=3": TopKSAE(24, k=3, **shared),
    "GradSparseCoder": GradSparseCoder(24, fit_intercept=True, **shared),
    "NMF": NMF(24, init="nndsvda", max_iter=500, random_state=0),
    "PCA": PCA(24),
}
codes = {name: method.fit_transform(X) for name, method in methods.items()}
for name, Z in codes.items():
    recovered = latent_mcc(usage, Z)
    print(f"{name:16} {mean_l0(Z):5.1f} components a cell, MCC with the programs {recovered:.3f}")

# %%
# The genes that a latent stands for are the largest entries of its atom. Of the ten largest, most
# are genes of its program.

sae, Z = methods["SAEEncoder"], codes["SAEEncoder"]
likeness = np.corrcoef(usage.T, Z.T)[:N_PROGRAMS, N_PROGRAMS:]
match = linear_sum_assignment(-np.nan_to_num(likeness))[1]
markers = np.argsort(-sae.components_[match], axis=1)[:, :10]
right_ones = np.take_along_axis(switched, markers, axis=1).mean()
print(f"{right_ones:.0%} of the marker genes are right, such as {', '.join(genes[markers[0][:4]])}")

figure, (left, right) = plt.subplots(
    1, 2, figsize=(13, 4.6), layout="constrained", width_ratios=(1, 1.3)
)
image = left.imshow(likeness[:, match], cmap="Blues", vmin=0, vmax=1)
left.set(xlabel="matched latent of SAEEncoder", ylabel="program", title="Correlation over cells")
figure.colorbar(image, ax=left)
colors = ["#0072B2", "#56B4E9", "#E69F00", "0.5"]
for (name, found), color in zip(list(codes.items())[:4], colors, strict=True):
    active = (found > 1e-3 * found.max()).sum(axis=1)
    right.plot(np.bincount(active, minlength=25) / N_CELLS, "o-", color=color, label=name)
right.plot(np.bincount(running.sum(axis=1), minlength=25) / N_CELLS, "k--", label="true programs")
right.set(xlabel="components active in a cell", ylabel="share of cells")
right.set_title("How many programs a cell is said to run")
right.legend()
plt.show()
