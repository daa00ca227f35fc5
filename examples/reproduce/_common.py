"""What the reproductions share: settings, data, runs, tables and files."""

import argparse
import csv
import json
import warnings
from pathlib import Path

import _compiled
import _published
import numpy as np
import torch
from _published import PublishedAutoencoders, PublishedSparseCoding
from sklearn.exceptions import ConvergenceWarning

from skamort.datasets import make_published_signal, make_sparse_coded_signal, zipf_weights
from skamort.estimators import _dictionary
from skamort.metrics import dictionary_mcc, latent_mcc

_dictionary.DRAWN_IN = None  # the starts with which the published figures were made

RESULTS = Path(__file__).parents[2] / "results"
COLUMNS = ("published", "published method", "better method")
N_TRAIN = 1024
# Settings of all trained encoders here beside their learning rates: the figures are to stay.
TRAINING = {"dict_init": None, "fit_intercept": False, "schedule": None, "batch_size": 256}

# Quick settings stop long before convergence, and say so once, here.
warnings.simplefilter("ignore", ConvergenceWarning)


def read_command_line():
    """Whether the published settings are asked for, and fewer steps or samples than theirs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--paper", action="store_true", help="the published settings, slowly")
    parser.add_argument("--steps", type=int, help="train the published method for fewer steps")
    parser.add_argument("--samples", type=int, help="learn the large case from fewer samples")
    parser.add_argument("--inference-steps", type=int, help="descend for fewer steps to test codes")
    parser.add_argument("--device", default="cpu", help="where the published method trains")
    parser.add_argument("--compiled", action="store_true", help="take its gradients in C")
    return parser.parse_known_args()[0]


DEVICE = read_command_line().device
_published.COMPILED = _compiled if read_command_line().compiled else None


def to_tensor(array):
    """Return an array as a tensor where the published method trains."""
    return torch.tensor(array, device=DEVICE)


def asked_for_paper():
    """Whether the command line asks for the published settings."""
    return read_command_line().paper


def published_steps(paper, quick):
    """Number of steps of the published method: the paper's, the quick ones, or as asked for."""
    options = read_command_line()
    return options.steps or (paper if options.paper else quick)


def published_rate(rate):
    """Learning rate of the published method; quick settings take steps ten times as large."""
    return rate if asked_for_paper() else 10 * rate


def inference_steps():
    """Number of steps that published sparse coding takes for the codes of test data."""
    return read_command_line().inference_steps or (10_000 if asked_for_paper() else 1000)


def label_of(column):
    """Say of a column that the published method stops long before its end."""
    options = read_command_line()
    cut_short = options.steps or not options.paper
    return column + ", cut short" if column == "published method" and cut_short else column


# Most epochs, and starts of exact sparse coding; quick settings take fewer.
TRAINING |= {"max_iter": 1000 if asked_for_paper() else 300}
N_INIT = 5 if asked_for_paper() else 2


class BaseCase:
    """The published base case: 16 sources, 3 active, 8 measurements, 1024 samples each.

    Parameters
    ----------
    seed : int
        Seed of the data.
    n_components, n_features, n_nonzero_coefs : int
        N, M and K of the paper.
    zipf : {None, "rank", "authors"}
        Whether sources differ. The j-th is drawn in proportion to 1 / j; "rank" scales it by 1 / j
        as well, "authors" by its share p_j of the draws plus 0.1, as the authors' code does.
    """

    def __init__(self, seed, n_components=16, n_features=8, n_nonzero_coefs=3, *, zipf=None):
        sizes = {
            "n_samples": 2 * N_TRAIN,
            "n_components": n_components,
            "n_features": n_features,
            "n_nonzero_coefs": n_nonzero_coefs,
        }
        if zipf:
            magnitudes = zipf_weights(n_components, offset=0.1) if zipf == "authors" else None
            arrays = make_sparse_coded_signal(
                **sizes, positive=True, zipf_exponent=1, importance=magnitudes, random_state=seed
            )
            data, self.dictionary, codes = (array.astype(np.float32) for array in arrays)
        else:
            data, self.dictionary, codes = make_published_signal(seed, **sizes)
        self.X_train, self.X_test = data[:N_TRAIN], data[N_TRAIN:]
        self.codes_train, self.codes_test = codes[:N_TRAIN], codes[N_TRAIN:]

    def latent_mcc(self, codes, matched=False):
        """Recovery of the test data's codes."""
        return latent_mcc(self.codes_test, codes, matched=matched)

    def published(self, hidden=(), *, known=None, n_steps, n_runs, bias=True, learning_rate=1e-3):
        """Train autoencoders as published, with `known` "codes", "dictionary" or None.

        Returns
        -------
        scores : dict of list
            Figures of each run, see `measure`.
        """
        X, X_test, atoms, codes = map(
            to_tensor, (self.X_train, self.X_test, self.dictionary, self.codes_train)
        )
        widths = (X.shape[1], *hidden, len(atoms))
        learned = {"dictionary": atoms if known == "dictionary" else None}
        runs = PublishedAutoencoders(widths, bias=bias, n_runs=n_runs, device=DEVICE, **learned)
        known_codes = codes if known == "codes" else None
        rate = published_rate(learning_rate)
        runs.fit(X, codes=known_codes, n_steps=n_steps, learning_rate=rate)
        with torch.no_grad():
            found = runs.encode(X_test)
        if known == "codes":
            return {
                "latent MCC": [self.latent_mcc(z, matched=True) for z in found.numpy(force=True)]
            }
        return self.measure(found, runs.dictionary.detach().expand(n_runs, -1, -1))

    def published_sparse_coding(self, *, n_steps, n_runs, bias=False):
        """Learn codes and dictionary by descent as published, then codes of the test data.

        Returns
        -------
        scores : dict of list
            Figures of each run, see `measure`.
        """
        runs = PublishedSparseCoding(
            *self.dictionary.shape, bias=bias, n_runs=n_runs, device=DEVICE
        )
        X, X_test = to_tensor(self.X_train), to_tensor(self.X_test)
        runs.fit(X, n_steps=n_steps, learning_rate=published_rate(1e-3))
        shared = {"n_steps": inference_steps(), "learning_rate": published_rate(3e-3)}
        return self.measure(runs.encode(X_test, **shared), runs.dictionary, runs.offset)

    def published_optimization(self, *, n_steps):
        """Find codes for the true dictionary by descent as published, the same in every run."""
        runs = PublishedSparseCoding(
            *self.dictionary.shape, dictionary=to_tensor(self.dictionary)[None]
        )
        rate = published_rate(1e-3)
        found = runs.encode(to_tensor(self.X_test), n_steps=n_steps, learning_rate=rate)
        return self.measure(found, runs.dictionary)

    def measure(self, found, learned, offset=0.0, lam=0.01):
        """Return the paper's four measures of codes of the test data, a figure a run.

        Parameters
        ----------
        found : Tensor of shape (n_runs, n_samples, n_components)
            Codes.
        learned : Tensor of shape (n_runs, n_components, n_features)
            Atoms.
        offset : Tensor of shape (n_runs, 1, n_features), optional
            What is added to reconstructions.
        lam : float
            Weight of the penalty in the loss.

        Returns
        -------
        scores : dict of list
            "latent MCC", "dictionary MCC", "loss", and "L0", the share of codes above 0.001.
        """
        errors = (to_tensor(self.X_test) - offset - found @ learned).square().mean((1, 2))
        codes, atoms = found.numpy(force=True), learned.numpy(force=True)
        return {
            "latent MCC": [self.latent_mcc(each) for each in codes],
            "dictionary MCC": [dictionary_mcc(self.dictionary, each) for each in atoms],
            "loss": (errors + lam * found.abs().mean((1, 2))).tolist(),
            "L0": (found > 1e-3).float().mean((1, 2)).tolist(),
        }


