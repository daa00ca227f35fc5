"""Many small models: `fit_many` against as many fits in a bare torch loop, one after the other.

    python benchmarks/bench_fit_many.py [--quick] [--threads 1] [--models 50]

Both sides train the same autoencoders, with the alphas and seeds of a grid, from the same weights,
on all rows in one batch (8 features, 16 atoms, 1,024 rows). The bare loop is what one would write
with autograd and fused Adam (the one of `bench_training_overhead.py`, and its like with
`torch.topk`). Ours is the whole call, validation and first weights included, after a first one that
is timed apart: there numba, where it is installed, compiles, or loads what it compiled before. Runs
are interleaved and take processor time; the ratio is the median over rounds. The mean final loss of
both is printed beside; models of top-k codes start at a scale of their own.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from bench_training_overhead import ALPHA, LEARNING_RATE, first_scale, train_bare
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skamort import SAEEncoder, TopKSAE
from skamort.estimators import fit_many

N_SAMPLES, N_FEATURES, N_COMPONENTS = 1024, 8, 16
K = 3


def train_bare_topk(X, dictionary, n_epochs):
    """Train a top-k autoencoder with a plain loop; return the last loss."""
    scale = first_scale(X, dictionary)
    W = torch.nn.Parameter(dictionary * scale)
    b = torch.nn.Parameter(torch.zeros(len(dictionary)))
    D = torch.nn.Parameter(dictionary.clone())
    optimizer = torch.optim.Adam([W, b, D], lr=LEARNING_RATE, fused=True)
    for _ in range(n_epochs):
        values, indices = torch.nn.functional.linear(X, W, b).topk(K, dim=1, sorted=False)
        codes = X.new_zeros(len(X), len(W)).scatter(1, indices, values.relu())
        loss = 0.5 * (codes @ D - X).square().sum() / len(X)
        optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            D.grad -= (D.grad * D).sum(1, keepdim=True) * D
            optimizer.step()
            D /= D.norm(dim=1, keepdim=True)
        last = loss.item()
    return last


def train_one_by_one(train, n_models):
    """Train models one after the other; return their last losses."""
    return [train() for _ in range(n_models)]


def train_many(estimator, X, seeds):
    """Train all models at once; return the mean of their last losses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = fit_many(estimator, X, {}, seeds)
    return np.mean([model.loss_curve_[-1] for model in models])


def seconds_of(function, *args):
    """Return the processor time that a call takes, and what it returns."""
    start = time.process_time()
    result = function(*args)
    return time.process_time() - start, result


def main():
    """Print a row a kind of model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer epochs and rounds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", type=int, default=50)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    n_rounds, n_epochs = (1, 50) if args.quick else (3, 300)

    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_SAMPLES, N_FEATURES), dtype=np.float32)
    atoms = rng.standard_normal((N_COMPONENTS, N_FEATURES), dtype=np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    tensors = torch.from_numpy(X), torch.from_numpy(atoms)
    common = {
        "dict_init": atoms,
        "fit_intercept": False,
        "schedule": None,
        "learning_rate": LEARNING_RATE,
        "batch_size": N_SAMPLES,
        "max_iter": n_epochs,
        "n_iter_no_change": n_epochs + 1,
    }
    cases = {
        "ReLU": (
            SAEEncoder(alpha=ALPHA, **common),
            lambda: train_bare(*tensors, N_SAMPLES, n_epochs)[1],
        ),
        f"TopK k={K}": (TopKSAE(k=K, **common), lambda: train_bare_topk(*tensors, n_epochs)),
    }
    print(f"torch {torch.__version__}, {args.threads} thread(s), {args.models} models of ", end="")
    print(f"{N_FEATURES} x {N_COMPONENTS}, batch {N_SAMPLES}, {n_epochs} epochs")
    print(f"{'':10} {'first s':>8} {'bare s':>8} {'ours s':>8} {'bare/ours':>10} ", end="")
    print(f"{'loss bare':>10} {'ours':>8}")
    for name, (estimator, bare) in cases.items():
        once = clone(estimator).set_params(max_iter=1)
        first, _ = seconds_of(train_many, once, X, range(2))
        seconds = {"bare": [], "ours": []}
        for _ in range(n_rounds):
            taken, bare_losses = seconds_of(train_one_by_one, bare, args.models)
            seconds["bare"].append(taken)
            taken, loss = seconds_of(train_many, estimator, X, range(args.models))
            seconds["ours"].append(taken)
        ratio = statistics.median(b / o for b, o in zip(*seconds.values(), strict=True))
        medians = [statistics.median(values) for values in seconds.values()]
        print(f"{name:10} {first:8.2f} {medians[0]:8.2f} {medians[1]:8.2f} {ratio:10.1f} ", end="")
        print(f"{np.mean(bare_losses):10.4f} {loss:8.4f}")


if __name__ == "__main__":
    main()
