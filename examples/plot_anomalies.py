"""
Rows that are not like the others
=================================

What atoms that were learned from ordinary rows cannot put together is out of the ordinary:
`score_samples` is the negative mean squared error of each row, low for anomalies. Here for readings
of sensors, where an anomaly breaks how the sensors move together and no single reading is odd.
"""

# %%
# Forty states of a machine, each of which moves a few of 30 sensors; one to three are on at a time.
# In an anomaly some of the readings belong to another moment, so that each sensor alone shows what
# it often shows.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay
from sklearn.neighbors import LocalOutlierFactor

from skamort import GradSparseCoder, TopKSAE

rng = np.random.default_rng(0)
states = np.where(rng.random((40, 30)) < 0.2, rng.standard_normal((40, 30)), 0)


def readings(n):
    """Return the readings of n moments."""
    on = np.argsort(rng.random((n, 40)), axis=1) < rng.integers(1, 4, (n, 1))
    return (on * rng.uniform(0.5, 2, on.shape)) @ states + 0.1 * rng.standard_normal((n, 30))


ordinary, test, strange = readings(4000), readings(1000), readings(200)
mixed = rng.random(strange.shape) < 0.2
strange[mixed] = readings(200)[mixed]
X = np.vstack([test, strange])
y = np.repeat([0, 1], [len(test), len(strange)])

# %%
# Thirty sensors and forty states: whatever principal components leave over, they leave out states
# as well, and in thirty dimensions all rows are far from each other. A sparse code has to explain a
# row by three states.

detectors = {
    "GradSparseCoder, 3 codes": GradSparseCoder(
        40, n_nonzero_coefs=3, tol=1e-3, n_init=2, random_state=0
    ),
    "TopKSAE, 3 codes": TopKSAE(40, k=3, tol=1e-3, random_state=0),
    "25 principal components": PCA(25),
    "LocalOutlierFactor": LocalOutlierFactor(novelty=True),
    "IsolationForest": IsolationForest(random_state=0),
}


def anomaly(detector, X):
    """Return how strange each row is."""
    if isinstance(detector, PCA):  # its score_samples is a likelihood
        return ((X - detector.inverse_transform(detector.transform(X))) ** 2).mean(axis=1)
    return -detector.score_samples(X)


scores = {name: anomaly(detector.fit(ordinary), X) for name, detector in detectors.items()}

# %%
# What is left over also says where to look: which sensor does not fit.

coder = detectors["GradSparseCoder, 3 codes"]
left_over = strange - coder.inverse_transform(coder.transform(strange))
worst = np.argmax(np.abs(left_over), axis=1)
hits = mixed[np.arange(len(strange)), worst].mean()
print(f"the sensor that fits worst is one of the mixed up in {hits:.0%} of the anomalies")
print(f"by chance it would be in {mixed.mean():.0%}")

# %%
# Of all rows in order of their scores, the share of anomalies that come before a share of the
# ordinary rows; and the scores themselves.

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
colors = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "0.5"]
lines = ["-", "--", "-.", ":", (0, (1, 1))]
for (name, strangeness), color, line in zip(scores.items(), colors, lines, strict=True):
    style = {"color": color, "linestyle": line, "lw": 2}
    RocCurveDisplay.from_predictions(y, strangeness, name=name, ax=left, curve_kwargs=style)
left.set(xlabel="share of ordinary rows that are reported", ylabel="share of anomalies reported")
left.set_title("Anomalies found")

bins = np.geomspace(3e-3, 1, 50)
for label, kind, color in (("ordinary", test, "0.6"), ("anomalies", strange, "#0072B2")):
    weights = np.full(len(kind), 1 / len(kind))
    right.hist(anomaly(coder, kind), bins, weights=weights, color=color, alpha=0.7, label=label)
right.set(xscale="log", xlabel="minus score_samples of GradSparseCoder", ylabel="share of rows")
right.set_title("Their scores")
right.legend()
plt.show()
