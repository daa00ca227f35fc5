"""
Named features that predict a target
====================================

Which ideas in a text go with an outcome? Embeddings predict it but say nothing; sparse features of
embeddings can be named, and tested one by one, as `hypothesaes
<https://github.com/rmovva/HypotheSAEs>`_ does. Here: what is it about a function that lets it have
many parameters?
"""

# %%
# The texts are the descriptions of functions of SciPy and scikit-learn, up to where their
# parameters begin; the target is how many these are, on a log scale. Embeddings are those of latent
# semantic analysis: they stand for the sentence embeddings that you have.

import re

import matplotlib.pyplot as plt
import numpy as np
from _docstrings import docstrings
from scipy import stats
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from skamort import TopKSAE
from skamort.inspection import collect_examples, explain

MODULES = [
    *("scipy.fft", "scipy.integrate", "scipy.interpolate", "scipy.linalg", "scipy.ndimage"),
    *("scipy.optimize", "scipy.signal", "scipy.sparse", "scipy.spatial.distance", "scipy.stats"),
    *("numpy", "numpy.linalg", "sklearn.cluster", "sklearn.datasets", "sklearn.decomposition"),
    *("sklearn.ensemble", "sklearn.linear_model", "sklearn.metrics", "sklearn.neighbors"),
    *("sklearn.preprocessing", "sklearn.svm", "scipy.cluster.hierarchy", "sklearn.manifold"),
]


def n_parameters(text):
    """Return how many parameters a docstring documents."""
    section = re.split(r"\nParameters\n-+\n", text)[1]
    return len(re.findall(r"^\*?\w.* : ", re.split(r"\n\w.*\n--", section)[0], re.MULTILINE))


documented = [text for text in docstrings(MODULES).values() if "\nParameters\n--" in text]
texts = [re.split(r"\nParameters\n--", text)[0] for text in documented]
texts = np.array([re.sub(r"Read more in.*|:\w+:`.*?`", "", text) for text in texts])
y = np.log2([1 + n_parameters(text) for text in documented])
embed = make_pipeline(
    TfidfVectorizer(
        token_pattern="[A-Za-z]{3,}", stop_words="english", min_df=3, sublinear_tf=True
    ),
    TruncatedSVD(100, random_state=0),
    Normalizer(),
)
X = embed.fit_transform(texts)
half, rest = train_test_split(np.arange(len(texts)), test_size=0.5, random_state=0)
print(f"{len(texts)} texts, {2 ** y.mean() - 1:.1f} parameters in the geometric mean")

# %%
# Features are learned without the target, so from all texts. Of those that a hundredth of the
# texts have, the ten most correlated with the target on one half are the hypotheses; the other half
# has had no say in them and tests them.

sae = TopKSAE(96, k=4, tol=0.005, random_state=0)
codes = sae.fit_transform(X)
common = np.flatnonzero((codes > 0).mean(axis=0) >= 0.01)
chosen = stats.pearsonr(codes[half][:, common], y[half, None])
picked = common[np.argsort(chosen.pvalue)[:10]]
print(f"{len(common)} features are common; {sae.score(X):.0%} of the variance explained")

# %%
# A least-squares fit with all ten at once, features scaled to unit variance, on the other half: a
# coefficient is what a feature adds to the others. p-values are corrected for ten tests
# (Bonferroni).

Z = stats.zscore(codes[rest][:, picked])
A = np.column_stack([Z, np.ones(len(rest))])
inverse = np.linalg.inv(A.T @ A)
beta = inverse @ A.T @ y[rest]
freedom = len(rest) - A.shape[1]
error = np.sqrt(np.diag(inverse) * np.sum((y[rest] - A @ beta) ** 2) / freedom)
p = np.minimum(1, 10 * 2 * stats.t.sf(np.abs(beta / error), freedom))[:10]

# %%
# Names come from any callable from a prompt to an answer, such as a call to a language model. This
# one needs none: it reads in the prompt the texts on which the feature is active and answers with
# the words that these have more often than others.

vocabulary = embed[0].get_feature_names_out()
usual = embed[0].transform(texts).mean(axis=0)


def ask(prompt):
    """Answer with the words that marked texts have in common."""
    marked = re.findall("<<(.*?)>>", prompt, flags=re.DOTALL)
    typical = np.asarray(embed[0].transform(marked).mean(axis=0) - 2 * usual).ravel()
    return "[EXPLANATION]: " + ", ".join(vocabulary[np.argsort(-typical)[:4]])


examples = collect_examples(
    codes,
    [[text] for text in texts],
    np.arange(len(texts)),
    np.zeros(len(texts), dtype=int),
    latents=picked,
    random_state=0,
)
names = explain(examples, ask)

for name, features in {"embeddings": X, "ten features": codes[:, picked]}.items():
    model = RidgeCV(np.logspace(-3, 3, 13)).fit(features[half], y[half])
    print(f"R2 of {name} on the other half: {model.score(features[rest], y[rest]):.2f}")

# %%
# Filled marks are significant; bars are confidence intervals of 95 %, before the correction.

order = np.argsort(beta[:10])
figure, ax = plt.subplots(figsize=(11, 5.5), layout="constrained")
width = stats.t.ppf(0.975, freedom) * error
for height, i in enumerate(order):
    filled = "#0072B2" if p[i] < 0.05 else "white"
    ax.errorbar(beta[i], height, xerr=width[i], fmt="o", color="#0072B2", mfc=filled, capsize=3)
ax.set_yticks(range(10), [f"{names[picked[i]]}   p = {p[i]:.1g}" for i in order])
ax.axvline(0, color="0.6", lw=1)
ax.set(xlabel="what a standard deviation of the feature adds to log2(1 + number of parameters)")
ax.set_title("Descriptions of functions with many parameters, and with few", loc="left")
ax.spines[["top", "right"]].set_visible(False)
plt.show()
