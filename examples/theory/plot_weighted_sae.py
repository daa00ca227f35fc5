"""
Do weighted errors recover sources better?
==========================================

Cui, Zhang, Wang and Wang (*On the Limits of Sparse Autoencoders: A Theoretical Framework and
Reweighted Remedy*, Figures 2 and 3) train autoencoders on the toy model of superposition: sources
that are zero with probability S, seen through a tenth as many dimensions. Sparser sources are to
make latents monosemantic, and errors weighted by the variance of each dimension, to the power a,
are to bring codes closer to the sources where these are dense. Here with the paper's own model,
which has one matrix and no penalty, and with an L1 penalty, over several toy models and with tests:
differences are of models that start alike and see the same data.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from _toy_model import TiedAutoencoders, read_command_line
from _weights import best_weights, encode_transposed
from scipy.optimize import linear_sum_assignment
from scipy.stats import ttest_rel
from sklearn.exceptions import ConvergenceWarning

from skamort import WeightedSAE
from skamort.datasets import make_superposition
from skamort.estimators import fit_many
from skamort.metrics import latent_mcc, latent_variance, sources_per_latent

OPTIONS = read_command_line()
PAPER = OPTIONS.paper
N_SOURCES, N_FEATURES, N_TRAIN, N_TEST = (200, 20, 6000, 2000) if PAPER else (60, 6, 2000, 1000)
ALL = (0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99) if PAPER else (0, 0.5, 0.8, 0.95)
SPARSITIES = OPTIONS.sparsity or ALL
N_RUNS, N_STEPS = (10, 600) if PAPER else (5, 300)
EXPONENTS = {"SAE": 0, "a = 0.5": 0.5, "a = 1": 1, "a = 2": 2}
BEST = {"best diagonal": "diagonal", "best full": "full"}
warnings.simplefilter("ignore", ConvergenceWarning)  # a few epochs tell enough

# %%
# Weights by variance to the power a, and two that only who knows the sources can have: the diagonal
# and the full matrix that bring the loss on x_p closest to the loss on x for the transposed W_p, as
# Theorem 5 suggests.


def make_run(sparsity, seed):
    """Sources, what is seen of them, and the mixing; the first rows are for testing."""
    sizes = {"n_components": N_SOURCES, "n_features": N_FEATURES, "sparsity": sparsity}
    n_samples, max_iter = N_TEST + N_TRAIN, 1000 if PAPER else 300
    x_p, mixing, x = make_superposition(n_samples, **sizes, max_iter=max_iter, random_state=seed)
    return x, x_p, mixing


def make_metrics(x, x_p, mixing):
    """Gamma^2 of each model, of mean 1 on the diagonal."""
    powers = [np.diag(x_p.var(axis=0) ** (2 * a)) for a in EXPONENTS.values()]
    weights = [best_weights(x, x_p, mixing, kind) for kind in BEST.values()]
    metrics = np.stack([*powers, *(gamma.T @ gamma for gamma in weights)])
    return metrics / np.trace(metrics, axis1=1, axis2=2)[:, None, None] * N_FEATURES


def train_tied(runs, starts):
    """Codes of the test rows, and of each source alone, and reconstructions, by run and model."""
    metrics = [make_metrics(*(each[N_TEST:] for each in run[:2]), run[2]) for run in runs]
    n_models = len(metrics[0])
    X = np.repeat([x_p for _, x_p, _ in runs], n_models, axis=0)
    X = torch.tensor(X, dtype=torch.float32)
    metrics = torch.tensor(np.concatenate(metrics), dtype=torch.float32)
    seeds = np.repeat(starts, n_models).tolist()
    models = TiedAutoencoders(N_SOURCES, N_STEPS).fit(X[:, N_TEST:], metrics, seeds)
    alone = torch.tensor(np.repeat([mixing for *_, mixing in runs], n_models, axis=0)).to(X)
    codes, of_one = models.encode(X[:, :N_TEST]), models.encode(alone / 2)
    found = codes, of_one, codes @ models.weights.detach()
    return [each.double().numpy().reshape(len(runs), n_models, *each.shape[1:]) for each in found]


def train_penalized(x_p, mixing):
    """The same of autoencoders with biases and a penalty, for one run."""
    alpha = 0.3 * np.sqrt(np.square(x_p).sum(axis=1).mean())
    settings = {"alpha": alpha, "learning_rate": 1e-2, "max_iter": 15, "random_state": 0}
    settings |= {"dict_init": None, "fit_intercept": False, "schedule": None, "batch_size": 256}
    grid = {"weight_exponent": list(EXPONENTS.values())}
    X = x_p.astype(np.float32)
    models = fit_many(WeightedSAE(N_SOURCES, **settings), X[N_TEST:], grid)
    codes = [model.transform(X[:N_TEST]) for model in models]
    of_one = [model.transform(mixing.astype(np.float32) / 2) for model in models]
    x_hat = [m.inverse_transform(z) for m, z in zip(models, codes, strict=True)]
    return codes, of_one, x_hat


# %%
# The loss on the sources is taken after the best one-to-one matching of latents and sources, as the
# codes are and with one factor for each latent. Each source is also encoded alone: a latent counts
# those that make it fire with a tenth of its largest code so. The paper counts a source if its
# codes sum to more than a threshold over all samples, and rare sources have few samples.


def match(x, codes):
    """Codes in the order of the sources that they correlate with most."""
    deviations = [values - values.mean(axis=0) for values in (x, codes)]
    norms = [np.linalg.norm(each, axis=0) + 1e-12 for each in deviations]
    similarity = deviations[0].T @ deviations[1] / np.outer(*norms)
    return codes[:, linear_sum_assignment(similarity, maximize=True)[1]]


def count_sources(of_one, threshold):
    counts = sources_per_latent(of_one, np.arange(N_SOURCES), threshold=threshold)
    return counts[counts > 0].mean() if counts.any() else np.nan


def measure(x, x_p, codes, of_one, x_hat):
    matched = match(x, codes)
    error = np.square(x - matched)
    factors = (x * matched).sum(axis=0) / np.maximum(np.square(matched).sum(axis=0), 1e-12)
    sums = of_one * 2 * x.sum(axis=0)[:, None]
    return {
        "loss on x": error.sum(axis=1).mean(),
        "loss on active x": (error * (x > 0)).sum(axis=1).mean(),
        "loss on x, rescaled": np.square(x - factors * matched).sum(axis=1).mean(),
        "loss on x_p": np.square(x_p - x_hat).sum(axis=1).mean(),
        "variance": latent_variance(codes).mean(),
        "variance / mean²": np.median(latent_variance(codes, relative=True)),
        "latent MCC": latent_mcc(x, codes),
        "sources a latent": count_sources(of_one / np.maximum(of_one.max(axis=0), 1e-12), 0.1),
        "by their sum": count_sources(sums, 0.02 * len(x)),
    }


def measure_all(runs, found, n_models):
    """By measure, an array (n_runs, n_models)."""
    scores = [
        [
            measure(x[:N_TEST], x_p[:N_TEST], *(each[i][j] for each in found))
            for j in range(n_models)
        ]
        for i, (x, x_p, _) in enumerate(runs)
    ]
    return {key: np.array([[s[key] for s in row] for row in scores]) for key in scores[0][0]}


# %%
# Differences to the unweighted model, in percent of it, with the spread over runs. A star: p below
# 0.05 in a paired t-test, after correction for the number of sparsities.


def difference(values, column):
    """Relative difference to the first column in percent, of each run, and whether it is sure."""
    first, other = values[:, 0], values[:, column]
    p = ttest_rel(other, first).pvalue * len(ALL) if np.ptp(other - first) else 1
    ratio = np.divide(other, first, out=np.ones_like(first), where=first != 0)
    return 100 * (ratio - 1), p < 0.05


def show(kind, sparsity, scores, names):
    print(f"\n{kind}, S = {sparsity}" + "".join(f"{name:>19}" for name in names))
    for key, values in scores.items():
        cells = [f"{values[:, 0].mean():.4f} ± {values[:, 0].std(ddof=1):.4f}"]
        for column in range(1, len(names)):
            percent, sure = difference(values, column)
            cells.append(
                f"{percent.mean():+.2f} ± {percent.std(ddof=1):.2f} %{'*' if sure else ' '}"
            )
        print(f"{key:>20}" + "".join(f"{cell:>19}" for cell in cells), flush=True)


tied, penalized = {}, {}
for sparsity in SPARSITIES:
    runs = [make_run(sparsity, seed) for seed in range(N_RUNS)]
    names = [*EXPONENTS, *BEST]
    tied[sparsity] = measure_all(runs, train_tied(runs, range(N_RUNS)), len(names))
    show("tied", sparsity, tied[sparsity], names)
    found = list(zip(*(train_penalized(*run[1:]) for run in runs), strict=True))
    penalized[sparsity] = measure_all(runs, found, len(EXPONENTS))
    show("L1", sparsity, penalized[sparsity], EXPONENTS)
    losses = [
        np.square(x - encode_transposed(x_p, W))[:N_TEST].sum(axis=1).mean() for x, x_p, W in runs
    ]
    print(f"W_p transposed itself: loss on x {np.mean(losses):.4f} ± {np.std(losses, ddof=1):.4f}")

# %%
# Sparser sources make latents monosemantic with a penalty, and not without; the sum over samples
# falls because rare sources have few. Weighting moves the loss on the sources by less than half a
# percent, and not in the direction that was hoped for.

figure, axes = plt.subplots(2, 3, figsize=(13, 7.6), layout="constrained")
colors = {"a = 0.5": "#8ab4e0", "a = 1": "#c8641e", "a = 2": "#1b2a3c"}
for kind, found, key, style, color in (
    ("tied", tied, "sources a latent", "o-", "#4c6a8c"),
    ("tied, by their sum over samples", tied, "by their sum", "s:", "#4c6a8c"),
    ("L1", penalized, "sources a latent", "o-", "#c8641e"),
):
    counts = np.array([found[S][key][:, 0] for S in SPARSITIES])
    mean, spread = counts.mean(axis=1), counts.std(axis=1)
    axes[0, 0].errorbar(SPARSITIES, mean, spread, fmt=style, color=color, label=kind, capsize=3)
axes[0, 0].set(yscale="log", ylim=(0.15, None))
axes[0, 0].set_title("Unweighted: sources that activate a latent")
axes[0, 0].legend()
shown = "loss on x", "loss on active x", "loss on x_p", "variance", "variance / mean²"
for key, axis in zip(shown, axes.flat[1:], strict=True):
    for index, (name, color) in enumerate(colors.items()):
        values = np.array([difference(tied[S][key], index + 1)[0] for S in SPARSITIES])
        x = np.array(SPARSITIES) + 0.008 * (index - 1)
        style = {"fmt": "o-", "ms": 4, "capsize": 2, "color": color, "label": name}
        axis.errorbar(x, values.mean(axis=1), values.std(axis=1), **style)
    axis.axhline(0, color="0.5", linewidth=1)
    axis.set(title=f"Tied: {key}", ylabel="difference to unweighted, %")
axes[0, 1].legend()
for axis in axes.flat:
    axis.set_xlabel("sparsity S of the sources")
    axis.grid(color="0.9")
plt.show()
