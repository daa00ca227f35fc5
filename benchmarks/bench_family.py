"""The family of sparse autoencoders on real activations: error against sparsity, width and step.

    frontier   fraction of variance unexplained for each number of active codes, of all variants
    widths     the same for each number of atoms at one number of active codes, with the slope in
               log-log, and the share of dead latents
    steps      error of TopK, or those of `--only`, for each number of atoms and step size, and the
               best step, where a parabola through the three best has its lowest point, beside
               2e-4 / sqrt(atoms / 2^14)
    costs      seconds of a step of our variants, with `--jobs 1`; other numbers of codes than the
               first of `--l0` warm up

Variants that keep k codes get k; those with a penalty that L0 as `target_l0`; all else is as by
default. Beside them run the TopK autoencoders of the packages of `--python` with their own recipes,
as in bench_quality_peers.py, which says how data are prepared. Figures are of the test rows.

    python benchmarks/bench_family.py activations.npz --python sae-lens=/path/to/python ...

Runs are kept in the file `--results`, a line of JSON each, and not made again; `--output` writes
the tables of the documentation, and of the first two a figure. `--jobs` of them are made at once,
on one GPU with `--device cuda`; those that failed stand in the tables as an absent number.
"""

import argparse
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock, local

import numpy as np
from _family_figure import draw
from _list_table import to_rst
from _training_peers import Peer, add_arguments, interpreters
from bench_quality_peers import prepare, trained

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
RATES = [2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2]
# In place of a run that could not be made.
ABSENT = {"fvu": np.nan, "l0": np.nan}
FAILED = {"dead": np.nan, "validation": ABSENT, "test": ABSENT}


class Family:
    """Trains variants and packages on the same rows, each once.

    A run is named by what is trained, the codes it is to have, its atoms and its step size, None
    for its own.

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
        self.jobs, self.lock = arguments.jobs, Lock()
        self.local, self.peers = local(), []
        self.settings = {
            **paths,
            "learning_rate": None,
            "recipe": True,
            "batch_size": arguments.batch_size,
            "n_steps": arguments.epochs * (n_samples // arguments.batch_size),
            "threads": arguments.threads,
            "debug": arguments.debug,
            "device": arguments.device,
            "seed": arguments.seed,
            "alpha": 0.0,
        }
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.reached = {tuple(key): result for key, result in map(json.loads, lines)}

    def train(self, keys):
        """Make the runs that have not been made: ours, then a package after the other."""
        missing = {key: None for key in keys if key not in self.reached}
        places = ["skamort", *self.python]

        def order(key):
            return places.index("skamort" if key[0] in OURS else key[0])

        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(self._train, sorted(missing, key=order)))
        for peer in self.peers:
            peer.close()

    def _train(self, key):
        try:
            result = self._run(*key)
        except RuntimeError as error:
            self.reached[key] = FAILED
            print(f"{key}: {error}", flush=True)
            return
        show(key, result)
        with self.lock, self.file.open("a") as file:
            self.reached[key] = result
            file.write(json.dumps([key, result]) + "\n")

    def _run(self, name, l0, n_components, rate):
        told = {**self.settings, "k": l0, "n_components": n_components}
        if name not in OURS:
            return trained(self._peer(name, told), told)
        estimator, options = OURS[name]
        options = {**DEFAULTS, **options, **({} if rate is None else {"learning_rate": rate})}
        if name in BY_L0:
            told["k"], options = 0, {**options, "alpha": "auto", "target_l0": l0}
        told.update(estimator=estimator, options=options)
        return trained(self._peer("skamort", told), told)

    def _peer(self, name, settings):
        """Return a package that has started, in this thread's process where it is of the same."""
        peer = getattr(self.local, "peer", None)
        if peer is not None and peer.name == name and peer.process.poll() is None:
            peer.start(settings)
            return peer
        if peer is not None:
            peer.close()
        self.local.peer = Peer(name, self.python[name], settings)
        self.peers.append(self.local.peer)
        return self.local.peer


def frontier_runs(family, arguments):
    """Return the runs of all for each number of active codes."""
    n = arguments.components[0]
    return [(name, l0, n, None) for l0 in arguments.l0 for name in family.names]


def frontier(family, arguments):
    """Return their errors."""
    n, rows = arguments.components[0], []
    for name in family.names:
        row = [name]
        for l0 in sorted(arguments.l0):
            test = family.reached[name, l0, n, None]["test"]
            codes = "" if abs(test["l0"] - l0) <= 0.5 else f" ({test['l0']:.0f})"
            row.append(f"{test['fvu']:.1%}{codes}")
        rows.append(row)
    return ["variant", *map(str, sorted(arguments.l0))], rows


def widths_runs(family, arguments):
    """Return the runs of ours for each number of atoms."""
    sizes, l0 = sorted(arguments.components), arguments.l0[0]
    return [(name, l0, n, None) for n in sizes for name in ours(family)]


def widths(family, arguments):
    """Return errors and dead latents, and how fast errors fall."""
    rows, sizes, l0 = [], sorted(arguments.components), arguments.l0[0]
    for name in ours(family):
        reached = [family.reached[name, l0, n, None] for n in sizes]
        errors = [result["test"]["fvu"] for result in reached]
        slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
        cells = [f"{r['test']['fvu']:.1%}, {r['dead']:.1%} dead" for r in reached]
        rows.append([name, *cells, f"{slope:.3f}"])
    return ["variant", *map(str, sizes), "slope"], rows


