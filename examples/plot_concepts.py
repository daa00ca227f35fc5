"""
Superposition, gap, shrinkage, dead latents: the pictures
==========================================================

Superposition, the amortization gap, shrinkage and dead latents, each on data small enough to draw.
The page :doc:`/concepts` explains them by these pictures; run as a script this writes them to
``results/``.
"""

# %%
# Superposition: five sources share a plane. A sample is a sum of one or two of them, so directions
# can be told apart although there are more than dimensions.

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from skamort import GradSparseCoder, SAEEncoder, TopKSAE
from skamort.datasets import load_image_patches, make_sparse_coded_signal
from skamort.solvers import sparse_encode

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "0.6"
RESULTS = Path("results")
RESULTS.mkdir(exist_ok=True)
rng = np.random.default_rng(0)


def polygon(n_sources):
    """Return directions in the plane, as far apart as can be."""
    angles = np.pi / 2 + 2 * np.pi * np.arange(n_sources) / n_sources
    return np.column_stack([np.cos(angles), np.sin(angles)])


def draw_arrows(ax, directions, color, label, **style):
    """Draw directions from the origin."""
    for i, (x, y) in enumerate(directions):
        ax.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "->", "color": color, **style})
        ax.plot([], [], color=color, label=None if i else label, lw=style["lw"])


sources = polygon(5)
codes = np.zeros((600, 5))
for row in codes:
    n_active = rng.integers(1, 3)
    row[rng.choice(5, n_active, replace=False)] = rng.uniform(0.1, 1, n_active)
X = codes @ sources
atoms = GradSparseCoder(5, alpha=0.03, n_init=5, random_state=0).fit(X).components_

figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained", sharex=True, sharey=True)
for ax in axes:
    ax.scatter(*X.T, s=6, color=GREY)
    ax.set(aspect="equal", xlim=(-1.4, 1.4), ylim=(-1.3, 1.5), xticks=[], yticks=[])
draw_arrows(axes[0], sources, BLUE, "the five sources", lw=3)
draw_arrows(axes[1], PCA(2).fit(X).components_, BLUE, "principal components", lw=3)
draw_arrows(axes[1], 1.25 * atoms, ORANGE, "atoms of sparse coding", lw=3)
axes[0].set_title("What there is: more sources than dimensions")
axes[1].set_title("What is found")
for ax in axes:
    ax.legend(loc="upper right")
figure.savefig(RESULTS / "concept_superposition.png", dpi=110)

# %%
# The amortization gap: a sample goes round a circle past nine atoms. The best code of an atom is a
# steep hill, because its neighbours take over. An encoder of one product and a ReLU, which has
# learned on samples of all sizes, makes a wide one, and leaves too many codes on.

ALPHA = 0.1
atoms = polygon(9)
angles = np.linspace(0, 2 * np.pi, 721)
circle = np.column_stack([np.sin(angles), np.cos(angles)])
sizes = rng.uniform(0.1, 2, (2000, 1))
encoder = SAEEncoder(dictionary=atoms, alpha=ALPHA, tol=1e-4, random_state=0)
encoder.fit(sizes * circle[rng.integers(721, size=2000)])
found = {
    "best codes": sparse_encode(circle, atoms, alpha=ALPHA, positive=True),
    "one product and a ReLU": encoder.transform(circle),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
losses = []
for (name, Z), color in zip(found.items(), (GREEN, ORANGE), strict=True):
    centered = np.roll(Z[:, 0], 360)  # the atom at the top in the middle of the picture
    left.plot(np.degrees(angles) - 180, centered, color=color, label=name, lw=2)
    losses.append(0.5 * np.sum((circle - Z @ atoms) ** 2, axis=1) + ALPHA * Z.sum(axis=1))
    right.plot(np.degrees(angles) - 180, losses[-1], color=color, label=name, lw=2)
right.fill_between(
    np.degrees(angles) - 180, *losses, color=ORANGE, alpha=0.25, label="amortization gap"
)
left.set(title="Code of one atom", xlabel="angle of the sample to the atom, degrees")
right.set(title="Objective", xlabel="angle of the sample, degrees", ylim=(0, None))
for ax in (left, right):
    ax.set_xticks(range(-180, 181, 60))
    ax.legend()
figure.savefig(RESULTS / "concept_gap.png", dpi=110)

# %%
# Shrinkage: with the true atoms known, an L1 penalty finds the right ones of them and makes every
# code smaller by about the same amount. A limit on their number does not.

X, D, Z = make_sparse_coded_signal(
    400,
    n_components=20,
    n_features=40,
    n_nonzero_coefs=3,
    noise=0.02,
    positive=True,
    random_state=0,
)
found = {
    "L1 penalty, alpha = 0.3": sparse_encode(X, D, alpha=0.3, positive=True),
    "at most three codes": sparse_encode(X, D, algorithm="ormp", n_nonzero_coefs=3, positive=True),
}
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", sharex=True, sharey=True)
for ax, (name, codes), color in zip(axes, found.items(), (ORANGE, GREEN), strict=True):
    ax.plot([0, 3.2], [0, 3.2], color="0.3", lw=1, ls="--", label="as large as they are")
    ax.scatter(Z.ravel(), codes.ravel(), s=10, color=color, alpha=0.6, label=name)
    ax.set(xlabel="true code", xlim=(-0.1, 3.3), ylim=(-0.1, 3.3), aspect="equal")
    ax.legend(loc="upper left")
axes[0].set(ylabel="code found", title="Shrunk")
axes[1].set(title="Not shrunk")
figure.savefig(RESULTS / "concept_shrinkage.png", dpi=110)

# %%
# Dead latents: where only the few largest of many codes are kept, a latent that is never among
# them has no gradient and stays as it is. Resampling gives it a sample that is badly reconstructed.

X = load_image_patches(4000, patch_size=8, random_state=0)
shared = {"k": 4, "tol": 0.03, "random_state": 0}
figure, ax = plt.subplots(figsize=(9, 4.4), layout="constrained")
for name, (remedy, color) in {
    "left alone": (None, ORANGE),
    "dead latents resampled": ("auto", BLUE),
}.items():
    sae = TopKSAE(512, dead_latents=remedy, **shared).fit(X)
    often = np.sort(sae.latent_frequency_)[::-1]
    ax.plot(np.where(often > 0, often, np.nan), color=color, lw=2, label=name)
    print(f"{name}: {sae.dead_fraction_:.0%} dead, {sae.score(X):.1%} of the variance explained")
ax.set(yscale="log", xlim=(0, 512), xlabel="latents, the most used first")
ax.set(
    ylabel="share of samples it fires on", title="How often each latent fires; the dead never do"
)
ax.legend()
figure.savefig(RESULTS / "concept_dead_latents.png", dpi=110)
plt.show()
