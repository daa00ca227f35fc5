"""Quality of TopK autoencoders against other packages: what each makes of the same samples.

Every package trains with the learning rate, schedule and auxiliary losses that it recommends, in a
process and an environment of its own, on the same batches of real activations: centered and scaled
to unit mean square, which all of them ask for or bear. Printed are the fraction of variance that
is unexplained on the test rows, the mean number of active latents there, the share of latents that
fire on no training row, and the seconds of training.

    python benchmarks/bench_quality_peers.py activations.npz --python sae-lens=/path/to/python ...

The file holds the matrices "train" and "test" of shape (n_samples, n_features).
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from _training_peers import Peer, add_arguments, interpreters

# Training is short, so that starting at samples is worth most of all.
OURS = {"dict_init": "samples", "dead_latents": "resample", "learning_rate": 5e-4}


def prepare(path, folder):
    """Center and scale the data; return where the two parts are saved, and their shapes."""
    with np.load(path) as data:
        parts = {name: data[name].astype(np.float32) for name in ("train", "test")}
    mean = parts["train"].mean(axis=0)
    scale = np.sqrt(np.mean((parts["train"] - mean) ** 2))
    paths = {}
    for name, part in parts.items():
        paths[name] = f"{folder}/{name}.npy"
        np.save(paths[name], (part - mean) / scale)
    return paths, parts["train"].shape


def settings_of(arguments, paths, n_samples):
    """Return what every package is told, and the number of steps."""
    n_steps = arguments.epochs * (n_samples // arguments.batch_size)
    return {
        **paths,
        "n_components": arguments.components,
        "k": arguments.k,
        "alpha": 0.0,
        "learning_rate": None,  # the package's own
        "recipe": True,
        "batch_size": arguments.batch_size,
        "n_steps": n_steps,
        "threads": arguments.threads,
        "debug": arguments.debug,
        "seed": arguments.seed,
    }


def main():
    """Train one package after the other, and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="activations, .npz")
    parser.add_argument("--components", type=int, default=4608)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="PARAMETER=VALUE",
        help="also run skamort with this parameter",
    )
    add_arguments(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths, (n_samples, n_features) = prepare(arguments.data, folder)
        settings = settings_of(arguments, paths, n_samples)
        packages = interpreters(arguments)
        runs = [(name, name, python, {}) for name, python in packages.items()]
        for variant in arguments.variant:
            key, _, value = variant.partition("=")
            label = f"skamort {variant}"
            runs.insert(1, (label, "skamort", packages["skamort"], {key: _number(value)}))
        print(f"{n_samples} rows, {n_features} x {arguments.components}, k={arguments.k}, ", end="")
        print(f"{settings['n_steps']} steps of {arguments.batch_size}, ", end="")
        print(f"{arguments.threads} thread(s)")
        print(f"{'':40s} {'FVU':>8s} {'L0':>7s} {'dead':>7s} {'seconds':>8s}")
        for label, name, python, extra in runs:
            ours = {"options": {**OURS, **extra}} if name == "skamort" else {}
            peer = Peer(name, python, {**settings, **ours})
            seconds, reached = peer.train(settings["n_steps"]), peer.evaluate()
            print(
                f"{label:40s} {reached['fvu']:8.4f} {reached['l0']:7.1f} "
                f"{reached['dead']:7.2%} {seconds:8.0f}",
                flush=True,
            )
            peer.close()


def _number(value):
    """Return the number that the text is, or the text."""
    try:
        return float(value)
    except ValueError:
        return value


if __name__ == "__main__":
    main()
