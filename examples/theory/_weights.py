"""The weights that bring the loss on what is seen closest to the loss on the sources."""

import numpy as np
from scipy.optimize import minimize


def encode_transposed(x_p, dictionary):
    """relu(W_p^T x_p), for W_p transposed (n_sources, n_features)."""
    return np.maximum(x_p @ dictionary.T, 0)


def best_weights(x, x_p, dictionary, kind):
    """Weights (n_features, n_features) for which |Gamma W_p r|^2 is closest to |r|^2.

    r = x - relu(W_p^T x_p). Closest in the mean square over samples; `kind` is "common", one number
    for all features, "diagonal" or "full".
    """
    residual = x - encode_transposed(x_p, dictionary)
    seen, target = residual @ dictionary, np.square(residual).sum(axis=1)
    n_features = seen.shape[1]
    allowed = np.ones((n_features, n_features)) if kind == "full" else np.eye(n_features)
    scale = np.square(seen).sum(axis=1).mean()

    def gap(flat):
        weights = flat.reshape(n_features, n_features)
        weighted = seen @ weights.T
        off = (np.square(weighted).sum(axis=1) - target) / target.mean()
        slope = (off[:, None] * weighted).T @ seen * (4 / len(seen) / target.mean()) * allowed
        if kind == "common":
            slope = np.eye(n_features) * np.trace(slope) / n_features
        return np.square(off).mean(), slope.ravel()

    start = np.eye(n_features) * np.sqrt(target.mean() / scale)
    if kind == "full":
        start = best_weights(x, x_p, dictionary, "diagonal")
    found = minimize(gap, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return found.x.reshape(n_features, n_features)
