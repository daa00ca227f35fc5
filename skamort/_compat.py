"""Private names of scikit-learn that the package stands on; a change of theirs is mended here."""

from sklearn.base import _fit_context as fit_context
from sklearn.utils import _param_validation
from sklearn.utils._param_validation import StrOptions, validate_params

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for what is not there."""


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
    "StrOptions",
    "fit_context",
    "validate_params",
]
