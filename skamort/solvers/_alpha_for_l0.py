"""The L1 weight at which the best codes have a wanted number of non-zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._validation import as_tensor, check_dictionary, check_real
from ._encode import sparse_encode
from ._path import alpha_max

_MOST_STEPS = 40
_SMALLEST = 1e-5  # of the largest weight


def alpha_for_l0(
    X: Any, dictionary: Any, l0: float, *, positive: bool = False, tol: float = 0.01
) -> float:
    """Find the L1 weight at which the best codes have a wanted mean number of non-zeros.

    Their mean L0 falls, nearly always, with the weight, from the rank of the dictionary to 0 at
    :func:`alpha_max`. From there the weight is halved until there are as many, and then found by
    bisection of its logarithm, every step warm-started.

    Parameters
    ----------
    X : array-like or Tensor of shape (n_samples, n_features)
        Data, less its center where the model has one. A thousand rows are enough.
    dictionary : array-like or Tensor of shape (n_components, n_features)
        Atoms, one a row.
    l0 : float
        Wanted mean number of non-zero codes of a row, above 0.
    positive : bool, default=False
        Whether codes must be >= 0.
    tol : float, default=0.01
        The mean L0 found is within this share of the wanted one, as far as rows are many enough.

    Returns
    -------
    alpha : float
        The weight, in the units of the data.

    Raises
    ------
    ValueError
        If codes without a penalty to speak of have fewer non-zeros than are wanted.

    See Also
    --------
    alpha_max : Where the last code becomes 0.
    sparse_encode_path : Codes at many weights.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import GradSparseCoder
    >>> from skamort.metrics import mean_l0
    >>> from skamort.solvers import alpha_for_l0, sparse_encode
    >>> X = load_digits().data
    >>> coder = GradSparseCoder(32, fit_intercept=False, random_state=0, tol=1e-3).fit(X)
    >>> alpha = alpha_for_l0(X, coder.components_, l0=6, positive=True)
    >>> round(mean_l0(sparse_encode(X, coder.components_, alpha=alpha, positive=True)), 1)
    6.0
    """
    data = as_tensor(X, "X")
    atoms = check_dictionary(dictionary, data)
    wanted = check_real(l0, "l0")
    high = low = float(alpha_max(data, atoms, positive=positive).max())
    smallest, codes = _SMALLEST * high, torch.zeros(len(data), len(atoms)).to(data)
    if wanted == 0:
        raise ValueError("alpha_for_l0: l0=0 must be above 0; alpha_max is where all codes are 0.")
    while _mean_l0(codes) < wanted:  # from above: codes of small weights are dear
        if low <= smallest:
            raise ValueError(
                f"alpha_for_l0: l0={l0} must be at most {_mean_l0(codes):.4g}, what "
                "codes with next to no penalty have."
            )
        high, low = low, low / 2
        codes = _encode(data, atoms, low, positive, codes)
    return _bisect(data, atoms, low, high, codes, wanted, positive, tol)


def _bisect(
    data: Tensor,
    atoms: Tensor,
    low: float,
    high: float,
    codes: Tensor,
    wanted: float,
    positive: bool,
    tol: float,
) -> float:
    """Return a weight between one whose codes have too many non-zeros and one with too few."""
    alpha = low
    for _ in range(_MOST_STEPS):
        found = _mean_l0(codes)
        if abs(found - wanted) <= tol * wanted:
            break
        low, high = (alpha, high) if found > wanted else (low, alpha)
        alpha = float(np.sqrt(low * high))
        codes = _encode(data, atoms, alpha, positive, codes)
    return alpha


def _encode(
    data: Tensor, atoms: Tensor, alpha: float, positive: bool, start: Tensor | None
) -> Tensor:
    return sparse_encode(data, atoms, alpha=alpha, positive=positive, init=start, algorithm="cd")


def _mean_l0(codes: Tensor) -> float:
    return float(torch.count_nonzero(codes)) / len(codes)
