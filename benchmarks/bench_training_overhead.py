"""What the estimator costs over a bare torch loop: training steps and `transform`.

Both sides train the same ReLU autoencoder from the same weights on batches of the same size: tied
encoder with a bias, L1 penalty, decoder on the unit sphere (projected gradient and
renormalization), fused Adam. The bare loop is what one would write with autograd. Ours is the
whole `fit`, validation and set-up included. Runs are interleaved; the ratio is the median over
pairs of (ours / bare).

    python benchmarks/bench_training_overhead.py [--quick] [--threads 1]
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skamort import SAEEncoder

ALPHA, LEARNING_RATE = 0.1, 1e-3
# (rows, n_features, n_components, batch size, epochs, most that ours may cost)
SETTINGS = [
    (1024, 8, 16, 1024, 2000, 1.15),
    (16_384, 64, 512, 1024, 8, 1.10),
    (16_384, 384, 3072, 2048, 1, 1.05),
]


def first_scale(X, dictionary):
    """Return the factor of the tied encoder that reconstructs best, with which `fit` starts."""
    rows = X[:: -(-len(X) // 512)]
    decoded = torch.relu(rows @ dictionary.T) @ dictionary
    return (rows * decoded).sum() / decoded.square().sum()


def train_bare(X, dictionary, batch_size, n_epochs):
    """Train with a plain loop; return the seconds and the last epoch's loss."""
    W = torch.nn.Parameter(dictionary * first_scale(X, dictionary))
    b = torch.nn.Parameter(torch.zeros(len(dictionary)))
    D = torch.nn.Parameter(dictionary.clone())
    optimizer = torch.optim.Adam([W, b, D], lr=LEARNING_RATE, fused=True)
    generator = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    for _ in range(n_epochs):
        total = 0.0
        order = torch.randperm(len(X), generator=generator)
        for rows in order.split(batch_size):
            x = X if batch_size >= len(X) else X[rows]
            codes = torch.relu(torch.nn.functional.linear(x, W, b))
            residual = codes @ D - x
            loss = (0.5 * residual.square().sum() + ALPHA * codes.sum()) / len(x)
            optimizer.zero_grad()
            loss.backward()
            with torch.no_grad():
                D.grad -= (D.grad * D).sum(1, keepdim=True) * D
                optimizer.step()
                D /= D.norm(dim=1, keepdim=True)
            total += loss.item() * len(x)
    return time.perf_counter() - start, total / len(X)


def train_ours(X, dictionary, batch_size, n_epochs):
    """Train the estimator; return the seconds of the whole `fit` and the last epoch's loss."""
    sae = SAEEncoder(
        dict_init=dictionary,
        fit_intercept=False,
        schedule=None,
        alpha=ALPHA,
        learning_rate=LEARNING_RATE,
        batch_size=batch_size,
        max_iter=n_epochs,
        n_iter_no_change=n_epochs + 1,
        random_state=0,
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        sae.fit(X)
    return time.perf_counter() - start, sae.loss_curve_[-1], sae


def transform_bare(X, module):
    """Encode with the bare module; return the seconds."""
    start = time.perf_counter()
    with torch.no_grad():
        module.encode(X)
    return time.perf_counter() - start


def transform_ours(X, sae):
    """Encode with the estimator; return the seconds."""
    start = time.perf_counter()
    sae.transform(X)
    return time.perf_counter() - start


def main():
    """Print one row a setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer epochs and pairs")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    n_pairs = 3 if args.quick else 9

    print(f"torch {torch.__version__}, {args.threads} thread(s), median of {n_pairs} pairs")
    print(
        f"{'problem':>16} {'batch':>6} {'bare us/step':>13} {'ours us/step':>13} {'ratio':>6} "
        f"{'limit':>6} {'loss bare':>10} {'loss ours':>10} {'transform':>10}"
    )
    for n, n_features, n_components, batch_size, n_epochs, limit in SETTINGS:
        n_epochs = max(1, n_epochs // 4) if args.quick else n_epochs
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n, n_features), dtype=np.float32)
        atoms = rng.standard_normal((n_components, n_features), dtype=np.float32)
        atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
        tensors = torch.from_numpy(X), torch.from_numpy(atoms)
        bare, ours, bare_forward, our_transform = [], [], [], []
        for _ in range(n_pairs):
            seconds, loss_bare = train_bare(*tensors, batch_size, n_epochs)
            bare.append(seconds)
            seconds, loss_ours, sae = train_ours(X, atoms, batch_size, n_epochs)
            ours.append(seconds)
            for _ in range(5):
                bare_forward.append(transform_bare(tensors[0], sae.net_.module_))
                our_transform.append(transform_ours(X, sae))
        n_steps = n_epochs * -(-n // batch_size)
        ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
        transform = statistics.median(
            a / b for a, b in zip(our_transform, bare_forward, strict=True)
        )
        print(
            f"{n_features:>8} x {n_components:<5} {batch_size:>6} "
            f"{statistics.median(bare) / n_steps * 1e6:>13.0f} "
            f"{statistics.median(ours) / n_steps * 1e6:>13.0f} {ratio:>6.2f} {limit:>6.2f} "
            f"{loss_bare:>10.4f} {loss_ours:>10.4f} {transform:>10.2f}"
        )


if __name__ == "__main__":
    main()
