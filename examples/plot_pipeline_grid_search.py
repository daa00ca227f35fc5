"""
Encoders in a pipeline and a grid search
========================================

Which sparse features of digits does a linear classifier like best? A `GridSearchCV` tries encoders
and their sparsity in a `Pipeline`, scikit-learn's `DictionaryLearning` among them.
"""

# %%
# Each candidate is a class with its own grid; all share the scaler before and the classifier after.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import DictionaryLearning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skamort import GradSparseCoder, SAEEncoder, TopKSAE

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=500, random_state=0)

pipeline = Pipeline(
    [
        ("scale", StandardScaler()),
        ("encode", SAEEncoder()),
        ("classify", LogisticRegression(max_iter=5000)),
    ]
)
common = {"n_components": 128, "random_state": 0}
grid = [
    {"encode": [SAEEncoder(tol=3e-2, **common)], "encode__alpha": [0.1, 0.5, 2.0]},
    {"encode": [TopKSAE(tol=3e-2, **common)], "encode__k": [4, 8, 16]},
    {"encode": [GradSparseCoder(tol=3e-2, **common)], "encode__alpha": [0.1, 0.5, 2.0]},
    {
        "encode": [
            DictionaryLearning(
                max_iter=5, fit_algorithm="lars", transform_algorithm="lasso_lars", **common
            )
        ],
        "encode__alpha": [2.0],
        "encode__transform_alpha": [2.0],
    },
]

# %%
# Two workers; each fits with one thread, so that they do not fight over the cores.

search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X_train, y_train)
print(f"best: {search.best_params_}")
print(f"test accuracy: {search.score(X_test, y_test):.3f}")

# %%

results = pd.DataFrame(search.cv_results_)
names = [
    f"{type(row['encode']).__name__}, "
    + (f"k={row['encode__k']}" if "encode__k" in row else f"alpha={row['encode__alpha']}")
    for row in results["params"]
]
order = np.argsort(results["mean_test_score"])
figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
ax.barh(
    np.array(names)[order],
    results["mean_test_score"][order],
    xerr=results["std_test_score"][order],
    color="tab:blue",
    ecolor="black",
    capsize=3,
)
ax.set(xlim=(0.85, 1), xlabel="accuracy in 3-fold cross-validation (bar: standard deviation)")
ax.set_title("Logistic regression on sparse codes of digits")
plt.show()
