"""Autoencoders of other packages on activations of a language model, judged by one judge.

Each package, in an environment of its own, trains by its own code on the same rows and saves as it
saves; `skamort.interop` loads the files, and `skamort.metrics` judges what the encoder makes of
rows of other contexts:

- FVU, L0 and the share of dead latents;
- what better codes with as many non-zeros win for the same dictionary, in points of the FVU, as an
  interval: what exchanges have found, and what none as small can exceed (encoders that limit the
  number of codes);
- the gap under an L1 penalty, as a share of the best objective, as a certified interval; the weight
  is that at which the best codes for the dictionary have k non-zeros in the mean;
- the FVU of `ITOCoder(algorithm="ormp")` with k non-zeros for the dictionary.

Rows are centered and scaled by the mean and the mean square of the training rows, for all alike.

    python benchmarks/bench_judge_peers.py --data FILE.npz [--environments DIR] [--install]

DATA has the arrays `train` and `test`. What is trained stays in --results and is not trained again.
The environments are those of `check_interop.py`.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from _list_table import to_rst
from check_interop import add_environment_options, interpreters, load, run

from skamort import ITOCoder
from skamort._decoder import limits_number
from skamort.metrics import (
    amortization_gap,
    dead_fraction,
    fraction_variance_unexplained,
    mean_l0,
)
from skamort.solvers import alpha_for_l0

PEERS = Path(__file__).with_name("_judge_peers.py")
KINDS = {
    "saelens": ("standard", "topk", "batchtopk"),
    "dictionary_learning": ("topk", "batchtopk", "matryoshka"),
    "sparsify": ("topk",),
    "overcomplete": ("topk", "batchtopk"),
}
NAMES = {
    "saelens": "SAELens",
    "standard": "L1",
    "topk": "TopK",
    "batchtopk": "BatchTopK",
    "matryoshka": "Matryoshka",
}
HEAD = (
    "package",
    "architecture",
    "FVU",
    "L0",
    "dead",
    "better codes win, points",
    "L1 gap",
    "FVU by ITOCoder",
)


def prepare(options):
    """Save the training rows for the packages; return the file and the test rows."""
    data = np.load(options.data)
    train, test = (data[part].astype(np.float32) for part in ("train", "test"))
    center = train.mean(axis=0)
    scale = np.sqrt(np.square(train - center).mean())
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / "train.npy"
    np.save(file, ((train - center) / scale)[: options.n_train])
    return file.resolve(), ((test - center) / scale)[: options.n_test]


def train_peer(python, name, folder, settings):
    """Train and save in a folder, which is there only once it is whole."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    run(python, name, unfinished, json.dumps(settings), script=PEERS)
    unfinished.rename(folder)


def judge(sae, X, k):
    """Return the figures of an autoencoder."""
    codes = sae.transform(X)
    best = ITOCoder(estimator=sae, algorithm="ormp", n_nonzero_coefs=k).fit(X)
    centered = X - (0 if sae.intercept_ is None else sae.intercept_)
    alpha = alpha_for_l0(centered, sae.components_, k, positive=True)
    gap = amortization_gap(sae, X, alpha, codes=codes, verbose=True)
    row = {
        "fvu": fraction_variance_unexplained(X, sae.inverse_transform(codes)),
        "l0": mean_l0(codes),
        "dead": dead_fraction(codes),
        "ito_fvu": fraction_variance_unexplained(X, best.inverse_transform(best.transform(X))),
        "alpha": alpha,
        "gap": [gap.gap / gap.best_objective, gap.gap_upper / gap.lower_bound],
    }
    if limits_number(sae):
        found = amortization_gap(sae, X, codes=codes, verbose=True)
        row["ksparse_gap"] = [found.fvu_gap, found.fvu_gap_upper]
    return row


def cells(name, row):
    """Return a line of the table."""
    package, _, kind = name.partition("-")
    points = row.get("ksparse_gap")
    return [
        NAMES.get(package, package),
        NAMES[kind],
        f"{row['fvu']:.3f}",
        f"{row['l0']:.1f}",
        f"{100 * row['dead']:.0f} %",
        "{:.1f} to {:.1f}".format(*(100 * p for p in points)) if points else "",
        "{:.1f} to {:.1f} %".format(*(100 * g for g in row["gap"])),
        f"{row['ito_fvu']:.3f}",
    ]


def main():
    """Train, load, judge and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_environment_options(parser)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=Path("results/judge_peers"))
    parser.add_argument("--n-train", type=int, default=20_000)
    parser.add_argument("--n-test", type=int, default=500)
    parser.add_argument("--n-components", type=int, default=1152)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--n-epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--l1-coefficient", type=float, default=5.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, X = prepare(options)
    names = ("n_components", "k", "n_epochs", "batch_size", "learning_rate", "l1_coefficient")
    settings = {"train": str(train), "seed": 0, **{name: getattr(options, name) for name in names}}
    table = []
    for package, python in interpreters(options).items():
        for kind in KINDS[package]:
            name = f"{package}-{kind}"
            folder, figures = options.results / name, options.results / f"{name}.json"
            if not folder.exists():
                train_peer(python, name, folder, settings)
            if not figures.exists():
                figures.write_text(json.dumps(judge(load(folder), X, options.k)))
            table.append(cells(name, json.loads(figures.read_text())))
            print(*table[-1], sep="  ", flush=True)
    (options.results / "table.inc").write_text(to_rst(Path(__file__).name, HEAD, table))


if __name__ == "__main__":
    main()
