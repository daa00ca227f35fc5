"""
Neither codes nor dictionary known
==================================

Sparse autoencoders and sparse coding learn dictionary and codes from the data alone. The published
gap between them is large. Most of it is optimization: exact sparse inference with exact updates of
the dictionary recovers both almost perfectly, and cheap encoders that are taught its codes follow
as far as their architecture allows.
"""

import matplotlib.pyplot as plt
import numpy as np
from _common import (
    N_INIT,
    RESULTS,
    TRAINING,
    BaseCase,
    asked_for_paper,
    draw_bars,
    kept,
    published_steps,
    report,
)
from _curves import SPARSE_CODING_FLOPS, published_end, train_autoencoders

from skamort import AmortizedCoder, GradSparseCoder, LISTAEncoder, MLPEncoder, SAEEncoder
from skamort.inspection import ComputeFrontierDisplay
from skamort.metrics import dictionary_mcc
from skamort.metrics import flops as count_flops
from skamort.solvers import sparse_encode

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(40_000, quick=1500), 5 if PAPER else 1
N_AUGMENTED = 8192 if PAPER else 2048
case = BaseCase(20240926)

# %%
# The published method: an L1 penalty of 0.01, full batches, Adam, random weights, no biases. ITO
# optimizes the codes of the SAE for the SAE's atoms. The quick settings of the gallery take fewer
# and larger steps, ``--paper --steps 100000`` those of the paper's text.

published = ("SAE", "SAE+ITO", "MLP-32", "MLP-256", "sparse coding")
scenario = "neither, 100,000 steps" if N_STEPS == 100_000 else "neither"
rows = {name: {"published": published_end(scenario, name)} for name in published}
rows["LISTA-3"] = {}


def train(name):
    """Measures of the published method, a figure a run."""
    runs = {"n_steps": N_STEPS, "n_runs": N_RUNS}
    if name == "sparse coding":
        return case.published_sparse_coding(**runs)
    if name == "SAE+ITO":
        return train_autoencoders(case, (), "neither", **runs, n_looks=2, ito=True)
    hidden = tuple(int(width) for width in name.split("-")[1:])
    return case.published(hidden, **runs, bias=False)


for name in published:
    if name == "MLP-256" and not PAPER:
        continue
    scores = kept("neither_known", f"{name}, {N_STEPS} steps", lambda name=name: train(name))
    scores = {measure: np.atleast_2d(values)[-1] for measure, values in scores.items()}
    rows[name]["published method"] = scores["latent MCC"]
    print(name, {key: round(np.mean(values), 4) for key, values in scores.items()}, flush=True)

# %%
# Our method: the best of a few starts by the objective alone, then encoders that learn from it. It
# labels samples drawn from resampled codes as well.

teachers = [
    GradSparseCoder(
        16, alpha=0.03, n_init=N_INIT, transform_alpha=0.0025, random_state=seed, transform_tol=1e-4
    ).fit(case.X_train)
    for seed in range(N_RUNS)
]
shared = {**TRAINING, "learning_rate": 3e-3}
students = {
    "SAE": SAEEncoder(**shared),
    "MLP-32": MLPEncoder(hidden_layer_sizes=32, **shared),
    "MLP-256": MLPEncoder(hidden_layer_sizes=256, **shared | {"max_iter": 200 if PAPER else 40}),
    "LISTA-3": LISTAEncoder(alpha=0.1, **shared | {"max_iter": 200 if PAPER else 60}),
}
fitted = {"sparse coding": teachers}
for name, student in students.items():
    shared = {"encoder": student, "n_augmented": N_AUGMENTED}
    fitted[name] = [
        AmortizedCoder(teacher=teacher, random_state=seed, **shared).fit(case.X_train)
        for seed, teacher in enumerate(teachers)
    ]
for name, coders in fitted.items():
    codes = [coder.transform(case.X_test) for coder in coders]
    rows[name]["better method"] = [case.latent_mcc(z) for z in codes]

figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
draw_bars(ax, rows)
ax.set_title("Neither codes nor dictionary known")
report("neither_known", rows, figure)
recovered = [dictionary_mcc(case.dictionary, teacher.components_) for teacher in teachers]
print("dictionary MCC, published 0.838, ours", [round(mcc, 4) for mcc in recovered])

# %%
# The same sparse coding on the data of all published seeds.

coder = GradSparseCoder(
    16, alpha=0.03, n_init=N_INIT, transform_alpha=0.0025, random_state=0, transform_tol=1e-4
)
for data_seed in (20240625, 20240926, 20240927):
    other = BaseCase(data_seed)
    latent = other.latent_mcc(coder.fit(other.X_train).transform(other.X_test))
    atoms = dictionary_mcc(other.dictionary, coder.components_)
    print(f"data of seed {data_seed}: latent MCC {latent:.4f}, dictionary MCC {atoms:.4f}")

# %%
# What learning costs: five starts, their codes by FISTA, which takes more operations than the
# coordinate descent that ran. And what the codes of one sample cost.

problem = {"positive": True, "algorithm": "fista", "return_info": True}
learning, inference = (
    float(sparse_encode(data, teachers[0].components_, alpha=alpha, **problem)[1].n_iter.mean())
    for data, alpha in ((case.X_train, 0.03), (case.X_test, 0.0025))
)
ours = count_flops(teachers[0], 1024, mode="training", n_iter=learning)
counted = ", ".join(f"{name} {40_000 * n:.2g}" for name, n in SPARSE_CODING_FLOPS.items())
print(f"operations of learning, 40,000 steps: {counted}; ours {ours:.2g}")
display = ComputeFrontierDisplay.from_estimators(
    {name: coders[0] for name, coders in fitted.items()},
    case.X_train,
    case.X_test,
    alpha=0.0025,
    codes=case.codes_test,
    flops=lambda coder: count_flops(coder, 1, n_iter=inference),
)
display.figure_.savefig(RESULTS / "neither_known_frontier.png", dpi=120)
plt.show()
