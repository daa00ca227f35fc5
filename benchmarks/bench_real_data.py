"""Encoders on real data, all with the same number of non-zero codes.

Image patches that ship with scikit-learn, or activations from a file with the matrices "train" and
"test" of shape (n_samples, n_features). Data are centered and scaled to a mean squared norm of 1;
dictionaries have twice as many atoms as there are features. Every L1 weight is chosen so that a
test sample has k non-zero codes on average, within 5 %; then the fraction of variance that is
unexplained compares like with like.

The amortization gap is measured at each encoder's own L1 weight, for its own dictionary. What has
no L1 weight is judged at the one that gives optimized codes of the same dictionary as many
non-zeros. Seconds are the CPU's, of one thread; those of a fit include whatever was fitted before,
and leave out the search for the weight.

Written are a table (CSV), a figure (PNG), a report (HTML), and the L0 found at every weight (JSON):
a second run begins where the first one ended, and fits every encoder only once.

    python benchmarks/bench_real_data.py [--quick] [--activations FILE.npz] [--results FOLDER]
"""

import argparse
import json
import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from skamort import (
    AmortizedCoder,
    GradSparseCoder,
    ITOCoder,
    LISTAEncoder,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
)
from skamort.datasets import load_image_patches
from skamort.inspection import ComparisonReport, ComputeFrontierDisplay, compare_encoders
from skamort.metrics import mean_l0

TOLERANCE, MOST_FITS = 0.05, 8


@dataclass(frozen=True)
class Data:
    """Two matrices, how sparse their codes are to be, and how long encoders train."""

    name: str
    train: np.ndarray
    test: np.ndarray
    k: int
    training: dict
    sklearn_rows: int
    sklearn_passes: int
    memory: Path

    @property
    def n_components(self):
        """Number of atoms."""
        return 2 * self.train.shape[1]


@dataclass(frozen=True)
class Run:
    """A fitted encoder, the L1 weight that judges it, and its seconds."""

    encoder: object
    alpha: float
    fit_seconds: float
    transform_seconds: float
    l0: float


def load(args):
    """Return the data that the command line asks for."""
    if args.activations:
        with np.load(args.activations) as file:
            train, test = (file[part].astype(np.float32) for part in ("train", "test"))
        name, sklearn_rows, passes = args.activations.stem, 2000, 1
    else:
        patches = load_image_patches(args.train + args.test, random_state=0).astype(np.float32)
        train, test = patches[: args.train], patches[args.train :]
        name, sklearn_rows, passes = "image_patches", args.train, 10
    train, test = train[: args.train], test[: args.test]
    mean = train.mean(axis=0)
    scale = np.sqrt(np.mean(np.sum((train - mean) ** 2, axis=1)))
    k = math.ceil(math.sqrt(train.shape[1]))
    train, test = (train - mean) / scale, (test - mean) / scale
    settings = len(train), len(test), args.epochs, args.learning_rate
    memory = args.results / f"{name}_alphas_{'_'.join(map(str, settings))}.json"
    training = {"max_iter": args.epochs, "learning_rate": args.learning_rate, "batch_size": 256}
    training |= {"fit_intercept": False, "dict_init": None, "schedule": None}
    return Data(name, train, test, k, training, sklearn_rows, passes, memory)


def run(encoder, data, alpha, seconds_before=0.0):
    """Fit and time an encoder; what is fitted already costs what it cost before."""
    start = process_time()
    encoder.fit(data.train, None)
    fitted = process_time()
    codes = encoder.transform(data.test)
    seconds = process_time() - fitted
    return Run(encoder, alpha, seconds_before + fitted - start, seconds, mean_l0(codes))


def with_equal_l0(name, make, data, alpha, seconds_before=0.0):
    """Fit encoders until one has k non-zero codes on average; return the nearest."""
    runs, start = [], float(f"{alpha:.3g}")
    for _ in range(MOST_FITS):
        alpha = choose_alpha(recall(data).get(name, {}), data.k) or start
        runs.append(run(make(alpha), data, alpha, seconds_before))
        print(f"{name}, alpha {alpha:.4g}: L0 {runs[-1].l0:.1f}", flush=True)
        remember(data, name, alpha, runs[-1].l0)
        if is_near(runs[-1].l0, data.k):
            break
    return min(runs, key=lambda found: abs(found.l0 - data.k))


def is_near(l0, k):
    """Tell whether L0 is as it is to be."""
    return abs(l0 / k - 1) <= TOLERANCE


