"""What a fitted estimator says of itself, ours or any other: decoder, L1 weight, sign of codes.

A decoder is linear: X_hat = codes @ dictionary + intercept, with dictionary (n_components,
n_features) and intercept (n_features,) or 0.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from ._fitted import check_fitted, transform_unnamed
from ._given import described
from ._matrices import Codes, as_dense, check_matrix

# scikit-learn's algorithms whose codes have a given number, by default a tenth of the features, and
# those that go by a weight, by default 1.
_BY_NUMBER = ("omp", "lars")
_BY_WEIGHT = ("lasso_cd", "lasso_lars", "threshold")
_ROWS_CHECKED = 5  # or atoms


def dictionary_of(estimator: Any) -> np.ndarray:
    """The atoms that the estimator has learned or was given."""
    dictionary = atoms_of(estimator)
    if dictionary is None or isinstance(estimator, type):
        check_fitted(estimator, "dictionary")
        raise TypeError(
            f"{described(estimator)} has no dictionary: neither components_ nor dictionary; "
            "pass the fitted coder, and transform the data beforehand where it stands in a "
            "pipeline."
        )
    return check_matrix(dictionary, "dictionary")


def decoder_of(estimator: Any, codes: Codes) -> tuple[np.ndarray, np.ndarray | float]:
    """Dictionary and intercept that decode the codes the estimator gave."""
    dictionary, intercept = linear_decoder(estimator)
    _check_decodes(estimator, codes, dictionary, intercept)
    return dictionary, intercept


def linear_decoder(estimator: Any) -> tuple[np.ndarray, np.ndarray | float]:
    """Dictionary and intercept as the estimator holds them."""
    dictionary = dictionary_of(estimator)
    if getattr(estimator, "split_sign", False):
        dictionary = np.concatenate([dictionary, -dictionary])
    intercept = center_of(estimator)
    return dictionary, 0.0 if intercept is None else np.asarray(intercept)


def atoms_of(estimator: Any) -> Any:
    """The atoms as an estimator holds them, learned or given; None for none."""
    return getattr(estimator, "components_", getattr(estimator, "dictionary", None))


def center_of(estimator: Any) -> Any:
    """What an estimator subtracts from data, of skamort or of scikit-learn; None for nothing."""
    return getattr(estimator, "intercept_", getattr(estimator, "mean_", None))


def alpha_of(estimator: Any) -> float:
    """The weight of the L1 norm at which the estimator finds codes."""
    alpha = known_alpha(estimator)
    if alpha is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} has no L1 weight of its own, got alpha=None; pass alpha=.")
    return alpha


def known_alpha(estimator: Any) -> float | None:
    """The weight of the L1 norm at which the estimator finds codes, or at which it learned where it
    finds them otherwise; None where there is none."""
    # That of scikit-learn's SparsePCA weighs atoms, and codes are found by a ridge.
    if not getattr(estimator, "_penalizes_size", True) or hasattr(estimator, "ridge_alpha"):
        return None
    algorithm = getattr(estimator, "transform_algorithm", None)
    if algorithm not in _BY_NUMBER:
        transform_alpha = getattr(estimator, "transform_alpha", None)
        if transform_alpha is not None:
            return transform_alpha
    if hasattr(estimator, "teacher_"):  # whose codes it predicts
        return known_alpha(estimator.teacher_)
    # What "auto" stands for, else what was given.
    known = getattr(estimator, "alpha_", getattr(estimator, "alpha", None))
    return 1.0 if known is None and algorithm in _BY_WEIGHT else known


def limits_number(estimator: Any) -> bool:
    """Whether the number of codes is limited, or paid for, and no L1 norm of theirs."""
    if hasattr(estimator, "teacher_"):  # whose codes it predicts
        return limits_number(estimator.teacher_)
    if hasattr(estimator, "_limits_number"):
        return estimator._limits_number
    if not getattr(estimator, "_penalizes_size", True):
        return True
    return getattr(estimator, "transform_algorithm", None) in _BY_NUMBER


def limits_number_to_given(estimator: Any) -> bool:
    """Whether the number of codes has a limit that is given, or chosen by a rule for all rows."""
    names = ("n_nonzero_coefs_", "n_nonzero_coefs", "transform_n_nonzero_coefs")
    is_given = any(getattr(estimator, name, None) is not None for name in names)
    by_rule = getattr(estimator, "transform_algorithm", None) in _BY_NUMBER
    return limits_number(estimator) and (is_given or by_rule)


def positive_of(estimator: Any, codes: Codes) -> bool:
    """Whether codes are >= 0 by rule; where there is no rule, whether they happen to be."""
    smallest = codes.min()
    declared = getattr(estimator, "positive_code_", getattr(estimator, "positive_code", None))
    if declared and smallest < 0:
        raise ValueError(
            f"{type(estimator).__name__} has positive_code=True but gave negative codes, down to "
            f"{smallest:.3g}; mend its transform or set positive_code=False."
        )
    if declared is None or getattr(estimator, "split_sign", False):
        return bool(smallest >= 0)
    return bool(declared)


def n_parameters_of(estimator: Any) -> int:
    """Numbers learned: those of the net, or else of dictionary and intercept, and of the estimator
    inside that gives the first guess; of a Pipeline those of its last step."""
    if hasattr(estimator, "n_parameters_"):
        return estimator.n_parameters_
    if hasattr(estimator, "net_"):
        return sum(parameter.numel() for parameter in estimator.net_.module_.parameters())
    inner = getattr(estimator, "estimator_", None)
    if inner is not None:
        return n_parameters_of(inner)
    arrays = [
        atoms_of(estimator),
        center_of(estimator),
    ]
    return sum(np.size(array) for array in arrays if array is not None and np.any(array))


def atoms_of_part(part: Any, owner: str, name: str) -> Any:
    """Return the atoms of an estimator that is inside another as its parameter `name`.

    Raises
    ------
    TypeError
        If it has none, as a Pipeline has not.
    ValueError
        If its `components_` are not the directions in which its codes go.
    """
    check_no_pipeline(part, owner, name)
    atoms, told = atoms_of(part), f"{owner}: {name}={type(part).__name__}"
    if atoms is None:
        raise TypeError(
            f"{told} has no components_; pass an estimator that learns a dictionary, or its atoms "
            "as an array."
        )
    if hasattr(part, "inverse_transform"):
        dictionary, intercept = linear_decoder(part)
        found, few = dictionary[:_ROWS_CHECKED], _few_codes(dictionary, intercept)
        expected = _decoded(part, few) - _decoded(part, 0 * few)
        _check_close(_directions(found), _directions(expected), told)
    return atoms


def check_no_pipeline(part: Any, owner: str, name: str) -> None:
    """Refuse a Pipeline in place of a coder of the data themselves."""
    if isinstance(part, Pipeline):
        steps = ", ".join(name for name, _ in part.steps[:-1])
        raise TypeError(
            f"{owner}: {name}=Pipeline has no components_ for X, those of its last step are for "
            f"what {steps} made of X; put {owner} in place of that step, and give it the step "
            f"itself: {name}=pipeline[-1]."
        )


def check_taught(teacher: Any, X: np.ndarray) -> None:
    """Refuse a teacher whose codes do not weigh its atoms; where it does not say how it decodes,
    warn where a few rows do."""
    dictionary, intercept = linear_decoder(teacher)
    _check_decodes(teacher, _few_codes(dictionary, intercept), dictionary, intercept)
    warn_if_far(teacher, X)


def warn_if_far(estimator: Any, X: np.ndarray) -> None:
    """Warn of an estimator that does not say itself how it decodes, and whose codes of a few rows
    are worse than none by its `components_`."""
    if hasattr(estimator, "inverse_transform"):
        return
    dictionary, intercept = linear_decoder(estimator)
    error = X - intercept - transform_unnamed(estimator, X) @ dictionary
    if np.square(error).sum() > np.square(X - intercept).sum():
        warnings.warn(
            f"{type(estimator).__name__}: its codes decoded by its components_ are farther from X "
            "than codes of 0; make sure that components_ is the dictionary that its codes weigh.",
            UserWarning,
            stacklevel=4,
        )


def _check_decodes(
    estimator: Any, codes: Codes, dictionary: np.ndarray, intercept: np.ndarray | float
) -> None:
    """`components_` is not a dictionary everywhere: in FastICA it unmixes."""
    name = type(estimator).__name__
    if codes.shape[1] != len(dictionary):
        raise ValueError(
            f"{name}: transform gives {codes.shape[1]} codes a sample, but the dictionary has "
            f"{len(dictionary)} atoms; components_ is not what its codes weigh."
        )
    if hasattr(estimator, "inverse_transform"):
        few = as_dense(codes[:_ROWS_CHECKED])
        _check_close(few @ dictionary + intercept, _decoded(estimator, few), name)


def _few_codes(dictionary: np.ndarray, intercept: np.ndarray | float) -> np.ndarray:
    """Return codes that take an atom each, of some, and are not lost beside the intercept."""
    units = np.eye(min(_ROWS_CHECKED, len(dictionary)), len(dictionary), dtype=dictionary.dtype)
    return units * np.maximum(1, np.abs(intercept).max(), dtype=dictionary.dtype)


def _decoded(estimator: Any, codes: np.ndarray) -> np.ndarray:
    return np.asarray(estimator.inverse_transform(codes))


def _directions(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def _check_close(found: np.ndarray, expected: np.ndarray, told: str) -> None:
    if not np.allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()):
        raise ValueError(
            f"{told}: inverse_transform(codes) is not codes @ components_ + intercept; its "
            "components_ is not the dictionary that its codes weigh. Its atoms, as an array, are "
            "inverse_transform(np.eye(n_components)) less that of zeros."
        )
