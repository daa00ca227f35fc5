"""
Topics of texts
===============

A `TopKSAE` on weighted word counts: each text becomes a few topics, each topic a list of words. The
texts are what NumPy and SciPy say of their own functions. Their counts are a sparse matrix, which
every estimator of the package takes as it is.
"""

# %%
# The words of a docstring up to its notes and examples, by the function's name.

import matplotlib.pyplot as plt
import numpy as np
from _docstrings import docstrings
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from skamort import TopKSAE

MODULES = [
    *("numpy", "numpy.fft", "numpy.linalg", "numpy.ma", "numpy.random"),
    *("scipy.fft", "scipy.integrate", "scipy.interpolate", "scipy.linalg", "scipy.ndimage"),
    *("scipy.optimize", "scipy.signal", "scipy.sparse", "scipy.spatial", "scipy.special"),
    "scipy.stats",
]

corpus = docstrings(MODULES, until=r"\n(?:Notes|Examples)\n--")
names, texts = np.array(list(corpus)), np.array(list(corpus.values()))
print(f"{len(texts)} texts")

# %%
# TF-IDF brings texts and words to a common scale and leaves the zeros alone, where `StandardScaler`
# would fill them. At most three topics a text; the intercept takes up what all texts share.

words = TfidfVectorizer(
    token_pattern="[A-Za-z]{3,}", stop_words="english", min_df=5, max_df=0.2, sublinear_tf=True
)
sae = TopKSAE(64, k=3, tol=2e-3, random_state=0)
model = make_pipeline(words, sae).fit(texts)
codes = model.transform(texts)
counts = words.transform(texts)
print(f"{counts.shape[1]} words, {counts.nnz / np.prod(counts.shape):.1%} of the counts not zero")
print(
    f"{sae.score(counts):.0%} of the variance explained by {(codes > 0).sum(1).mean():.1f} topics"
)

# %%
# The topics that most texts have: their heaviest words, and the texts that have most of them.

vocabulary = words.get_feature_names_out()
order = np.argsort(-(codes > 0).mean(axis=0))


def heaviest(topic, n_words):
    """Return a topic's words."""
    return " ".join(vocabulary[np.argsort(-sae.components_[topic])[:n_words]])


for topic in order[:16]:
    examples = ", ".join(names[np.argsort(-codes[:, topic])[:3]])
    print(f"{(codes[:, topic] > 0).mean():5.1%}  {heaviest(topic, 5):55} {examples}")

# %%
# A single text is a sum of topics.

for name in ("scipy.signal.welch", "numpy.linalg.svd", "scipy.stats.norm"):
    row = codes[names == name][0]
    found = [f"{row[t]:.2f} ({heaviest(t, 3)})" for t in np.argsort(-row) if row[t] > 0]
    print(f"{name}: {' + '.join(found)}")

# %%
# Which module speaks of what: the share of its texts that have a topic.

shown = order[:24]
module_of = np.array([name.rpartition(".")[0] for name in names])
shares = np.array([(codes[module_of == m][:, shown] > 0).mean(axis=0) for m in MODULES])
figure, ax = plt.subplots(figsize=(11, 6.5), layout="constrained")
image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=0.6)
ax.set_yticks(range(len(MODULES)), MODULES)
ax.set_xticks(range(len(shown)), [heaviest(t, 2) for t in shown], rotation=60, ha="right")
ax.set_title("Topics by module")
figure.colorbar(image, label="share of texts with the topic")
plt.show()
