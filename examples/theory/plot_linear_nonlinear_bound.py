"""
No linear-nonlinear encoder recovers sparse codes
=================================================

Theorem 3.1 of O'Neill, Gumran and Klindt (2025): from fewer measurements than sources,
``relu(W x)`` cannot recover all codes with two or more active sources. The pre-activations of all
data have a rank of at most the number of measurements; codes that are recovered exactly need
pre-activations of full rank.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skamort import LISTAEncoder, SAEEncoder
from skamort.datasets import make_published_signal

data, dictionary, codes = make_published_signal(20240625)

# %%
# The rank of codes and of anything linear in the data.

print(f"rank of the codes: {np.linalg.matrix_rank(codes)}")
print(f"rank of the data, of every linear pre-activation: {np.linalg.matrix_rank(data)}")

# %%
# With fewer measurements than sources a linear-nonlinear encoder keeps an error, however long it is
# trained; with as many, the inverse of the dictionary is an encoder and the error can vanish. Two
# further learned iterations, which see what the first left unexplained, are not bound by the rank.

settings = {"code_loss": "squared_error", "learning_rate": 1e-2, "max_iter": 300, "random_state": 0}
encoders = {
    "relu(W x)": SAEEncoder(16, encoder_bias=False, **settings),
    "LISTA, 3 layers": LISTAEncoder(16, n_layers=3, **settings),
}
n_features = (2, 4, 6, 8, 12, 16)
errors = {name: [] for name in encoders}
warnings.simplefilter("ignore", ConvergenceWarning)  # a few epochs tell enough
for m in n_features:
    X, _, Z = make_published_signal(20240625, n_samples=1024, n_features=m)
    for name, encoder in encoders.items():
        codes_found = encoder.fit(X, codes=Z).transform(X)
        errors[name].append(np.square(codes_found - Z).sum() / np.square(Z).sum())
        print(f"{m:2} measurements, {name}: relative error {errors[name][-1]:.3f}")

figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
for name, color in zip(encoders, ("#4c6a8c", "#e08a3c"), strict=True):
    ax.plot(n_features, errors[name], "o-", color=color, label=name)
ax.axvline(16, color="0.6", linestyle=":", label="as many measurements as sources")
ax.set(
    xlabel="measurements of 16 sources, 3 of them active",
    ylabel="squared error of the training codes, relative",
    ylim=(0, None),
)
ax.legend()
ax.grid(color="0.9")
plt.show()
