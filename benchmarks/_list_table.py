"""Tables as the documentation includes them, and the scripts that write one of a device."""

import argparse
import warnings
from pathlib import Path

from sklearn.exceptions import ConvergenceWarning


def to_rst(script, head, rows):
    """Return rows of texts under their head as a list-table, written by a script."""
    lines = [f".. Written by benchmarks/{script}.", "", ".. list-table::", "   :header-rows: 1"]
    for cells in [head, *rows]:
        lines += ["", *(f"   {'*' if i == 0 else ' '} - {c}" for i, c in enumerate(cells))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def measure_device(script, about, head, measure, sizes, quick):
    """Print the rows that `measure(sizes, device)` yields, and write a table of those so far.

    Parameters
    ----------
    script, about : str
        Name of the script, and what it says of itself.
    head : tuple of str
        What stands above the columns.
    measure : callable
        What yields rows of texts.
    sizes : dict of str to tuple
        What is measured on each kind of device.
    quick : tuple
        What is measured to see whether it runs at all.
    """
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--device", choices=tuple(sizes), default="cpu")
    parser.add_argument("--output", type=Path, help="write the table there as reStructuredText")
    parser.add_argument("--quick", action="store_true", help="one small size")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps tell the speed
    rows = []
    for row in measure(quick if arguments.quick else sizes[arguments.device], arguments.device):
        print(*row, sep="\t", flush=True)
        rows.append(row)
        if arguments.output:
            arguments.output.write_text(to_rst(script, head, rows), encoding="utf-8")
