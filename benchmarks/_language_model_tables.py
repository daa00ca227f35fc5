"""Tables and a figure of what bench_language_model.py has measured."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from _list_table import to_rst

from skamort.inspection import dunn_test

KINDS = {"topk": "TopK", "group_topk": "group TopK"}
STYLES = {  # colours of Okabe and Ito, which most people tell apart, and a marker each
    "TopK": ("#0072b2", "o"),
    "BatchTopK": ("#56b4e9", "s"),
    "JumpReLU": ("#009e73", "^"),
    "SAE": ("#d55e00", "v"),
    "MLP": ("#cc79a7", "D"),
    "LCA": ("#e69f00", "P"),
    "k-sparse learning": ("#000000", "X"),
    "ITO of TopK": ("#0072b2", "*"),
}


def write_tables(rows, sizes, folder):
    """Write what the rows hold so far: tables for the documentation, tests and a figure."""
    if f"ITO of LCA {sizes.k}" in rows:
        (folder / "language_model_table.inc").write_text(encoder_table(rows, sizes))
        (folder / "language_model_tests.csv").write_text(encoder_tests(rows, sizes).to_csv())
    if "inference: TopK, 2 stages: ormp" in rows:
        (folder / "language_model_inference.inc").write_text(inference_table(rows))
    if any(", block" in name for name in rows):
        (folder / "language_model_weights.inc").write_text(weight_table(rows))
        (folder / "language_model_weights.csv").write_text(weight_tests(rows).to_csv())
    if f"SAE {sizes.k}" in rows:
        draw(rows, folder / "language_model.png")


def recovered(row, rows, where=""):
    """Return the share of the loss by the mean that is recovered, and the ends of its interval."""
    clean, mean = (np.array(rows[name + where]["losses"]) for name in ("clean", "mean"))
    above, below = mean - np.array(row["losses"]), mean - clean
    n, ratio = len(above), above.sum() / below.sum()
    spread = np.sqrt(n / (n - 1) * ((above - ratio * below) ** 2).sum()) / below.sum()
    return ratio, ratio - 1.96 * spread, ratio + 1.96 * spread


def f1_of(row):
    """Return the F1 of the latents of a row."""
    return np.array(list(row["f1"].values()))


def mean_f1(values):
    """Return a mean and its standard error in words."""
    return f"{values.mean():.2f} ± {values.std(ddof=1) / np.sqrt(len(values)):.2f}"


def judged(rows, k):
    """Return names and rows of the encoders with so many codes."""
    return {
        n.removesuffix(f" {k}"): r for n, r in rows.items() if n.endswith(f" {k}") and "L0" in r
    }


def encoder_table(rows, sizes):
    """Return a line for each encoder."""
    head = ["encoder", "FVU, %", "L0", "dead, %", "cross-entropy", "loss recovered, %"]
    head += ["F1 of n-grams", "fit, s", "µs a row"]
    lines = []
    for name, row in {**judged(rows, sizes.k), **pcas(rows)}.items():
        share, low, high = (f"{100 * each:.1f}" for each in recovered(row, rows))
        cells = [name, f"{100 * row['FVU']:.1f}", f"{row['L0']:.0f}", f"{100 * row['dead']:.0f}"]
        cells += [f"{np.mean(row['losses']):.3f}", f"{share} ({low} to {high})"]
        cells += [mean_f1(f1_of(row)) if row.get("f1") else ""]
        cells += [f"{row['fit_s']:.0f}" if "fit_s" in row else "", f"{row['us_a_row']:.0f}"]
        lines.append(cells)
    return to_rst("bench_language_model.py", head, lines)


def inference_table(rows):
    """Return a line for each way to the codes of given atoms."""
    head = ["atoms of", "codes by", "FVU, %", "cross-entropy", "loss recovered, %"]
    lines = []
    for name, row in rows.items():
        if name.startswith("inference: "):
            atoms, algorithm = name.split(": ")[1:]
            share, low, high = (f"{100 * each:.1f}" for each in recovered(row, rows))
            cells = [atoms, algorithm, f"{100 * row['FVU']:.1f}", f"{np.mean(row['losses']):.3f}"]
            lines.append([*cells, f"{share} ({low} to {high})"])
    return to_rst("bench_language_model.py", head, lines)


def pcas(rows):
    """Return the rows of principal components."""
    return {name: row for name, row in rows.items() if name.startswith("PCA")}


def encoder_tests(rows, sizes):
    """Return which encoders' latents n-grams explain better than which."""
    return dunn_test({n: f1_of(r) for n, r in judged(rows, sizes.k).items() if "f1" in r})


def weighted_rows(rows):
    """Return the rows with weights, by kind of activation, exponent and block."""
    split = {tuple(name.split(", ")): row for name, row in rows.items() if " = " in name}
    return {(kind, a[4:], int(block[6:])): row for (kind, a, block), row in split.items()}


def weight_table(rows):
    """Return a line for each block, with what each exponent leads to."""
    found = weighted_rows(rows)
    kinds = sorted({key[:2] for key in found}, key=lambda kind: (kind[0] != "topk", float(kind[1])))
    head = ["block", *(f"{KINDS[kind]}, a = {a}" for kind, a in kinds)]
    lines = []
    for block in sorted({key[2] for key in found}):
        cells = [str(block)]
        for kind in kinds:
            row = found.get((*kind, block))
            cells.append("" if row is None else weighted_cell(row, rows, block))
        lines.append(cells)
    return to_rst(
        "bench_language_model.py", head, [*lines, ["all", *(pooled(found, k) for k in kinds)]]
    )


def weighted_cell(row, rows, block):
    """Return F1, FVU and loss recovered in one cell."""
    share = recovered(row, rows, f", block {block}")[0]
    return f"{mean_f1(f1_of(row))}; {100 * row['FVU']:.1f}; {100 * share:.1f}"


def pooled(found, kind):
    """Return the F1 of all blocks together."""
    return mean_f1(np.concatenate([f1_of(row) for key, row in found.items() if key[:2] == kind]))


def weight_tests(rows):
    """Return whether latents of weighted errors are explained better, blocks together."""
    groups = {}
    for (kind, a, _), row in weighted_rows(rows).items():
        groups.setdefault(f"{kind} a={a}", []).extend(f1_of(row))
    return dunn_test(groups)


def draw(rows, path):
    """Draw loss recovered against L0 and against FVU."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    for name, (colour, marker) in STYLES.items():
        points = [
            row for key, row in rows.items() if key.rpartition(" ")[0] == name and "L0" in row
        ]
        points = sorted(points, key=lambda row: row["L0"])
        shares = np.array([recovered(row, rows) for row in points]).reshape(-1, 3).T
        style = {
            "color": colour,
            "marker": marker,
            "label": name,
            "capsize": 2,
            "linewidth": 1,
            "markersize": 7,
        }
        style["linestyle"] = "--" if name.startswith("ITO") else "-"
        for ax, quantity in zip(axes, ("L0", "FVU"), strict=True):
            x = [row[quantity] for row in points]
            ax.errorbar(x, shares[0], [shares[0] - shares[1], shares[2] - shares[0]], **style)
    axes[0].set(xlabel="codes a row (L0)", ylabel="loss recovered", xscale="log")
    axes[0].set_xticks([16, 32, 64], ["16", "32", "64"])
    axes[0].set_xticks([], minor=True)
    axes[1].set(xlabel="fraction of variance unexplained")
    axes[1].legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)
    plt.close(figure)
