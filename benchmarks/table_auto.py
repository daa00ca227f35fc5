"""What "auto" wins over plain settings, on data of many kinds: the table of "Training an encoder".

    python benchmarks/table_auto.py [--activations FILE.npz] [--output doc/auto_table.inc] [--quick]

Trains `TopKSAE` for ten passes and to convergence, three seeds each, once as it is and once with
the plain settings: no center, random atoms, steps of 1e-3 of one size, batches of 256 rows, up to
1,000 epochs, nothing done about dead latents. Prints the variance unexplained on rows that were
held out, and the share of latents that fire on none of them; mean and spread over the seeds. The
activations are arrays "train" and "test" of one file, rows of other contexts in "test".
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize

from skamort import TopKSAE
from skamort.datasets import load_image_patches, make_published_signal

PLAIN = {
    "fit_intercept": False,
    "dict_init": None,
    "learning_rate": 1e-3,
    "schedule": None,
    "max_iter": 1000,
    "batch_size": 256,
    "dead_latents": None,
}


def load_data(path, n_rows):
    """Return rows to train on, rows to test on, atoms and k of each kind of data, by name."""
    rng = np.random.default_rng(0)
    digits = rng.permutation(load_digits().data)
    patches = rng.permutation(load_image_patches(6000, random_state=0))
    signal = make_published_signal(n_samples=2048)[0]
    noise = 5 + rng.standard_normal((3000, 64))
    data = {
        "raw digits": (digits[:1297], digits[1297:], 128, 8),
        "photo patches": (patches[:5000], patches[5000:], 288, 8),
        "published signal": (signal[:1024], signal[1024:], 16, 3),
        "N(5, 1)": (noise[:2000], noise[2000:], 128, 8),
    }
    if path is None:
        return data
    with np.load(path) as arrays:
        train, test = (arrays[name].astype(np.float32) for name in ("train", "test"))
    train, test, mean = rng.permutation(train)[:n_rows], test, train.mean(axis=0)
    few = train[:2400]
    return {
        **data,
        "activations": (train, test, 576, 32),
        "activations, centered": (train - mean, test - mean, 576, 32),
        "activations, unit norm": (normalize(train), normalize(test), 576, 32),
        "2,400 of them, 128 atoms": (normalize(few), normalize(test), 128, None),
    }


def measure(train, test, n_components, k, settings, seed):
    """Return the variance unexplained, the dead share, the epochs and the seconds of a fit."""
    sae = TopKSAE(n_components, k=k, random_state=seed, **settings)
    start = time.process_time()
    sae.fit(train)
    seconds = time.process_time() - start
    dead = np.mean(~(sae.transform(test) > 0).any(axis=0))
    return 1 - sae.score(test), dead, sae.n_iter_, seconds


def compare(data, seeds, lengths):
    """Yield a row of the table: names, and an array of shape (n_seeds, 4) for either setting."""
    for name, (train, test, n_components, k) in data.items():
        for length, limit in lengths.items():
            limited = {} if limit is None else {"max_iter": limit}
            both = [
                np.array([measure(train, test, n_components, k, s | limited, i) for i in seeds])
                for s in (PLAIN, {})
            ]
            yield name, length, both


def told(found):
    """Return the figures of a setting as texts."""
    error, dead, epochs, seconds = found.mean(axis=0)
    spread = found[:, 0].std()
    return f"{error:.3f} ± {spread:.3f}", f"{dead:.0%}", f"{epochs:.0f}", f"{seconds:.1f}"


def as_rst(rows):
    """Return the rows as a reStructuredText list-table."""
    heads = ["data", "passes", "plain: unexplained", "dead", "epochs"]
    heads += ["auto: unexplained", "dead", "epochs"]
    table = [heads, *([name, length, *told(p)[:3], *told(a)[:3]] for name, length, (p, a) in rows)]
    lines = [".. Written by benchmarks/table_auto.py.", "", ".. list-table::", "   :header-rows: 1"]
    for cells in table:
        lines += ["", *(f"   {'*' if not i else ' '} - {cell}" for i, cell in enumerate(cells))]
    return "\n".join(lines) + "\n"


def main():
    """Print the table; write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--activations", type=Path, help="arrays train and test, as npz")
    parser.add_argument("--rows", type=int, default=3000, help="activations to train on")
    parser.add_argument("--output", type=Path, help="write the table there as reStructuredText")
    parser.add_argument("--quick", action="store_true", help="one seed, ten passes alone")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    lengths = {"10": 10} if args.quick else {"10": 10, "to convergence": None}
    rows = []
    for row in compare(
        load_data(args.activations, args.rows), range(1 if args.quick else 3), lengths
    ):
        name, length, (plain, auto) = row
        print(f"{name:24} {length:15} plain {' '.join(told(plain))}", end="   ")
        print(f"auto {' '.join(told(auto))}", flush=True)
        rows.append(row)
        if args.output:
            args.output.write_text(as_rst(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
