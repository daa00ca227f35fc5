"""The regularization path: codes for a sequence of L1 weights, each warm-started from the one
before."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._validation import as_tensor, check_dictionary, check_integer, check_real
from ._blocks import row_blocks
from ._certificate import largest
from ._encode import sparse_encode
from ._mask import check_mask, fill_missing
from ._scale import check_range, magnitude, power_of_four, times_ratio


class EncodingPath(NamedTuple):
    """Codes along a path, as :func:`sparse_encode_path` returns them.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,) or (n_samples, n_alphas)
        L1 weights.
    codes : ndarray or Tensor of shape (n_alphas, n_samples, n_components)
        Codes at each weight.
    gaps : ndarray or Tensor of shape (n_alphas, n_samples)
        Their duality gaps.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.solvers import sparse_encode_path
    >>> path = sparse_encode_path(np.array([[3.0, 0.5]]), np.eye(2), alphas=[2.0, 1.0])
    >>> path.codes[:, 0]
    array([[1., 0.],
           [2., 0.]])
    """

    alphas: np.ndarray
    codes: np.ndarray | Tensor
    gaps: np.ndarray | Tensor


def alpha_max(X, dictionary, *, positive=False, mask=None):
    """Smallest L1 weight for which the best codes of a sample are all zero.

    That is ``max_j |<x, d_j>|``, or ``max_j <x, d_j>`` for codes >= 0 (0 where all are negative).

    Parameters
    ----------
    X : array-like or Tensor of shape (n_samples, n_features)
        Data.
    dictionary : array-like or Tensor of shape (n_components, n_features)
        Atoms, one a row.
    positive : bool, default=False
        Whether codes must be >= 0.
    mask : array-like or Tensor of bool of shape (n_samples, n_features), default=None
        True where ``X`` is observed, as in :func:`sparse_encode`; None: everywhere.

    Returns
    -------
    alpha_max : ndarray or Tensor of shape (n_samples,)
        In the dtype of ``X``.

    Raises
    ------
    ValueError
        NaN, infinity, a zero atom, shapes that do not fit, or weights that the dtype cannot hold.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.solvers import alpha_max
    >>> alpha_max(np.array([[3.0, 0.5], [-2.0, -1.0]]), np.eye(2))
    array([3., 2.])
    >>> alpha_max(np.array([[3.0, 0.5], [-2.0, -1.0]]), np.eye(2), positive=True)
    array([3., 0.])
    """
    data = as_tensor(fill_missing(X, check_mask(mask, X)), "X")
    atoms = check_dictionary(dictionary, data)
    size, unit = power_of_four(magnitude(data)), power_of_four(magnitude(atoms).amax())
    atoms, scaled = atoms / unit, data.new_empty(len(data))
    for rows in row_blocks(data, len(atoms), times=4):
        scaled[rows] = largest((data[rows] / size[rows, None]) @ atoms.T, positive)
    found = times_ratio(scaled, size, 1 / unit)
    check_range("alpha_max: weights", scaled[:, None], found[:, None], size, bool(unit < 1))
    return found if isinstance(X, Tensor) else found.numpy()


def sparse_encode_path(
    X,
    dictionary,
    *,
    alphas=None,
    n_alphas=20,
    eps=1e-2,
    algorithm="cd",
    positive=False,
    gram=None,
    max_iter=1000,
    tol=None,
    n_jobs=None,
    engine="auto",
    mask=None,
):
    """Find codes for a sequence of L1 weights, from the largest to the smallest, each warm-started.

    What :func:`sklearn.linear_model.lasso_path` does for one target, for every sample at once.

    Parameters
    ----------
    X : array-like or Tensor of shape (n_samples, n_features)
        Data.
    dictionary : array-like or Tensor of shape (n_components, n_features)
        Atoms, one a row, of any norm but zero.
    alphas : array-like of shape (n_alphas,), default=None
        L1 weights, >= 0, in any order. None means ``n_alphas`` of them, geometrically from the
        largest :func:`alpha_max` of the samples down to ``eps`` times it.
    n_alphas : int, default=20
        Number of weights where ``alphas`` is None.
    eps : float, default=1e-2
        Length of the path where ``alphas`` is None: smallest over largest weight, in (0, 1).
    algorithm : {"cd", "fista", "lca", "auto"}, default="cd"
        Solver, as in :func:`sparse_encode`.
    positive : bool, default=False
        Whether codes must be >= 0.
    gram : array-like or Tensor of shape (n_components, n_components), default=None
        ``dictionary @ dictionary.T``, computed once where None.
    max_iter : int, default=1000
        Most iterations spent on a sample at one weight.
    tol : float, default=None
        A sample has converged when its duality gap is at most ``tol * 1/2 ||x||^2``. None: as in
        :func:`sparse_encode`.
    n_jobs : int, default=None
        Threads of compiled kernels.
    engine : {"auto", "numba", "torch"}, default="auto"
        As in :func:`sparse_encode`.
    mask : array-like or Tensor of bool of shape (n_samples, n_features), default=None
        True where ``X`` is observed, as in :func:`sparse_encode`; None: everywhere.

    Returns
    -------
    path : EncodingPath
        A named tuple: ``alphas``, ndarray of shape (n_alphas,), falling; ``codes``, ndarray or
        Tensor of shape (n_alphas, n_samples, n_components); ``gaps``, of shape (n_alphas,
        n_samples), the certificates.

    Raises
    ------
    ValueError
        As :func:`sparse_encode`, for a negative weight or an ``eps`` outside (0, 1).

    Warns
    -----
    ConvergenceWarning
        Where samples did not reach ``tol`` at some weight.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.solvers import sparse_encode_path
    >>> path = sparse_encode_path(np.array([[3.0, 0.5]]), np.eye(2), alphas=[0.25, 1.0, 4.0])
    >>> path.alphas
    array([4.  , 1.  , 0.25])
    >>> path.codes[:, 0]
    array([[0.  , 0.  ],
           [2.  , 0.  ],
           [2.75, 0.25]])
    """
    mask = check_mask(mask, X)
    data = as_tensor(fill_missing(X, mask), "X")
    atoms = check_dictionary(dictionary, data)
    weights = _falling_alphas(alphas, n_alphas, eps, data, atoms, positive)
    gram = atoms @ atoms.T if gram is None else gram
    codes, gaps, previous = [], [], None
    for alpha in weights.tolist():
        previous, info = sparse_encode(
            data, atoms, alpha=alpha, init=previous, gram=gram, algorithm=algorithm,
            max_iter=max_iter, n_jobs=n_jobs, check_input=False, positive=positive, tol=tol,
            return_info=True, engine=engine, mask=mask,
        )  # fmt: skip
        codes.append(previous)
        gaps.append(info.gap)
    found = torch.stack(codes), torch.stack(gaps)
    return EncodingPath(weights, *(found if isinstance(X, Tensor) else map(Tensor.numpy, found)))


def _falling_alphas(
    alphas: Any, n_alphas: int, eps: float, X: Tensor, dictionary: Tensor, positive: bool
) -> np.ndarray:
    """The given weights in falling order, or those of the default path."""
    if alphas is not None:
        return np.sort([check_real(alpha, "alphas") for alpha in np.ravel(alphas)])[::-1].copy()
    check_integer(n_alphas, "n_alphas", 1)
    if not 0 < check_real(eps, "eps") < 1:
        raise ValueError(f"eps must be between 0 and 1, both excluded, got {eps!r}.")
    largest = float(alpha_max(X, dictionary, positive=positive).max())
    return np.geomspace(largest, eps * largest, n_alphas) if largest else np.zeros(n_alphas)
