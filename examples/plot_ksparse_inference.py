"""
Eight codes a patch, at what price?
===================================

A top-k autoencoder finds its codes by one product with the data. Better codes for the very same
atoms, with as many non-zeros, cost more: how much do they explain, at what price, and how far is
the best of them from what no codes can go below?
"""

# %%
# Patches of 8 x 8 pixels of scikit-learn's two photographs, and 256 atoms that a top-k autoencoder
# has learned to use eight of.

import time

import matplotlib.pyplot as plt

from skamort import TopKSAE
from skamort.datasets import load_image_patches
from skamort.metrics import amortization_gap, fraction_variance_unexplained
from skamort.solvers import sparse_encode

K = 8
X = load_image_patches(11_000, patch_size=8, random_state=0)
X, X_test = X[:10_000], X[10_000:]
encoder = TopKSAE(n_components=256, k=K, tol=1e-2, random_state=0).fit(X)

# %%
# Every algorithm finds non-negative codes for the encoder's atoms, from the encoder's support on
# where it takes one. Time is that of the second call, for the first compiles.

centered, atoms = X_test - encoder.intercept_, encoder.components_
codes = encoder.transform(X_test)
asked = {"n_nonzero_coefs": K, "positive": True}
algorithms = {
    "encoder's support, solved": {"algorithm": "topk_refined", "init": codes},
    "gomp, 2 stages": {"algorithm": "gomp", "n_stages": 2},
    "gomp, 4 stages": {"algorithm": "gomp", "n_stages": 4},
    "omp": {"algorithm": "omp"},
    "ormp": {"algorithm": "ormp"},
    "exchange": {"algorithm": "exchange"},
    "exchange, 4 beams": {"algorithm": "exchange", "beam_width": 4},
    "exchange, 16 beams": {"algorithm": "exchange", "beam_width": 16},
}


def measure(encode):
    """Return the share of variance unexplained and microseconds a sample."""
    encode()
    start = time.process_time()
    found = encode()
    seconds = time.process_time() - start
    return fraction_variance_unexplained(centered, found @ atoms), 1e6 * seconds / len(X_test)


points = {"encoder": measure(lambda: encoder.transform(X_test))}
for name, options in algorithms.items():
    points[name] = measure(lambda o=options: sparse_encode(centered, atoms, **asked, **o))
for name, (fvu, microseconds) in points.items():
    print(f"{name:26} {fvu:7.2%} unexplained   {microseconds:7.1f} µs a sample")

# %%
# The floor is proven, for codes with eight non-zeros and none larger than the best found.

gap = amortization_gap(encoder, X_test)
print(gap)

figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
above, below = ((0, 7), "center"), ((0, -15), "center")
left, right = ((-7, -4), "right"), ((7, 5), "left")
places = {"gomp, 2 stages": left, "gomp, 4 stages": left, "omp": right, "ormp": below}
places["exchange, 16 beams"] = below
for name, (fvu, microseconds) in points.items():
    axes.plot(microseconds, 100 * fvu, "o", color="C3" if name == "encoder" else "C0")
    offset, side = places.get(name, above)
    axes.annotate(name, (microseconds, 100 * fvu), offset, textcoords="offset points", ha=side)
axes.axhline(100 * gap.lower_bound_fvu, color="0.4", linestyle="--")
axes.annotate(
    "no codes go below", (1, 100 * gap.lower_bound_fvu), (-4, 4), ha="right",
    xycoords=("axes fraction", "data"), textcoords="offset points", color="0.4",
)  # fmt: skip
axes.set(xscale="log", xlabel="microseconds a sample, one core", ylabel="variance unexplained, %")
axes.set_ylim(0, 110 * points["encoder"][0])
axes.margins(x=0.25)
axes.set_title(f"{K} of 256 codes: what they leave, and what they cost", loc="left")
axes.spines[["top", "right"]].set_visible(False)
plt.show()
