"""
Superposition and what an autoencoder makes of it
=================================================

A network that has fewer dimensions than sources keeps the sources as directions that share its
dimensions. The theory of Cui, Zhang, Wang and Wang (*On the Limits of Sparse Autoencoders: A
Theoretical Framework and Reweighted Remedy*) asks what an autoencoder ``relu(W x_p)`` recovers of
sources x from what it sees, ``x_p = W_p x``. Its Theorem 1: where the columns of W_p form digons or
polygons, the transposed W_p minimizes the loss. Here is where this holds, and what it costs.
"""

import matplotlib.pyplot as plt
import numpy as np

from skamort.datasets import make_superposition
from skamort.metrics import sources_per_latent

# %%
# Superposition arises by itself: the toy model learns W_p such that ``relu(W_p^T W_p x + b)``
# reconstructs sparse sources. In two dimensions it makes digons, which are pairs of opposite
# directions, or a polygon; from two in seven starts, of five sources it made two digons and gave
# one source up.


def learn_mixing(n):
    """W_p (2, n)."""
    sizes = {"n_components": n, "n_features": 2, "sparsity": 0.9}
    return make_superposition(1, random_state=2, **sizes)[1].T


learned = {n: learn_mixing(n) for n in (3, 4, 5)}
for n, W_p in learned.items():
    angles = np.sort(np.degrees(np.arctan2(W_p[1], W_p[0])))
    between = np.diff(angles, append=angles[0] + 360).round()
    print(f"{n} sources in 2 dimensions: {between} degrees between neighbours")

# %%
# The transposed W_p shrinks sources and makes some vanish: Examples 1 (a digon and a source of its
# own) and 2 (a triangle).


def encode(W_p, x, scale=1.0):
    return np.maximum(scale * x @ W_p.T @ W_p, 0)


digon = np.array([[1, 0, 0], [0, 1, -1]])
triangle = np.array([[0, 0.866, -0.866], [1, -0.5, -0.5]])
for number, W_p, x in (1, digon, [0.5, 1, 0.8]), (2, triangle, [0.7, 0.5, 0.3]):
    found = encode(W_p, np.array(x)).round(3) + 0.0
    print(f"Example {number}: of the sources {x} the encoder finds {found.tolist()}")

# %%
# Theorem 1 in numbers: the loss of c W_p transposed, encoder and decoder, relative to the energy of
# what is seen. Digons need no condition: x_p is reconstructed without error, whatever the sources.
# A triangle is exact for one active source, since no corner is at less than a right angle from
# another; with several, weights that are a little larger are better. In a pentagon neighbours fire
# along, which adds to the reconstruction, and from there on W_p transposed is the minimum only once
# it is scaled down. And the minimum says little of the sources: four latents are enough for any two
# digons across the plane, which reconstruct all of it and know nothing of W_p.


def polygon(n):
    angles = np.pi / 2 + 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)])


def loss(W_p, x, scale):
    """Squared error of x_p, relative."""
    seen = x @ W_p.T
    error = seen - scale * encode(W_p, x, scale) @ W_p.T
    return np.square(error).sum() / np.square(seen).sum()


names = {2: "digon", 3: "triangle", 5: "pentagon", 6: "hexagon"}
scales = np.linspace(0.7, 1.2, 101)
curves = {}
print(f"{'':>8}  active sources  loss at c = 1  smallest, at c  sources a latent")
for n, name in names.items():
    sizes = {"n_components": n, "n_features": 2, "sparsity": 0.5, "random_state": 0}
    _, _, several = make_superposition(10_000, mixing=polygon(n).T, **sizes)
    for active, x in ("one", np.eye(n)), ("half of them", several):
        curve = np.array([loss(polygon(n), x, scale) for scale in scales])
        curves[name, active] = curve
        best = f"{curve.min():.4f}, {scales[curve.argmin()]:.3f}"
        alone = sources_per_latent(encode(polygon(n), np.eye(n)).round(9), np.arange(n)).mean()
        at_one = loss(polygon(n), x, 1.0)
        print(f"{name:>8}  {active:>14}  {at_one:>13.4f}  {best:>14}  {alone:>16.0f}")

# %%
# Geometry that is learned, and the loss as the weights are scaled.

figure, axes = plt.subplot_mosaic(
    [[3, 3, 4, 4, 5, 5], ["one"] * 3 + ["half of them"] * 3],
    figsize=(10, 7.4),
    height_ratios=(1, 1.3),
    layout="constrained",
)
for n, W_p in learned.items():
    ax = axes[n]
    zeros = np.zeros(n)
    arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.015}
    ax.quiver(zeros, zeros, *W_p, color="#4c6a8c", **arrows)
    ax.set(aspect="equal", xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), title=f"{n} sources, learned")
    ax.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    ax.grid(color="0.9")
colors = ("#4c6a8c", "#e08a3c", "#7a9a4c", "#a04c6a")
for (name, active), curve in curves.items():
    color = colors[list(names.values()).index(name)]
    above = {"linestyle": "--", "zorder": 3} if name == "digon" else {}
    axes[active].plot(scales, curve, color=color, label=name, **above)
for active in ("one", "half of them"):
    axes[active].axvline(1, color="0.6", linestyle=":")
    axes[active].set(xlabel="scale c", ylim=(-0.01, 0.4), title=f"active sources: {active}")
    axes[active].grid(color="0.9")
axes["one"].set(ylabel="relative loss of c times W_p transposed")
axes["one"].legend()
plt.show()
