"""What k-sparse codes leave, against their price: one figure for a top-k autoencoder's atoms.

    python benchmarks/bench_ksparse_inference.py --activations FILE.npz [--output FIGURE.png]
        [--table doc/inference_table.inc] [--n-components 2304] [-k 32] [--max-iter 60]
        [--n-stages 2] [--n-test 1000] [--quick]

Trains a `TopKSAE` on the rows `train` of the file, centered, and measures on its rows `test` the
fraction of variance unexplained and the processor time of a sample, in one thread, of: the
encoder; least squares on its supports; generalized OMP by stages, from its codes on and without;
OMP; ORMP; exchanges, from ORMP's codes and from the encoder's; and another encoder that is taught
ORMP's codes, with the seconds that it takes to learn. What starts from the encoder's codes pays for
them; the Gram matrix of the atoms, which all but least squares on the encoder's supports go by, is
in no time. Codes are non-negative, in the table's third column of either sign. The line is what no
codes with as many non-zeros go below that are no larger than the best found. With ``--n-stages``
the dictionary is learned through so many stages. Without ``--activations``, image patches.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from _list_table import to_rst
from sklearn.exceptions import ConvergenceWarning

from skamort import AmortizedCoder, ITOCoder, TopKSAE
from skamort.datasets import load_image_patches
from skamort.metrics import amortization_gap, fraction_variance_unexplained
from skamort.solvers import sparse_encode

TURNS = 5
# Of the numbers of stages, beside their points.
PLACES = ((-9, -13), (4, 4))
STAGES = (1, 2, 3, 4, 8)
HEAD = ["codes", "unexplained", "of either sign", "microseconds a row", "times the encoder's"]


def load_rows(path, n_test):
    """Return rows to train on and rows to test on, about the mean of the former."""
    if path is None:
        X = load_image_patches(10_000 + n_test, patch_size=8, random_state=0)
        return X[n_test:], X[:n_test]
    stored = np.load(path)
    train, test = (stored[name].astype(np.float32) for name in ("train", "test"))
    mean = train.mean(axis=0)
    return train - mean, test[:n_test] - mean


def algorithms(k, codes):
    """Return what `sparse_encode` is asked for, by name."""
    stages = [n for n in STAGES if n <= k]
    start = {"init": codes}
    return {
        "encoder's supports, solved": {"algorithm": "topk_refined"} | start,
        **{_gomp(n): {"algorithm": "gomp", "n_stages": n} for n in stages},
        **{
            f"{_gomp(n)}, from the encoder": {"algorithm": "gomp", "n_stages": n} | start
            for n in stages[1:]
        },
        "omp": {"algorithm": "omp"},
        "ormp": {"algorithm": "ormp"},
        "exchange": {"algorithm": "exchange"},
        "exchange, from the encoder": {"algorithm": "exchange"} | start,
    }


def _gomp(n_stages):
    return f"gomp, {n_stages} stage{'s' * (n_stages > 1)}"


def measure(encode, X, dictionary):
    """Return the fraction of variance unexplained and microseconds a sample, of the best turn."""
    codes, turns = encode(), []  # compiles
    for _ in range(TURNS):
        start = time.process_time()
        encode()
        turns.append(time.process_time() - start)
    return fraction_variance_unexplained(X, codes @ dictionary), 1e6 * min(turns) / len(X)


def measure_all(X, dictionary, k, codes, encoder_price):
    """Return of every algorithm what `measure` returns, and what its signed codes leave."""
    asked = {"n_nonzero_coefs": k, "n_jobs": 1, "check_input": False}
    asked["gram"] = dictionary @ dictionary.T
    points, signed = {}, {}
    for name, options in algorithms(k, codes).items():

        def encode(positive=True, options=asked | options):
            return sparse_encode(X, dictionary, positive=positive, **options)

        fvu, price = measure(encode, X, dictionary)
        points[name] = fvu, price + (encoder_price if "init" in options else 0.0)
        if "init" not in options:  # those are >= 0
            signed[name] = fraction_variance_unexplained(X, encode(False) @ dictionary)
    return points, signed


def to_rows(points, signed):
    """Return the table's rows."""
    own = points["encoder"][1]
    either = {name: f"{fvu:.1%}" for name, fvu in signed.items()}
    return [
        [name, f"{fvu:.1%}", either.get(name, ""), f"{price:.0f}", f"{price / own:.1f}"]
        for name, (fvu, price) in points.items()
    ]


