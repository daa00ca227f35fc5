"""The certificate of codes from anywhere, in NumPy and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .._explained_variance import row_blocks
from .._matrices import as_dense, check_dense_or_csr, check_same_length
from .._validation import as_tensor, check_codes, check_dictionary, check_real
from ._mask import check_mask, fill_missing, masked_gap
from ._scale import magnitude, power_of_four, times_ratio


def duality_gap(X, codes, dictionary, alpha, positive=False, *, mask=None):
    """Bound how far codes are from the best codes for a dictionary and an L1 weight.

    The objective 1/2 ||x - z D||^2 + alpha ||z||_1 of a sample is at most ``gap`` above its minimum
    over z, so the minimum lies between objective - gap and objective. Codes may come from any
    encoder.

    Parameters
    ----------
    X : array-like, sparse matrix or Tensor of shape (n_samples, n_features)
        Data; sparse ones are made dense a block of rows at a time.
    codes : array-like, sparse matrix or Tensor of shape (n_samples, n_components)
        Codes to judge; sparse ones beside sparse data.
    dictionary : array-like or Tensor of shape (n_components, n_features)
        Atoms, one a row, of any norm but zero.
    alpha : float
        Weight of the L1 norm, >= 0.
    positive : bool, default=False
        Whether the best codes are sought among those >= 0; ``codes`` must be, then. What is below
        zero by no more than rounding counts as zero.
    mask : array-like or Tensor of bool of shape (n_samples, n_features), default=None
        True where ``X`` is observed, as in :func:`sparse_encode`; None: everywhere.

    Returns
    -------
    gap : ndarray or Tensor of shape (n_samples,)
        Never negative, float64, computed in float64; infinity where float64 holds no such gap.

    Raises
    ------
    ValueError
        NaN, infinity, a zero atom, shapes that do not fit, a negative ``alpha``, or negative codes
        with ``positive``.

    Notes
    -----
    The dual point is the residual scaled to feasibility (see S.-J. Kim et al., An interior-point
    method for large-scale l1-regularized least squares, 2007, section III), at the best such scale.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.solvers import duality_gap
    >>> X, codes = np.array([[3.0, 0.5]]), np.array([[2.0, 0.0]])
    >>> duality_gap(X, codes, np.eye(2), alpha=1.0)
    array([0.])
    >>> duality_gap(X, 0 * codes, np.eye(2), alpha=1.0).round(3)
    array([2.056])
    """
    if sparse.issparse(X):
        return _gap_by_blocks(X, codes, dictionary, alpha, positive, mask)
    alpha = check_real(alpha, "alpha")
    mask = check_mask(mask, X)
    data = as_tensor(fill_missing(X, mask), "X")
    atoms = check_dictionary(dictionary, data)
    codes = check_codes(codes, "codes", data, atoms)
    if positive:
        rounding = 16 * torch.finfo(codes.dtype).eps * codes.amax()
        if (codes < -rounding).any():
            raise ValueError(
                "duality_gap: positive=True, but codes holds negative values; clip them or pass "
                "positive=False."
            )
        codes = codes.clamp(min=0)
    weight = torch.full((len(data),), alpha, dtype=torch.float64, device=data.device)
    gap = _scaled_gap(data, codes, atoms, weight, positive, mask)
    return gap if isinstance(X, Tensor) else gap.numpy()


def _scaled_gap(
    X: Tensor, codes: Tensor, dictionary: Tensor, alpha: Tensor, positive: bool, mask: Tensor | None
) -> Tensor:
    """`masked_gap` in units in which no square over- or underflows."""
    size = power_of_four(magnitude(X))
    unit = power_of_four(magnitude(dictionary).amax())
    if (size != 1).any() or unit != 1:
        X, dictionary = X / size[:, None], dictionary / unit
        codes = times_ratio(codes.double(), unit, size[:, None])
    gap = masked_gap(X, codes, dictionary, alpha / size / unit, positive, mask)
    return gap * size * size  # the square may be too large, or too small


def _gap_by_blocks(
    X: Any, codes: Any, dictionary: Any, alpha: float, positive: bool, mask: Any
) -> np.ndarray:
    """The gap of sparse data."""
    if mask is not None:
        raise ValueError("duality_gap: sparse X has no mask; pass X.toarray(), or mask=None.")
    X, codes = check_dense_or_csr(X, "X"), check_dense_or_csr(codes)
    check_same_length(X, codes, "X and codes")
    return np.concatenate(
        [
            duality_gap(as_dense(X[rows]), as_dense(codes[rows]), dictionary, alpha, positive)
            for rows in row_blocks(*X.shape)
        ]
    )
