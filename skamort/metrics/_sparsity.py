"""How many codes are in use: by sample (L0), and by latent (dead or alive)."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse

from .._compat import Interval, validate_params
from .._matrices import check_dense_or_csr


@validate_params(
    {
        "codes": ["array-like", "sparse matrix"],
        "threshold": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def mean_l0(codes: Any, *, threshold: float = 0.0) -> float:
    """Mean number of active codes of a sample.

    Parameters
    ----------
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Sparse codes; CSR codes are not made dense.
    threshold : float, default=0.0
        A code is active if its absolute value exceeds this.

    Returns
    -------
    l0 : float
        From 0 to n_components.

    Raises
    ------
    ValueError
        NaN or infinity in `codes`, or a negative `threshold`.

    Examples
    --------
    >>> from skamort.metrics import mean_l0
    >>> mean_l0([[0.0, 2.0, 0.01], [0.0, -1.0, 0.0]])
    1.5
    >>> mean_l0([[0.0, 2.0, 0.01], [0.0, -1.0, 0.0]], threshold=0.1)
    1.0
    """
    codes = check_dense_or_csr(codes)
    values = codes.data if sparse.issparse(codes) else codes
    return int(np.count_nonzero(np.abs(values) > threshold)) / codes.shape[0]


@validate_params(
    {
        "codes": ["array-like", "sparse matrix"],
        "threshold": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def dead_fraction(codes: Any, *, threshold: float = 0.0) -> float:
    """Fraction of latents that are active in no sample.

    Parameters
    ----------
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Sparse codes; CSR codes are not made dense. Enough samples, that a rare latent had its
        chance to fire.
    threshold : float, default=0.0
        A code is active if its absolute value exceeds this.

    Returns
    -------
    fraction : float
        From 0 to 1.

    Raises
    ------
    ValueError
        NaN or infinity in `codes`, or a negative `threshold`.

    Examples
    --------
    >>> from skamort.metrics import dead_fraction
    >>> dead_fraction([[0.0, 2.0, 0.0, 1.0], [0.0, -1.0, 0.5, 0.0]])
    0.25
    """
    codes = check_dense_or_csr(codes)
    if sparse.issparse(codes):
        alive = np.unique(codes.indices[np.abs(codes.data) > threshold]).size
    else:
        alive = int((np.abs(codes) > threshold).any(axis=0).sum())
    return 1 - alive / codes.shape[1]
