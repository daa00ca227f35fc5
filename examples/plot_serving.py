"""
From a fit to a service
=======================

A model is trained once and asked for codes for years, by other processes, on other machines,
perhaps without Python. Four files of one encoder, the codes that each gives when it is opened
again, and how fast.
"""

# %%
# An encoder of digits, in float32.

import tempfile
import time
import warnings
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import skops.io
import torch
from sklearn.datasets import load_digits

import skamort
from skamort import TopKSAE

X = load_digits().data.astype(np.float32) / 16
sae = TopKSAE(256, k=8, tol=0.005, random_state=0).fit(X[:1500])
codes = sae.transform(X[1500:])
folder = Path(tempfile.mkdtemp())

# %%
# ``save`` writes numbers and texts, no code, and all that training needs to go on. joblib and skops
# take every estimator; skops asks which types to trust, and these are skamort's.

sae.save(folder / "sae")
joblib.dump(sae, folder / "sae.joblib")
skops.io.dump(sae, folder / "sae.skops")
types = skops.io.get_untrusted_types(file=folder / "sae.skops")
assert all(name.startswith("skamort.") for name in types)

# %%
# ONNX has the module alone, with any number of rows.

with torch.no_grad(), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the exporter's own
    torch.onnx.export(
        sae.net_.module_,
        (torch.tensor(X[:64]),),
        folder / "sae.onnx",
        dynamo=True,
        verbose=False,
        input_names=["X"],
        output_names=["reconstruction", "codes"],
        dynamic_shapes=({0: torch.export.Dim("rows")},),
    )
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(folder / "sae.onnx", options)

# %%
# All four give the codes again, the first three to the bit.

encoders = {
    "skamort.load": skamort.load(folder / "sae").transform,
    "joblib": joblib.load(folder / "sae.joblib").transform,
    "skops": skops.io.load(folder / "sae.skops", trusted=types).transform,
    "onnxruntime": lambda rows: session.run(["codes"], {"X": rows})[0],
}
for name, encode in encoders.items():
    apart = np.abs(encode(X[1500:]) - codes).max()
    print(f"{name:13} differs by {apart:.1g} at most")
    assert apart == 0 or (name == "onnxruntime" and apart < 1e-5)

# %%
# How long a request takes, by the rows that come with it. A single row costs what checking the
# input costs, which the bare module in onnxruntime does without.


def microseconds(encode, rows, n_calls=60):
    """Return the median time of a call, of the processor."""
    spent = []
    for _ in range(n_calls):
        start = time.process_time()
        encode(rows)
        spent.append(time.process_time() - start)
    return 1e6 * np.median(spent)


torch.set_num_threads(1)
numbers = [1, 10, 100, 1000]
figure, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
for name, color, marker in (("skamort.load", "#0072B2", "o"), ("onnxruntime", "#E69F00", "s")):
    needed = [microseconds(encoders[name], np.resize(X, (n, 64))) for n in numbers]
    print(name, *(f"{n} rows {t:.0f} µs" for n, t in zip(numbers, needed, strict=True)), sep="  ")
    ax.plot(numbers, needed, marker=marker, color=color, label=name)
ax.set(xscale="log", yscale="log", xlabel="rows of a request", ylabel="microseconds a request")
ax.set_title("Codes from a loaded encoder, one thread", loc="left")
ax.grid(alpha=0.3)
ax.legend()
plt.show()
