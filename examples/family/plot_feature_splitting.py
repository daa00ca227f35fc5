"""
Features split in larger dictionaries
=====================================

What becomes of an atom when its dictionary gets larger? Bricken et al. (2023) saw features split
into more special ones, and new ones appear. Leask et al. (2025) found that atoms of a large
dictionary are sparse combinations of fewer directions, those of a *meta-SAE*, and that these are
close to the atoms of a small dictionary. Both on digits, with numbers, and with controls.
"""

# %%
# TopK autoencoders of doubling width, on the same rows and with the same k.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skamort import TopKSAE
from skamort.inspection import match_dictionaries
from skamort.metrics import fraction_variance_unexplained

X = load_digits().data.astype(np.float32) / 16
X_train, X_test = train_test_split(X, test_size=400, random_state=0)
WIDTHS = [16, 32, 64, 128, 256]
settings = {"k": 4, "max_iter": 400, "tol": 3e-4, "random_state": 0}
saes = {width: TopKSAE(width, **settings).fit(X_train) for width in WIDTHS}

# %%
# The parent of an atom is the nearest one of the dictionary half as wide, if their cosine is at
# least 0.7. If features split, children stand for their parents: in what the narrower model
# reconstructs, every parent that has children is replaced by these, with the codes that the wider
# model gives them. As a control it is replaced by as many atoms that are not its children, those
# nearest to it among the others.


def unexplained(reconstruction):
    """Fraction of the variance of the test rows unexplained."""
    return fraction_variance_unexplained(X_test, reconstruction)


def replace_parents(small, large):
    """How atoms split, and the errors of the models and of those with parents replaced."""
    match = match_dictionaries(small.components_, large.components_)
    codes, finer = small.transform(X_test), large.transform(X_test)
    rest = small.inverse_transform(np.where(match.n_children > 0, 0, codes))
    is_child = match.parents >= 0
    others = np.argsort(np.where(is_child, -1, match.cosines))[::-1][: is_child.sum()]
    return match, {
        "narrow model": unexplained(small.inverse_transform(codes)),
        "parents left out": unexplained(rest),
        "others for parents": unexplained(rest + finer[:, others] @ large.components_[others]),
        "children for parents": unexplained(
            rest + finer[:, is_child] @ large.components_[is_child]
        ),
        "wide model": unexplained(large.inverse_transform(finer)),
    }


splits = {n: replace_parents(saes[n], saes[2 * n]) for n in WIDTHS[:-1]}
for n, (match, errors) in splits.items():
    told = ", ".join(f"{name} {error:.0%}" for name, error in errors.items())
    print(f"{n} to {2 * n}: without a parent {match.orphan_fraction:.0%}; unexplained: {told}")

# %%
# That features split holds for wide dictionaries. From 16 to 32 atoms none has two children, and
# most atoms are new. From 128 to 256 three in five have a parent, three in ten parents have several
# children, and children make up for 82 % of what leaving out their parents costs, others for 60 %.

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
steps = [f"{n} to {2 * n}" for n in splits]
for name in next(iter(splits.values()))[1]:
    left.plot(steps, [errors[name] for _, errors in splits.values()], "o-", label=name)
left.set(ylabel="variance unexplained", xlabel="atoms", title="Children for their parents")
left.set(ylim=(0, 1.8))
left.legend(loc="upper right", ncols=2)

bottom = np.zeros(len(splits))
for n_children in range(4):
    share = [
        np.mean((match.n_children == n_children) if n_children < 3 else (match.n_children >= 3))
        for match, _ in splits.values()
    ]
    right.bar(steps, share, bottom=bottom, label=f"{n_children}{' or more' * (n_children == 3)}")
    bottom += share
right.set(ylabel="share of the parents", xlabel="atoms", title="Children of an atom")
right.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %%
# The atoms among 128 with the most children among 256, each followed by its children. Dark is
# negative: what the pixels have less than the mean digit.

match = splits[128][0]
parents = np.argsort(-match.n_children, kind="stable")[:5]
n_columns = 1 + match.n_children.max()
figure, axes = plt.subplots(5, n_columns, figsize=(1.1 * n_columns, 6), layout="constrained")
for row, parent in zip(axes, parents, strict=True):
    family = saes[256].components_[match.parents == parent]
    atoms = [saes[128].components_[parent], *family]
    for place, ax in enumerate(row):
        ax.axis("off")
        if place < len(atoms):
            ax.imshow(atoms[place].reshape(8, 8), cmap="gray", vmin=-0.4, vmax=0.4)
axes[0, 0].set_title("parent")
axes[0, 1].set_title("children", loc="left")
plt.show()

# %%
# A meta-SAE: a TopK autoencoder whose rows are the 256 atoms. Are they sparse combinations of
# fewer directions? As a control, random vectors of the same mean and covariance. And are its atoms
# close to those of a small dictionary? As controls, random directions, rows of the data, and the
# wide atoms themselves.
#
# Four of 32 meta-atoms explain two thirds of the variance of the atoms, and as much of that of the
# random vectors: on digits the covariance alone accounts for it. The meta-atoms are far closer to a
# small dictionary than random directions are, as published, but no closer than rows of the data or
# the wide atoms: a random direction is too weak a control where the data fill few directions.

N_META = 32
random = np.random.default_rng(0)
wide = saes[256].components_
alike = random.multivariate_normal(wide.mean(axis=0), np.cov(wide.T), size=len(wide))
metas = {
    name: TopKSAE(N_META, k=4, random_state=0).fit(rows)
    for name, rows in {"atoms": wide, "random vectors": alike.astype(np.float32)}.items()
}
explained = {
    "atoms": metas["atoms"].score(wide),
    "random vectors": metas["random vectors"].score(alike),
}
print(", ".join(f"{score:.0%} of the variance of {name}" for name, score in explained.items()))

candidates = {
    "meta-atoms": metas["atoms"].components_,
    "random directions": random.normal(size=(N_META, X.shape[1])),
    "rows of the data": (X_train - X_train.mean(axis=0))[:N_META],
    "atoms of the 256": wide[:N_META],
}
cosines = {
    name: np.sort(match_dictionaries(saes[N_META].components_, vectors).cosines)
    for name, vectors in candidates.items()
}
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, values in cosines.items():
    print(f"{name}: median cosine with the nearest of {N_META} atoms {np.median(values):.2f}")
    ax.plot(values, np.linspace(0, 1, len(values)), label=name)
ax.set(xlabel=f"cosine with the nearest of {N_META} atoms", ylabel="share below")
ax.legend()
plt.show()
