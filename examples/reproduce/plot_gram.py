"""
Fewer, as many and more atoms than sources
==========================================

The inner products of learned atoms, D D^T, tell what happens when their number is wrong: too few
have to share sources and keep apart; too many fill the space between the sources. With as many, the
matrix of the right dictionary is that of the true one. Atoms stand in the order of the sources that
they match best.

The published figure looks like an identity matrix, which no sixteen atoms in eight dimensions can
have: it shows a softmax of the inner products, of atoms that are longer than 1. The last column
does the same to the true dictionary.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from _common import N_INIT, BaseCase, label_of, published_rate, published_steps, save
from _published import PublishedAutoencoders, PublishedSparseCoding
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax

from skamort import GradSparseCoder
from skamort.inspection import GramDisplay
from skamort.metrics import dictionary_mcc, mutual_coherence

N_STEPS = published_steps(40_000, quick=3000)
case = BaseCase(20240926)
SIZES = {"fewer": 8, "as many": 16, "more": 32}


def in_order_of_sources(atoms):
    """Atoms matched one to one with the sources first, the others by the source closest to each."""
    similarity = np.abs(atoms @ case.dictionary.T)
    matched, sources = linear_sum_assignment(similarity, maximize=True)
    rank = similarity.argmax(axis=1) + len(case.dictionary)
    rank[matched] = sources
    return atoms[np.argsort(rank, kind="stable")]


# %%
# The published method, an autoencoder and sparse coding, and ours, the best of a few starts of
# exact sparse coding. The true dictionary's coherence is what a right one has.

X = torch.tensor(case.X_train)
settings = {"n_steps": N_STEPS, "learning_rate": published_rate(1e-3)}
learned = {}
for size in SIZES.values():
    sae = PublishedAutoencoders((8, size), bias=False, n_runs=1).fit(X, **settings)
    descent = PublishedSparseCoding(size, 8, n_runs=1).fit(X, **settings)
    exact = GradSparseCoder(size, alpha=0.03, n_init=N_INIT, random_state=0).fit(case.X_train)
    learned |= {
        ("SAE", size): sae.dictionary.detach().numpy()[0],
        ("sparse coding", size): descent.dictionary.numpy()[0],
        ("better method", size): exact.components_,
    }

METHODS = {
    "SAE": f"SAE, {label_of('published method')}",
    "sparse coding": f"sparse coding, {label_of('published method')}",
    "better method": "better method",
}
figure, axes = plt.subplots(3, 4, figsize=(10.8, 9), layout="constrained")


def draw(ax, atoms, title):
    """Draw the inner products of atoms on the scale that all panels share."""
    display = GramDisplay(atoms @ atoms.T).plot(ax, colorbar=False)
    coherence = ax.get_title().replace("mutual ", "")
    ax.set_title(f"{title}\n{coherence}", fontsize=10)
    ax.set(xlabel="", ylabel="")
    ax.locator_params(integer=True)
    return display.im_


for row, (method, label) in zip(axes, METHODS.items(), strict=True):
    for ax, (word, size) in zip(row, SIZES.items(), strict=False):
        draw(ax, in_order_of_sources(learned[method, size]), f"{word}: {size}")
    row[0].set_ylabel(label.replace(", ", ",\n"))
image = draw(axes[0, 3], case.dictionary, "true: 16")
for ax, length in zip(axes[1:, 3], (1, 3), strict=True):
    weights = softmax(length**2 * case.dictionary @ case.dictionary.T, axis=1)
    shares = ax.imshow(weights, cmap="viridis", vmin=0, vmax=1)
    ax.locator_params(integer=True)
    ax.set_title(f"true, softmax of rows\natoms of length {length}", fontsize=10)
    print(f"softmax, atoms of length {length}: diagonal {np.diagonal(weights).mean():.2f}")
bar = {"location": "bottom", "shrink": 0.9, "aspect": 40}
figure.colorbar(image, ax=axes[:, :3], label="inner product of two atoms", **bar)
figure.colorbar(shares, ax=axes[:, 3], label="softmax", **bar | {"aspect": 12})

records = [
    {"atoms": size, "method": label, "dictionary MCC": dictionary_mcc(case.dictionary, atoms)}
    | {"coherence": mutual_coherence(atoms), "true": mutual_coherence(case.dictionary)}
    for size in SIZES.values()
    for method, label in METHODS.items()
    for atoms in [learned[method, size]]
]
save("gram", records, figure)
plt.show()
