"""
What repeats in a time series
=============================

A recording with three pulse shapes that come at any time, often on top of each other. Windows of it
are rows of a matrix; sparse coding finds the shapes, and where they are.
"""

# %%
# As in a recording of three nerve cells: 12,000 samples, 300 pulses, noise.

import matplotlib.pyplot as plt
import numpy as np

from skamort import GradSparseCoder
from skamort.solvers import sparse_encode

rng = np.random.default_rng(0)
LENGTH, N_SAMPLES, N_EACH, SIGMA = 24, 12_000, 100, 0.15
t = np.linspace(-1, 1, LENGTH)
shapes = np.array(
    [
        np.exp(-((t / 0.15) ** 2)) - 0.5 * np.exp(-(((t - 0.35) / 0.2) ** 2)),
        np.sin(9 * t) * np.exp(-((t / 0.4) ** 2)),
        -np.exp(-((t / 0.35) ** 2)) + 0.8 * np.exp(-(((t + 0.1) / 0.1) ** 2)),
    ]
)
shapes /= np.linalg.norm(shapes, axis=1, keepdims=True)
signal = SIGMA * rng.standard_normal(N_SAMPLES)
starts = [rng.choice(N_SAMPLES - LENGTH, N_EACH, replace=False) for _ in shapes]
for shape, places in zip(shapes, starts, strict=True):
    for place in places:
        signal[place : place + LENGTH] += rng.uniform(1.5, 3) * shape

# %%
# Windows where something peaks have a pulse in the middle. Atoms are learned for codes of at most
# two a window, with atoms to spare for pulses beside it.

windows = np.lib.stride_tricks.sliding_window_view(signal, LENGTH)
energy = windows**2 @ np.hanning(LENGTH)
peak = [energy[i] == energy[max(i - 8, 0) : i + 9].max() for i in range(len(energy))]
found = windows[peak & (energy > 24 * SIGMA**2)]
coder = GradSparseCoder(36, n_nonzero_coefs=2, tol=1e-3, n_init=3, random_state=0).fit(found)
used = (coder.transform(found) > 0).mean(axis=0)
print(f"{len(found)} windows, {coder.score(found):.0%} of their variance explained")

# %%
# The most used atoms that are no shifted copies of one another are the shapes.


def likeness(first, second):
    """Return the largest inner product of two shapes over all shifts."""
    return np.correlate(first, second, mode="full").max()


atoms = []
for atom in coder.components_[np.argsort(-used)]:
    if len(atoms) < 3 and all(likeness(atom, other) < 0.8 for other in atoms):
        atoms.append(atom)
matches = [int(np.argmax([likeness(atom, shape) for shape in shapes])) for atom in atoms]
for atom, match in zip(atoms, matches, strict=True):
    print(f"shape {match}: inner product {likeness(atom, shapes[match]):.3f} with the true one")

# %%
# Shifted to every place, these three are a dictionary for the recording itself. A pursuit takes
# atoms until no more is left than the noise weighs, and resolves pulses on top of each other.
# Segments overlap, so that each pulse is whole in one.

STEP = 200
segments = np.lib.stride_tricks.sliding_window_view(signal, STEP + 4 * LENGTH)[::STEP]
n_places = segments.shape[1] - LENGTH + 1
shifted = np.zeros((3, n_places, segments.shape[1]))
for kind, atom in enumerate(atoms):
    for place in range(n_places):
        shifted[kind, place, place : place + LENGTH] = atom
codes = sparse_encode(
    segments,
    shifted.reshape(-1, segments.shape[1]),
    algorithm="ormp",
    positive=True,
    n_nonzero_coefs=60,
    residual_tol=1.3 * segments.shape[1] * SIGMA**2,
).reshape(len(segments), 3, n_places)
inner = slice(2 * LENGTH, 2 * LENGTH + STEP)
size = np.concatenate(list(np.where(codes > 1, codes, 0)[:, :, inner]), axis=1)

# %%
# Above, what was learned over what is there; below, a stretch of the recording with the pulses that
# are there (crosses) and those found (triangles).

figure, axes = plt.subplot_mosaic(
    [["0", "1", "2"], ["signal"] * 3], figsize=(12, 6.4), layout="constrained"
)
stretch = np.arange(3000, 3600)
axes["signal"].plot(stretch, signal[stretch], color="0.3", lw=1)
colors = ["#0072B2", "#D55E00", "#009E73"]
for kind, (atom, match, color) in enumerate(zip(atoms, matches, colors, strict=True)):
    lag = np.argmax(np.correlate(shapes[match], atom, mode="full")) - (LENGTH - 1)
    at = np.flatnonzero(size[kind]) + inner.start - lag
    true = starts[match][(starts[match] >= inner.start) & (starts[match] < at.max())]
    apart = np.abs(at[:, None] - true)
    hits, false = (apart.min(axis=0) <= 2).mean(), (apart.min(axis=1) > 2).mean()
    print(
        f"shape {match}: {hits:.0%} of the pulses found, {false:.0%} of those found are not there"
    )
    axes[str(kind)].plot(shapes[match], color="0.6", lw=6, label="true")
    axes[str(kind)].plot(np.arange(LENGTH) + lag, atom, color=color, lw=2, label="learned")
    axes[str(kind)].set(xlim=(0, LENGTH - 1), title=f"{hits:.0%} of its pulses found")
    axes[str(kind)].legend()
    for places, marker, height in ((true, "x", 4.3), (at, "^", 3.6)):
        places = places[(places >= stretch[0]) & (places <= stretch[-1] - LENGTH)]
        axes["signal"].plot(places + LENGTH // 2, np.full(len(places), height), marker, color=color)
axes["signal"].set(xlim=stretch[[0, -1]], ylim=(-3.5, 4.9), xlabel="sample", ylabel="recording")
plt.show()
