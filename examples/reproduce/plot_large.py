"""
The large case
==============

A thousand sources, twenty of them active, two hundred measurements. With so many sources an encoder
needs many samples to learn what can be known at once from the dictionary: few layers of a learned
optimization, or an exact one, find nearly all. The dictionary takes one online pass over the data
and a few more to be exact. The paper trains perceptrons of 256, 512 and 1024 hidden units, and sees
them pass the linear encoder near 3e14 operations.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from _common import (
    DEVICE,
    RESULTS,
    TRAINING,
    asked_for_paper,
    draw_bars,
    kept,
    published_rate,
    published_steps,
    read_command_line,
    report,
    to_tensor,
)
from _curves import Looks, look_steps
from _published import PublishedAutoencoders, PublishedSparseCoding

from skamort import AmortizedCoder, GradSparseCoder, ITOCoder, LISTAEncoder, SAEEncoder
from skamort.datasets import make_published_signal
from skamort.inspection import TrainingCurveDisplay
from skamort.metrics import dictionary_mcc, latent_mcc

PAPER = asked_for_paper()
N, M, K = (1000, 200, 20) if PAPER else (200, 60, 6)
N_TRAIN = read_command_line().samples or (500_000 if PAPER else 8000)
N_TEST, BATCH = (2000, 1024) if PAPER else (1000, 256)
N_DESCENT = 400  # test samples of the published descent, which is slow
N_STEPS = published_steps(20_000, quick=200)
HIDDEN = {"SAE": (), "MLP-256": (256,), "MLP-512": (512,), "MLP-1024": (1024,)}
data, dictionary, codes = make_published_signal(
    20240625,
    n_samples=N_TRAIN + N_TEST,
    n_components=N,
    n_features=M,
    n_nonzero_coefs=K,
)
X, X_test, Z, Z_test = data[:N_TRAIN], data[N_TRAIN:], codes[:N_TRAIN], codes[N_TRAIN:]
print(f"N = {N}, M = {M}, K = {K}, {N_TRAIN} samples")


def score(name, column, find, truth=Z_test, matched=False):
    """Note the MCC of the codes that `find` returns, and print the seconds it takes."""
    start = time.process_time()
    rows.setdefault(name, {})[column] = latent_mcc(truth, find(), matched=matched)
    seconds = time.process_time() - start
    print(f"{name}, {column}: {rows[name][column]:.3f} in {seconds:.0f} s of the processor")


# %%
# The published method: mini-batches and Adam, for known codes, looked at along the way; descent on
# log-codes for a known dictionary. One run. Operations are counted by the published formulas.

rows = {}


def train(hidden):
    """Return a curve of latent MCC by steps, operations and seconds."""
    runs = PublishedAutoencoders((M, *hidden, N), n_runs=1, device=DEVICE)

    @torch.no_grad()
    def measure(_):
        found = runs.encode(to_tensor(X_test)).numpy(force=True)
        return {"latent MCC": [latent_mcc(Z_test, codes, matched=True) for codes in found]}

    looks = Looks(look_steps(N_STEPS, 40 if PAPER else 8), measure)
    training = {"codes": to_tensor(Z), "n_steps": N_STEPS, "batch_size": BATCH}
    runs.fit(to_tensor(X), **training, callback=looks)
    per_step = BATCH * step_flops(M, N, *hidden)
    return looks.curve | {"flops": [per_step * step for step in looks.curve["step"]]}


def step_flops(m, n, h=None):
    """Operations of a step for a sample where codes are known, by the published formulas."""
    if h is None:
        return 2 * m * n + n + 2 * n + 2 * m * n + 2 * (m * n + n)
    forward = 2 * m * h + h + 2 * h * n + n
    return forward + n + (2 * n * h + n) + h + (2 * m * h + h) + 2 * (m * h + h + h * n + n)


PublishedAutoencoders((M, N), n_runs=1).fit(torch.tensor(X[:9]), n_steps=2)  # torch takes a second
curves = {
    name: kept("large", f"{name}, {N_TRAIN} samples, {N_STEPS} steps", lambda h=h: train(h))
    for name, h in HIDDEN.items()
}
for name, curve in curves.items():
    rows[f"codes known, {name}"] = {"published method": curve["latent MCC"][-1]}
    seconds = curve["seconds"][-1]
    print(f"codes known, {name}: {np.mean(curve['latent MCC'][-1]):.3f} in {seconds:.0f} s")
display = TrainingCurveDisplay(curves, score_name="latent MCC")
for name in HIDDEN:
    if name != "SAE":
        print(
            f"{name} is ahead of the SAE from {display.first_ahead(name, 'SAE'):.2g} operations on"
        )


def descend():
    runs = PublishedSparseCoding(N, M, dictionary=to_tensor(dictionary)[None])
    shared = {"n_steps": 20_000 if PAPER else 1500, "learning_rate": published_rate(1e-3)}
    return runs.encode(to_tensor(X_test[:N_DESCENT]), **shared)[0].numpy(force=True)


score("dictionary known, optimization", "published method", descend, Z_test[:N_DESCENT])

# %%
# Ours. The paper's penalty of 0.01 is ``alpha = 0.01 M / (2 N)``.

n_epochs = max(2, 400_000 // N_TRAIN) if PAPER else 20
shared = TRAINING | {"learning_rate": 3e-3, "batch_size": BATCH, "max_iter": n_epochs}
shared |= {"random_state": 0}
learners = {"SAE": SAEEncoder(N, **shared), "LISTA-3": LISTAEncoder(N, alpha=0.1, **shared)}
for name, encoder in learners.items():
    score(
        f"codes known, {name}",
        "better method",
        lambda encoder=encoder: encoder.fit(X, codes=Z).transform(X_test),
        matched=True,
    )
exact = ITOCoder(
    dictionary=dictionary, alpha=0.01 * M / (2 * N), positive_code=True, transform_tol=1e-4
)
find = exact.fit(X_test).transform
score("dictionary known, optimization", "better method", lambda: find(X_test))

coder = GradSparseCoder(
    N, alpha=0.1, transform_alpha=0.01, max_iter=60, random_state=0, transform_tol=1e-4
)
score("neither known, sparse coding", "better method", lambda: coder.fit(X).transform(X_test))
recovered = dictionary_mcc(dictionary, coder.components_)
print(f"dictionary MCC {recovered:.4f}")
some = X[:100_000]
for name, encoder in learners.items():
    encoder.set_params(n_components=None)
    taught = AmortizedCoder(teacher=coder, encoder=encoder)
    score(
        f"neither known, {name}",
        "better method",
        lambda taught=taught: taught.fit(some).transform(X_test),
    )

figure, ax = plt.subplots(figsize=(10.8, 4.5), layout="constrained")
ax.tick_params(axis="x", labelsize=7)
draw_bars(ax, rows)
ax.set_xticks(range(len(rows)), [name.replace(", ", ",\n") for name in rows])
ax.set_title(f"N = {N}, M = {M}, K = {K}, {N_TRAIN} samples")
report("large", rows, figure)

# %%
# Known codes, in the course of training.

curves_figure = display.plot().figure_
curves_figure.set_size_inches(10.8, 3.6)
top = max(np.max(curve["latent MCC"]) for curve in curves.values())
for ax in curves_figure.axes:
    ax.set_ylim(top - 0.15, top + 0.01)  # where they pass each other
curves_figure.savefig(RESULTS / "large_curves.png", dpi=120)
plt.show()
