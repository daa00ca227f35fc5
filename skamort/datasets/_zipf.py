"""Zipf's law: the j-th most common of many things is 1 / j as common as the first."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from .._compat import Interval, validate_params


@validate_params(
    {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "exponent": [Interval(Real, 0, None, closed="left")],
        "offset": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def zipf_weights(n_components: int, *, exponent: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """Weights that fall with the rank, ``rank ** -exponent`` over their sum, plus an offset.

    As `importance` of :func:`make_sparse_coded_signal` they are a law of magnitudes, apart from the
    law of frequencies that its `zipf_exponent` is.

    Parameters
    ----------
    n_components : int
        Number of weights.
    exponent : float, default=1.0
        How fast they fall; 0 for equal ones.
    offset : float, default=0.0
        What is added to each. With 0.1 and an exponent of 1 they are the magnitudes of the
        amortization-gap paper's Zipf codes.

    Returns
    -------
    weights : ndarray of shape (n_components,)
        From the largest down; they sum to ``1 + offset * n_components``.

    Raises
    ------
    ValueError
        A number outside its range.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
    Sparse Autoencoders, appendix D.

    Examples
    --------
    >>> from skamort.datasets import zipf_weights
    >>> zipf_weights(3, offset=0.1).round(3)
    array([0.645, 0.373, 0.282])
    """
    weights = np.arange(1, n_components + 1, dtype=float) ** -exponent
    return weights / weights.sum() + offset
