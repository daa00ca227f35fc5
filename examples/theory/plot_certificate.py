"""
The floor under every encoder
=============================

For a given dictionary the best objective of a sample is the minimum of a convex problem. Any codes
at all, of whatever origin, prove a lower bound on it: their objective minus their duality gap. So
each encoder brings an interval that holds the minimum, and where one of them is narrow, it is the
floor under all.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize

from skamort import ITOCoder, LISTAEncoder, MLPEncoder, SAEEncoder
from skamort.datasets import make_published_signal
from skamort.metrics import amortization_gap, flops
from skamort.solvers import duality_gap

ALPHA = 0.03
data, dictionary, _ = make_published_signal(20240625)
# In float32 rounding would be all that is left of the last gaps.
data, dictionary = data.astype(float), normalize(dictionary.astype(float))
X_train, X_test = data[:1024], data[1024:]
warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is what is looked at

# %%
# Encoders of one product to ten learned iterations, trained for the same dictionary and the same
# objective; and an optimization, stopped after more and more iterations.

shared = {"dictionary": dictionary, "alpha": ALPHA, "learning_rate": 3e-3, "max_iter": 200}
shared |= {"dict_init": None, "fit_intercept": False, "schedule": None, "batch_size": 256}
encoders = {
    "SAE": SAEEncoder(random_state=0, **shared),
    "MLP-32": MLPEncoder(hidden_layer_sizes=32, random_state=0, **shared),
    "MLP-256": MLPEncoder(hidden_layer_sizes=256, random_state=0, **shared),
    "LISTA-3": LISTAEncoder(n_layers=3, random_state=0, **shared),
    "LISTA-10": LISTAEncoder(n_layers=10, random_state=0, **shared),
}
shared = {"dictionary": dictionary, "alpha": ALPHA, "algorithm": "fista", "transform_tol": 0}
stopped = {
    f"FISTA-{n}": ITOCoder(transform_max_iter=n, **shared, positive_code=True)
    for n in (2, 5, 10, 20, 50, 100, 200, 500)
}


def prove(codes):
    """Objective of each test sample, and the lower bound on all objectives that its codes prove."""
    error, penalty = X_test - codes @ dictionary, ALPHA * codes.sum(axis=1)
    objective = np.square(error).sum(axis=1) / 2 + penalty
    return objective, objective - duality_gap(X_test, codes, dictionary, ALPHA, positive=True)


costs, upper, lower = {}, {}, {}
print(f"{'':>9} {'operations':>10} {'objective':>10} {'proves at least':>16} {'interval':>9}")
for name, encoder in (encoders | stopped).items():
    encoder.fit(X_train)
    costs[name] = flops(encoder, 1, n_iter=getattr(encoder, "transform_max_iter", None))
    upper[name], lower[name] = prove(encoder.transform(X_test))
    high, low = upper[name].mean(), lower[name].mean()
    print(f"{name:>9} {costs[name]:>10.0f} {high:>10.6f} {low:>16.6f} {high - low:>9.1e}")

# %%
# Every objective is above every bound, on every sample, to rounding. `amortization_gap` solves for
# the floor that is as high as can be, and says how far above it an encoder is.

room = np.min(list(upper.values()), axis=0) - np.max(list(lower.values()), axis=0)
print(
    f"lowest objective minus highest bound, on the worst of {len(room)} samples: {room.min():.0e}"
)
floor = amortization_gap(encoders["SAE"], X_test, tol=1e-9)
print(f"SAE: {floor}")
low = floor.lower_bound_samples
excess = min((objective - low).min() for objective in upper.values())
print(f"the lowest any of the {len(upper)} comes to the floor on any sample: {excess:.1e}")

# %%
# An interval reaches from what an encoder's codes prove to what they cost. The best objective is in
# all of them; as iterations go on, the bounds meet.

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
left.axhspan(0, floor.lower_bound, color="0.9")
left.axhline(floor.lower_bound, color="black", linewidth=1)
left.text(0.02, 0.02, "proved: no codes for this dictionary", transform=left.transAxes)


def draw_intervals(labels, sides, color, kind):
    x = [costs[name] for name in labels]
    high, low = ([bounds[name].mean() for name in labels] for bounds in (upper, lower))
    left.vlines(x, low, high, color=color, alpha=0.5)
    left.scatter(x, high, color=color, marker="o", zorder=3, label=f"{kind}: objective")
    left.scatter(x, low, color=color, marker="_", zorder=3, label=f"{kind}: proves at least")
    for *point, label, side in zip(x, high, labels.values(), sides, strict=True):
        offset = {"xytext": (0, 6), "textcoords": "offset points", "ha": side}
        left.annotate(label, point, fontsize=8, color=color, **offset)


sides = ["center", "right", "left", "right", "right"]
draw_intervals({name: name for name in encoders}, sides, "#4c6a8c", "trained encoder")
iterations = {name: name.removeprefix("FISTA-") for name in stopped if name != "FISTA-2"}
draw_intervals(iterations, ["center"] * 7, "#c8641e", "FISTA after 5 to 500 iterations")
left.set(
    xscale="log",
    xlabel="operations per sample",
    ylabel="mean objective of the test data",
    xlim=(120, None),
    ylim=(0, 0.18),
    title="Upper and lower bounds",
)
left.legend(fontsize=8, loc="upper right")

n_iter = [encoder.transform_max_iter for encoder in stopped.values()]
widths = [upper[name] - lower[name] for name in stopped]
right.loglog(n_iter, [width.max() for width in widths], "o:", color="#c8641e", label="worst sample")
right.loglog(n_iter, [width.mean() for width in widths], "o-", color="#c8641e", label="mean")
right.set(
    xlabel="iterations",
    ylabel="upper minus lower bound",
    title="As iterations go on, the bounds meet",
)
right.grid(color="0.9")
right.legend()
plt.show()
