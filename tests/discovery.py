"""The public estimators, found by discovery, with settings that make tests fast."""

import inspect

from sklearn.base import BaseEstimator

import skamort

# Only what makes a fit cheap; everything else stays at its default.
FAST_SETTINGS = {
    "AmortizedCoder": {
        "teacher": skamort.GradSparseCoder(max_iter=20),
        "encoder": skamort.LISTAEncoder(max_iter=5),
    },
    "BatchTopKSAE": {"max_iter": 5},
    "GatedSAE": {"max_iter": 5},
    "GradSparseCoder": {"max_iter": 20},
    "ITOCoder": {},
    "JumpReLUSAE": {"max_iter": 5},
    "LISTAEncoder": {"max_iter": 5},
    "MLPEncoder": {"max_iter": 5, "hidden_layer_sizes": (8,)},
    "MatryoshkaSAE": {"max_iter": 5},
    "SAEEncoder": {"max_iter": 5},
    "TopKSAE": {"max_iter": 5},
    "WeightedSAE": {"max_iter": 5},
}


def public_estimators():
    """Return every estimator class that `skamort` exports."""
    members = (getattr(skamort, name) for name in skamort.__all__)
    return [m for m in members if inspect.isclass(m) and issubclass(m, BaseEstimator)]


def fast_estimators():
    """Return one cheap instance of every public estimator."""
    return [cls(**FAST_SETTINGS[cls.__name__]) for cls in public_estimators()]
