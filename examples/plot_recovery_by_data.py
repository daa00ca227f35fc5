"""
Recovery where data are not as in the textbook
==============================================

Synthetic codes are mostly drawn with a fixed number of active sources, all alike and independent.
What if the number varies, sources come together, some depend on others, some are rare or small,
data have noise or do not begin at zero? One law at a time, with everything else as in the base
case: sixteen sources, three active on average, eight measurements, neither codes nor dictionary
known.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import DictionaryLearning, FastICA
from sklearn.exceptions import ConvergenceWarning

from skamort import GradSparseCoder, SAEEncoder, TopKSAE
from skamort.datasets import make_sparse_coded_signal, zipf_weights
from skamort.metrics import dictionary_mcc, latent_mcc, recovery_boundary

warnings.simplefilter("ignore", ConvergenceWarning)  # scikit-learn's, which are cut short
N, M, K, N_TRAIN = 16, 8, 3, 512
print(f"measurements needed for {K} of {N} sources: {recovery_boundary(N, K):.1f}, there are {M}")

# %%
# The laws, each from next to the base case on. :func:`~skamort.datasets.make_sparse_coded_signal`
# has them all.

GRIDS = {
    "active sources from 3 - r to 3 + r": {
        str(r): {"n_nonzero_coefs": (K - r, K + r)} for r in (0, 2, 3)
    },
    "each source on its own": {
        "exact": {},
        "binomial": {"n_nonzero_law": "binomial"},
    },
    "correlation in groups of 4": {
        str(r): {"group_size": 4, "correlation": r} for r in (0.0, 0.5, 0.95)
    },
    "children of one parent": {
        str(size - 1): {"group_size": size, "hierarchical": True} for size in (2, 4, 8)
    },
    "frequency by rank to the power of": {
        f"{-a or 0:g}": {"zipf_exponent": a, "importance": np.ones(N)} for a in (0, 1, 2)
    },
    "magnitude by rank to the power of": {
        f"{-b or 0:g}": {"importance": N * zipf_weights(N, exponent=b)} for b in (0, 1, 2)
    },
    "noise of standard deviation": {f"{s:g}": {"noise": s} for s in (0, 0.1, 0.3)},
    "intercept of norm": {f"{c:g}": {"intercept": c} for c in (0, 1, 3)},
}

# %%
# Ours with a center where the data may have one, and scikit-learn's, of which independent component
# analysis finds at most as many sources as there are measurements.


def make_coders(law):
    """Return the coders by name, not fitted."""
    center = {"fit_intercept": "intercept" in law}
    exact = {"alpha": 0.03, "transform_alpha": 0.0025, "n_init": 2, "transform_tol": 1e-4}
    short = {"max_iter": 40, "tol": 1e-3}
    learner = DictionaryLearning(N, alpha=0.1, max_iter=15, fit_algorithm="cd", random_state=0)
    return {
        "GradSparseCoder": GradSparseCoder(N, **exact, **center, random_state=0),
        "SAEEncoder": SAEEncoder(N, **short, **center, random_state=0),
        "TopKSAE": TopKSAE(N, k=K, **short, **center, random_state=0),
        "DictionaryLearning": learner.set_params(
            transform_algorithm="lasso_cd", transform_alpha=0.05, positive_code=True
        ),
        "FastICA": FastICA(M, whiten="unit-variance", random_state=0, max_iter=100),
    }


def score(law):
    """MCC of latents and of atoms by coder, over all sources: one without a latent counts as 0."""
    settings = {"n_components": N, "n_features": M, "n_nonzero_coefs": K} | law
    X, dictionary, codes = make_sparse_coded_signal(
        2 * N_TRAIN, **settings, positive=True, random_state=0
    )
    found = {}
    for name, coder in make_coders(law).items():
        latents = coder.fit(X[:N_TRAIN]).transform(X[N_TRAIN:])
        atoms = coder.mixing_.T if name == "FastICA" else coder.components_
        mccs = latent_mcc(codes[N_TRAIN:], latents), dictionary_mcc(dictionary, atoms)
        found[name] = np.array(mccs) * len(atoms) / N
    return found


scores = {
    title: {value: score(law) for value, law in grid.items()} for title, grid in GRIDS.items()
}

# %%
# Latent MCC. Below it the same for atoms, in print.

COLORS = {
    "GradSparseCoder": "#0072b2",
    "SAEEncoder": "#e69f00",
    "TopKSAE": "#d55e00",
    "DictionaryLearning": "#009e73",
    "FastICA": "#56b4e9",
}
figure, axes = plt.subplots(2, 4, figsize=(10.8, 5.6), layout="constrained", sharey=True)
for ax, (title, grid) in zip(axes.flat, scores.items(), strict=True):
    for name, color in COLORS.items():
        values = [found[name][0] for found in grid.values()]
        ax.plot([*grid], values, "o-", color=color, label=name)
    ax.set_title(title, fontsize=9)
    ax.set(ylim=(0, 1.03))
    ax.grid(color="0.9")
for ax in axes[:, 0]:
    ax.set_ylabel("latent MCC on test data")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)

for title, grid in scores.items():
    for value, found in grid.items():
        line = ", ".join(
            f"{name} {latent:.2f} {atom:.2f}" for name, (latent, atom) in found.items()
        )
        print(f"{title} {value}: {line}")
plt.show()
