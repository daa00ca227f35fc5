"""
The amortization gap in three scenarios
=======================================

A linear-nonlinear encoder cannot recover sparse codes from fewer measurements than sources, however
long it is trained; optimization can. Here on the published synthetic data (16 sources, 3 of them
active, 8 measurements), with known codes, with a known dictionary, and with neither.
"""

# %%
# The three scenarios are arguments, not classes: ``fit(X, codes=Z)``, ``dictionary=D``, or neither.
# Encoders train with their defaults; optimization recovers best under a smaller penalty. ITO
# optimizes codes for a dictionary: the known one, or what the autoencoder has learned.

import matplotlib.pyplot as plt
import numpy as np

from skamort import GradSparseCoder, ITOCoder, MLPEncoder, SAEEncoder
from skamort.datasets import make_published_signal
from skamort.metrics import amortization_gap, latent_mcc

data, dictionary, codes = make_published_signal(seed=20240926)
X_train, X_test, Z_train, Z_test = data[:1024], data[1024:], codes[:1024], codes[1024:]

ALPHA = 0.03
quick = {"tol": 3e-3, "random_state": 0}
sae = SAEEncoder(16, **quick).fit(X_train)
scenarios = {
    "codes known": {
        "SAE": SAEEncoder(16, **quick).fit(X_train, codes=Z_train),
        "MLP": MLPEncoder(16, **quick).fit(X_train, codes=Z_train),
    },
    "dictionary known": {
        "SAE": SAEEncoder(dictionary=dictionary, **quick).fit(X_train),
        "MLP": MLPEncoder(dictionary=dictionary, **quick).fit(X_train),
        "ITO": ITOCoder(dictionary=dictionary, alpha=0.0025, positive_code=True).fit(X_train),
    },
    "neither known": {
        "SAE": sae,
        "MLP": MLPEncoder(16, **quick).fit(X_train),
        "ITO": ITOCoder(estimator=sae, alpha=ALPHA).fit(X_train),
        "sparse coding": GradSparseCoder(16, alpha=ALPHA, n_init=5, random_state=0).fit(X_train),
    },
}

# %%
# With known codes the latents correspond one to one; otherwise they are matched first.

recovery = {
    scenario: {
        name: latent_mcc(Z_test, encoder.transform(X_test), matched=scenario == "codes known")
        for name, encoder in encoders.items()
    }
    for scenario, encoders in scenarios.items()
}
for scenario, scores in recovery.items():
    print(f"{scenario:>16}: " + ", ".join(f"{name} {mcc:.3f}" for name, mcc in scores.items()))

# %%
# With a known dictionary every sample's best objective is certified, so that the gap is a fact and
# not an estimate.

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
colors = {"SAE": "#0072b2", "MLP": "#e69f00", "ITO": "#009e73", "sparse coding": "#9a5a8c"}
for index, scores in enumerate(recovery.values()):
    offsets = 0.2 * (np.arange(len(scores)) - (len(scores) - 1) / 2)
    bars = left.bar(index + offsets, scores.values(), 0.19, color=[colors[key] for key in scores])
    left.bar_label(bars, fmt="%.2f", fontsize=8, padding=1)
handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in colors.values()]
left.legend(handles, colors, loc="upper center", ncols=4, fontsize=8)
left.set_xticks(range(len(recovery)), recovery)
left.set(ylim=(0, 1.2), ylabel="latent MCC on test data", title="Recovery of the true codes")

for name in ("SAE", "MLP"):
    gap = amortization_gap(scenarios["dictionary known"][name], X_test)
    right.plot(
        np.sort(gap.gap_upper_samples)[::-1],
        label=f"{name}: mean gap {gap.gap:.3f} of {gap.objective:.3f}",
        color=colors[name],
    )
right.axhline(
    np.max(gap.best_objective_samples - gap.lower_bound_samples),
    color="black",
    linestyle=":",
    label="width of the certificate, at most",
)
right.set(
    yscale="log",
    ylim=(1e-5, None),
    xlabel="test samples, by size of gap",
    ylabel="objective above the certified lower bound",
    title="Amortization gap with the dictionary known",
)
right.legend()
plt.show()
