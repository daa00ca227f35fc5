"""
Thresholds that are learned
===========================

`JumpReLUSAE` pays ``alpha`` for each active code, whatever its size, and learns above which
threshold a code is worth it. How do sparsity, error and thresholds move with ``alpha``, and how
does it compare with `TopKSAE` and `SAEEncoder` at equal sparsity?
"""

# %%
# Digits, whose mean squared norm sets the scale of ``alpha``: a code of size z lowers the error by
# up to 1/2 z^2, so that one of sqrt(2 alpha) just pays for itself.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skamort import JumpReLUSAE, SAEEncoder, TopKSAE
from skamort.metrics import mean_l0

X = load_digits().data.astype(np.float32) / 16
energy = np.square(X - X.mean(axis=0)).sum(axis=1).mean()
common = {"n_components": 128, "tol": 1e-2, "random_state": 0}


def sparsity_and_error(sae):
    """L0 and the fraction of variance unexplained."""
    return mean_l0(sae.transform(X)), 1 - sae.score(X)


alphas = energy * np.array([3e-4, 1e-3, 3e-3, 1e-2])
jumping = [JumpReLUSAE(alpha=alpha, **common).fit(X) for alpha in alphas]
thresholds = [sae.net_.module_.activation.log_threshold.detach().exp().numpy() for sae in jumping]
points = {"JumpReLUSAE": [sparsity_and_error(sae) for sae in jumping]}
for alpha, (l0, error), theta in zip(alphas, points["JumpReLUSAE"], thresholds, strict=True):
    print(
        f"alpha {alpha:.4f}: L0 {l0:5.1f}, unexplained {error:6.1%}, median threshold "
        f"{np.median(theta):.3f}, sqrt(2 alpha) {np.sqrt(2 * alpha):.3f}"
    )

# %%
# The others over the same range: TopK with the L0 found above as its k, the L1 penalty with weights
# that span it.

points["TopKSAE"] = [
    sparsity_and_error(TopKSAE(k=round(l0), **common).fit(X)) for l0, _ in points["JumpReLUSAE"]
]
points["SAEEncoder"] = [
    sparsity_and_error(SAEEncoder(alpha=alpha, **common).fit(X)) for alpha in (0.05, 0.1, 0.3, 0.6)
]

# %%
# An L1 penalty shrinks the codes that it keeps, the other two do not.

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
for (name, pairs), marker in zip(points.items(), "os^", strict=True):
    left.plot(*np.transpose(pairs), marker=marker, label=name)
left.set(xlabel="active codes a sample (L0)", ylabel="variance unexplained")
left.set(yscale="log", title="Error at equal sparsity")
left.legend()

l0s, errors = np.transpose(points["JumpReLUSAE"])
middle.plot(alphas, l0s, "o-", color="tab:blue")
middle.set(xscale="log", xlabel="alpha", title="JumpReLUSAE by alpha")
middle.minorticks_off()
middle.set_ylabel("active codes a sample (L0)", color="tab:blue")
other = middle.twinx()
other.plot(alphas, errors, "s--", color="#d55e00")
other.set_ylabel("variance unexplained", color="#d55e00")

low, median, high = np.quantile(thresholds, [0.1, 0.5, 0.9], axis=1)
right.fill_between(alphas, low, high, alpha=0.25, label="10 % to 90 % of the latents")
right.plot(alphas, median, "o-", label="median")
right.plot(alphas, np.sqrt(2 * alphas), "k--", label="sqrt(2 alpha)")
right.set(xscale="log", yscale="log", xlabel="alpha", ylabel="threshold")
right.set(title="Learned thresholds", yticks=[0.1, 0.2, 0.5], yticklabels=["0.1", "0.2", "0.5"])
right.minorticks_off()
right.legend()
plt.show()
