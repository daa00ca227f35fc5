"""The family of sparse autoencoders on real activations: error against sparsity, width and step.

    frontier   fraction of variance unexplained for each number of active codes, of all variants
    widths     the same for each number of atoms at one number of active codes, with the slope in
               log-log, and the share of dead latents
    steps      the best step size for each number of atoms, beside 2e-4 / sqrt(atoms / 2^14)

Variants that keep k codes get k; those with a penalty the alpha, found by a search, at which L0 on
the validation rows is as wanted. Beside them run the TopK autoencoders of the packages of
`--python` with their own recipes, as in bench_quality_peers.py, which says how data are prepared.
Figures are of the test rows.

    python benchmarks/bench_family.py activations.npz --python sae-lens=/path/to/python ...
"""

import argparse
import tempfile

import numpy as np
from _training_peers import add_arguments, interpreters
from bench_quality_peers import OURS, match_l0, prepare, run

BY_K = ["TopKSAE", "BatchTopKSAE", "MatryoshkaSAE"]
BY_ALPHA = {"SAEEncoder": 4.0, "GatedSAE": 4.0, "JumpReLUSAE": 4.0}  # and where its search begins
RATES = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3]


class Family:
    """Trains variants and packages on the same rows.

    Parameters
    ----------
    arguments : argparse.Namespace
        The options.
    paths : dict of str to str
        Where the parts of the data are.
    n_samples : int
        Rows to train on.
    """

    def __init__(self, arguments, paths, n_samples):
        self.python = interpreters(arguments)
        self.arguments, self.alphas = arguments, dict(BY_ALPHA)
        self.settings = {
            **paths,
            "learning_rate": None,
            "recipe": True,
            "batch_size": arguments.batch_size,
            "n_steps": arguments.epochs * (n_samples // arguments.batch_size),
            "threads": arguments.threads,
            "debug": arguments.debug,
            "seed": 0,
            "alpha": 0.0,
        }

    def by_k(self, name, k, n_components, **options):
        """Train what keeps k codes, a variant or a package."""
        told = {**self.settings, "k": k, "n_components": n_components}
        if name in self.python:
            return run(name, self.python[name], told)
        options = {**OURS["topk"], **options}
        return run(
            "skamort", self.python["skamort"], {**told, "estimator": name, "options": options}
        )

    def by_alpha(self, name, l0, n_components):
        """Train a variant that has a penalty, such that so many codes are active."""
        told = {**self.settings, "k": 0, "n_components": n_components}
        told |= {"estimator": name, "options": OURS["relu"]}
        reached = match_l0(
            lambda alpha: run("skamort", self.python["skamort"], {**told, "alpha": alpha}),
            l0,
            self.alphas[name],
        )
        self.alphas[name] = reached["alpha"]  # where the next search begins
        return reached

    def runs(self):
        """Yield names and functions of what is asked for."""
        packages = [name for name in self.python if name != "skamort"]
        wanted = self.arguments.only or [*BY_K, *BY_ALPHA, *packages]
        yield from ((name, self.by_k) for name in wanted if name not in BY_ALPHA)
        yield from ((name, self.by_alpha) for name in wanted if name in BY_ALPHA)


def frontier(family, arguments):
    """Print the error of all for each number of active codes."""
    for name, train in family.runs():
        for l0 in arguments.l0:
            show(
                f"{name}, {arguments.components[0]} atoms", train(name, l0, arguments.components[0])
            )


def widths(family, arguments):
    """Print errors for each number of atoms, and how fast they fall."""
    l0 = arguments.l0[0]
    for name, train in family.runs():
        reached = [train(name, l0, n) for n in arguments.components]
        for n, result in zip(arguments.components, reached, strict=True):
            show(f"{name}, {n} atoms", result)
        errors = [result["test"]["fvu"] for result in reached]
        slope = np.polyfit(np.log(arguments.components), np.log(errors), 1)[0]
        print(f"{name}: FVU falls as atoms to the power of {slope:.3f}", flush=True)


def steps(family, arguments):
    """Print the best step size of TopKSAE for each number of atoms."""
    for n in arguments.components:
        errors = {}
        for rate in RATES:
            reached = family.by_k("TopKSAE", arguments.l0[0], n, learning_rate=rate)
            errors[rate] = reached["validation"]["fvu"]
        told = ", ".join(f"{rate:g} {error:.4f}" for rate, error in errors.items())
        best, rule = min(errors, key=errors.get), 2e-4 / (n / 2**14) ** 0.5
        print(f"{n} atoms: best step {best:g}, rule {rule:.2g}; validation FVU by step: {told}")


def show(label, reached):
    """Print a row."""
    test = reached["test"]
    print(
        f"{label:36s} FVU {test['fvu']:.4f}  L0 {test['l0']:6.1f}  dead {reached['dead']:6.2%}  "
        f"{reached['seconds']:5.0f} s",
        flush=True,
    )


def main():
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help=".npz file with the matrices train and test")
    parts = {part.__name__: part for part in (frontier, widths, steps)}
    parser.add_argument("--part", action="append", choices=parts)
    parser.add_argument("--only", action="append", help="a variant or a package; all if absent")
    parser.add_argument("--l0", type=int, nargs="+", default=[32, 8, 16, 64, 128])
    parser.add_argument("--components", type=int, nargs="+", default=[1152, 576, 2304, 4608])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=512)
    add_arguments(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths, (n_samples, _) = prepare(arguments.data, folder)
        for part in arguments.part or parts:
            print(f"\n{part}", flush=True)
            parts[part](Family(arguments, paths, n_samples), arguments)


if __name__ == "__main__":
    main()
