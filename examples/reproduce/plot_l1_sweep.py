"""
Sweep of the L1 penalty
=======================

How much error does sparsity cost, and where on that curve are the true codes? The published curves
of three encoders, the same training here, and exact sparse coding with encoders for its dictionary:
fewer active codes at the same error, and the truth found over two decades of the penalty.
"""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from _common import (
    DEVICE,
    N_INIT,
    RESULTS,
    TRAINING,
    BaseCase,
    asked_for_paper,
    inference_steps,
    kept,
    label_of,
    published_rate,
    published_steps,
    save,
    to_tensor,
)
from _published import PublishedAutoencoders, PublishedSparseCoding
from _published_figures import L1_SWEEP, THRESHOLDS

from skamort import GradSparseCoder, MLPEncoder, SAEEncoder

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(100_000, quick=1500), 3 if PAPER else 1
LAMS = tuple(L1_SWEEP["SAE"]) if PAPER else (0.01, 0.1, 0.5, 1, 2)
AXES = ("mean squared error", "mean |code|")
AXES += tuple(f"share of codes above {threshold:g}" for threshold in THRESHOLDS)
AXES += ("latent MCC",)
cases = [BaseCase(20240926 + run) for run in range(N_RUNS)]  # as published, new data every run


def measure(case, codes, atoms):
    """Error, mean |code|, shares of codes above thresholds and latent MCC on test data."""
    error = np.square(case.X_test - codes @ atoms).mean()
    shares = [(codes > threshold).mean() for threshold in THRESHOLDS]
    return error, np.abs(codes).mean(), *shares, case.latent_mcc(codes)


# %%
# The published method: Adam at 0.003, full batches, all penalties and runs side by side.

X, X_test = (
    to_tensor(np.repeat([getattr(case, name) for case in cases], len(LAMS), axis=0))
    for name in ("X_train", "X_test")
)
lam = to_tensor(LAMS).repeat(N_RUNS)
settings = {"lam": lam, "learning_rate": published_rate(3e-3), "n_steps": N_STEPS}
many = {"bias": False, "n_runs": len(lam), "device": DEVICE}
WIDTHS = {"SAE": (8, 16), "MLP-32": (8, 32, 16), "sparse coding": None}


def train(name):
    """Measures of the published method by run and penalty."""
    if name == "sparse coding":
        runs = PublishedSparseCoding(16, 8, **many).fit(X, **settings)
        found = runs.encode(X_test, **settings | {"n_steps": inference_steps()})
    else:
        runs = PublishedAutoencoders(WIDTHS[name], **many).fit(X, **settings)
        found = runs.encode(X_test)
    dictionaries = runs.dictionary.numpy(force=True)
    triples = zip(np.repeat(cases, len(LAMS)), found.numpy(force=True), dictionaries, strict=True)
    values = np.array([measure(*triple) for triple in triples], dtype=float)
    return values.reshape(N_RUNS, len(LAMS), len(AXES)).tolist()


measured = {"published": {}, "published method": {}, "better method": {}}
for name in WIDTHS:
    values = kept("l1_sweep", f"{name}, {N_STEPS} steps", lambda name=name: train(name))
    measured["published method"][name] = np.mean(values, axis=0)
    measured["published"][name] = np.array([L1_SWEEP[name][lam] for lam in LAMS])

# %%
# Ours: exact sparse coding, the best of a few starts, and encoders trained for its dictionary. The
# paper's penalty on means over 16 codes and 8 features is ``alpha = lam / 4``.


def score_ours(case, weight):
    """Measures by encoder."""
    teacher = GradSparseCoder(
        16, alpha=weight / 4, n_init=N_INIT, random_state=0, transform_tol=1e-4
    )
    coders = {"sparse coding": teacher.fit(case.X_train)}
    shared = {"dictionary": teacher.components_, "alpha": weight / 4, "learning_rate": 3e-3}
    shared |= TRAINING | {"max_iter": 300 if PAPER else 100, "random_state": 0}
    coders["SAE"] = SAEEncoder(**shared).fit(case.X_train)
    coders["MLP-32"] = MLPEncoder(hidden_layer_sizes=32, **shared).fit(case.X_train)
    codes = {name: coder.transform(case.X_test) for name, coder in coders.items()}
    found = {name: measure(case, z, teacher.components_) for name, z in codes.items()}
    return {name: np.array(values, dtype=float).tolist() for name, values in found.items()}


values = {name: np.zeros((len(LAMS), len(AXES))) for name in WIDTHS}
for run, case in enumerate(cases):
    for index, weight in enumerate(LAMS):
        ours = partial(score_ours, case, weight)
        for name, figures in kept("l1_sweep", f"ours, {weight}, {run}", ours).items():
            values[name][index] += np.array(figures) / N_RUNS
measured["better method"] = values

# %%
# Active codes and the sizes of codes against error and recovery: the better the further to the
# lower left above, to the upper left below. Three of sixteen codes are truly active.

COLORS = {"SAE": "#4c6a8c", "MLP-32": "#5b9a5b", "sparse coding": "#e08a3c"}
LINES = {"published": ":", "published method": "--", "better method": "-"}
MCC = len(AXES) - 1


def draw(ax, x, y):
    """Draw one measure against another, a line an encoder."""
    for source, curves in measured.items():
        for name, curve in curves.items():
            style = {"color": COLORS[name], "linestyle": LINES[source], "marker": "."}
            ax.plot(curve[:, x], curve[:, y], label=f"{name}, {label_of(source)}", **style)
    ax.set(xlabel=AXES[x], ylabel=AXES[y], yscale="linear" if y else "log")
    ax.grid(color="0.9")


figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained", sharex="col")
for row, y in zip(axes, (0, MCC), strict=True):
    for ax, x in zip(row, (2, 1), strict=True):
        draw(ax, x, y)
for ax in axes[:, 0]:
    ax.axvline(3 / 16, color="0.6", linewidth=0.8)
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
figure.suptitle("L1 penalties from " + f"{LAMS[0]} to {LAMS[-1]}")

records = [
    {"encoder": name, "lam": lam, "source": source} | dict(zip(AXES, curve[index], strict=True))
    for name in WIDTHS
    for index, lam in enumerate(LAMS)
    for source, curve in ((source, curves[name]) for source, curves in measured.items())
]
save("l1_sweep", records, figure)

# %%
# What counts as active? Codes of a ReLU are zero or are not, whatever the threshold. Those of the
# published descent, ``exp(u)``, never are: without a threshold all are active, and the higher it is
# the sparser they look.

pareto, axes = plt.subplots(1, 4, figsize=(10.8, 4), layout="constrained", sharey=True)
for ax, x in zip(axes, range(2, MCC), strict=True):
    draw(ax, x, 0)
    ax.set(ylabel="", xlim=(-0.03, 1.03))
axes[0].set(ylabel=AXES[0])
pareto.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
pareto.savefig(RESULTS / "l1_sweep_thresholds.png", dpi=120)
plt.show()
