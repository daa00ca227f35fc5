"""
Features that swallow their parents
===================================

Where one thing never occurs without another, no spaniel without a dog, an autoencoder that is short
of codes lets the latent of the special absorb the general: it stands for both, and the latent of
the general, silent on spaniels, does not mean what it seems to. `MatryoshkaSAE` is to prevent that:
its first latents reconstruct without the others. Here the sources are known, so it can be counted.
"""

# %%
# 16 parents with three children each, which are active only along with their parent. Six sources
# are active in a sample on average; every model gets 3 codes for them.

import matplotlib.pyplot as plt
import numpy as np

from skamort import BatchTopKSAE, GradSparseCoder, MatryoshkaSAE, TopKSAE
from skamort.datasets import make_sparse_coded_signal
from skamort.metrics import fraction_variance_unexplained

N_PARENTS, N_CHILDREN, K = 16, 3, 3
N_SOURCES = N_PARENTS * (1 + N_CHILDREN)
X, atoms, sources = make_sparse_coded_signal(
    n_samples=12_000,
    n_components=N_SOURCES,
    n_features=48,
    n_nonzero_coefs=6,
    n_nonzero_law="binomial",
    positive=True,
    group_size=1 + N_CHILDREN,
    hierarchical=True,
    random_state=0,
)
X = X.astype(np.float32)
X_train, X_test, sources = X[:10_000], X[10_000:], sources[10_000:]
parents = atoms[:: 1 + N_CHILDREN]
is_large = sources.reshape(-1, N_PARENTS, 1 + N_CHILDREN) > 1
alone = is_large[..., 0] & ~is_large[..., 1:].any(2)
with_child = is_large[..., 0] & is_large[..., 1:].any(2)

# %%
# A parent's latent is the one whose atom is nearest. How often is it silent though the parent is
# strong, without a strong child and with one?

settings = {"k": K, "max_iter": 30, "random_state": 0}
models = {
    "TopK": TopKSAE(N_SOURCES, **settings),
    "BatchTopK": BatchTopKSAE(N_SOURCES, **settings),
    "Matryoshka": MatryoshkaSAE(N_SOURCES, prefix_sizes=[N_PARENTS, N_SOURCES], **settings),
    "k-sparse learning": GradSparseCoder(N_SOURCES, n_nonzero_coefs=K, random_state=0),
}
silent = {}
for name, model in models.items():
    codes = model.fit(X_train).transform(X_test)
    unexplained = fraction_variance_unexplained(X_test, model.inverse_transform(codes))
    latents = (parents @ model.components_.T).argmax(1)
    is_silent = codes[:, latents] == 0
    silent[name] = is_silent[alone].mean(), is_silent[with_child].mean()
    print(f"{name:18} {unexplained:.1%} of the variance unexplained")

# %%
# Fewer codes than sources make the latents of parents silent, and three times as often where a
# child is strong. Where codes are shared out over the batch that is rare, and prefixes halve it
# once more, at a price in reconstruction. The best codes absorb most of all: absorption is what the
# objective asks for where codes are short, and no failure of an encoder.

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
place = np.arange(len(silent))
for shift, label, colour in ((-0.2, "parent alone", "#0072b2"), (0.2, "with a child", "#d55e00")):
    shares = [pair[shift > 0] for pair in silent.values()]
    bars = ax.bar(place + shift, shares, 0.4, label=label, color=colour)
    ax.bar_label(bars, fmt="{:.0%}")
ax.set_xticks(place, silent)
ax.set(ylabel="share of samples with a silent latent")
ax.yaxis.set_major_formatter("{x:.0%}")
ax.legend(frameon=False)
plt.show()