def kept(name, key, make):
    """Return what `make` gives, figures that JSON holds; with ``--paper`` it is made only once.

    What takes long is kept in a file of the folder of results, so that a run can be broken off.
    """
    if not asked_for_paper():
        return make()
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}_kept.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if key not in found:
        found[key] = make()
        file.write_text(json.dumps(found), encoding="utf-8")
    return found[key]


def report(name, rows, figure):
    """Print a table, and write it and the figure to the folder of results.

    Parameters
    ----------
    name : str
        Name of the files.
    rows : dict of dict
        By encoder, a figure, the figures of several runs or, as a tuple, mean and standard
        deviation for each of `COLUMNS`.
    figure : matplotlib Figure
        What to save.
    """
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / f"{name}.png", dpi=120)
    width = max(map(len, rows))
    print(f"{'latent MCC':>{width}}", *(f"{label_of(column):>28}" for column in COLUMNS))
    with open(RESULTS / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["encoder", *COLUMNS, *(f"{column} std" for column in COLUMNS)])
        for encoder, row in rows.items():
            pairs = [mean_and_std(row.get(column, np.nan)) for column in COLUMNS]
            means, spreads = zip(*pairs, strict=True)
            cells = ["" if np.isnan(mean) else f"{mean:.3f} ± {std:.3f}" for mean, std in pairs]
            print(f"{encoder:>{width}}", *(f"{cell:>28}" for cell in cells))
            table.writerow([encoder, *means, *spreads])


def mean_and_std(values):
    """Return the mean and the standard deviation of runs; a tuple is both already."""
    return values if isinstance(values, tuple) else (np.mean(values), np.std(values))


def save(name, records, figure):
    """Print records as a table, see `write`, and write them and the figure."""
    write(name, records)
    figure.savefig(RESULTS / f"{name}.png", dpi=120)


def write(name, records):
    """Print records as a table, and write them to the folder of results.

    Parameters
    ----------
    name : str
        Name of the file.
    records : list of dict
        Rows of the table, with the same keys; NaN stays empty.
    """
    RESULTS.mkdir(exist_ok=True)

    def cell(value):
        if isinstance(value, float | np.floating):
            return "" if np.isnan(value) else f"{value:.4g}"
        return str(value)

    table = [list(records[0]), *([cell(v) for v in record.values()] for record in records)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True)))
    with open(RESULTS / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(table)


def draw_bars(ax, rows):
    """Draw the table as groups of bars, one a column that has figures."""
    colors = dict(zip(COLUMNS, ("0.7", "#4c6a8c", "#e08a3c"), strict=True))
    drawn = [column for column in COLUMNS if any(column in row for row in rows.values())]
    for index, column in enumerate(drawn):
        pairs = [mean_and_std(row.get(column, np.nan)) for row in rows.values()]
        heights, spreads = zip(*pairs, strict=True)
        x = np.arange(len(rows)) + 0.27 * (index - (len(drawn) - 1) / 2)
        error = {"yerr": spreads, "error_kw": {"elinewidth": 0.8, "capsize": 2}}
        bars = ax.bar(x, heights, 0.25, color=colors[column], label=label_of(column), **error)
        ax.bar_label(bars, fmt="%.2f", fontsize=8)
    ax.set_xticks(range(len(rows)), rows)
    ax.set(ylim=(0, 1.2), ylabel="latent MCC on test data")
    ax.legend(ncols=3, loc="upper center", fontsize=8)
