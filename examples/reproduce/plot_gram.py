"""
Fewer, as many and more atoms than sources
==========================================

The inner products of learned atoms, D D^T, tell what happens when their number is wrong: too few
have to share sources and keep apart; too many fill the space between the sources. With as many, the
matrix of the right dictionary is that of the true one. Atoms stand in the order of the sources that
they match best.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from _common import BaseCase, label_of, published_rate, published_steps, save
from _published import PublishedAutoencoders, PublishedSparseCoding
from scipy.optimize import linear_sum_assignment

from skamort import GradSparseCoder
from skamort.inspection import GramDisplay
from skamort.metrics import dictionary_mcc

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


def coherence(atoms):
    """Largest absolute cosine between two atoms."""
    return np.abs(atoms @ atoms.T - np.diag(np.square(atoms).sum(axis=1))).max()


# %%
# The published method, an autoencoder and sparse coding, and ours, the best of a few starts of
# exact sparse coding. The true dictionary's coherence is what a right one has.

X = torch.tensor(case.X_train)
settings = {"n_steps": N_STEPS, "learning_rate": published_rate(1e-3)}
learned = {}
for size in SIZES.values():
    sae = PublishedAutoencoders((8, size), bias=False, n_runs=1).fit(X, **settings)
    descent = PublishedSparseCoding(size, 8, n_runs=1).fit(X, **settings)
    exact = GradSparseCoder(size, alpha=0.03, n_init=5, random_state=0).fit(case.X_train)
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
figure, axes = plt.subplots(3, 4, figsize=(12, 9.5), layout="constrained")


def draw(ax, atoms, title):
    """Draw the inner products of atoms on the scale that all panels share."""
    display = GramDisplay(atoms @ atoms.T).plot(ax, colorbar=False)
    ax.set(title=f"{title}, {ax.get_title().replace('mutual ', '')}", xlabel="", ylabel="")
    return display.im_


for row, (method, label) in zip(axes, METHODS.items(), strict=True):
    for ax, (word, size) in zip(row, SIZES.items(), strict=False):
        draw(ax, in_order_of_sources(learned[method, size]), f"{word}: {size}")
    row[0].set_ylabel(label.replace(", ", ",\n", 1))
image = draw(axes[0, 3], case.dictionary, "true: 16")
for ax in axes[1:, 3]:
    ax.set_axis_off()
figure.colorbar(image, ax=axes[1:, 3], label="inner product of two atoms", location="left")

records = [
    {"atoms": size, "method": label, "dictionary MCC": dictionary_mcc(case.dictionary, atoms)}
    | {"coherence": coherence(atoms), "true coherence": coherence(case.dictionary)}
    for size in SIZES.values()
    for method, label in METHODS.items()
    for atoms in [learned[method, size]]
]
save("gram", records, figure)
plt.show()