def steps_runs(family, arguments):
    """Return the runs of TopK, or those asked for, for each number of atoms and step size."""
    sizes, l0 = sorted(arguments.components), arguments.l0[0]
    names = ours(family) if arguments.only else ["TopK"]
    return [(name, l0, n, rate) for name in names for n in sizes for rate in RATES]


def steps(family, arguments):
    """Return their errors on validation rows, and the best step sizes."""
    rows, keys = [], steps_runs(family, arguments)
    for name, l0, n in dict.fromkeys(key[:3] for key in keys):
        errors = [family.reached[name, l0, n, rate]["validation"]["fvu"] for rate in RATES]
        cells = [f"{error:.1%}" for error in errors]
        best, rule = best_rate(RATES, errors), 2e-4 / (n / 2**14) ** 0.5
        rows.append([name, str(n), *cells, f"{best:.1e}", f"{rule:.1e}"])
    return ["variant", "atoms", *(f"{rate:g}" for rate in RATES), "best", "rule"], rows


def best_rate(rates, errors):
    """Return where a parabola through the best step size and its neighbours, in logarithms of step
    sizes, is lowest; one at an end is the best itself."""
    best = int(np.nanargmin(errors))
    if best in (0, len(rates) - 1):
        return rates[best]
    near = slice(best - 1, best + 2)
    curvature, slope, _ = np.polyfit(np.log(rates[near]), errors[near], 2)
    return np.exp(-slope / (2 * curvature))


def costs_runs(family, arguments):
    """Return the runs of ours, each with few codes before that with as many as are meant."""
    n, l0s = arguments.components[0], sorted(arguments.l0, key=arguments.l0.index, reverse=True)
    return [(name, l0, n, None) for name in ours(family) for l0 in l0s]


def costs(family, arguments):
    """Return the seconds of a step, and as multiples of those of TopK and ReLU."""
    n, l0, n_steps = arguments.components[0], arguments.l0[0], family.settings["n_steps"]
    seconds = {
        name: family.reached[name, l0, n, None]["seconds"] / n_steps for name in ours(family)
    }
    rows = [
        [name, f"{1e3 * s:.2f}", f"{s / seconds['TopK']:.2f}", f"{s / seconds['ReLU']:.2f}"]
        for name, s in seconds.items()
    ]
    return ["variant", "milliseconds a step", "of TopK", "of ReLU"], rows


def ours(family):
    """Return the names of our variants that are asked for."""
    return [name for name in family.names if name in OURS]


# What each part trains, and its table.
PARTS = {
    "frontier": (frontier_runs, frontier),
    "widths": (widths_runs, widths),
    "steps": (steps_runs, steps),
    "costs": (costs_runs, costs),
}


def draw_figure(family, arguments):
    """Draw what has been reached by step sizes of one's own."""
    n, l0 = arguments.components[0], arguments.l0[0]
    runs = sorted((key[:3], run["test"]) for key, run in family.reached.items() if key[3] is None)
    frontier = {
        name: [test for (of, _, atoms), test in runs if (of, atoms) == (name, n)]
        for name in family.names
    }
    widths = {
        name: {atoms: test["fvu"] for (of, codes, atoms), test in runs if (of, codes) == (name, l0)}
        for name in family.names
    }
    draw(frontier, widths, l0, arguments.output / "family.png")


def show(key, reached):
    """Print what a run reached."""
    name, l0, n_components, rate = key
    label = f"{name}, {n_components} atoms, {l0} codes" + (f", step {rate:g}" if rate else "")
    test = reached["test"]
    print(
        f"{label:44s} FVU {test['fvu']:.4f}  L0 {test['l0']:6.1f}  dead {reached['dead']:6.2%}  "
        f"{reached['seconds']:5.0f} s",
        flush=True,
    )


def main():
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help=".npz file with the matrices train and test")
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--only", action="append", help="a variant or a package; all if absent")
    parser.add_argument("--l0", type=int, nargs="+", default=[32, 8, 16, 64, 128])
    parser.add_argument("--components", type=int, nargs="+", default=[1152, 576, 2304, 4608, 9216])
    parser.add_argument("--rows", type=int, help="rows to train and to validate on; all if absent")
    parser.add_argument("--features", type=int, help="largest principal components; all if absent")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--results", type=Path, default=Path("family.jsonl"))
    parser.add_argument("--output", type=Path, help="folder for the tables")
    add_arguments(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths, (n_samples, _) = prepare(arguments.data, folder, arguments.rows, arguments.features)
        family = Family(arguments, paths, n_samples)
        parts = arguments.part or PARTS
        family.train(key for part in parts for key in PARTS[part][0](family, arguments))
    if arguments.output:
        for part in parts:
            head, rows = PARTS[part][1](family, arguments)
            file = arguments.output / f"family_{part}.inc"
            file.write_text(to_rst("bench_family.py", head, rows))
        if {"frontier", "widths"} <= set(parts):
            draw_figure(family, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
