"""An estimator inside another: used as it is where it is fitted, else a clone of it is fitted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import zip_longest
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from ._given import described
from ._numbers import as_array, is_on_gpu

_NO_WISH = (None, False, "auto")


def is_fitted(estimator: Any) -> bool:
    """Whether the estimator can be used as it is; one without `fit` always can, and one that does
    not know scikit-learn's rules is trusted."""
    is_known = hasattr(estimator, "__sklearn_tags__") and not isinstance(estimator, type)
    if is_known and hasattr(estimator, "fit"):
        try:
            check_is_fitted(estimator)
        except NotFittedError:
            return False
    return True


def check_estimator_given(
    estimator: Any, owner: str, methods: tuple[str, ...] = ("transform",), *, fitted: bool = True
) -> None:
    """Refuse what is no instance of an estimator with these methods, or is not fitted.

    Parameters
    ----------
    estimator : object
        What came.
    owner : str
        What errors call who needs it.
    methods : tuple of str, default=("transform",)
        What it must have; what ends with an underscore it learns in `fit`.
    fitted : bool, default=True
        Whether it must be ready to be used.

    Raises
    ------
    TypeError
        If it is none.
    sklearn.exceptions.NotFittedError
        If it is one that has yet to be fitted, where it must be.
    """
    needed = [name for name in methods if is_fitted(estimator) or not name.endswith("_")]
    if isinstance(estimator, type) or not all(hasattr(estimator, name) for name in needed):
        kind = "a fitted estimator" if fitted else "an estimator"
        raise TypeError(
            f"{owner} needs {kind} with {' and '.join(methods)}, got {described(estimator)}; pass "
            "an instance of one, of skamort, scikit-learn or any other package."
        )
    if fitted:
        check_fitted(estimator, owner)


def check_fitted(estimator: Any, owner: str) -> None:
    """Refuse an estimator that has yet to be fitted.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is one.
    """
    if not is_fitted(estimator):
        raise NotFittedError(
            f"{owner}: {type(estimator).__name__} is not fitted; call its fit first."
        )


def has_learned(part: Any) -> bool:
    """Whether a clone of it would have to be fitted again."""
    return hasattr(part, "fit") and is_fitted(part) and not is_fitted(clone(part))


def fitted(
    estimator: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    within: Callable[[Any], AbstractContextManager] = nullcontext,
    **shared: Any,
) -> Any:
    """The estimator itself if it is fitted, else a clone, `configured` with `shared` and fitted
    within a context; to one that knows no devices, data on a GPU come as an array."""
    if is_fitted(estimator):
        return estimator
    part = configured(estimator, **shared)
    X = as_array(X) if is_on_gpu(X) and not hasattr(part, "device") else X
    given = {} if sample_weight is None else {"sample_weight": sample_weight}
    if given and not has_fit_parameter(part, "sample_weight"):
        raise TypeError(
            f"{type(part).__name__}.fit takes no sample_weight; fit without, or fit it beforehand."
        )
    with within(part):
        return part.fit(X, **given) if y is None else part.fit(X, y, **given)


def check_same_names(owner: Any, name: str) -> None:
    """Compare the names of the features that `owner` was given with those of its part `name`.

    Raises
    ------
    ValueError
        If they are others, or in another order.

    Warns
    -----
    UserWarning
        If `owner` was given none, as scikit-learn warns.
    """
    part = getattr(owner, name, None)
    theirs = getattr(part, "feature_names_in_", None)
    if theirs is None:
        return
    told = f"{type(owner).__name__}: {name}={type(part).__name__}"
    ours = getattr(owner, "feature_names_in_", None)
    if ours is None:
        warnings.warn(
            f"{told} was fitted with feature names, but X does not have valid feature names; pass "
            "a frame to have them compared.",
            UserWarning,
            stacklevel=2,
        )
    else:
        for place, (was, came) in enumerate(zip_longest(theirs, ours)):
            if was != came:
                raise ValueError(
                    f"{told} was fitted with {was!r} as feature {place}, got {came!r}; the feature "
                    "names should match: give X the columns in the same order as they were in fit."
                )


def transform_unnamed(part: Any, X: np.ndarray) -> Any:
    """Codes of rows whose names the part need not see: `check_same_names` has compared them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        return part.transform(X)


def configured(estimator: Any, *, random_state: Any = None, **shared: Any) -> Any:
    """A clone that was given those of the shared parameters that it knows.

    None, False and "auto" leave what the part says itself. Where its own `random_state` is None it
    gets an integer drawn from that of the whole; parts that share a RandomState differ in it.
    """
    part = clone(estimator)
    known = part.get_params()
    wishes = {k: v for k, v in shared.items() if k in known and v not in _NO_WISH}
    if random_state is not None and known.get("random_state", random_state) is None:
        wishes["random_state"] = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return part.set_params(**wishes)