def timed(estimator, X):
    """Return an estimator that is fitted, and the processor's seconds that it took."""
    start = time.process_time()
    return estimator.fit(X), time.process_time() - start


def taught(sae, X, args):
    """Return an encoder of the same kind that learns the ORMP codes of the dictionary of another,
    and what it took, those codes included."""
    teacher = ITOCoder(estimator=sae, algorithm="ormp", n_nonzero_coefs=args.k).fit(X)
    student = TopKSAE(k=args.k, max_iter=args.max_iter, n_iter_no_change=args.max_iter)
    return timed(AmortizedCoder(teacher=teacher, encoder=student, random_state=0), X)


def draw(points, floor, path):
    """Save the figure: pursuits by stages as lines, all else as named points."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8.6, 5.4), layout="constrained")
    lines = {"gomp by stages": False, "gomp by stages, from the encoder": True}
    for (label, started), marker, place in zip(lines.items(), "os", PLACES, strict=True):
        names = [n for n in points if n.startswith("gomp") and n.endswith("encoder") == started]
        fvu, microseconds = np.transpose([points[name] for name in names])
        axes.plot(microseconds, 100 * fvu, f"{marker}-", label=label, ms=5)
        for name, x, y in zip(names, microseconds, 100 * fvu, strict=True):
            axes.annotate(name.split()[1], (x, y), xytext=place, textcoords="offset points")
    for name in [name for name in points if not name.startswith("gomp")]:
        fvu, microseconds = points[name]
        axes.plot(microseconds, 100 * fvu, "D", color="0.2")
        below = name in ("omp", "ormp", "exchange")
        side = {"omp": "right", "ormp": "left", "encoder's supports, solved": "left"}
        axes.annotate(
            name, (microseconds, 100 * fvu), xytext=(0, -6 if below else 5),
            va="top" if below else "bottom", ha=side.get(name, "center"),
            textcoords="offset points",
        )  # fmt: skip
    axes.axhline(100 * floor, color="0.4", linestyle="--", label="no codes as small go below")
    axes.set(xscale="log", xlabel="microseconds a sample, one core", ylabel="unexplained, %")
    axes.margins(x=0.2, y=0.08)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--activations", type=Path)
    parser.add_argument("--output", type=Path, help="file for the figure")
    parser.add_argument("--table", type=Path, help="file for the table")
    parser.add_argument("--n-components", type=int, default=2304)
    parser.add_argument("-k", type=int, default=32)
    parser.add_argument("--max-iter", type=int, default=60)
    parser.add_argument("--n-stages", type=int, help="stages that the dictionary learns through")
    parser.add_argument("--n-test", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="few atoms, codes and rows")
    args = parser.parse_args()
    if args.quick:
        args.n_components, args.k, args.max_iter, args.n_test = 64, 4, 2, 100
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, X_test = load_rows(args.activations, args.n_test)
    encoder, seconds = timed(
        TopKSAE(
            args.n_components, k=args.k, n_stages=args.n_stages, max_iter=args.max_iter,
            n_iter_no_change=args.max_iter, random_state=0,
        ),
        X,
    )  # fmt: skip
    print(f"learned in {seconds:.1f} s")
    codes = encoder.transform(X_test)
    centered, dictionary = X_test - encoder.intercept_, encoder.components_
    points = {"encoder": measure(lambda: encoder.transform(X_test), centered, dictionary)}
    found, signed = measure_all(centered, dictionary, args.k, codes, points["encoder"][1])
    points |= found
    student, seconds = taught(encoder, X, args)
    print(f"taught in {seconds:.1f} s more")
    points["taught ORMP's codes"] = measure(lambda: student.transform(X_test), centered, dictionary)
    for name, (fvu, microseconds) in points.items():
        print(f"{name:32} {fvu:7.2%} unexplained   {microseconds:8.1f} µs a sample", flush=True)
    if args.table:
        args.table.write_text(to_rst("bench_ksparse_inference.py", HEAD, to_rows(points, signed)))
    gap = amortization_gap(encoder, X_test, codes=codes)
    print(gap)
    if args.output:
        draw(points, gap.lower_bound_fvu, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
