"""Dictionaries learned under k-sparse codes: error against the processor's seconds, and size.

Activations (the matrices "train" and "test" of an .npz file that is named; rows of other contexts
to test): 18,000 rows to learn from, 2,000 to test, centered and scaled to unit mean square, 2,304
atoms, k=32, codes >= 0. Patches: 20,000 of 8 x 8 of a photograph, their means removed, 2,000 others
to test, 256 atoms, k=8, signed codes. For each learner the fraction of variance unexplained on test
rows stands beside the processor's seconds of learning, one thread. Autoencoders of several packages
encode by themselves, non-negative always, and are trained anew, each by its own recipe, for every
number of epochs; dictionaries of all packages get the same ORMP codes, ours. So do those of our
autoencoders, about the centers that they have learned.

Recovery: the published synthetic signal; latent and dictionary MCC of learning with a penalty and
with the known number of non-zeros, the same starts.

Size: seconds and the most memory of one online pass over 20,000 rows of 576 features with 4,608
atoms, and over 100,000 of 768 with 16,384, synthetic, and of one full batch more.

    python benchmarks/bench_ksparse.py [activations.npz] [--quick] [--case activations]
        [--components 2304 4608] [--peers sae-lens=/path/to/python]
        [--peers spams=/path/to/python] [--figure FILE] [--table FILE] [--results FILE]

With --results every learner's points are written when it is done, and a second run goes on there.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from _dictionary_peers import LEARNERS, learn
from _list_table import to_rst
from _training_peers import ADAPTERS, Peer
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skamort import GradSparseCoder, TopKSAE
from skamort.datasets import load_image_patches, make_published_signal
from skamort.metrics import dictionary_mcc, fraction_variance_unexplained, latent_mcc
from skamort.solvers import sparse_encode

EPOCHS = (2, 5, 12, 30)
PEER_EPOCHS = EPOCHS[:3]
# n_features, n_components, rows, k
SIZES = ((576, 4608, 20_000, 32), (768, 16_384, 100_000, 32))
TOY_SEEDS = (20240926, 20240927, 20240928)
SHARED = {"fit_intercept": False, "random_state": 0, "device": "cpu"}
TICKS = (0.12, 0.13, 0.14, 0.15, 0.17, 0.2, 0.25, 0.3, 0.4, 0.5)
# Ours in strong colors, apart for the color-blind as well.
COLORS = {
    "GradSparseCoder": "#0072b2", "TopKSAE": "#d55e00", "TopKSAE(n_stages=2)": "#000000",
    "scikit-learn": "#009e73", "spams": "#cc79a7", "sae-lens": "#e69f00", "sae-lens-mp": "#56b4e9",
    "dictionary-learning": "#882255", "overcomplete": "#999933", "dictlearn online": "#777777",
    "dictlearn K-SVD": "#bbbbbb",
}  # fmt: skip


def activations(arguments, n_components):
    """Return rows to learn from and to test, and what is asked of learners."""
    with np.load(arguments.data) as data:
        train, test = (data[name].astype(np.float32) for name in ("train", "test"))
    train, test = train[:18_000], test[:2000]
    mean = train.mean(axis=0)
    scale = np.sqrt(np.mean(np.square(train - mean)))
    told = {"n_components": n_components, "k": 32, "positive": True}
    told["iterations"] = (1, 2, 4, 8, 12)
    return (train - mean) / scale, (test - mean) / scale, told


def patches(arguments, n_components):
    """Return the same of patches of a photograph."""
    n_samples = 2000 if arguments.quick else 22_000
    X = load_image_patches(n_samples, patch_size=8, random_state=0).reshape(n_samples, -1)
    X = (X / np.sqrt(np.mean(np.square(X)))).astype(np.float32)
    n_test = n_samples // 11
    told = {"n_components": n_components, "k": 8, "positive": False}
    told["iterations"] = (1, 2, 4, 8, 16, 40)
    return X[n_test:], X[:n_test], told


def timed_fit(estimator, X):
    """Return the processor's seconds of a fit, warnings of early stops left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        begin = time.process_time()
        estimator.fit(X)
        return time.process_time() - begin


