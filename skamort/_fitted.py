"""An estimator inside another: used as it is where it is fitted, else a clone of it is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

_NO_WISH = (None, False, "auto")


def is_fitted(estimator: Any) -> bool:
    """Whether the estimator can be used as it is; one without `fit` always can."""
    if hasattr(estimator, "fit"):
        try:
            check_is_fitted(estimator)
        except NotFittedError:
            return False
    return True


def has_learned(part: Any) -> bool:
    """Whether a clone of it would have to be fitted again."""
    return hasattr(part, "fit") and is_fitted(part) and not is_fitted(clone(part))


def fitted(estimator: Any, X: Any, y: Any = None, sample_weight: Any = None, **shared: Any) -> Any:
    """The estimator itself if it is fitted, else a fitted clone, `configured` with `shared`."""
    if is_fitted(estimator):
        return estimator
    part = configured(estimator, **shared)
    given = {} if sample_weight is None else {"sample_weight": sample_weight}
    if given and not has_fit_parameter(part, "sample_weight"):
        raise TypeError(
            f"{type(part).__name__}.fit takes no sample_weight; fit without, or fit it beforehand."
        )
    return part.fit(X, **given) if y is None else part.fit(X, y, **given)


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
