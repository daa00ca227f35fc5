"""Private names of scikit-learn that the package stands on; a change of theirs is mended here."""

from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params

__all__ = ["HasMethods", "Interval", "StrOptions", "fit_context", "validate_params"]
