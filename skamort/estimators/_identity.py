"""What must be the same in a run that takes another one up."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np

from ..training import TrainingData


def identity_of(estimator: Any, data: TrainingData, has_schedule: bool) -> dict[str, Any]:
    """Return by name what a run's checkpoints are known by."""
    fixed = {
        name for name, declared in estimator._declared.items() if declared.may_change != "always"
    }
    identity = {
        name: _told(value)
        for name, value in estimator.get_params().items()
        if name.partition("__")[0] in fixed and not callable(value)
    }
    if has_schedule:  # it goes by the length of the whole run
        identity["max_iter"] = estimator.max_iter_
    identity["estimator"] = type(estimator).__name__
    identity["n_samples"], identity["n_features"] = len(data), estimator.n_features_in_
    identity["some rows"] = f"of sha256 {data.fingerprint()}"
    identity["dtype"] = str(data.dtype)
    identity["codes"] = "known" if data.codes_known else "unknown"
    identity["sample_weight"] = "given" if data.is_weighted else "none"
    return identity


def _told(value: Any) -> Any:
    """Return a value as a checkpoint can hold it."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, int | float | str | None) else joblib.hash(value)
