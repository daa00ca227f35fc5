"""How well codes explain data: with the price of the codes, and without.

    J   = mean_i [ 1/2 ||x_i - z_i D||^2 + alpha ||z_i||_1 ]
    FVU = sum_i ||x_i - x_hat_i||^2 / sum_i ||x_i - mean(x)||^2

X, X_hat (n_samples, n_features); Z (n_samples, n_components); D (n_components, n_features).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._explained_variance import fraction_unexplained, row_blocks
from .._matrices import (
    Codes,
    as_dense,
    check_dense_or_csr,
    check_matrix,
    check_shapes_fit,
    check_squares_held,
)
from .._sample_weight import check_sample_weight, scaled_to_mean_one
from .._validation import check_real


def sparse_coding_objective(X: Any, codes: Any, dictionary: Any, alpha: float) -> float:
    """Mean sparse coding objective of codes for a dictionary.

    J = mean_i [ 1/2 ||x_i - z_i D||^2 + alpha ||z_i||_1 ], the objective of every L1 estimator
    here and of scikit-learn's dictionary learning. Lower is better.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data, less the intercept where the model has one.
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Sparse codes; CSR codes are not made dense.
    dictionary : array-like of shape (n_components, n_features)
        Atoms, one a row, as they are. For a fair comparison they have unit norm, because longer
        atoms make codes cheaper.
    alpha : float
        Weight of the L1 norm, >= 0.

    Returns
    -------
    objective : float
        In the squared units of X, computed in float64.

    Raises
    ------
    ValueError
        NaN or infinity, shapes that do not fit, a negative `alpha`.
    TypeError
        If `alpha` is not a number.

    See Also
    --------
    amortization_gap : How far an encoder's objective is from the best one for its dictionary.

    Examples
    --------
    >>> from skamort.metrics import sparse_coding_objective
    >>> X, codes, dictionary = [[3.0, 4.0]], [[2.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
    >>> sparse_coding_objective(X, codes, dictionary, alpha=0.5)  # (1 + 16) / 2 + 0.5 * 2
    9.5
    """
    alpha = check_real(alpha, "alpha")
    X, codes = check_dense_or_csr(X, "X"), check_dense_or_csr(codes)
    dictionary = check_matrix(dictionary, "dictionary")
    check_shapes_fit(X, codes, dictionary)
    total = sum(
        objective_samples(as_dense(X[rows]), codes[rows], dictionary, alpha).sum()
        for rows in row_blocks(*X.shape)
    )
    check_squares_held(total, "sparse_coding_objective")
    return float(total / X.shape[0])


def objective_samples(
    X: np.ndarray, codes: Codes, dictionary: np.ndarray, alpha: float
) -> np.ndarray:
    """The objective of each of the checked samples, (n_samples,), in float64."""
    codes = codes.astype(np.float64)
    residual = X - codes @ dictionary.astype(np.float64)
    l1 = np.asarray(abs(codes).sum(axis=1)).ravel()
    return 0.5 * np.einsum("ij,ij->i", residual, residual) + alpha * l1


def fraction_variance_unexplained(
    X: Any, X_reconstructed: Any, *, sample_weight: Any = None
) -> float:
    """Fraction of the variance of data that a reconstruction leaves unexplained (FVU).

    Also known as normalized mean squared error: the mean squared error, divided by that of
    predicting the mean of X. It is 1 less the R^2 score that weighs features by their variance.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data.
    X_reconstructed : {array-like, sparse matrix} of shape (n_samples, n_features)
        Reconstruction of the data, ``inverse_transform(transform(X))``.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights >= 0 of the rows, in sums and mean. None: all rows weigh 1.

    Returns
    -------
    fvu : float
        0 for a perfect reconstruction, 1 for one no better than the mean, more if it is worse.
        Where X does not vary at all, 1 for any error.

    Raises
    ------
    ValueError
        NaN or infinity, or different shapes; a negative weight, or nothing but zeros.

    See Also
    --------
    sklearn.metrics.r2_score : With ``multioutput="variance_weighted"``, 1 less this.

    Examples
    --------
    >>> from skamort.metrics import fraction_variance_unexplained
    >>> fraction_variance_unexplained([[0.0, 1.0], [4.0, 1.0]], [[1.0, 1.0], [3.0, 1.0]])
    0.25
    """
    X = check_dense_or_csr(X, "X")
    X_hat = check_dense_or_csr(X_reconstructed, "X_reconstructed")
    if X.shape != X_hat.shape:
        raise ValueError(f"X_reconstructed must have the shape of X, {X.shape}, got {X_hat.shape}.")
    weights = check_sample_weight(sample_weight, X.shape[0], "fraction_variance_unexplained")
    weights = scaled_to_mean_one(weights)
    return fraction_unexplained(X, lambda rows: as_dense(X_hat[rows]), weights)
