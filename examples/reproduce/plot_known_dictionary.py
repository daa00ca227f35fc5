"""
Known dictionary
================

With the dictionary known, finding codes is a convex problem. The published optimization stops
before it is solved; an exact solver costs a hundredth of it. Learned iterations are the door
between one product and an optimization: the curve of recovery against their number.
"""

import matplotlib.pyplot as plt
import numpy as np
from _common import RESULTS, TRAINING, BaseCase, asked_for_paper, draw_bars, published_steps, report
from _curves import published_end

from skamort import AmortizedCoder, ITOCoder, LISTAEncoder, MLPEncoder, SAEEncoder
from skamort.metrics import flops
from skamort.solvers import sparse_encode

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(20_000, quick=2000), 5 if PAPER else 1
case = BaseCase(20240625)

# %%
# The published method: an L1 penalty of 0.01, full batches, Adam, random weights, no biases.
# The quick settings of the gallery take fewer and larger steps. What the wide perceptron reaches
# depends on where it starts, and ``--paper`` starts it twenty times.

rows = {
    "SAE": {"published": published_end("dictionary", "SAE")},
    "MLP-32": {"published": published_end("dictionary", "MLP-32")},
    "MLP-256": {"published": published_end("dictionary", "MLP-256")},
    "LISTA-3": {},
    "LISTA-10": {},
    "ITO": {"published": published_end("dictionary", "ITO")},
}
for name, hidden in {"SAE": (), "MLP-32": (32,), "MLP-256": (256,)}.items():
    if PAPER or name in ("SAE", "MLP-32"):
        n_runs = 20 if name == "MLP-256" else N_RUNS
        scores = case.published(
            hidden, known="dictionary", n_steps=N_STEPS, n_runs=n_runs, bias=False
        )
        rows[name]["published method"] = scores["latent MCC"]
        print(name, np.round(scores["latent MCC"], 3))
rows["ITO"]["published method"] = case.published_optimization(n_steps=N_STEPS)["latent MCC"]

# %%
# Ours: an exact solver, and encoders that it teaches. It labels samples drawn from resampled codes
# as well.

LAYERS = (1, 2, 3, 5, 10)
exact = ITOCoder(
    dictionary=case.dictionary, alpha=0.0025, positive_code=True, transform_tol=1e-4
).fit(case.X_train)
shared = {**TRAINING, "learning_rate": 3e-3, "max_iter": 200 if PAPER else 60}
students = {
    "SAE": SAEEncoder(**shared),
    "MLP-32": MLPEncoder(hidden_layer_sizes=32, **shared),
    "MLP-256": MLPEncoder(hidden_layer_sizes=256, **shared),
    **{f"LISTA-{n}": LISTAEncoder(alpha=0.1, n_layers=n, **shared) for n in LAYERS},
}
encoders = {"ITO": exact}
recovery = {"ITO": [case.latent_mcc(exact.transform(case.X_test))]}
for name, student in students.items():
    encoders[name] = AmortizedCoder(teacher=exact, encoder=student)
    encoders[name].set_params(n_augmented=3072 if PAPER else 1024)
    recovery[name] = []
    for seed in range(N_RUNS):
        encoders[name].set_params(random_state=seed).fit(case.X_train)
        recovery[name].append(case.latent_mcc(encoders[name].transform(case.X_test)))
for name in rows:
    rows[name]["better method"] = recovery[name]

figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
draw_bars(ax, rows)
ax.set_title("Known dictionary")
report("known_dictionary", rows, figure)

# %%
# Layers, from the linear-nonlinear encoder of the theorem up, with what they cost, and beside them
# the exact solution, with the iterations of FISTA; coordinate descent takes less.

problem = {"alpha": 0.0025, "positive": True, "algorithm": "fista"}
_, info = sparse_encode(case.X_test, case.dictionary, return_info=True, **problem)
n_iter = float(info.n_iter.mean())
costs = {name: flops(encoders[name], 1, n_iter=n_iter) for name in encoders}
published = flops(encoders["ITO"], 1, n_iter=20_000, formula="published")
print(f"ITO: {costs['ITO']:.3g} operations a sample in {n_iter:.0f} iterations,")
print(f"published: {published:.3g} in 20,000, {published / costs['ITO']:.0f} times as many")

layers = [f"LISTA-{n}" for n in LAYERS]
curve, ax = plt.subplots(figsize=(6, 4), layout="constrained")
means = [np.mean(recovery[name]) for name in layers]
ax.plot([costs[name] for name in layers], means, "o-", color="#e08a3c", label="LISTA")
for name, mean in zip(layers, means, strict=True):
    ax.annotate(name, (costs[name], mean), xytext=(-7, 4), ha="right", textcoords="offset points")
for name in ("SAE", "MLP-32", "MLP-256", "ITO"):
    point = (costs[name], np.mean(recovery[name]))
    ax.scatter(*point, color="#4c6a8c")
    ax.annotate(name, point, xytext=(6, -10), textcoords="offset points")
ax.set(xscale="log", xlabel="operations per sample, log scale", ylabel="latent MCC on test data")
ax.margins(x=0.2, y=0.1)
ax.grid(color="0.9")
curve.savefig(RESULTS / "known_dictionary_layers.png", dpi=120)

plt.show()
