"""
Known codes
===========

With the true codes of the training data at hand, how well can an encoder learn to find those of new
data? A linear-nonlinear encoder cannot recover them (Theorem 3.1); a hidden layer helps, and a few
learned iterations help more.
"""

import matplotlib.pyplot as plt
from _common import N_TRAIN, TRAINING, BaseCase, asked_for_paper, draw_bars, published_steps, report
from _curves import published_end

from skamort import LISTAEncoder, MLPEncoder, SAEEncoder

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(20_000, quick=2000), 5 if PAPER else 1
case = BaseCase(20240625)

# %%
# The published method: minus the cosine similarity of each latent, full batches, Adam, random
# weights. The quick settings of the gallery take fewer and larger steps.

rows = {
    "SAE": {"published": published_end("codes", "SAE")},
    "MLP-32": {"published": published_end("codes", "MLP-32")},
    "MLP-256": {"published": published_end("codes", "MLP-256")},
    "MLP-1024": {"published": published_end("codes", "MLP-1024")},
    "LISTA-3": {},
    "LISTA-10": {},
}
for name, hidden in {"SAE": (), "MLP-32": (32,), "MLP-256": (256,), "MLP-1024": (1024,)}.items():
    if PAPER or name in ("SAE", "MLP-32"):
        scores = case.published(hidden, known="codes", n_steps=N_STEPS, n_runs=N_RUNS)
        rows[name]["published method"] = scores["latent MCC"]

# %%
# Ours: full batches too, as the cosine is one over samples, until the loss falls no more; encoders
# that start as the decoder's transpose, or as steps of its optimization.

shared = {
    **TRAINING,
    "learning_rate": 3e-3,
    "max_iter": 1000,
    "batch_size": N_TRAIN,
    "tol": 1e-4 if PAPER else 1e-3,
}
encoders = {
    "SAE": SAEEncoder(16, **shared),
    "MLP-32": MLPEncoder(16, hidden_layer_sizes=32, **shared),
    "MLP-256": MLPEncoder(16, hidden_layer_sizes=256, **shared),
    "MLP-1024": MLPEncoder(16, hidden_layer_sizes=1024, **shared),
    "LISTA-3": LISTAEncoder(16, alpha=0.1, n_layers=3, **shared),
    "LISTA-10": LISTAEncoder(16, alpha=0.1, n_layers=10, **shared),
}
for name, encoder in encoders.items():
    rows[name]["better method"] = []
    for seed in range(N_RUNS):
        encoder.set_params(random_state=seed).fit(case.X_train, codes=case.codes_train)
        mcc = case.latent_mcc(encoder.transform(case.X_test), matched=True)
        rows[name]["better method"].append(mcc)

figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
draw_bars(ax, rows)
ax.set_title("Known codes")
report("known_codes", rows, figure)
plt.show()
