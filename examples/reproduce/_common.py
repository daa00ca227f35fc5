"""What the reproductions share: settings, data, runs, tables and files."""

import argparse
import csv
import warnings
from pathlib import Path

import numpy as np
import torch
from _published import PublishedAutoencoders
from sklearn.exceptions import ConvergenceWarning

from skamort.datasets import make_published_signal
from skamort.metrics import dictionary_mcc, latent_mcc

RESULTS = Path(__file__).parents[2] / "results"
COLUMNS = ("published", "published method", "better method")
N_TRAIN = 1024

# Quick settings stop long before convergence, and say so once, here.
warnings.simplefilter("ignore", ConvergenceWarning)


def asked_for_paper():
    """Whether the command line asks for the published settings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--paper", action="store_true", help="the published settings, slowly")
    return parser.parse_known_args()[0].paper


def label_of(column):
    """Say of a column that quick settings stop the published method long before its end."""
    cut_short = column == "published method" and not asked_for_paper()
    return column + ", cut short" if cut_short else column


class BaseCase:
    """The published base case: 16 sources, 3 active, 8 measurements, 1024 samples each."""

    def __init__(self, seed):
        data, self.dictionary, codes = make_published_signal(seed)
        self.X_train, self.X_test = data[:N_TRAIN], data[N_TRAIN:]
        self.codes_train, self.codes_test = codes[:N_TRAIN], codes[N_TRAIN:]

    def latent_mcc(self, codes, matched=False):
        """Recovery of the test data's codes."""
        return latent_mcc(self.codes_test, codes, matched=matched)

    def published(self, hidden=(), *, known=None, n_steps, n_runs, bias=True):
        """Train as published, with `known` "codes", "dictionary" or None.

        Returns
        -------
        scores : dict of list
            "latent MCC" and "dictionary MCC" of each run.
        """
        X, X_test, atoms, codes = map(
            torch.tensor, (self.X_train, self.X_test, self.dictionary, self.codes_train)
        )
        widths = (X.shape[1], *hidden, len(atoms))
        runs = PublishedAutoencoders(
            widths, dictionary=atoms if known == "dictionary" else None, bias=bias, n_runs=n_runs
        )
        runs.fit(X, codes=codes if known == "codes" else None, n_steps=n_steps)
        with torch.no_grad():
            found = runs.encode(X_test).numpy()
        learned = runs.dictionary.detach().numpy() if known is None else []
        return {
            "latent MCC": [self.latent_mcc(z, matched=known == "codes") for z in found],
            "dictionary MCC": [dictionary_mcc(self.dictionary, atoms) for atoms in learned],
        }


def report(name, rows, figure):
    """Print a table, and write it and the figure to the folder of results.

    Parameters
    ----------
    name : str
        Name of the files.
    rows : dict of dict
        By encoder, a figure or the figures of several runs for each of `COLUMNS`.
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
            values = [np.atleast_1d(row.get(column, np.nan)) for column in COLUMNS]
            means, spreads = [v.mean() for v in values], [v.std() for v in values]
            pairs = zip(means, spreads, strict=True)
            cells = ["" if np.isnan(mean) else f"{mean:.3f} ± {std:.3f}" for mean, std in pairs]
            print(f"{encoder:>{width}}", *(f"{cell:>28}" for cell in cells))
            table.writerow([encoder, *means, *spreads])


def draw_bars(ax, rows):
    """Draw the table as groups of bars, one a column."""
    colors = ("0.7", "#4c6a8c", "#e08a3c")
    for index, (column, color) in enumerate(zip(COLUMNS, colors, strict=True)):
        heights = [np.mean(row.get(column, np.nan)) for row in rows.values()]
        x = np.arange(len(rows)) + 0.27 * (index - 1)
        bars = ax.bar(x, heights, 0.25, color=color, label=label_of(column))
        ax.bar_label(bars, fmt="%.2f", fontsize=8)
    ax.set_xticks(range(len(rows)), rows)
    ax.set(ylim=(0, 1.2), ylabel="latent MCC on test data")
    ax.legend(ncols=3, loc="upper center", fontsize=8)
