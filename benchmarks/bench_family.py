"""The family of sparse autoencoders on real activations: error against sparsity, width and step.

    frontier   fraction of variance unexplained for each number of active codes, of all variants
    widths     the same for each number of atoms at one number of active codes, with the slope in
               log-log, and the share of dead latents
    steps      error for each number of atoms and step size, beside 2e-4 / sqrt(atoms / 2^14)

Variants that keep k codes get k; those with a penalty that L0 as `target_l0`; all else is as by
default. Beside them run the TopK autoencoders of the packages of `--python` with their own recipes,
as in bench_quality_peers.py, which says how data are prepared. Figures are of the test rows.

    python benchmarks/bench_family.py activations.npz --python sae-lens=/path/to/python ...

Runs are kept in the file `--results`, a line of JSON each, and not made again; `--output` writes
the tables of the documentation from it.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from _list_table import to_rst
from _training_peers import add_arguments, interpreters
from bench_quality_peers import prepare, run

# Estimators, and what they are given beside k or target_l0.
BY_K = {
    "TopK": ("TopKSAE", {}),
    "BatchTopK": ("BatchTopKSAE", {}),
    "Matryoshka": ("MatryoshkaSAE", {}),
    "group top-k": ("TopKSAE", {"activation": "group_topk"}),
}
BY_L0 = {
    "ReLU": ("SAEEncoder", {}),
    "ProLU": ("SAEEncoder", {"activation": "prolu"}),
    "Gated": ("GatedSAE", {}),
    "JumpReLU": ("JumpReLUSAE", {}),
}
OURS = {**BY_K, **BY_L0}
# What the adapter would set otherwise.
DEFAULTS = dict.fromkeys(
    ["learning_rate", "dict_init", "fit_intercept", "schedule", "dead_latents"], "auto"
)
RATES = [2e-4, 5e-4, 1e-3, 2e-3, 5e-3]


class Family:
    """Trains variants and packages on the same rows, each once.

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
        self.python, self.file = interpreters(arguments), arguments.results
        packages = [name for name in self.python if name != "skamort"]
        self.names = arguments.only or [*OURS, *packages]
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
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.reached = {tuple(key): result for key, result in map(json.loads, lines)}

    def train(self, name, l0, n_components, rate=None):
        """Train a variant or a package, if that has not been done, and return what it reached."""
        key = (name, l0, n_components, rate)
        if key not in self.reached:
            self.reached[key] = result = self._run(*key)
            with self.file.open("a") as file:
                file.write(json.dumps([key, result]) + "\n")
        return self.reached[key]

    def _run(self, name, l0, n_components, rate):
        told = {**self.settings, "k": l0, "n_components": n_components}
        if name not in OURS:
            return run(name, self.python[name], told)
        estimator, options = OURS[name]
        options = {**DEFAULTS, **options, **({} if rate is None else {"learning_rate": rate})}
        if name in BY_L0:
            told["k"], options = 0, {**options, "alpha": "auto", "target_l0": l0}
        return run(
            "skamort", self.python["skamort"], {**told, "estimator": estimator, "options": options}
        )


def frontier(family, arguments):
    """Return the error of all for each number of active codes."""
    n = arguments.components[0]
    rows = {name: [name] for name in family.names}
    for l0 in arguments.l0:
        for name in family.names:
            reached = family.train(name, l0, n)
            show(f"{name}, {n} atoms", reached)
            codes = "" if round(reached["test"]["l0"]) == l0 else f" ({reached['test']['l0']:.0f})"
            rows[name].append(f"{reached['test']['fvu']:.1%}{codes}")
    return ["variant", *map(str, arguments.l0)], [*rows.values()]


def widths(family, arguments):
    """Return errors and dead latents for each number of atoms, and how fast errors fall."""
    rows, sizes = [], sorted(arguments.components)
    for name in family.names:
        reached = [family.train(name, arguments.l0[0], n) for n in sizes]
        for n, result in zip(sizes, reached, strict=True):
            show(f"{name}, {n} atoms", result)
        errors = [result["test"]["fvu"] for result in reached]
        slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
        cells = [f"{r['test']['fvu']:.1%}, {r['dead']:.1%} dead" for r in reached]
        rows.append([name, *cells, f"{slope:.3f}"])
    return ["variant", *map(str, sizes), "slope"], rows


def steps(family, arguments):
    """Return the validation error of TopKSAE for each number of atoms and step size."""
    rows = []
    for n in sorted(arguments.components):
        reached = [family.train("TopK", arguments.l0[0], n, rate) for rate in RATES]
        for rate, result in zip(RATES, reached, strict=True):
            show(f"step {rate:g}, {n} atoms", result)
        errors = [result["validation"]["fvu"] for result in reached]
        rule = 2e-4 / (n / 2**14) ** 0.5
        rows.append([str(n), *(f"{error:.1%}" for error in errors), f"{rule:.1e}"])
    return ["atoms", *(f"{rate:g}" for rate in RATES), "rule"], rows


def show(label, reached):
    """Print what a run reached."""
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
    parser.add_argument("--results", type=Path, default=Path("family.jsonl"))
    parser.add_argument("--output", type=Path, help="folder for the tables")
    add_arguments(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths, (n_samples, _) = prepare(arguments.data, folder)
        family = Family(arguments, paths, n_samples)
        for part in arguments.part or parts:
            print(f"\n{part}", flush=True)
            head, rows = parts[part](family, arguments)
            if arguments.output:
                file = arguments.output / f"family_{part}.inc"
                file.write_text(to_rst("bench_family.py", head, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
