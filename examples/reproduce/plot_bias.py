"""
Biases
======

With biases a layer can set a threshold for each latent. In the published comparison they change
little, and an encoder for the right dictionary gains little by them too. Non-negative codes
describe data from zero on: sparse coding with another center finds worse ones.
"""

import matplotlib.pyplot as plt
import numpy as np
from _common import TRAINING, BaseCase, asked_for_paper, label_of, published_steps, save
from _published_figures import BIAS

from skamort import AmortizedCoder, GradSparseCoder, MLPEncoder, SAEEncoder

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(100_000, quick=1500), 3 if PAPER else 1
case = BaseCase(20240926)

# %%
# The published method: full batches, Adam at 0.001, 0.0001 for the MLP. In autoencoders the encoder
# has the biases; in sparse coding a vector is added to the reconstructions.

found = {}
for name, bias in BIAS:
    runs = {"n_steps": N_STEPS, "n_runs": N_RUNS, "bias": bias}
    if name == "sparse coding":
        found[name, bias] = case.published_sparse_coding(**runs)["latent MCC"]
    else:
        hidden, rate = ((), 1e-3) if name == "SAE" else ((64,), 1e-4)
        found[name, bias] = case.published(hidden, learning_rate=rate, **runs)["latent MCC"]

# %%
# Ours: sparse coding with as good as no shrinkage at inference, of the data or of the data less
# their mean, and encoders with and without biases that it teaches.

better = {key: [] for key in BIAS}
center = case.X_train.mean(axis=0)
for seed in range(N_RUNS):
    for bias in (True, False):
        coder = GradSparseCoder(
            16, alpha=0.03, n_init=5, transform_alpha=0.0025, random_state=seed, transform_tol=1e-4
        )
        shift = center if bias else 0
        codes = coder.fit(case.X_train - shift).transform(case.X_test - shift)
        better["sparse coding", bias].append(case.latent_mcc(codes))
    for name, encoder in {"SAE": SAEEncoder(), "MLP-64": MLPEncoder(hidden_layer_sizes=64)}.items():
        encoder.set_params(**TRAINING, learning_rate=3e-3)
        for bias in (True, False):
            taught = AmortizedCoder(teacher=coder, encoder=encoder.set_params(encoder_bias=bias))
            taught.set_params(random_state=seed).fit(case.X_train)
            better[name, bias].append(case.latent_mcc(taught.transform(case.X_test)))

records = [
    {"encoder": name, "bias": "with" if bias else "without", "published": mcc}
    | {label_of("published method"): np.mean(found[name, bias]), "std": np.std(found[name, bias])}
    | {"better method": np.mean(better[name, bias]), "std ": np.std(better[name, bias])}
    for (name, bias), (mcc, _) in BIAS.items()
]

figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
columns = ("published", label_of("published method"), "better method")
for index, (column, color) in enumerate(zip(columns, ("0.7", "#4c6a8c", "#e08a3c"), strict=True)):
    x = np.arange(len(records)) + 0.27 * (index - 1)
    bars = ax.bar(x, [record[column] for record in records], 0.25, color=color, label=column)
    ax.bar_label(bars, fmt="%.2f", fontsize=8)
ax.set_xticks(range(len(records)), [f"{r['encoder']},\n{r['bias']} bias" for r in records])
ax.set(ylim=(0, 1.2), ylabel="latent MCC on test data")
ax.legend(ncols=3, loc="upper center", fontsize=8)
save("bias", records, figure)
plt.show()
