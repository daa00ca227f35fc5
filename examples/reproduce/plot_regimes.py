"""
Regimes and the recovery boundary
=================================

Compressed sensing tells how many measurements M recover K active of N sources, given the right
dictionary: about ``K log(N / K)``, and more than K. Sparse autoencoders and published sparse coding
stay far from it when they have to learn the dictionary. Exact sparse coding goes up to it.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from _common import (
    N_TRAIN,
    RESULTS,
    TRAINING,
    BaseCase,
    asked_for_paper,
    kept,
    label_of,
    published_steps,
    save,
)
from _published_figures import LARS, REGIMES
from sklearn.decomposition import DictionaryLearning, sparse_encode

from skamort import AmortizedCoder, GradSparseCoder, SAEEncoder
from skamort.datasets import make_sparse_coded_signal
from skamort.metrics import dictionary_mcc, latent_mcc, recovery_boundary

PAPER = asked_for_paper()
N_STEPS, N_RUNS = published_steps(50_000, quick=300), 3 if PAPER else 1
METHODS = {"SAE": (), "MLP-32": (32,), "sparse coding": None}
CELLS = list(REGIMES) if PAPER else [(n, m, 3) for m in (8, 16, 32) for n in (16, 64)]
BETTER = "better method"
LARS_ALPHA = 0.05  # for codes, as published
BASELINES = ("LARS", "LARS, atoms", "LARS, loss", "LARS, L0", "OMP")


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
# The baseline at the published settings: scikit-learn's dictionary by LARS, ``alpha = 1``, and
# codes by LARS, ``alpha = 0.05``; beside them codes by orthogonal matching pursuit. All have signed
# codes. At most 300 iterations, or 50 where there are more than 32 sources.


def score_baselines(data, n_nonzero_coefs):
    """MCC of latents and of atoms, loss and share of active codes by LARS, latent MCC by OMP."""
    X, X_test, codes, dictionary = data
    n_components = len(dictionary)
    max_iter = (300 if n_components <= 32 else 50) if PAPER else 3
    learner = DictionaryLearning(n_components, max_iter=max_iter, random_state=0)
    atoms = learner.fit(X if PAPER else X[:256]).components_
    with warnings.catch_warnings():
        # Pursuits end early where samples have fewer dimensions than active sources.
        warnings.simplefilter("ignore", RuntimeWarning)
        lars = sparse_encode(X_test, atoms, algorithm="lasso_lars", alpha=LARS_ALPHA)
        omp = sparse_encode(X_test, atoms, algorithm="omp", n_nonzero_coefs=n_nonzero_coefs)
    loss = np.square(X_test - lars @ atoms).mean() + LARS_ALPHA * np.abs(lars).mean()
    recovered = latent_mcc(codes, lars), dictionary_mcc(dictionary, atoms)
    return *recovered, float(loss), np.mean(lars != 0), latent_mcc(codes, omp)


def data_of(case):
    """What to learn from, test data, their codes, and the dictionary."""
    return case.X_train, case.X_test, case.codes_test, case.dictionary


def make_lars_data(sizes):
    """Return the very data of the published figures for LARS, with signed codes."""
    n_components, n_features, n_nonzero_coefs = sizes
    X, dictionary, codes = make_sparse_coded_signal(
        2 * N_TRAIN,
        n_components=n_components,
        n_features=n_features,
        n_nonzero_coefs=n_nonzero_coefs,
        random_state=42,
    )
    return X[:N_TRAIN], X[N_TRAIN:], codes[N_TRAIN:], dictionary


def score_signed(sizes):
    """MCC of latents and of atoms of our coder on the data of `make_lars_data`."""
    X, X_test, codes, dictionary = make_lars_data(sizes)
    coder = fit_better(X, sizes, seed=0, positive=False)
    atoms = coder.components_
    return latent_mcc(codes, coder.transform(X_test)), dictionary_mcc(dictionary, atoms)


# %%
# The published method again and ours in every cell of the grid. Cells in which a sample
# has as many active sources as measurements are below the boundary, whatever ``K log(N / K)`` says.


SIGNED = [f"{of}LARS, published, signed" for of in ("", "atoms, ", "loss, ")]
SIGNED += [f"{of}LARS, again, signed" for of in ("", "atoms, ", "loss, ", "L0, ")]
SIGNED += [f"{BETTER}, signed", f"atoms, {BETTER}, signed"]


def score_published(case, name):
    """Measures of the published method, a figure a run."""
    runs = {"n_steps": N_STEPS, "n_runs": N_RUNS, "bias": False}
    if name == "sparse coding":
        return case.published_sparse_coding(**runs)
    return case.published(METHODS[name], **runs)


def score_ours(case, sizes):
    """Latent MCC of our coder, a figure a run."""
    coders = [fit_better(case.X_train, sizes, seed) for seed in range(N_RUNS)]
    return [case.latent_mcc(coder.transform(case.X_test)) for coder in coders]


def measure(sizes):
    """Return the row of the table for N, M and K."""
    case = BaseCase(20240927, *sizes)

    def look(what, make):
        return kept("regimes", f"{what}, {sizes}", make)

    record = {"N, M, K": sizes, "boundary": recovery_boundary(sizes[0], sizes[2])}
    for name in METHODS:
        mean, std = REGIMES[sizes][name]["latent MCC"]
        record |= {f"{name}, published": mean, f"{name}, std": std}
        again = look(name, lambda name=name: score_published(case, name))["latent MCC"]
        record |= {f"{name}, again": np.mean(again), f"{name}, again std": np.std(again)}
    baseline = look("scikit-learn", lambda: score_baselines(data_of(case), sizes[2]))
    record |= dict(zip(BASELINES, baseline, strict=True))
    ours = look("ours", lambda: score_ours(case, sizes))
    record |= {BETTER: np.mean(ours), "std": np.std(ours)}
    signed = dict.fromkeys(SIGNED, np.nan)
    if PAPER and sizes in LARS:
        found = look("LARS, signed", lambda: score_baselines(make_lars_data(sizes), sizes[2]))
        better = look("ours, signed", lambda: score_signed(sizes))
        figures = (*LARS[sizes].values(), *found[:4], *better)
        signed = dict(zip(SIGNED, figures, strict=True))
    return record | signed


records = [measure(sizes) for sizes in CELLS]


def best_published(record):
    """Return the latent MCC of the best of the three published methods."""
    return max(record[f"{name}, published"] for name in METHODS)


above = [record for record in records if record["N, M, K"][1] >= record["boundary"]]
ahead = [
    record[BETTER] > max(best_published(record), record["LARS"], record["OMP"]) for record in above
]
signed = [
    record[f"{BETTER}, signed"]
    > max(record["LARS, published, signed"], record["LARS, again, signed"])
    for record in above
    if PAPER and record["N, M, K"] in LARS
]
print(f"published method again: {label_of('published method')}, {N_STEPS} steps, {N_RUNS} runs")
print(f"ahead of all others at {sum(ahead)} of {len(ahead)} above the boundary,")
if PAPER:
    print(f"of LARS, published and again, on its own data at {sum(signed)} of {len(signed)}")

# %%
# Latent MCC by N and M; the line is the boundary, recovery is possible to its upper left.

NS, MS, KS = ([*dict.fromkeys(sizes[i] for sizes in CELLS)] for i in range(3))
PANELS = {
    "published, best of three": best_published,
    "scikit-learn, LARS or OMP": lambda record: max(record["LARS"], record["OMP"]),
    "skamort": lambda record: record[BETTER],
}


def draw_boundary(ax, k):
    """Draw how many measurements recover k sources, on axes of cells."""
    cells = np.linspace(-0.5, len(NS) - 0.5, 200)
    sources = np.arange(max(k, NS[0] // 2), 2 * NS[-1])
    boundary = [recovery_boundary(int(n), k) for n in sources]
    n = NS[0] * 2 ** (np.diff(np.log2(NS)).mean() * cells)
    ax.plot(cells, np.log2(np.interp(n, sources, boundary) / MS[0]), color="#e08a3c", linewidth=2)


def draw_maps(panels, size, **scale):
    """Draw a value of the records by N and M, a row for each K and a column for each panel."""
    figure, axes = plt.subplots(
        len(KS), len(panels), figsize=size, layout="constrained", squeeze=False, sharey=True
    )
    for column, (title, value) in zip(axes.T, panels.items(), strict=True):
        for ax, k in zip(column, KS, strict=True):
            grid = np.full((len(MS), len(NS)), np.nan)
            for record in records:
                n, m, k_record = record["N, M, K"]
                if k_record == k:
                    grid[MS.index(m), NS.index(n)] = value(record)
            image = ax.imshow(grid, origin="lower", aspect="auto", **scale)
            for (i, j), mcc in np.ndenumerate(grid):
                if np.isnan(mcc):
                    continue
                color = image.cmap(image.norm(mcc))
                box = {"facecolor": color, "edgecolor": "none", "pad": 1}
                style = {
                    "ha": "center",
                    "va": "center",
                    "color": "kw"[int(np.mean(color[:3]) < 0.5)],
                }
                ax.text(j, i + 0.25, f"{mcc:.2f}", bbox=box, **style)
            draw_boundary(ax, k)
            ax.set_xticks(range(len(NS)), NS)
            ax.set_yticks(range(len(MS)), MS)
            ax.set(xlim=(-0.5, len(NS) - 0.5), ylim=(-0.5, len(MS) - 0.5))
        column[0].set_title(title, fontsize=10)
        column[-1].set(xlabel="sources N")
    for ax, k in zip(axes[:, 0], KS, strict=True):
        ax.set(ylabel=f"K = {k}\nmeasurements M")
    return figure


figure = draw_maps(PANELS, (10.8, 1.2 + 2.4 * len(KS)), vmin=0, vmax=1, cmap="YlGnBu")

# %%
# What optimization adds: differences of latent MCC. In the published maps sparse coding is ahead of
# the SAE where few of many sources are active, and behind where N is at most M or K is large; exact
# sparse coding is ahead wherever recovery is possible.

DIFFERENCES = {
    f"sparse coding - {name},\n{source}": (
        lambda record, name=name, column=column: (
            record[f"sparse coding, {column}"] - record[f"{name}, {column}"]
        )
    )
    for source, column in (("published", "published"), ("again", "again"))
    for name in ("SAE", "MLP-32")
} | {"skamort -\nbest published": lambda record: record[BETTER] - best_published(record)}
differences = draw_maps(DIFFERENCES, (10.8, 1.2 + 2.2 * len(KS)), vmin=-0.7, vmax=0.7, cmap="PuOr")
save("regimes", records, figure)
differences.savefig(RESULTS / "regimes_differences.png", dpi=120)
plt.show()
