"""
Top-k sparse coding
===================

With the number of active sources known, a code may keep its k largest entries only: after the
optimization under an L1 penalty, or inside it, where published gradient descent gets stuck in the
first choice. On a dictionary that is right the convex problem makes the choice, and only the
coefficients of the chosen are solved again.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from _common import (
    DEVICE,
    N_INIT,
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
from _published import PublishedSparseCoding, keep_largest
from _published_figures import TOP_K

from skamort import GradSparseCoder, ITOCoder

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(100_000, quick=2000), 3 if PAPER else 1
LAMS, KS = (0.005, 0.05, 0.5, 5.0), (1, 3, 5, 10)
cases = [BaseCase(20240926 + run) for run in range(N_RUNS)]  # as published, new data every run


def measure(case, codes, atoms):
    """Mean squared error and latent MCC on test data."""
    return np.square(case.X_test - codes @ atoms).mean(), case.latent_mcc(codes)


# %%
# The published method: codes and dictionary by Adam under an L1 penalty, then test codes with the k
# largest kept after the descent, or at every step of one without a penalty.

X, X_test = (
    to_tensor(np.repeat([getattr(case, name) for case in cases], len(LAMS), axis=0))
    for name in ("X_train", "X_test")
)
lam = to_tensor(LAMS).repeat(N_RUNS)
settings = {"lam": lam, "learning_rate": published_rate(3e-3)}


def train():
    """Measures by where codes are kept, k, run and penalty."""
    runs = PublishedSparseCoding(16, 8, n_runs=len(lam), device=DEVICE)
    runs.fit(X, n_steps=N_STEPS, **settings)
    inference = settings | {"n_steps": inference_steps()}
    penalized = runs.encode(X_test, **inference)
    found = {("after", k): keep_largest(penalized, k) for k in KS}
    found |= {("inside", k): runs.encode(X_test, k=k, **inference) for k in KS}
    atoms = runs.dictionary.numpy(force=True)
    values = {}
    for (where, k), codes in found.items():
        triples = zip(np.repeat(cases, len(LAMS)), codes.numpy(force=True), atoms, strict=True)
        figures = np.array([measure(*triple) for triple in triples], dtype=float)
        values[f"{where}, {k}"] = figures.reshape(N_RUNS, len(LAMS), 2).tolist()
    return values


values = kept("top_k", f"{N_STEPS} and {inference_steps()} steps", train)
measured = {
    (where, weight, k): figures
    for where in ("after", "inside")
    for k in KS
    for weight, figures in zip(LAMS, np.mean(values[f"{where}, {k}"], axis=0), strict=True)
}

# %%
# Ours: one dictionary for all k and both ways, learned by exact sparse coding at ``alpha = 0.03``.
# After: the k largest of exact codes. Inside: of these the best non-negative coefficients.

better = {(where, k): np.zeros(2) for where in ("after", "inside") for k in KS}
for case in cases:
    coder = GradSparseCoder(
        16, alpha=0.03, n_init=N_INIT, transform_alpha=0.0025, random_state=0, transform_tol=1e-4
    )
    exact = torch.tensor(coder.fit(case.X_train).transform(case.X_test))
    for k in KS:
        refined = ITOCoder(estimator=coder, algorithm="topk_refined", n_nonzero_coefs=k)
        found = {
            "after": keep_largest(exact, k).numpy(),
            "inside": refined.fit(case.X_train).transform(case.X_test),
        }
        for where, codes in found.items():
            better[where, k] += np.array(measure(case, codes, coder.components_)) / N_RUNS

# %%
# Recovery above, error below; one line a penalty of the published method.

figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained", sharex=True, sharey="row")
colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(LAMS)))
for column, where in zip(axes.T, ("after", "inside"), strict=True):
    for ax, index, quantity in zip(
        column, (1, 0), ("latent MCC", "mean squared error"), strict=True
    ):
        for weight, color in zip(LAMS, colors, strict=True):
            style = {"color": color, "marker": "."}
            published = [TOP_K[where][weight, k][index] for k in KS]
            ax.plot(KS, published, ":", label=f"lam {weight}, published", **style)
            ours = [measured[where, weight, k][index] for k in KS]
            ax.plot(KS, ours, "--", label=f"lam {weight}, {label_of('published method')}", **style)
        curve = [better[where, k][index] for k in KS]
        ax.plot(KS, curve, "o-", color="#e08a3c", label="better method")
        ax.set(ylabel=quantity, yscale="linear" if index else "log")
        ax.grid(color="0.9")
    column[0].set_title(f"k largest codes, {where} the optimization")
    column[1].set(xlabel="k", xticks=KS)
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

records = [
    {"k largest": where, "lam": weight, "k": k}
    | {f"MCC, {label_of('published method')}": measured[where, weight, k][1]}
    | {"MCC, published": TOP_K[where][weight, k][1], "MCC, better method": better[where, k][1]}
    | {f"error, {label_of('published method')}": measured[where, weight, k][0]}
    | {"error, published": TOP_K[where][weight, k][0], "error, better method": better[where, k][0]}
    for where in ("after", "inside")
    for weight in LAMS
    for k in KS
]
save("top_k", records, figure)
plt.show()
