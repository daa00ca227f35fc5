"""Codes by algorithms that scikit-learn has, at any scale.

Their tolerances are absolute: LARS takes correlations that differ by 1e-7 for equal, and atoms of
which the others leave 1e-7 for dependent. So rows and atoms are divided by powers of two near their
sizes, which is exact, rows for LARS by less, and codes are brought back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.decomposition import sparse_encode
from torch import Tensor

from .._numbers import as_array, check_array_given
from .._validation import check_real
from ._registry import SOLVERS
from ._scale import check_range

# Sizes within a factor of 16 are one: ordinary rows are solved together, as they are.
_STEP = 8
# Correlations that are so many times as large differ by 1e-7 only where rounding says so.
_LARS = 2.0**-20
_MATRICES = ("gram", "cov", "init")


def encode_by_sklearn(X: Any, dictionary: Any, mask: Any, **options: Any) -> Any:
    """Codes as scikit-learn's `sparse_encode` finds them, of the kind of X.

    Parameters
    ----------
    X : array-like or Tensor of shape (n_samples, n_features)
        Data.
    dictionary : array-like or Tensor of shape (n_components, n_features)
        Atoms.
    mask : object
        Anything but None is refused.
    **options : dict
        All other arguments of scikit-learn's function.
    """
    if mask is not None:
        raise ValueError(
            f"sparse_encode: algorithm={options['algorithm']!r} is scikit-learn's and takes no "
            f"mask; choose one of {sorted(SOLVERS)}."
        )
    if options["positive"] and options["algorithm"] == "lars":
        raise ValueError(
            "sparse_encode: Positive constraint not supported for 'lars' coding method; pass "
            "positive=False, to an estimator positive_code=False, or choose 'lasso_lars'."
        )
    checks = options["check_input"]
    given = {name: options[name] for name in _MATRICES if options[name] is not None}
    options |= {name: _matrix(value, name, checks) for name, value in given.items()}
    data, atoms = (_matrix(a, name, checks) for a, name in ((X, "X"), (dictionary, "dictionary")))
    if options["alpha"] is not None:
        check_real(options["alpha"], "alpha")
    sizes, unit = _size(np.abs(data).max(axis=1)), float(_size(np.abs(atoms).max()))
    sizes *= _LARS if "lars" in options["algorithm"] else 1
    scaled = np.empty((len(data), len(atoms)), data.dtype)
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        given = options | _given(options, rows, size, unit)
        scaled[rows] = sparse_encode(data[rows] / size, atoms / unit, **given)
    if options["positive"]:  # where atoms are equal LARS may say otherwise
        scaled.clip(min=0, out=scaled)
    codes = _brought_back(scaled, sizes, unit, options["algorithm"])
    return torch.as_tensor(codes).to(X) if isinstance(X, Tensor) else codes


def _matrix(values: Any, name: str, checks: bool) -> np.ndarray:
    return check_array_given(values, name, order="C") if checks else as_array(values)


def _size(values: np.ndarray) -> np.ndarray:
    """Powers of two near values, 1 for 0, float64; one for those that differ by little."""
    exponent = np.frexp(values)[1]
    most = np.finfo(values.dtype).maxexp - _STEP
    return np.exp2((_STEP * np.rint(exponent / _STEP)).clip(-most, most))


def _given(options: dict, rows: np.ndarray, size: float, unit: float) -> dict:
    """What is known of some of the rows, all divided by their size, and of the atoms, by theirs."""
    gram, cov, init, alpha = (options[name] for name in ("gram", "cov", "init", "alpha"))
    return {
        "alpha": (1.0 if alpha is None else alpha) / size / unit,
        "gram": gram if unit == 1 else None,
        "cov": None if cov is None else cov[:, rows] / size / unit,
        "init": None if init is None else init[rows] / size * unit,
    }


def _brought_back(scaled: np.ndarray, sizes: np.ndarray, unit: float, algorithm: str) -> np.ndarray:
    """Codes of rows and atoms that were divided by these; those of "threshold" are correlations."""
    back = unit if algorithm == "threshold" else 1 / unit
    with np.errstate(over="ignore"):
        codes = (scaled * (sizes[:, None] * back)).astype(scaled.dtype)
    found, there = torch.as_tensor(scaled), torch.as_tensor(codes)
    size = torch.as_tensor(sizes).to(found.dtype)
    check_range(f"sparse_encode: codes by {algorithm!r}", found, there, size, back < 1)
    return codes
