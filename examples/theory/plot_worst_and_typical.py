"""
The worst case and the typical one
==================================

Theorem 3.1 of O'Neill, Gumran and Klindt (2025) says that some codes are lost on every
``relu(W x)`` that sees fewer measurements than sources. It does not say how many. Here is a picture
of why codes are lost, and the share of samples of which a linear encoder that is the dictionary, or
close to it, finds all active sources.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np

from skamort.solvers import sparse_encode

# %%
# Three sources, two measurements, two of them active: the directions are 120 degrees apart, and
# every point of the plane has one code, that of the two directions it lies between. The first code
# is positive over 240 degrees; ``relu(w x)`` is so over 180, and has straight contours where those
# of the code bend. No w is right.

angles = np.radians([90, 210, 330])
directions = np.c_[np.cos(angles), np.sin(angles)]


def first_code(points):
    """Code of the first direction where at most two are active and none is negative."""
    code = np.zeros(len(points))
    for pair in itertools.combinations(range(3), 2):
        found = points @ np.linalg.inv(directions[list(pair)])
        if 0 in pair:
            code = np.where(found.min(axis=1) >= -1e-9, found[:, 0], code)
    return code


side = np.linspace(-1, 1, 301)
grid = np.stack(np.meshgrid(side, side), axis=-1)
points = grid.reshape(-1, 2)
true_code = first_code(points).reshape(grid.shape[:2])
found_code = np.maximum(points @ directions[0], 0).reshape(grid.shape[:2])
lost = (true_code > 1e-9) & (found_code == 0)
print(f"share of the square where the first code is active and silenced: {lost.mean():.2f}")

# %%
# The typical case: sources of sizes like those of normal numbers, or of sizes between 1 and 2, the
# directions drawn at random. An encoder finds the support of a sample if its K largest
# pre-activations are those of the K active sources: no thresholds are wrong then, only sizes.
# Beside the dictionary itself, one with three tenths of noise; and optimized codes, of which the K
# largest are taken as well.

N_SAMPLES, N_DICTIONARIES = 500, 5


def draw(n, m, k, magnitudes, rng):
    dictionary = rng.standard_normal((n, m))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    codes = np.zeros((N_SAMPLES, n))
    supports = np.argsort(rng.random((N_SAMPLES, n)), axis=1)[:, :k]
    sizes = rng.uniform(1, 2, supports.shape)
    if magnitudes == "half-normal":
        sizes = np.abs(rng.standard_normal(supports.shape))
    np.put_along_axis(codes, supports, sizes, axis=1)
    return dictionary, codes


def share_found(values, codes, k):
    """Share of samples whose K largest values are those of the active sources."""
    found = np.argpartition(-values, k - 1, axis=1)[:, :k]
    return (np.take_along_axis(codes, found, axis=1) > 0).all(axis=1).mean()


def shares(n, m, k, magnitudes, seed):
    rng = np.random.default_rng(seed)
    dictionary, codes = draw(n, m, k, magnitudes, rng)
    X = codes @ dictionary
    noise = rng.standard_normal(dictionary.shape) / np.sqrt(m)
    optimized = sparse_encode(X, dictionary, alpha=1e-3, positive=True, tol=1e-3)
    encoders = {"W = D": X @ dictionary.T, "W = D + noise": X @ (dictionary + 0.3 * noise).T}
    encoders["optimized codes"] = optimized
    return {name: share_found(values, codes, k) for name, values in encoders.items()}


def curve(n, n_measurements, k, magnitudes):
    """By encoder, shares of shape (len(n_measurements), N_DICTIONARIES)."""
    found = [
        [shares(n, m, k, magnitudes, seed) for seed in range(N_DICTIONARIES)]
        for m in n_measurements
    ]
    return {key: np.array([[each[key] for each in row] for row in found]) for key in found[0][0]}


cases = {16: (4, 6, 8, 10, 12, 14, 16), 256: (16, 32, 64, 128, 192, 256)}
curves = {}
for n, n_measurements in cases.items():
    for magnitudes in "half-normal", "from 1 to 2":
        curves[n, magnitudes] = curve(n, n_measurements, 3, magnitudes)
        print(f"\n{n} sources, 3 active, sizes {magnitudes}; measurements {n_measurements}")
        for name, values in curves[n, magnitudes].items():
            pairs = zip(values.mean(axis=1), values.std(axis=1, ddof=1), strict=True)
            print(f"{name:>16}: " + ", ".join(f"{m:.2f} ± {s:.2f}" for m, s in pairs))

# %%
# In small problems the worst case is the typical one: of 16 sources seen through 8 measurements,
# the dictionary as encoder finds one support in ten or five, and optimization nine in ten. With 256
# sources and a fourth as many measurements it finds most supports, if sizes are similar, theorem or
# not; of codes that may be small it finds one in five.

figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
picture, *panels = axes
levels = np.linspace(0, 1.2, 7)
shown = picture.contourf(side, side, true_code, levels, cmap="Blues", extend="max")
picture.contour(side, side, found_code, levels[1:], colors="#c8641e", linewidths=1.2)
picture.contourf(side, side, lost, [0.5, 1.5], colors="none", hatches=["///"])
zeros = np.zeros(3)
picture.quiver(
    zeros, zeros, *directions.T * 0.9, angles="xy", scale_units="xy", scale=1, width=0.01
)
for index, (x, y) in enumerate(directions, start=1):
    picture.text(0.9 * x + 0.04, 0.9 * y - 0.08 * (y < 0), f"$d_{index}$", fontsize=12)
figure.colorbar(shown, ax=picture, shrink=0.8)
picture.set(aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
picture.set_title(
    "First code (blue), relu(w x) (orange);\nhatched: active and silenced", fontsize=10
)
colors = {"W = D": "#4c6a8c", "W = D + noise": "#9ab8d8", "optimized codes": "#c8641e"}
for axis, (n, n_measurements) in zip(panels, cases.items(), strict=True):
    for magnitudes, style in ("half-normal", "o--"), ("from 1 to 2", "s-"):
        for name, values in curves[n, magnitudes].items():
            mean, spread = values.mean(axis=1), values.std(axis=1)
            label = f"{name}, sizes {magnitudes}"
            look = {"fmt": style, "ms": 4, "capsize": 2, "color": colors[name], "label": label}
            axis.errorbar(n_measurements, mean, spread, **look)
    axis.set(xlabel="measurements", ylim=(-0.03, 1.03), title=f"{n} sources, 3 of them active")
    axis.grid(color="0.9")
panels[0].set_ylabel("share of samples whose support is found")
panels[1].legend(fontsize=8, loc="lower right")
plt.show()
