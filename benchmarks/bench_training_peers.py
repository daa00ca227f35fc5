"""Training speed against other packages: the same model, batches and optimizer, on one core.

Every package takes its own lowest-level training step on raw activations, in a process and an
environment of its own. The packages take turns, round by round, so that a busy machine slows all
alike; the figure is the median over rounds, of the processor's seconds where there is one thread,
else of seconds. The loss that each has reached is printed beside its speed, so that nobody wins by
doing less.

    python benchmarks/bench_training_peers.py --python sae-lens=/path/to/python ...

Options choose the shapes; by default TopK with k=32 at 384 x 3072 and 768 x 16,896 and ReLU with
L1 at 384 x 3072, batch 2048. Others of ours run beside them by, for example, `--case topk-768
--variant estimator=BatchTopKSAE --variant activation=group_topk`.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from _training_peers import Peer, add_arguments, interpreters, parsed

BATCH_SIZE = 2048
LEARNING_RATE = 3e-4
# name: n_features, n_components, k (0: ReLU with L1), steps a round, rounds
CASES = {
    "topk-384": (384, 3072, 32, 3, 7),
    "topk-768": (768, 16896, 32, 1, 5),
    "relu-384": (384, 3072, 0, 3, 7),
}


def make_data(n_features, folder, n_samples=8 * BATCH_SIZE, n_sources=2000, seed=0):
    """Sparse mixtures of random directions, of unit mean square, saved as train and test."""
    random = np.random.default_rng(seed)
    atoms = random.standard_normal((n_sources, n_features), dtype=np.float32)
    X = np.zeros((n_samples, n_features), np.float32)
    for _ in range(30):
        chosen = random.integers(n_sources, size=n_samples)
        X += random.exponential(size=(n_samples, 1)).astype(np.float32) * atoms[chosen]
    X /= np.sqrt(np.mean(X**2))
    paths = {"train": f"{folder}/train.npy", "test": f"{folder}/test.npy"}
    np.save(paths["train"], X[:-BATCH_SIZE])
    np.save(paths["test"], X[-BATCH_SIZE:])
    return paths


def run(case, arguments, folder):
    """Print the table of one case."""
    n_features, n_components, k, n_steps, n_rounds = CASES[case]
    settings = {
        **make_data(n_features, folder),
        "n_components": n_components,
        "k": k,
        "alpha": 0.5,
        "learning_rate": LEARNING_RATE,
        "batch_size": BATCH_SIZE,
        "n_steps": n_steps * (n_rounds + 1),
        "threads": arguments.threads,
        "debug": arguments.debug,
        "seed": 0,
    }
    variants = {name: (name, python, {}) for name, python in interpreters(arguments).items()}
    for variant in arguments.variant:
        options = dict(pair.split("=") for pair in variant.split(","))
        named = {"estimator": options.pop("estimator", None)}
        options = {key: parsed(value) for key, value in options.items()}
        ours = variants["skamort"][1]
        variants[f"skamort {variant}"] = ("skamort", ours, {**named, "options": options})
    if not k:
        variants.pop("eai-sparsify", None)  # it has no L1 autoencoder
    peers = {
        label: Peer(name, python, {**settings, **extra})
        for label, (name, python, extra) in variants.items()
    }
    for peer in peers.values():
        peer.train(1)  # warm up
    clock = 1 if arguments.threads == 1 else 0
    seconds = {label: [] for label in peers}
    for _ in range(n_rounds):
        for label, peer in peers.items():
            seconds[label].append(peer.train(n_steps)[clock] / n_steps)
    ours = statistics.median(seconds["skamort"])
    print(f"\n{case}: {n_features} x {n_components}, k={k}, batch {BATCH_SIZE}, ", end="")
    print(f"{n_rounds * n_steps + 1} steps, {arguments.threads} thread(s)")
    print(f"{'':32s} {'samples/s':>10s} {'ours/theirs':>12s} {'FVU':>8s} {'L0':>7s}")
    for label, peer in peers.items():
        median, reached = statistics.median(seconds[label]), peer.evaluate()["test"]
        print(
            f"{label:32s} {BATCH_SIZE / median:10.0f} {median / ours:12.2f} "
            f"{reached['fvu']:8.4f} {reached['l0']:7.1f}",
            flush=True,
        )
        peer.close()


def main():
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="PARAMETER=VALUE,...",
        help="also run skamort with these parameters, or another estimator=",
    )
    add_arguments(parser)
    arguments = parser.parse_args()
    for case in arguments.case or CASES:
        with tempfile.TemporaryDirectory() as folder:
            run(case, arguments, str(Path(folder)))


if __name__ == "__main__":
    main()
