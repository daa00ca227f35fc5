"""Private names of scikit-learn that the package stands on; a change of theirs is mended here."""

from functools import cache

from sklearn.base import _fit_context as fit_context
from sklearn.utils import _param_validation
from sklearn.utils._param_validation import (
    InvalidParameterError,
    StrOptions,
    make_constraint,
    validate_params,
)

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for what is not there."""


class ParameterNames:
    """Remembers what parameters a class has: to read its signature, as scikit-learn does whenever
    it clones, sets or checks any, is a tenth of the start of a small fit."""

    @classmethod
    @cache
    def _get_param_names(cls):
        return super()._get_param_names()


class Interval(_param_validation.Interval):
    """Numbers in an interval, of which True and False are none."""

    def is_satisfied_by(self, val: object) -> bool:
        """Tell whether a value is in the interval."""
        return not isinstance(val, bool) and super().is_satisfied_by(val)


class HasMethods(_param_validation.HasMethods):
    """Objects that have some methods, of which classes are none."""

    def is_satisfied_by(self, val: object) -> bool:
        """Tell whether a value is such an object."""
        return not isinstance(val, type) and super().is_satisfied_by(val)


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "ParameterNames",
    "StrOptions",
    "fit_context",
    "make_constraint",
    "validate_params",
]
