"""The published figures of the amortization-gap paper, from its authors' result files.

Measures are pairs, the mean over the paper's runs and their standard deviation, by name: "latent
MCC" and "dictionary MCC" on test data, the "loss" with its penalty, and "L0", a share of codes.
Where the files have no spread a measure is a number.
"""

import json
from pathlib import Path

_FILES = json.loads(Path(__file__).with_name("_published_figures.json").read_text(encoding="utf-8"))


def _numbers(text):
    """Return the numbers of a key, integers where they are."""
    values = tuple(float(part) if "." in part else int(part) for part in text.split(", "))
    return values[0] if len(values) == 1 else values


def _by_numbers(table):
    return {_numbers(key): value for key, value in table.items()}


# Regimes, 50,000 steps: by (N, M, K), measures of SAE, MLP-32 and sparse coding.
REGIMES = _by_numbers(_FILES["regimes"])

# scikit-learn's DictionaryLearning with LARS on signed codes: by (N, M, K), its measures.
LARS = _by_numbers(_FILES["lars"])

# L1 sweep, 100,000 steps: by encoder and lam, the mean squared error, mean |code|, shares of codes
# above each of `THRESHOLDS`, and latent MCC.
THRESHOLDS = (1e-3, 1e-4, 1e-5, 0)
L1_SWEEP = {name: _by_numbers(sweep) for name, sweep in _FILES["l1"].items()}

# Top-k sparse coding, 100,000 steps: by where the largest are kept, lam and k, the mean squared
# error and the latent MCC.
TOP_K = {where: _by_numbers(table) for where, table in _FILES["top_k"].items()}

# Width of the MLP's hidden layer, 100,000 steps: by (N, M, K) and width, the measures.
WIDTH = {sizes: _by_numbers(table) for sizes, table in _by_numbers(_FILES["width"]).items()}

# Bias, 100,000 steps: by encoder and whether there is one, the measures.
BIAS = {
    (name, bias): _FILES["bias"][f"{name}, {word}"]
    for name in ("SAE", "MLP-64", "sparse coding")
    for bias, word in ((True, "with"), (False, "without"))
}
