"""
Zipf codes
==========

Natural features are not alike: the j-th most common source is active and large in proportion to
1 / j. All three scenarios again, on such codes: few samples tell of the rare sources, and their
small codes are the first that a penalty shrinks away.
"""

import matplotlib.pyplot as plt
from _common import N_TRAIN, TRAINING, BaseCase, asked_for_paper, draw_bars, published_steps, report

from skamort import AmortizedCoder, GradSparseCoder, ITOCoder, LISTAEncoder, MLPEncoder, SAEEncoder

PAPER = asked_for_paper()
N_RUNS = 5 if PAPER else 1
HIDDEN = {"SAE": (), "MLP-32": (32,), "MLP-256": (256,)}
seeds = {"codes": 20240625, "dictionary": 20240625, None: 20240926}
cases = {known: BaseCase(seed, zipf=True) for known, seed in seeds.items()}
N_STEPS = {
    "codes": published_steps(20_000, quick=1000),
    "dictionary": published_steps(20_000, quick=1000),
    None: published_steps(40_000, quick=1000),
}
rows = {known: {name: {} for name in (*HIDDEN, "LISTA-3")} for known in cases}
rows["dictionary"]["ITO"] = {}
rows[None]["sparse coding"] = {}

# %%
# The published method, with the settings of the three scenarios. No figures are published for these
# codes.

for known, case in cases.items():
    runs = {"known": known, "n_steps": N_STEPS[known], "n_runs": N_RUNS, "bias": known == "codes"}
    for name, hidden in HIDDEN.items():
        if PAPER or name != "MLP-256":
            rows[known][name]["published method"] = case.published(hidden, **runs)["latent MCC"]
case = cases["dictionary"]
descent = case.published_optimization(n_steps=N_STEPS["dictionary"])
rows["dictionary"]["ITO"]["published method"] = descent["latent MCC"]
descent = cases[None].published_sparse_coding(n_steps=N_STEPS[None], n_runs=N_RUNS)
rows[None]["sparse coding"]["published method"] = descent["latent MCC"]

# %%
# Ours: known codes are regressed; with a known or a learned dictionary, encoders learn the codes of
# an exact solver, of samples that it draws too. The loss is the cosine, where small sources weigh
# as much as large ones do; full batches, as it is one over samples. The penalty is smaller than
# for sources that are all alike.

ALPHA, INFERENCE_ALPHA = 0.003, 0.001
encoders = {
    "SAE": SAEEncoder(16),
    "MLP-32": MLPEncoder(16, hidden_layer_sizes=32),
    "MLP-256": MLPEncoder(16, hidden_layer_sizes=256),
    "LISTA-3": LISTAEncoder(16, alpha=0.1),
}
for encoder in encoders.values():
    encoder.set_params(**TRAINING | {"learning_rate": 1e-2, "batch_size": N_TRAIN, "tol": 1e-4})
labelled = {"code_loss": "cosine", "n_augmented": 8192 if PAPER else 2048}
for known, case in cases.items():
    better = {name: [] for name in rows[known]}
    for seed in range(N_RUNS):
        if known == "dictionary":
            teacher = GradSparseCoder(
                dictionary=case.dictionary, alpha=INFERENCE_ALPHA, transform_tol=1e-4
            )
        else:
            teacher = GradSparseCoder(
                16,
                alpha=ALPHA,
                fit_intercept=False,
                n_init=10,
                tol=1e-4,
                transform_tol=1e-4,
            )
        if known != "codes":
            teacher.set_params(random_state=seed).fit(case.X_train)
        for name, encoder in encoders.items():
            encoder.set_params(random_state=seed)
            if known == "codes":
                found = encoder.fit(case.X_train, codes=case.codes_train).transform(case.X_test)
            else:
                coder = AmortizedCoder(teacher=teacher, encoder=encoder, **labelled)
                coder.set_params(random_state=seed)
                found = coder.fit(case.X_train).transform(case.X_test)
            better[name].append(case.latent_mcc(found, matched=known == "codes"))
        if known == "dictionary":
            exact = ITOCoder(
                dictionary=case.dictionary,
                alpha=INFERENCE_ALPHA,
                positive_code=True,
                transform_tol=1e-4,
            ).fit(case.X_train)
            better["ITO"].append(case.latent_mcc(exact.transform(case.X_test)))
        elif known is None:
            better["sparse coding"].append(case.latent_mcc(teacher.transform(case.X_test)))
    for name, values in better.items():
        rows[known][name]["better method"] = values

titles = {"codes": "codes known", "dictionary": "dictionary known", None: "neither known"}
figure, axes = plt.subplots(3, 1, figsize=(9, 10), layout="constrained")
for ax, (known, title) in zip(axes, titles.items(), strict=True):
    draw_bars(ax, rows[known])
    ax.set_title(f"Zipf codes, {title}")
table = {
    f"{title}, {name}": row for known, title in titles.items() for name, row in rows[known].items()
}
report("zipf", table, figure)
plt.show()
