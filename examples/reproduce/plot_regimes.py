"""
Regimes and the recovery boundary
=================================

Compressed sensing tells how many measurements M recover K active of N sources, given the right
dictionary: about ``K log(N / K)``. Sparse autoencoders and published sparse coding stay far from it
when they have to learn the dictionary. Exact sparse coding goes up to it.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from _common import N_TRAIN, TRAINING, BaseCase, asked_for_paper, label_of, published_steps, save
from _published_figures import LARS, REGIMES
from sklearn.decomposition import DictionaryLearning, sparse_encode

from skamort import AmortizedCoder, GradSparseCoder, SAEEncoder
from skamort.datasets import make_sparse_coded_signal
from skamort.metrics import latent_mcc

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(50_000, quick=2000), 3 if PAPER else 1
CELLS = list(REGIMES) if PAPER else [(n, m, 3) for m in (8, 16, 32) for n in (16, 64)]
BETTER = "better method"


def is_above_boundary(n_components, n_features, n_nonzero_coefs):
    """Whether the measurements are enough to recover the active sources."""
    return n_features >= n_nonzero_coefs * np.log(n_components / n_nonzero_coefs)


# %%
# Ours: the same settings for all regimes but one. Where nearly as many sources are active as there
# are measurements, of fewer dimensions than sources, samples do not determine their codes; a linear
# encoder that has learned the exact ones then guesses better, as it averages over what is possible.


def fit_better(X, sizes, seed, positive=True):
    """Return our coder for N, M and K, fitted."""
    n_components, n_features, n_nonzero_coefs = sizes
    undetermined = n_components > n_features and n_nonzero_coefs > 0.9 * n_features
    alpha = 0.03 if positive else 0.1  # signed codes have more minima, and need more starts
    n_init = 5 if positive else 10
    coder = GradSparseCoder(
        n_components,
        alpha=0.3 if undetermined else alpha,
        n_init=n_init if PAPER else 2,
        transform_alpha=0.0025,
        positive_code=positive,
        random_state=seed,
        transform_tol=1e-4,
    ).fit(X)
    if undetermined and positive:
        encoder = SAEEncoder(**TRAINING | {"learning_rate": 3e-3, "max_iter": 200})
        coder = AmortizedCoder(teacher=coder, encoder=encoder, random_state=seed).fit(X)
    return coder


# %%
# The baselines: scikit-learn's dictionary by LARS, a few iterations of it, and codes by LARS and by
# orthogonal matching pursuit. Both give signed codes.


def score_baselines(case, seed, n_nonzero_coefs):
    """Latent MCC by LARS and by OMP."""
    learner = DictionaryLearning(len(case.dictionary), alpha=0.1, max_iter=20 if PAPER else 2)
    atoms = learner.set_params(random_state=seed).fit(case.X_train).components_
    with warnings.catch_warnings():
        # Pursuits end early where samples have fewer dimensions than active sources.
        warnings.simplefilter("ignore", RuntimeWarning)
        lars = sparse_encode(case.X_test, atoms, algorithm="lasso_lars", alpha=0.05)
        omp = sparse_encode(case.X_test, atoms, algorithm="omp", n_nonzero_coefs=n_nonzero_coefs)
    return case.latent_mcc(lars), case.latent_mcc(omp)


def score_on_lars_data(sizes):
    """Our latent MCC on the very data of the published figures for LARS, with signed codes."""
    n_components, n_features, n_nonzero_coefs = sizes
    X, _, codes = make_sparse_coded_signal(
        2 * N_TRAIN,
        n_components=n_components,
        n_features=n_features,
        n_nonzero_coefs=n_nonzero_coefs,
        random_state=42,
    )
    coder = fit_better(X[:N_TRAIN], sizes, seed=0, positive=False)
    return latent_mcc(codes[N_TRAIN:], coder.transform(X[N_TRAIN:]))


# %%
# Every cell of the grid. The published method that runs here is sparse coding, the best of the
# published three in most of them, where 50,000 steps do not take long.

method = f"sparse coding, {label_of('published method')}"
records = []
for sizes in CELLS:
    case = BaseCase(20240927, *sizes)
    ours = []
    for seed in range(N_RUNS):
        coder = fit_better(case.X_train, sizes, seed)
        ours.append(case.latent_mcc(coder.transform(case.X_test)))
    lars, omp = score_baselines(case, 0, sizes[2])
    descent = np.nan
    if sizes[0] * sizes[1] <= 512:
        descent = case.published_sparse_coding(n_steps=N_STEPS, n_runs=1)["latent MCC"][0]
    published = dict(zip(("SAE", "MLP", "sparse coding"), REGIMES[sizes], strict=True))
    signed = {"LARS, published, signed codes": LARS.get(sizes, (np.nan,))[0]}
    signed[f"{BETTER}, signed codes"] = score_on_lars_data(sizes) if sizes in LARS else np.nan
    records.append(
        {"N, M, K": sizes, "above boundary": bool(is_above_boundary(*sizes))}
        | {f"{name}, published": mcc for name, mcc in published.items()}
        | {method: descent, "LARS": lars, "OMP": omp}
        | {BETTER: np.mean(ours), "std": np.std(ours)}
        | signed
    )

above = [record for record in records if record["above boundary"]]
ahead = [
    record[BETTER] > max(*REGIMES[record["N, M, K"]], record["LARS"], record["OMP"])
    for record in above
]
signed = [
    record[f"{BETTER}, signed codes"] > LARS[record["N, M, K"]][0]
    for record in above
    if record["N, M, K"] in LARS
]
print(f"ahead of all others at {sum(ahead)} of {len(ahead)} above the boundary,")
print(f"of the published LARS on its own data at {sum(signed)} of {len(signed)}")

# %%
# Latent MCC by N and M; the line is the boundary, recovery is possible to its upper left.

PANELS = {
    "published, best of three": lambda record: max(REGIMES[record["N, M, K"]]),
    "scikit-learn, better of LARS and OMP": lambda record: max(record["LARS"], record["OMP"]),
    "skamort": lambda record: record[BETTER],
}
NS, MS, KS = ([*dict.fromkeys(sizes[i] for sizes in CELLS)] for i in range(3))
figure, axes = plt.subplots(
    len(KS), 3, figsize=(13, 3.2 * len(KS)), layout="constrained", squeeze=False
)
for column, (title, value) in zip(axes.T, PANELS.items(), strict=True):
    for ax, k in zip(column, KS, strict=True):
        grid = np.full((len(MS), len(NS)), np.nan)
        for record in records:
            n, m, k_record = record["N, M, K"]
            if k_record == k:
                grid[MS.index(m), NS.index(n)] = value(record)
        ax.imshow(grid, origin="lower", vmin=0, vmax=1, cmap="YlGnBu", aspect="auto")
        for (i, j), mcc in np.ndenumerate(grid):
            ax.text(j, i, f"{mcc:.2f}", ha="center", va="center", color="w" if mcc > 0.6 else "k")
        n = np.linspace(-0.5, len(NS) - 0.5, 200)
        steps = np.diff(np.log2(NS)).mean()
        sources = NS[0] * 2 ** (steps * n)
        boundary = np.log2(np.maximum(k * np.log(np.maximum(sources / k, 1.0001)), 0.1) / MS[0])
        ax.plot(n, boundary, color="#e08a3c", linewidth=2)
        ax.set_xticks(range(len(NS)), NS)
        ax.set_yticks(range(len(MS)), MS)
        ax.set(xlim=(-0.5, len(NS) - 0.5), ylim=(-0.5, len(MS) - 0.5), xlabel="sources N")
        ax.set(ylabel="measurements M", title=f"{title}, K = {k}")
save("regimes", records, figure)
plt.show()