def recall(data):
    """Return the L0 of each weight tried so far, by encoder."""
    return json.loads(data.memory.read_text()) if data.memory.exists() else {}


def remember(data, name, alpha, l0):
    """Write down the L0 of one more weight."""
    known = recall(data)
    known.setdefault(name, {})[f"{alpha:.3g}"] = l0
    data.memory.parent.mkdir(parents=True, exist_ok=True)
    data.memory.write_text(json.dumps(known, indent=1))


def choose_alpha(tried, k):
    """Return the weight that is known to give k non-zero codes, or the next to try; None at first.

    The search is on logarithms, of `tried` weights and of their L0.
    """
    if not tried:
        return None
    best = min(tried, key=lambda alpha: abs(tried[alpha] - k))
    if is_near(tried[best], k):
        return float(best)
    misses = {math.log(float(a)): math.log(max(l0, 0.1) / k) for a, l0 in tried.items()}
    return float(f"{math.exp(next_log_alpha(misses)):.3g}")


def next_log_alpha(misses):
    """Between a weight that is too small and one that is too large, or beyond all so far.

    L0 falls as alpha grows, roughly as a power.
    """
    small = max((alpha for alpha, miss in misses.items() if miss > 0), default=None)
    large = min((alpha for alpha, miss in misses.items() if miss <= 0), default=None)
    if small is None or large is None:
        return beyond(misses)
    share = misses[small] / (misses[small] - misses[large])
    return small + (large - small) * min(max(share, 0.1), 0.9)


def beyond(misses):
    """Where the line through the farthest weights points to, at most twice or half the nearest."""
    nearest, first, last = min(misses, key=lambda a: abs(misses[a])), min(misses), max(misses)
    slope = -1.3
    if first < last:
        slope = min((misses[last] - misses[first]) / (last - first), -0.5)
    return nearest + min(max(-1.1 * misses[nearest] / slope, -math.log(2)), math.log(2))


def compare(data):
    """Return the runs by name: the ones that learn first, then what builds on them."""
    common = {"n_components": data.n_components, "random_state": 0}
    runs = {}

    def add(name, make, alpha, seconds_before=0.0):
        runs[name] = with_equal_l0(name, make, data, alpha, seconds_before)

    def optimized(base, alpha):
        encoder = FrozenEstimator(runs[base].encoder)
        return ITOCoder(estimator=encoder, alpha=alpha)

    add("GradSparseCoder", lambda alpha: GradSparseCoder(alpha=alpha, **common), 0.08)
    learned = runs["GradSparseCoder"]
    trained = {**common, **data.training}
    add("SAEEncoder", lambda alpha: SAEEncoder(alpha=alpha, **trained), 2.1 * learned.alpha)
    runs["TopKSAE"] = run(TopKSAE(k=data.k, **trained), data, math.nan)
    add("MLPEncoder", lambda alpha: MLPEncoder(alpha=alpha, **trained), 0.5 * learned.alpha)

    def taught(alpha):
        teacher = FrozenEstimator(learned.encoder.set_params(transform_alpha=alpha))
        settings = data.training | {"learning_rate": 1e-3, "early_stopping": True, "tol": 3e-3}
        encoder = LISTAEncoder(alpha=0.1, **settings)
        return AmortizedCoder(teacher=teacher, encoder=encoder, random_state=0)

    add("AmortizedCoder", taught, 0.9 * learned.alpha, learned.fit_seconds)
    learned.encoder.set_params(transform_alpha=None)
    for name, base in (("SAE's", "SAEEncoder"), ("TopK's", "TopKSAE")):
        before = runs[base].fit_seconds
        label = f"ITOCoder, {name} atoms"
        add(label, lambda alpha, base=base: optimized(base, alpha), learned.alpha, before)
    runs["TopKSAE"] = replace(runs["TopKSAE"], alpha=runs["ITOCoder, TopK's atoms"].alpha)
    for name, base in (("TopK's", "TopKSAE"), ("learned", "GradSparseCoder")):
        atoms = runs[base].encoder.components_
        ksparse = ITOCoder(dictionary=atoms, n_nonzero_coefs=data.k, positive_code=True)
        label = f"ITOCoder, k-sparse, {name} atoms"
        runs[label] = run(ksparse, data, runs[base].alpha, runs[base].fit_seconds)
    runs["MiniBatchDictionaryLearning"] = run_sklearn(data, learned.alpha, common)
    return runs


