"""
Width of the hidden layer
=========================

A wider multilayer perceptron can follow the optimal codes more closely. Trained on its own it gains
little by its width, since it has to find the dictionary at the same time; taught by exact sparse
coding it gains until the data run out.
"""

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
from _published_figures import WIDTH

from skamort import AmortizedCoder, GradSparseCoder, MLPEncoder

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(100_000, quick=300), 3 if PAPER else 1
WIDTHS = (16, 32, 64, 128, 256, 512) if PAPER else (16, 64, 256)
cases = {sizes: BaseCase(20240926, *sizes) for sizes in WIDTH}

# %%
# The published method: full batches, Adam at 0.0003. Ours: sparse coding, the best of a few starts,
# as the teacher, with as many further samples as there are.

METHOD = label_of("published method")


def fit_teacher(case, n_components):
    """Return the best of a few starts of sparse coding."""
    teacher = GradSparseCoder(
        n_components, alpha=0.03, n_init=N_INIT, random_state=0, transform_tol=1e-4
    )
    return teacher.set_params(transform_alpha=0.0025).fit(case.X_train)


def teach(case, teacher, width):
    """Latent MCC of taught encoders, a figure a run."""
    encoder = MLPEncoder(hidden_layer_sizes=width, learning_rate=3e-3)
    encoder.set_params(**TRAINING | {"max_iter": 300 if PAPER else 40})
    coder = AmortizedCoder(teacher=teacher, encoder=encoder, n_augmented=1024)
    fitted = (coder.set_params(random_state=seed).fit(case.X_train) for seed in range(N_RUNS))
    return [case.latent_mcc(each.transform(case.X_test)) for each in fitted]


records = []
for sizes, case in cases.items():
    teacher = fit_teacher(case, sizes[0])
    limit = case.latent_mcc(teacher.transform(case.X_test))
    for width in WIDTHS:
        runs = {"n_steps": N_STEPS, "n_runs": N_RUNS, "learning_rate": 3e-4, "bias": False}
        again = kept(
            "mlp_width",
            f"{sizes}, {width}, {N_STEPS} steps",
            lambda case=case, width=width, runs=runs: case.published((width,), **runs),
        )
        taught = kept(
            "mlp_width",
            f"{sizes}, {width}, taught",
            lambda case=case, teacher=teacher, width=width: teach(case, teacher, width),
        )
        record = {"N, M, K": sizes, "width": width}
        for measure, (mean, std) in WIDTH[sizes][width].items():
            record |= {f"{measure}, published": mean, f"{measure}, published std": std}
            record |= {f"{measure}, {METHOD}": np.mean(again[measure])}
            record |= {f"{measure}, std": np.std(again[measure])}
        record |= {"better method": np.mean(taught), "std": np.std(taught), "its teacher": limit}
        records.append(record)

# %%
# The paper's four measures: latent MCC, and what the files have beside it.

MEASURES = ("latent MCC", "dictionary MCC", "loss", "L0")
figure, axes = plt.subplots(
    4, 3, figsize=(10.8, 11), layout="constrained", sharex=True, sharey="row"
)
for column, sizes in zip(axes.T, cases, strict=True):
    rows = [record for record in records if record["N, M, K"] == sizes]
    for ax, measure in zip(column, MEASURES, strict=True):
        widths, published = [*WIDTH[sizes]], [*WIDTH[sizes].values()]
        means, stds = np.transpose([each[measure] for each in published])
        ax.errorbar(widths, means, stds, fmt="o:", color="0.6", capsize=2, label="published")
        means = [row[f"{measure}, {METHOD}"] for row in rows]
        stds = [row[f"{measure}, std"] for row in rows]
        ax.errorbar(WIDTHS, means, stds, fmt="o-", color="#4c6a8c", capsize=2, label=METHOD)
        ax.grid(color="0.9")
    top = column[0]
    taught = [row["better method"] for row in rows]
    top.plot(WIDTHS, taught, "o-", color="#e08a3c", label="better method")
    top.axhline(rows[0]["its teacher"], color="#e08a3c", linestyle="--", label="its teacher")
    top.set(title="N = {}, M = {}, K = {}".format(*sizes), ylim=(0, 1.05))
    column[-1].set(xlabel="width of the hidden layer")
    column[-1].set_xscale("log", base=2)
labels = ("latent MCC", "dictionary MCC", "loss with penalty", "share of codes active")
for ax, label in zip(axes[:, 0], labels, strict=True):
    ax.set(ylabel=label)
axes[2, 0].set(yscale="log")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
save("mlp_width", records, figure)
plt.show()