def longer_fits(estimator, train, looks, limit):
    """Yield the seconds of fits of more and more iterations, while the next one is in time."""
    spent, before = 0, 1
    for max_iter in looks:
        if spent * max_iter / before > limit:
            return
        spent, before = timed_fit(estimator.set_params(max_iter=max_iter), train), max_iter
        yield spent


def own_error(estimator, test):
    """Return the variance that an estimator's own codes leave unexplained."""
    return fraction_variance_unexplained(
        test, estimator.inverse_transform(estimator.transform(test))
    )


def best_error(dictionary, test, told, center=0):
    """Return what ORMP codes for a dictionary leave unexplained, about a center."""
    dictionary = dictionary / np.linalg.norm(dictionary, axis=1, keepdims=True)
    codes = sparse_encode(
        test - center, dictionary.astype(test.dtype), algorithm="ormp",
        n_nonzero_coefs=told["k"], positive=told["positive"],
    )  # fmt: skip
    return fraction_variance_unexplained(test, codes @ dictionary + center)


def coder_curve(train, test, told, arguments):
    """Yield a name, the seconds and the error of our dictionary learner, longer and longer."""
    coder = GradSparseCoder(
        told["n_components"], n_nonzero_coefs=told["k"], positive_code=told["positive"], **SHARED
    )
    few = clone(coder).set_params(n_components=256, max_iter=2)
    timed_fit(few, train[:600])  # kernels are compiled
    looks = told["iterations"][: 2 if arguments.quick else None]
    for seconds in longer_fits(coder, train, looks, arguments.seconds):
        yield "GradSparseCoder", seconds, own_error(coder, test)


def sae_curve(n_stages, train, test, told, arguments):
    """Yield the same of our autoencoder, and of ORMP codes for its atoms."""
    name = f"TopKSAE{'' if n_stages is None else f'(n_stages={n_stages})'}"
    options = {**SHARED, "fit_intercept": True, "k": told["k"], "n_stages": n_stages}
    sae = TopKSAE(told["n_components"], **options)
    timed_fit(sae.set_params(max_iter=1), train[:600])
    sae.set_params(n_iter_no_change=max(EPOCHS))
    looks = EPOCHS[: 1 if arguments.quick else None if n_stages is None else 3]
    for seconds in longer_fits(sae, train, looks, arguments.seconds):
        yield name, seconds, own_error(sae, test)
        found = best_error(sae.components_, test, told, sae.intercept_)
        yield f"{name}'s atoms, ORMP codes", seconds, found


def dictionary_curve(name, python, test, told):
    """Yield the same of ORMP codes for a dictionary of another package."""
    for seconds, dictionary in learn(name, python, told):
        yield name, seconds, best_error(dictionary, test, told)


