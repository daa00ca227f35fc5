"""
Simplices, and claims that they refute
======================================

Where Cui, Zhang, Wang and Wang (*On the Limits of Sparse Autoencoders: A Theoretical Framework and
Reweighted Remedy*) speak of polygons, their proofs take regular simplices: p directions in p - 1
dimensions, as far from each other as can be. A triangle is both; beyond it the two part. Their
tied autoencoder has one matrix, ``z = relu(W x_p)`` and ``x_hat = W^T z``, and their theorems are
about W = W_p transposed. Here, sources are zero with probability S and else uniform up to 1.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

from skamort.datasets import make_superposition


def simplex(p):
    """Corners as rows, (p, p - 1)."""
    sizes = {"n_components": p, "n_features": p - 1}
    return make_superposition(1, mixing="simplices", **sizes)[1]


def polygon(p):
    angles = 2 * np.pi * np.arange(p) / p
    return np.c_[np.cos(angles), np.sin(angles)]


def draw(directions, sparsity, n_samples=10_000, seed=0):
    """What is seen of sources in given directions."""
    n, m = directions.shape
    sizes = {"n_components": n, "n_features": m, "sparsity": sparsity, "random_state": seed}
    return make_superposition(n_samples, mixing=directions, **sizes)[0]


def loss_and_slope(flat, X, k=None):
    """Mean squared error of W, (n_latents, n_features) made flat, and its gradient."""
    W = flat.reshape(-1, X.shape[1])
    preactivations = X @ W.T
    fires = preactivations > 0
    if k is not None:
        largest = np.argsort(preactivations, axis=1)[:, -k:]
        fires &= np.eye(len(W), dtype=bool)[largest].any(axis=1)
    codes = preactivations * fires
    error = codes @ W - X
    slope = codes.T @ error + (error @ W.T * fires).T @ X
    return np.square(error).sum(axis=1).mean(), 2 * slope.ravel() / len(X)


def loss(W, X, k=None):
    return loss_and_slope(W.ravel(), X, k)[0]


def descend(X, n_latents, k=None, start=None, n_starts=5):
    """The lowest loss that descents from random directions, and from `start`, come to."""
    rng = np.random.default_rng(0)
    starts = [rng.standard_normal((n_latents, X.shape[1])) for _ in range(n_starts)]
    starts += [] if start is None else [start + 0.02 * rng.standard_normal(start.shape)]
    found = [
        minimize(loss_and_slope, W.ravel(), (X, k), jac=True, method="L-BFGS-B") for W in starts
    ]
    return min(each.fun for each in found)


# %%
# One active source is recovered from every simplex, since no two corners are at less than a right
# angle; of polygons that holds up to the square. With several active sources neither is.

sizes = range(2, 9)
shapes = {"simplex": simplex, "polygon": polygon}
relative = {}
for name, shape in shapes.items():
    for kind in "one active source", "S = 0.5":
        values = []
        for p in sizes:
            W = shape(p)
            X = W if kind.startswith("one") else draw(W, 0.5)
            values.append(loss(W, X) / np.square(X).sum(axis=1).mean())
        relative[name, kind] = values
        print(f"{name}, {kind}: " + ", ".join(f"{value:.3f}" for value in values))

# %%
# Theorem 1 says that W_p transposed is the minimum. Of simplices it is one for a single active
# source. As soon as two are active, a descent from it goes lower, and with a latent more than
# sources much lower: four latents make two digons of the triangle's plane and leave nothing.

minima = {}
print(f"\n{'S = 0.5':>9} {'W_p^T':>15} {'as many latents':>17} {'one latent more':>17}")
for p in (3, 4, 5):
    runs = []
    for seed in range(3):
        X = draw(simplex(p), 0.5, seed=seed)
        equal, more = descend(X, p, start=simplex(p)), descend(X, p + 1)
        runs.append((loss(simplex(p), X), equal, more))
    minima[p] = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1)
    print(
        f"{f'p = {p}':>9}"
        + "".join(f"{m:>9.4f} ± {s:.4f}" for m, s in zip(*minima[p], strict=True))
    )

# %%
# The proof takes residuals that are zero in the mean as enough for a minimum. On the triangle they
# are, by symmetry, and the gradient is not.

W, X = simplex(3), draw(simplex(3), 0.5, n_samples=200_000)
residual = np.linalg.norm((X - np.maximum(X @ W.T, 0) @ W).mean(axis=0))
slope = np.linalg.norm(loss_and_slope(W.ravel(), X)[1])
print(f"\ntriangle, S = 0.5: mean residual {residual:.4f}, gradient {slope:.3f}")

# %%
# Theorem 3 says that for extremely sparse sources the minimum is W_p transposed and no other, so
# that sources are identified. A simplex has another: ``W_m = -sqrt(p - 1) W_p^T``. Of one source it
# leaves nothing either, and every latent but one fires. For p = 2 this is the digon, its two
# sources exchanged; from p = 3 on latents are not monosemantic.

print("\nW_m = -sqrt(p - 1) W_p^T, one active source: loss, latents that fire")
for p in range(2, 7):
    other = -np.sqrt(p - 1) * simplex(p)
    fires = (simplex(p) @ other.T > 1e-9).sum(axis=1)
    print(f"p = {p}: {loss(other, simplex(p)):.0e}, {np.unique(fires)}")

# %%
# With the k largest codes kept, k = 1 refutes the counterexample; k = p - 1 leaves it standing. But
# top-k codes, to which appendix A.2 extends the theory, do not inherit Theorem 1: two digons, of
# which ReLU codes leave nothing, are not the minimum for k = 1. Turned by 45 degrees they leave
# less of dense sources; of sparse ones W_p transposed is the best that is found.

print("\nthe same, k codes kept: loss for k = 1, ..., p - 1")
for p in range(3, 6):
    other = -np.sqrt(p - 1) * simplex(p)
    values = [loss(other, simplex(p), k) for k in range(1, p)]
    print(f"p = {p}: " + ", ".join(f"{value:.3f}" for value in values))

digons = make_superposition(1, n_components=4, n_features=2, mixing="digons")[1]
turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
sparsities = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
top_one = []
for S in sparsities:
    X = draw(digons, S)
    top_one.append((loss(digons, X, 1), loss(digons @ turn, X, 1), descend(X, 4, 1, digons)))
    if S in (0, 0.5, 0.9):
        print(
            f"two digons, k = 1, S = {S}: W_p^T {top_one[-1][0]:.4f}, turned "
            f"{top_one[-1][1]:.4f}, found {top_one[-1][2]:.4f}"
        )

# %%
# The four of them. The triangle's other minimum fires two latents for each source.

figure, axes = plt.subplots(2, 2, figsize=(11, 8.4), layout="constrained")
first, second, third, fourth = axes.flat
for (name, kind), values in relative.items():
    style = "o-" if kind.startswith("one") else "s--"
    color = "#4c6a8c" if name == "simplex" else "#c8641e"
    first.plot(sizes, values, style, color=color, label=f"{name}, {kind}")
first.set(xlabel="sources p", ylabel="relative loss of W_p transposed")
first.set_title("Simplices beside planar polygons")
first.legend()

labels = "W_p transposed", "found, as many latents", "found, one latent more"
for index, (label, color) in enumerate(zip(labels, ("0.6", "#4c6a8c", "#c8641e"), strict=True)):
    heights, spreads = np.array([[each[index] for each in minima[p]] for p in minima]).T
    x = np.arange(len(minima)) + 0.27 * (index - 1)
    bars = second.bar(x, heights, 0.25, yerr=spreads, color=color, label=label, capsize=3)
    second.bar_label(bars, fmt="%.4f", fontsize=8, padding=2)
second.set_xticks(range(len(minima)), [f"p = {p}" for p in minima])
second.set(ylabel="loss on x_p, S = 0.5", title="Theorem 1: not the minimum", ylim=(0, 0.075))
second.legend(loc="upper left")

arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.012}
triangle = polygon(3) @ np.array([[0, 1], [-1, 0]])
zeros = np.zeros(3)
third.quiver(zeros, zeros, *triangle.T, color="#4c6a8c", label="W_p transposed", **arrows)
other = -np.sqrt(2) * triangle
third.quiver(zeros, zeros, *other.T, color="#c8641e", label="-√2 W_p transposed", **arrows)
third.set(aspect="equal", xlim=(-2.2, 2.2), ylim=(-1.7, 1.9))
third.set_title("Theorem 3: both leave nothing of one source")
third.legend(loc="upper left", fontsize=9)

names = "W_p transposed", "turned by 45°", "found"
colors = "0.5", "#4c6a8c", "#c8641e"
for name, values, color in zip(names, np.transpose(top_one), colors, strict=True):
    fourth.plot(sparsities, values, "o-", color=color, label=name)
fourth.set(xlabel="sparsity S of the sources", ylabel="loss on x_p, one code kept", ylim=(0, None))
fourth.set_title("Top-k codes: two digons are not the minimum")
fourth.legend()
for axis in axes.flat:
    axis.grid(color="0.9", zorder=0)
    axis.set_axisbelow(True)
plt.show()
