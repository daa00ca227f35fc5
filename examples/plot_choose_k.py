"""
How sparse, and how wide?
=========================

What does every further code explain, and which number of codes is worth having?
"""

# %%
# A grid search by `score`, the variance explained, takes the densest codes on offer: they explain
# most. A sweep shows what each value costs and brings. Models of one size are trained together.

import matplotlib.pyplot as plt

from skamort import GradSparseCoder, TopKSAE
from skamort.datasets import load_image_patches
from skamort.estimators import fit_many
from skamort.inspection import LossCurveDisplay, SweepDisplay
from skamort.metrics import mean_l0
from skamort.solvers import alpha_for_l0, alpha_max

X = load_image_patches(4000, patch_size=8, random_state=0)
X_train, X_test = X[:3000], X[3000:]

sweep = SweepDisplay.from_estimator(
    TopKSAE(n_components=128, tol=0.03),
    X_train,
    X_test,
    param_name="k",
    param_range=[2, 4, 8, 16, 32],
    random_states=[0, 1],
    fit=fit_many,
)
sweep.figure_.suptitle("How sparse: the dashed line is where the error bends most")
print(sweep.table.round(3))

# %%
# Stability is how well the atoms of one seed are found again by another. On patches that were held
# out the error soon stops to fall with the width: three thousand patches teach no more.

widths = SweepDisplay.from_estimator(
    TopKSAE(k=8, tol=0.03),
    X_train,
    X_test,
    param_name="n_components",
    param_range=[32, 64, 128, 256],
    random_states=[0, 1],
    fit=fit_many,
)
widths.figure_.suptitle("How wide, at eight codes a patch")

# %%
# With an L1 penalty the weight `alpha` decides. Beyond `alpha_max` all codes are 0. For a given
# dictionary `alpha_for_l0` finds the weight at which the best codes have as many non-zeros as are
# wanted.

coder = GradSparseCoder(n_components=128, tol=1e-3, random_state=0).fit(X_train)
centered = X_test if coder.intercept_ is None else X_test - coder.intercept_
print(f"alpha of the fit {coder.alpha_:.3f}, with {mean_l0(coder.transform(X_test)):.1f} codes")
print(f"all codes are 0 beyond {alpha_max(centered, coder.components_, positive=True).max():.3f}")
for wanted in (4, 8, 16):
    alpha = alpha_for_l0(centered, coder.components_, wanted, positive=True)
    print(f"{wanted:2d} codes at alpha = {alpha:.3f}")

# %%
# And was training long enough? The curves of two learning rates, up to the plateau that `tol` waits
# for.

fits = {
    f"learning_rate={rate:g}": TopKSAE(128, k=8, learning_rate=rate, tol=0.02, random_state=0)
    for rate in (1e-3, 3e-3)
}
LossCurveDisplay.from_estimators({name: sae.fit(X_train) for name, sae in fits.items()})
plt.show()
