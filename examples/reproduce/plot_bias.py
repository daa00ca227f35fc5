"""
Biases
======

With biases a layer can set a threshold for each latent. In the published comparison they change
little, and an encoder for the right dictionary gains little by them too. Non-negative codes
describe data from zero on: sparse coding with another center finds worse ones.
"""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from _common import (
    N_INIT,
    TRAINING,
    BaseCase,
    asked_for_paper,
    kept,
    label_of,
    published_steps,
    save,
)
from _published_figures import BIAS
from scipy.stats import ttest_ind, ttest_ind_from_stats

from skamort import AmortizedCoder, GradSparseCoder, MLPEncoder, SAEEncoder

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(100_000, quick=1500), 3 if PAPER else 1
case = BaseCase(20240926)

# %%
# The published method: full batches, Adam at 0.001, 0.0001 for the MLP. In autoencoders the encoder
# has the biases; in sparse coding a vector is added to the reconstructions.


def train(name, bias):
    """Measures of the published method, a figure a run."""
    runs = {"n_steps": N_STEPS, "n_runs": N_RUNS, "bias": bias}
    if name == "sparse coding":
        return case.published_sparse_coding(**runs)
    hidden, rate = ((), 1e-3) if name == "SAE" else ((64,), 1e-4)
    return case.published(hidden, learning_rate=rate, **runs)


found = {key: kept("bias", f"{key}, {N_STEPS} steps", lambda key=key: train(*key)) for key in BIAS}

# %%
# Ours: sparse coding with as good as no shrinkage at inference, of the data or of the data less
# their mean, and encoders with and without biases that it teaches.

center = case.X_train.mean(axis=0)


def score_ours(seed):
    """Latent MCC by encoder, with biases and without."""
    found = {}
    for bias in (True, False):
        coder = GradSparseCoder(
            16,
            alpha=0.03,
            n_init=N_INIT,
            transform_alpha=0.0025,
            random_state=seed,
            transform_tol=1e-4,
        )
        shift = center if bias else 0
        codes = coder.fit(case.X_train - shift).transform(case.X_test - shift)
        found[f"sparse coding, {bias}"] = case.latent_mcc(codes)
    for name, encoder in {"SAE": SAEEncoder(), "MLP-64": MLPEncoder(hidden_layer_sizes=64)}.items():
        encoder.set_params(**TRAINING, learning_rate=3e-3)
        for bias in (True, False):
            taught = AmortizedCoder(teacher=coder, encoder=encoder.set_params(encoder_bias=bias))
            taught.set_params(random_state=seed).fit(case.X_train)
            found[f"{name}, {bias}"] = case.latent_mcc(taught.transform(case.X_test))
    return found


ours = [kept("bias", f"ours, {seed}", partial(score_ours, seed)) for seed in range(N_RUNS)]
better = {key: [each[f"{key[0]}, {key[1]}"] for each in ours] for key in BIAS}
METHOD = label_of("published method")


def row(name, bias):
    """Return the row of an encoder: the four measures, and our latent MCC."""
    record = {"encoder": name, "bias": "with" if bias else "without"}
    for measure, (mean, std) in BIAS[name, bias].items():
        ours = found[name, bias][measure]
        record |= {f"{measure}, published": mean, f"{measure}, published std": std}
        record |= {f"{measure}, {METHOD}": np.mean(ours), f"{measure}, std": np.std(ours)}
    return record | {
        "better method": np.mean(better[name, bias]),
        "std": np.std(better[name, bias]),
    }


records = [row(name, bias) for name, bias in BIAS]

# %%
# Do biases matter? Welch's test of no difference in the mean of latent MCC, of three runs each.


def p_value(means, stds, n_runs=3):
    """Return the p-value of Welch's test, of standard deviations over runs as NumPy has them."""
    corrected = np.array(stds) * np.sqrt(n_runs / (n_runs - 1))
    sizes = np.full(2, n_runs)
    return ttest_ind_from_stats(
        *(x for triple in zip(means, corrected, sizes, strict=True) for x in triple),
        equal_var=False,
    ).pvalue


for name in ("SAE", "MLP-64", "sparse coding"):
    published = p_value(
        *zip(*(BIAS[name, bias]["latent MCC"] for bias in (True, False)), strict=True)
    )
    print(f"{name}: bias or none, p = {published:.3f} published", end="")
    runs = [found[name, bias]["latent MCC"] for bias in (True, False)]
    if N_RUNS > 1:
        print(f", {ttest_ind(*runs, equal_var=False).pvalue:.3f} here", end="")
    print()

figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
columns = {
    "published": ("latent MCC, published", "latent MCC, published std"),
    METHOD: (f"latent MCC, {METHOD}", "latent MCC, std"),
    "better method": ("better method", "std"),
}
for index, (label, keys) in enumerate(columns.items()):
    means, stds = ([record[key] for record in records] for key in keys)
    x, color = np.arange(len(records)) + 0.27 * (index - 1), ("0.7", "#4c6a8c", "#e08a3c")[index]
    error = {"yerr": stds, "error_kw": {"elinewidth": 0.8, "capsize": 2}}
    ax.bar_label(ax.bar(x, means, 0.25, color=color, label=label, **error), fmt="%.2f", fontsize=8)
ax.set_xticks(range(len(records)), [f"{r['encoder']},\n{r['bias']} bias" for r in records])
ax.set(ylim=(0, 1.2), ylabel="latent MCC on test data")
ax.legend(ncols=3, loc="upper center", fontsize=8)
save("bias", records, figure)
plt.show()