def run_sklearn(data, alpha, common):
    """Learn once, at our weight, as it is slow; then choose the weight of the codes alone."""
    learner = MiniBatchDictionaryLearning(
        alpha=alpha,
        batch_size=256,
        max_iter=data.sklearn_passes,
        fit_algorithm="cd",
        transform_algorithm="lasso_cd",
        transform_max_iter=10_000,
        positive_code=True,
        **common,
    )
    start = process_time()
    learner.fit(data.train[: data.sklearn_rows])
    seconds = process_time() - start

    def make(transform_alpha):
        return FrozenEstimator(learner.set_params(transform_alpha=transform_alpha))

    name = type(learner).__name__
    found = with_equal_l0(name, make, data, alpha, seconds)
    return replace(found, encoder=learner)


def tabulate(runs, data):
    """Return one row an encoder, the gap at its own weight and seconds of the CPU."""
    rows = []
    for name, found in runs.items():
        row = compare_encoders({name: found.encoder}, data.train, data.test, alpha=found.alpha)
        row["alpha"] = found.alpha
        row["fit_seconds"] = found.fit_seconds
        row["samples_per_second"] = len(data.test) / found.transform_seconds
        row["gap_share"] = row["gap"] / row["objective"]
        row["gap_share_upper"] = row["gap_upper"] / row["objective"]
        rows.append(row)
    return pd.concat(rows)


def draw(table, data):
    """Return a figure: variance unexplained against seconds, and what inference could win."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    percent = 100 * table["gap_share"][::-1]
    bars = right.barh(table.index[::-1], percent, color="#e08a3c", height=0.62)
    right.bar_label(bars, fmt="%.1f %%", padding=4, fontsize="small", color="0.25")
    right.margins(x=0.15)
    right.set_xlabel("% of the objective")
    title = "What better inference alone would win"
    right.set_title(title, loc="left", fontsize="medium")
    right.spines[["top", "right", "left"]].set_visible(False)
    right.tick_params(axis="y", length=0)
    points = pd.DataFrame({"seconds": 1 / table["samples_per_second"], "fvu": table["fvu"]})
    ComputeFrontierDisplay(points, quality="fvu").plot(left)
    left.set_title(f"{data.k} non-zero codes of a sample", loc="left", fontsize="medium")
    return figure


def report(table, runs, data, folder):
    """Write the CSV, the PNG and the HTML."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{data.name}.csv", index_label="encoder")
    figure = draw(table, data)
    figure.savefig(folder / f"{data.name}.png", dpi=100)
    settings = {
        "data": f"{data.name}, centered, mean squared norm 1",
        "training data": " x ".join(map(str, data.train.shape)),
        "test data": " x ".join(map(str, data.test.shape)),
        "non-zero codes of a sample": f"{data.k}, within {TOLERANCE:.0%}",
        "training": ", ".join(f"{name} {value}" for name, value in data.training.items()),
        "seconds": "of the CPU, one thread",
    }
    page = ComparisonReport(
        table.drop(columns=["gap_share", "gap_share_upper"]),  # the report says them in words
        title=f"Encoders on {data.name}, at equal L0",
        figures={"Quality against cost, and what better inference would win": figure},
        estimators={name: found.encoder for name, found in runs.items()},
        settings=settings,
    )
    page.save(folder / f"{data.name}.html")


def compile_kernels(data):
    """Let numba compile before anything is timed."""
    some = data.train[:100]
    coder = GradSparseCoder(8, max_iter=2).fit(some)
    coder.transform(some)
    ITOCoder(dictionary=coder.components_, n_nonzero_coefs=2, positive_code=True).fit(
        some
    ).transform(some)


def main():
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--activations", type=Path, help="activations, .npz")
    parser.add_argument("--train", type=int, default=5000, help="samples to fit on")
    parser.add_argument("--test", type=int, default=1000, help="samples to encode")
    parser.add_argument("--epochs", type=int, default=1000, help="most epochs of a trained encoder")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="its step size")
    parser.add_argument("--quick", action="store_true", help="500 samples to fit on")
    parser.add_argument("--results", type=Path, default=Path("results"))
    args = parser.parse_args()
    if args.quick:
        args.train, args.test = 500, 100
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    data = load(args)
    with threadpool_limits(1):
        compile_kernels(data)
        runs = compare(data)
        table = tabulate(runs, data)
    print(table.to_string(float_format=lambda value: f"{value:.4g}"))
    report(table, runs, data, args.results)


if __name__ == "__main__":
    main()
