"""
The senses of a word
====================

A word with several meanings has a vector that is a sum of theirs, as Arora, Li, Liang, Ma and
Risteski (2018, *Linear algebraic structure of word senses*) found. Sparse coding of the vectors of
all words takes it apart: each atom is a topic of discourse, each word a sum of few. Here from the
documentation of NumPy, SciPy, scikit-learn and torch, where *kernel*, *window* and *order* are
words of several trades.
"""

# %%
# Word vectors from counts of words within five of each other: positive pointwise mutual
# information, and its leading singular vectors. Any other vectors do as well.

import re
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
from _docstrings import docstrings
from scipy.sparse import coo_array
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.preprocessing import normalize

from skamort import GradSparseCoder

MODULES = [
    *("numpy", "numpy.fft", "numpy.linalg", "numpy.ma", "numpy.random", "torch.nn"),
    *("scipy.cluster.hierarchy", "scipy.fft", "scipy.integrate", "scipy.interpolate"),
    *("scipy.linalg", "scipy.ndimage", "scipy.optimize", "scipy.signal", "scipy.sparse"),
    *("scipy.sparse.csgraph", "scipy.spatial", "scipy.special", "scipy.stats"),
    *("sklearn.cluster", "sklearn.decomposition", "sklearn.ensemble", "sklearn.gaussian_process"),
    *("sklearn.linear_model", "sklearn.metrics", "sklearn.neighbors", "sklearn.svm"),
    "torch.nn.functional",
]
corpus = docstrings(MODULES, methods=True).values()
texts = [
    [word for word in re.findall("[a-z]{3,}", text.lower()) if word not in ENGLISH_STOP_WORDS]
    for text in corpus
]
counts = Counter(word for text in texts for word in text)
words = np.array([word for word, n in counts.most_common(2500)])
number = {word: i for i, word in enumerate(words)}
print(f"{len(texts)} texts, {sum(counts.values()):,} words")

pairs = [[], []]
for text in texts:
    known = [number[word] for word in text if word in number]
    for distance in range(1, 6):
        pairs[0] += known[:-distance]
        pairs[1] += known[distance:]
C = coo_array((np.ones(len(pairs[0])), pairs), shape=(len(words), len(words))).toarray()
C = C + C.T
total = C.sum(axis=1)
with np.errstate(divide="ignore"):
    information = np.log(C * C.sum() / np.outer(total, total**0.75 * total.sum() ** 0.25))
vectors = TruncatedSVD(100, random_state=0).fit_transform(np.maximum(information, 0))
vectors = normalize(vectors - vectors.mean(axis=0))

# %%
# At most four atoms of 250 a word, none with a negative weight.

coder = GradSparseCoder(250, n_nonzero_coefs=4, tol=0.02, random_state=0)
codes = coder.fit_transform(vectors)
print(f"{coder.score(vectors):.0%} of the variance explained")
likeness = vectors @ coder.components_.T  # of each word to each atom


def topic(atom, n_words=6):
    """Return the words nearest to an atom."""
    return " ".join(words[np.argsort(-likeness[:, atom])[:n_words]])


# %%
# What the vectors of some words are made of, each atom told by the words nearest to it.

shown = ("kernel", "window", "order", "tree", "rank", "root")
figure, axes = plt.subplots(3, 2, figsize=(13, 6.6), layout="constrained", sharex=True)
for word, ax in zip(shown, axes.flat, strict=True):
    row = codes[number[word]]
    senses = np.argsort(-row)[:3]
    print(word, *(f"{row[atom]:.2f} ({topic(atom, 3)})" for atom in senses), sep="  ")
    ax.barh(range(3), row[senses], color=["#0072B2", "#56B4E9", "0.75"])
    for height, atom in enumerate(senses):
        ax.text(row[atom] + 0.01, height, topic(atom), va="center", fontsize=9)
    ax.set(title=word, yticks=[], xlim=(0, 1.75), xticks=[0, 0.5, 1])
    ax.spines["bottom"].set_bounds(0, 1)
    ax.invert_yaxis()
    ax.spines[["top", "right", "left"]].set_visible(False)
for ax in axes[-1]:
    ax.set_xlabel("code")
plt.show()
