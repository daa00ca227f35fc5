"""What comes in becomes finite matrices that fit each other, or a clear error."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from ._given import described
from ._numbers import as_array, check_array_given, has_masked

Codes: TypeAlias = np.ndarray | sparse.csr_array | sparse.csr_matrix


def check_matrix(values: Any, name: str) -> np.ndarray:
    """A finite dense matrix, float32 or float64."""
    return check_array_given(values, name)


def check_dense_or_csr(values: Any, name: str = "codes") -> Codes:
    """A finite float32 or float64 matrix, dense or, where it was sparse, in CSR form."""
    return check_array_given(values, name, accept_sparse="csr")


def check_squares_held(squares: Any, owner: str) -> None:
    """Refuse sums of squares of data, or of codes, that are not finite."""
    if not np.isfinite(squares).all():
        raise ValueError(
            f"{owner}: X, or its reconstruction, is of a size the squares of which no float64 "
            "holds; divide X, the codes and alpha by its size."
        )


def check_labels(values: Any, name: str) -> np.ndarray:
    """One label a row, numbers or texts, none of them NaN."""
    labels = as_array(values)
    labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
    if labels.ndim != 1:
        raise ValueError(f"{name} must hold one label a row, got {described(values)}.")
    if has_masked(values) or _lack(labels):
        raise ValueError(f"{name} contains NaN or a mask; leave out the rows that have no label.")
    try:
        np.unique(labels)
    except TypeError as error:
        raise TypeError(f"{name} must hold labels of one type, to sort them: {error}") from None
    return labels


def _lack(labels: np.ndarray) -> bool:
    """Whether a label is missing, as NumPy, Python or pandas say it."""
    if labels.dtype.kind == "f":
        return bool(np.isnan(labels).any())
    return labels.dtype == object and any(
        label is None or type(label).__name__ == "NAType" or label != label for label in labels
    )


def as_dense(rows: Codes) -> np.ndarray:
    """Data or codes of a few samples as an array."""
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


def check_shapes_fit(X: Codes, codes: Codes, dictionary: np.ndarray) -> None:
    """X ~ codes @ dictionary must be possible."""
    expected = (X.shape[0], len(dictionary))
    if X.shape[1] != dictionary.shape[1] or codes.shape != expected:
        raise ValueError(
            f"X {X.shape}, codes {codes.shape} and dictionary {dictionary.shape} do not fit "
            "together; they must have shapes (n_samples, n_features), (n_samples, n_components) "
            "and (n_components, n_features)."
        )


def check_same_length(first: Any, second: Any, names: str) -> None:
    """Both must describe the same samples."""
    if first.shape[0] != second.shape[0]:
        raise ValueError(
            f"{names} must have the same number of rows, got {first.shape[0]} and "
            f"{second.shape[0]}."
        )
