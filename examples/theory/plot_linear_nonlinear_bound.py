"""
No linear-nonlinear encoder recovers sparse codes
=================================================

Theorem 3.1 of O'Neill, Gumran and Klindt (2025): from fewer measurements than sources,
``relu(W x)`` cannot recover all codes with two or more active sources. The pre-activations of all
data have a rank of at most the number of measurements; codes that are recovered exactly need
pre-activations of full rank.
"""

import itertools
import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning

from skamort import LISTAEncoder, SAEEncoder
from skamort.datasets import make_published_signal
from skamort.estimators import _dictionary

data, dictionary, codes = make_published_signal(20240625)

# %%
# The rank of codes and of anything linear in the data.

print(f"rank of the codes: {np.linalg.matrix_rank(codes)}")
print(f"rank of the data, of every linear pre-activation: {np.linalg.matrix_rank(data)}")

# %%
# With fewer measurements than sources a linear-nonlinear encoder keeps an error, however long it is
# trained; with as many, the inverse of the dictionary is an encoder and the error can vanish. Two
# further learned iterations, which see what the first left unexplained, are not bound by the rank.

_dictionary.DRAWN_IN = None  # the starts of the figures below: those of float32
settings = {"learning_rate": 1e-2, "max_iter": 200, "random_state": 0}
settings |= {"dict_init": None, "fit_intercept": False, "schedule": None, "batch_size": 256}
known = {"code_loss": "squared_error"}
encoders = {
    "relu(W x)": SAEEncoder(16, encoder_bias=False, **settings),
    "LISTA, 3 layers": LISTAEncoder(16, alpha=0.1, n_layers=3, **settings),
}
n_features = (2, 4, 8, 12, 14, 16)
n_features_proved = (2, 4, 6, 8, 10, 12, 14, 15, 16)
errors = {name: [] for name in encoders}
warnings.simplefilter("ignore", ConvergenceWarning)  # a few epochs tell enough
dictionaries = {}
for m in n_features:
    X, dictionaries[m], Z = make_published_signal(20240625, n_samples=1024, n_features=m)
    for name, encoder in encoders.items():
        codes_found = encoder.fit(X, codes=Z, **known).transform(X)
        errors[name].append(np.square(codes_found - Z).sum() / np.square(Z).sum())
    scores = ", ".join(f"{name} {error[-1]:.3f}" for name, error in errors.items())
    print(f"{m:2} measurements, relative squared error: {scores}")

# %%
# Of the largest error over a set of codes, the smallest that any such encoder can have is known.
# Take all codes of two active sources, of sizes 1 and 1, or 2 and 1. An encoder whose errors are
# below 1 fires wherever a code is active, and there it is linear: the least largest error of a
# latent is a linear program over its weights. Where larger errors are allowed, it need fire only
# for larger codes, which is another program. Biases are one more feature, of ones. They help little
# until nearly as many measurements as sources are there. For codes in the unit ball of the L1 norm,
# here those on its sphere with sizes 1/2 and 1/2 or 2/3 and 1/3, the axes and 0, it is the same.


def pairs_of_sources(*sizes):
    pairs = itertools.combinations(np.eye(16), 2)
    return np.array([a * one + b * other for one, other in pairs for a, b in sizes])


def smallest_largest_error(X, target):
    """The least over w of max_i |relu(x_i w) - target_i|."""
    levels = np.unique(np.r_[0, target])
    return min(levels[-1], *(max(level, _program(X, target, level)) for level in levels[:-1]))


def _program(X, target, level):
    """The least largest error of those that fire where the target is above a level."""
    active = target > level
    ones = np.ones(len(X))
    too_high, too_low = np.c_[X, -ones], np.c_[-X, -ones][active]  # no more than the last variable
    limits = np.r_[target, -target[active]]
    cost = np.eye(X.shape[1] + 1)[-1]
    return linprog(cost, np.r_[too_high, too_low], limits, bounds=(None, None)).fun


def smallest_largest_errors(codes, dictionary, *, bias=False):
    X = codes @ dictionary
    X = np.c_[X, np.ones(len(X))] if bias else X
    return max(smallest_largest_error(X, target) for target in codes.T)


pairs = pairs_of_sources((1, 1), (2, 1), (1, 2))
ball = pairs_of_sources((1 / 2, 1 / 2), (2 / 3, 1 / 3), (1 / 3, 2 / 3))
ball = np.r_[ball, np.eye(16), np.zeros((1, 16))]
floors = {"without biases": [], "with biases": [], "L1 ball, with biases": []}
for m in n_features_proved:
    D = make_published_signal(20240625, n_samples=1, n_features=m)[1].astype(float)
    floors["without biases"].append(smallest_largest_errors(pairs, D))
    floors["with biases"].append(smallest_largest_errors(pairs, D, bias=True))
    floors["L1 ball, with biases"].append(smallest_largest_errors(ball, D, bias=True))
    proved = ", ".join(f"{name} {floor[-1]:.3f}" for name, floor in floors.items())
    print(f"{m:2} measurements, largest error: at least {proved}")

largest = {name: [] for name in encoders}
for m in n_features:
    X = pairs @ dictionaries[m]
    for name, encoder in encoders.items():
        codes_found = encoder.fit(X, codes=pairs, **known).transform(X)
        largest[name].append(np.abs(codes_found - pairs).max())
    scores = ", ".join(f"{name} {error[-1]:.3f}" for name, error in largest.items())
    print(f"{m:2} measurements, largest error of what is trained: {scores}")

# %%
# Training minimizes the mean error, gives some codes up, and stays above the floor. Learned
# iterations come out far below it with 12 measurements or more.

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
colors = dict(zip(encoders, ("#4c6a8c", "#e08a3c"), strict=True))
for ax, found in (left, errors), (right, largest):
    for name, color in colors.items():
        ax.plot(n_features, found[name], "o-", color=color, label=name)
    ax.axvline(16, color="0.6", linestyle=":", label="as many measurements as sources")
    ax.grid(color="0.9")
floor = floors["without biases"]
right.fill_between(n_features_proved, floor, color="0.85", label="proved: no relu(W x) is here")
for name, style in ("with biases", "k--"), ("L1 ball, with biases", "k:"):
    right.plot(n_features_proved, floors[name], style, linewidth=1.2, label=f"proved, {name}")
left.set(
    xlabel="measurements of 16 sources, 3 of them active",
    ylabel="squared error of the training codes, relative",
    ylim=(0, None),
)
right.set(
    xlabel="measurements of 16 sources, 2 of them active",
    ylabel="largest error of any code",
    ylim=(0, 2.9),
)
left.legend()
right.legend(fontsize=9, ncols=2, loc="upper center")
plt.show()
