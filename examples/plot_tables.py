"""
Tables in, tables out
=====================

A frame with named columns goes in, pandas or polars, and codes with named columns come out; in a
pipeline, behind scikit-learn's scaler. What does each latent stand for, in the names of the
columns?
"""

# %%
# Thirty measurements of the cell nuclei in 569 biopsies.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skamort import GradSparseCoder
from skamort.inspection import top_activations

frame, malignant = load_breast_cancer(return_X_y=True, as_frame=True)
malignant = malignant == 0
coder = GradSparseCoder(12, alpha=1.5, random_state=0)
model = make_pipeline(StandardScaler(), coder).set_output(transform="pandas")
codes = model.fit_transform(frame)
print(codes.iloc[:3, :4].round(2))

# %%
# The index is that of the rows. ``set_output(transform="polars")`` gives a polars frame, whatever
# kind of table came in; the names of its columns are checked against those of the fit.

model.set_output(transform="polars")
again = model.transform(pl.from_pandas(frame))
print(again.head(3)[:, :4])
assert np.array_equal(again.to_numpy(), codes.to_numpy())

# %%
# The strongest rows of each latent are a table as well.

scaled = model[:-1].transform(frame).to_pandas()
strongest = top_activations(coder, scaled, n_top=3)
print(strongest.head(6))

# %%
# Latents in the names of the columns, with the share of malignant biopsies among those in which
# each is active.

atoms = pd.DataFrame(coder.components_, codes.columns, frame.columns)
active = codes > 0
used = active.mean().sort_values(ascending=False).index
share = pd.Series({name: malignant[active[name]].mean() for name in used})
for name in used[:4]:
    columns = ", ".join(atoms.loc[name].abs().sort_values(ascending=False).index[:3])
    print(f"{name}: in {active[name].mean():.0%}, {share[name]:.0%} of them malignant: {columns}")

figure, ax = plt.subplots(figsize=(12.5, 6), layout="constrained")
limit = atoms.abs().to_numpy().max()
image = ax.imshow(atoms.loc[used], cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
ax.set_xticks(range(atoms.shape[1]), atoms.columns, rotation=60, ha="right")
labels = [f"in {active[name].mean():.0%}, {share[name]:.0%} malignant" for name in used]
ax.set_yticks(range(len(used)), labels)
ax.set_title("Atoms: which measurements are high and low together")
figure.colorbar(image, label="weight, in standard deviations")
plt.show()
