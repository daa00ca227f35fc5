"""The figure of what bench_family.py has measured."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import PercentFormatter

# Colours of Okabe and Ito, which most people tell apart, and a marker each.
STYLES = {
    "TopK": ("#0072b2", "o"),
    "BatchTopK": ("#56b4e9", "s"),
    "Matryoshka": ("#e69f00", "P"),
    "group top-k": ("#f0e442", "X"),
    "ReLU": ("#d55e00", "v"),
    "ProLU": ("#cc79a7", "D"),
    "Gated": ("#000000", "h"),
    "JumpReLU": ("#009e73", "^"),
}
PEER_MARKERS = "x+12"
ERROR_TICKS = (0.05, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0)


def draw(frontier, widths, l0, path):
    """Draw errors against codes and against atoms.

    Parameters
    ----------
    frontier : dict of str to list of dict
        For each variant and package what its runs reached on test rows, by the codes asked for.
    widths : dict of str to dict of int to float
        For each the errors by the number of atoms, at one number of codes.
    l0 : int
        That number.
    path : str or Path
        The file.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    packages = [name for name in frontier if name not in STYLES]
    for name, runs in frontier.items():
        style = _style(name, packages)
        axes[0].plot([run["l0"] for run in runs], [run["fvu"] for run in runs], **style)
        if len(widths[name]) > 1:
            axes[1].plot([*widths[name]], [*widths[name].values()], **style)
    axes[0].set(xlabel="codes a row (L0), test rows", ylabel="variance unexplained, test rows")
    axes[1].set(xlabel=f"atoms, {l0} codes")
    _label(axes[0], sorted({2 ** round(np.log2(run["l0"])) for run in frontier["TopK"]}))
    _label(axes[1], [*widths["TopK"]])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _style(name, packages):
    shared = {"label": name, "linewidth": 1, "markersize": 7}
    if name in STYLES:
        colour, marker = STYLES[name]
        return {**shared, "color": colour, "marker": marker, "markeredgecolor": "0.3"}
    marker = PEER_MARKERS[packages.index(name) % len(PEER_MARKERS)]
    return {**shared, "color": "0.5", "marker": marker, "linestyle": "--"}


def _label(ax, ticks):
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set_xticks([], minor=True)
    errors = [error for line in ax.get_lines() for error in line.get_ydata()]
    shown = [tick for tick in ERROR_TICKS if min(errors) <= tick <= max(errors)]
    ax.set_yticks(shown)
    ax.set_yticks([], minor=True)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.grid(alpha=0.3)
