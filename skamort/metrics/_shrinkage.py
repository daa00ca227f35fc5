"""Whether reconstructions are shorter than the data: what a penalty on the size of codes costs.

    slope = <X, X_hat> / <X, X>           of X_hat on X, through 0
    bias  = <X_hat, X_hat> / <X, X_hat>   the g for which X_hat / g is closest to X

X, X_hat (n_samples, n_features); <A, B> sums the products of all entries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._explained_variance import row_blocks
from .._matrices import as_dense, check_dense_or_csr


def reconstruction_slope(X: Any, X_reconstructed: Any) -> float:
    """Slope of reconstructions on the data, by least squares through 0.

    1 where nothing is lost. What a reconstruction leaves out lowers it as much as codes that are
    too small do: `reconstruction_bias` tells the two apart.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data, less the intercept where the model has one.
    X_reconstructed : {array-like, sparse matrix} of shape (n_samples, n_features)
        Reconstruction of the data, less the intercept as well.

    Returns
    -------
    slope : float
        ``<X, X_hat> / <X, X>``, usually from 0 to 1, in any unit of the data.

    Raises
    ------
    ValueError
        NaN or infinity, different shapes, or data that are 0 everywhere.

    See Also
    --------
    reconstruction_bias : How much too short reconstructions are for what they explain.
    fraction_variance_unexplained : The size of what is left.

    Examples
    --------
    >>> from skamort.metrics import reconstruction_slope
    >>> reconstruction_slope([[2.0, 0.0], [0.0, 4.0]], [[1.0, 0.0], [0.0, 2.0]])
    0.5
    """
    data, mixed, _ = _products(X, X_reconstructed)
    if data == 0:
        raise ValueError(
            "reconstruction_slope: X is 0 everywhere, and no line has a slope on it; pass data "
            "that vary."
        )
    return mixed / data


def reconstruction_bias(X: Any, X_reconstructed: Any) -> float:
    """Relative size of reconstructions: below 1 where they shrink what they explain.

    The number g for which ``X_hat / g`` is closest to X. Least squares on any number of atoms have
    1, whatever they leave unexplained; an L1 penalty brings it below.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data, less the intercept where the model has one.
    X_reconstructed : {array-like, sparse matrix} of shape (n_samples, n_features)
        Reconstruction of the data, less the intercept as well.

    Returns
    -------
    bias : float
        ``<X_hat, X_hat> / <X, X_hat>``, in any unit of the data; 0 where reconstructions are 0,
        and infinite where none of them points where its sample does.

    Raises
    ------
    ValueError
        NaN or infinity, or different shapes.

    See Also
    --------
    reconstruction_slope : Counts what is left out too.

    References
    ----------
    Rajamanoharan et al. (2024), Improving dictionary learning with gated sparse autoencoders,
    section 3, the relative reconstruction bias.

    Examples
    --------
    >>> from skamort.metrics import reconstruction_bias
    >>> reconstruction_bias([[2.0, 1.0], [1.0, 4.0]], [[2.0, 0.0], [0.0, 4.0]])
    1.0
    >>> reconstruction_bias([[2.0, 1.0], [1.0, 4.0]], [[1.0, 0.0], [0.0, 2.0]])
    0.5
    """
    _, mixed, found = _products(X, X_reconstructed)
    if found == 0:
        return 0.0
    return found / mixed if mixed else np.inf


def _products(X: Any, X_reconstructed: Any) -> tuple[float, float, float]:
    """<X, X>, <X, X_hat> and <X_hat, X_hat>, up to one factor for all."""
    X, X_hat = check_dense_or_csr(X, "X"), check_dense_or_csr(X_reconstructed, "X_reconstructed")
    if X.shape != X_hat.shape:
        raise ValueError(f"X_reconstructed must have the shape of X, {X.shape}, got {X_hat.shape}.")
    peak = float(max(abs(X).max(), abs(X_hat).max())) or 1.0  # squares of it would overflow
    products = np.zeros(3)
    for rows in row_blocks(*X.shape):
        x, x_hat = (as_dense(values[rows]).ravel() / np.float64(peak) for values in (X, X_hat))
        products += x @ x, x @ x_hat, x_hat @ x_hat
    data, mixed, found = products.tolist()
    return data, mixed, found