def peer_curve(name, python, train, told):
    """Yield the same of an autoencoder of another package, while the next fit is in time."""
    spent, before = 0, 1
    for n_epochs in PEER_EPOCHS:
        if spent * n_epochs / before > told["seconds"]:
            return
        spent, error = trained(name, python, told, n_epochs * len(train) // 256)
        yield name, spent, error
        before = n_epochs


def learners(train, test, told, arguments, folder):
    """Return what yields the points of each learner, ours and other packages', by name."""
    paths = {name: f"{folder}/{name}.npy" for name in ("train", "test")}
    np.save(paths["train"], train)
    np.save(paths["test"], test)
    alpha = 0.1 * float(np.linalg.norm(train, axis=1).mean())
    limits = {"first": 1.0, "seconds": arguments.seconds, "debug": arguments.debug}
    sources = {
        "GradSparseCoder": coder_curve(train, test, told, arguments),
        "TopKSAE": sae_curve(None, train, test, told, arguments),
        "TopKSAE(n_stages=2)": sae_curve(2, train, test, told, arguments),
    }
    told = {**told, **paths, **limits, "folder": folder, "alpha": alpha}
    for package, python in (pair.split("=", 1) for pair in arguments.peers):
        names = [name for name in LEARNERS if name.split()[0] == package]
        sources |= {name: dictionary_curve(name, python, test, told) for name in names}
        if not names:
            sources[package] = peer_curve(package, python, train, told)
    return sources


def trained(name, python, told, n_steps):
    """Return the seconds and the error of an autoencoder of another package."""
    settings = {
        **told, "learning_rate": None, "recipe": True, "batch_size": 256, "n_steps": n_steps,
        "threads": 1, "seed": 0,
    }  # fmt: skip
    peer = Peer(name, python, settings)
    seconds, error = peer.train(n_steps)[1], peer.evaluate()["test"]["fvu"]
    peer.close()
    return seconds, error


def compare(case, n_components, arguments):
    """Print the table of one kind of data; return the curves."""
    train, test, told = CASES[case](arguments, n_components)
    print(f"\n{case}: {train.shape[0]} rows of {train.shape[1]} features, {told}")
    print(f"{'':40s} {'CPU s':>8s} {'FVU':>8s}")
    curves, place = {}, f"{case} {n_components}"
    with tempfile.TemporaryDirectory() as folder:
        for learner, source in learners(train, test, told, arguments, folder).items():
            for name, seconds, error in kept(f"{place} {learner}", source, arguments.results):
                curves.setdefault(name, []).append((seconds, error))
                print(f"{name:40s} {seconds:8.1f} {error:8.4f}", flush=True)
    return curves


def kept(key, source, file):
    """Yield the points of a learner from a file where they are, or else write them there."""
    lines = file.read_text().splitlines() if file and file.exists() else []
    known = {each["key"]: each["points"] for each in map(json.loads, lines)}
    if key in known:
        yield from known[key]
        return
    points = []
    for name, seconds, error in source:
        points.append((name, float(seconds), float(error)))
        yield points[-1]
    if file:
        with file.open("a") as written:
            written.write(json.dumps({"key": key, "points": points}) + "\n")


def recover(quick):
    """Print how well true latents and atoms are found again."""
    print(f"\nrecovery\n{'':44s} {'latents':>8s} {'atoms':>8s}")
    ways = {
        "alpha=0.03": {"alpha": 0.03},
        "n_nonzero_coefs=3": {"n_nonzero_coefs": 3},
        "n_nonzero_coefs=3, alpha in transform": {"n_nonzero_coefs": 3, "transform_alpha": 0.03},
    }
    for name, options in ways.items():
        found = []
        for seed in TOY_SEEDS[: 1 if quick else None]:
            X, dictionary, codes = make_published_signal(seed)
            coder = GradSparseCoder(16, n_init=5, random_state=0, **options)
            timed_fit(coder, X[:1024])
            latents = latent_mcc(codes[1024:], coder.transform(X[1024:]))
            found.append((latents, dictionary_mcc(dictionary, coder.components_)))
        print(f"{name:44s} {np.mean(found, axis=0)[0]:8.3f} {np.mean(found, axis=0)[1]:8.3f}")


def measure_size(n_features, n_components, n_samples, k, max_iter):
    """Print the seconds and the most memory of a fit, in a process of its own."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    atoms = random.standard_normal((4096, n_features), dtype=np.float32)
    X = 0.05 * random.standard_normal((n_samples, n_features), dtype=np.float32)
    for _ in range(k):
        chosen = random.integers(len(atoms), size=n_samples)
        for rows in np.array_split(np.arange(n_samples), 20):
            X[rows] += random.exponential(size=(len(rows), 1)).astype("f") * atoms[chosen[rows]]
    coder = GradSparseCoder(
        n_components, n_nonzero_coefs=k, max_iter=max_iter, fit_intercept=False, random_state=0
    )
    timed_fit(GradSparseCoder(64, n_nonzero_coefs=2, max_iter=2), X[:600])  # kernels are compiled
    seconds = timed_fit(coder, X)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{n_samples} x {n_features}, {n_components} atoms, k={k}, {max_iter} iteration(s): "
        f"{seconds:.0f} s, at most {memory:.1f} GB, data of {X.nbytes / 2**30:.1f} GB included",
        flush=True,
    )


def to_rows(all_curves):
    """Return the head and the rows of a table: per cent unexplained, and the seconds."""
    names = dict.fromkeys(name for curves in all_curves.values() for name in curves)
    points = [[curves.get(name, []) for curves in all_curves.values()] for name in names]
    cells = [
        [", ".join(f"{100 * error:.1f} ({seconds:.2g})" for seconds, error in each) for each in row]
        for row in points
    ]
    return ["learned by", *all_curves], [[n, *row] for n, row in zip(names, cells, strict=True)]


def draw(all_curves, path):
    """Draw error against seconds, a panel for each kind of data."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    figure, axes = plt.subplots(
        1, len(all_curves), figsize=(4.2 * len(all_curves), 5.2), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, (case, curves) in zip(axes[0], all_curves.items(), strict=True):
        for name, curve in curves.items():
            learner, _, by_pursuit = name.partition("'s atoms")
            number = list(COLORS).index(learner)
            ax.plot(
                *np.transpose(curve), label=name, color=COLORS[learner], ms=5,
                marker="osD^v<>PX*h"[number], ls="--" if by_pursuit else "-",
                lw=2.5 if number < 1 else 1.2, mfc="white" if by_pursuit else None,
            )  # fmt: skip
        ax.set(xscale="log", yscale="log", title=case, xlabel="CPU seconds of learning")
        low, high = ax.get_ylim()
        shown = [tick for tick in TICKS if low <= tick <= high]
        ax.set_yticks(shown, [f"{tick:.0%}" for tick in shown])
        ax.set_yticks([], minor=True)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("")
        ax.set_ylabel("variance unexplained, test rows")
    handles = {line.get_label(): line for ax in axes[0] for line in ax.get_lines()}
    where = {"loc": "outside lower center", "ncols": 1 + len(all_curves)}
    figure.legend(handles.values(), handles, fontsize="small", **where)
    figure.savefig(path, dpi=120)


CASES = {"activations": activations, "patches": patches}


def panels(cases, arguments):
    """Yield a title, the kind of data and the number of atoms of each comparison."""
    for case in cases:
        for n_components in arguments.components if case == "activations" else [256]:
            if case in CASES and (arguments.data or case == "patches"):
                yield f"{case}, {n_components:,} atoms", case, n_components


def main():
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="activations, .npz")
    parser.add_argument("--case", action="append", choices=[*CASES, "recovery", "size"])
    parser.add_argument(
        "--components", type=int, nargs="+", default=[2304], help="atoms for activations"
    )
    parser.add_argument(
        "--peers", action="append", default=[], metavar="PACKAGE=PATH",
        help="interpreter of a package's own environment; packages: "
        + ", ".join(sorted({*ADAPTERS, *(name.split()[0] for name in LEARNERS)} - {"skamort"})),
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=60, help="most that a learner takes")
    parser.add_argument("--results", type=Path, help="file of JSON lines to go on from")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--debug", action="store_true", help="show what the packages print")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.measure:
        measure_size(*arguments.measure)
        return
    cases = arguments.case or ["activations", "patches", "recovery", "size"]
    drawn = panels(cases, arguments)
    curves = {title: compare(*what, arguments) for title, *what in drawn}
    if arguments.figure:
        draw(curves, arguments.figure)
    if arguments.table:
        arguments.table.write_text(to_rst("bench_ksparse.py", *to_rows(curves)))
    if "recovery" in cases:
        recover(arguments.quick)
    if "size" in cases:
        sizes = [(64, 512, 4000, 8)] if arguments.quick else SIZES
        for size in sizes:
            for max_iter in (1, 2):
                command = [sys.executable, __file__, "--measure", json.dumps([*size, max_iter])]
                one = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
                subprocess.run(command, check=True, env={**os.environ, **one})


if __name__ == "__main__":
    main()
