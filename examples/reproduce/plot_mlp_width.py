"""
Width of the hidden layer
=========================

A wider multilayer perceptron can follow the optimal codes more closely. Trained on its own it gains
little by its width, since it has to find the dictionary at the same time; taught by exact sparse
coding it gains until the data run out.
"""

import matplotlib.pyplot as plt
import numpy as np
from _common import TRAINING, BaseCase, asked_for_paper, label_of, published_steps, save
from _published_figures import WIDTH

from skamort import AmortizedCoder, GradSparseCoder, MLPEncoder

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(100_000, quick=300), 3 if PAPER else 1
WIDTHS = (16, 32, 64, 128, 256, 512) if PAPER else (16, 64, 256)
cases = {sizes: BaseCase(20240926, *sizes) for sizes in WIDTH}

# %%
# The published method: full batches, Adam at 0.0003. Ours: sparse coding, the best of five starts,
# as the teacher, with as many further samples as there are.

records = []
for sizes, case in cases.items():
    n_components = sizes[0]
    teacher = GradSparseCoder(
        n_components, alpha=0.03, n_init=5, random_state=0, transform_tol=1e-4
    )
    teacher.set_params(transform_alpha=0.0025).fit(case.X_train)
    limit = case.latent_mcc(teacher.transform(case.X_test))
    for width in WIDTHS:
        runs = {"n_steps": N_STEPS, "n_runs": N_RUNS, "learning_rate": 3e-4}
        published = case.published((width,), bias=False, **runs)["latent MCC"]
        encoder = MLPEncoder(hidden_layer_sizes=width, learning_rate=3e-3)
        encoder.set_params(**TRAINING | {"max_iter": 300 if PAPER else 40})
        taught = []
        for seed in range(N_RUNS):
            coder = AmortizedCoder(teacher=teacher, encoder=encoder, n_augmented=1024)
            coder.set_params(random_state=seed).fit(case.X_train)
            taught.append(case.latent_mcc(coder.transform(case.X_test)))
        records.append(
            {"N, M, K": sizes, "width": width, "published": WIDTH[sizes][width][0]}
            | {label_of("published method"): np.mean(published), "std": np.std(published)}
            | {"better method": np.mean(taught), "std ": np.std(taught), "its teacher": limit}
        )

figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
for ax, sizes in zip(axes, cases, strict=True):
    rows = [record for record in records if record["N, M, K"] == sizes]
    published = WIDTH[sizes]
    ax.plot(
        list(published),
        [mcc for mcc, _ in published.values()],
        "o:",
        color="0.6",
        label="published",
    )
    for column, color in ((label_of("published method"), "#4c6a8c"), ("better method", "#e08a3c")):
        ax.plot(WIDTHS, [row[column] for row in rows], "o-", color=color, label=column)
    ax.axhline(rows[0]["its teacher"], color="#e08a3c", linestyle="--", label="its teacher")
    ax.set(title="N = {}, M = {}, K = {}".format(*sizes), xlabel="width of the hidden layer")
    ax.set_xscale("log", base=2)
    ax.grid(color="0.9")
axes[0].set(ylabel="latent MCC on test data", ylim=(0, 1.05))
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
save("mlp_width", records, figure)
plt.show()
