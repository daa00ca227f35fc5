"""What "auto" stands for: settings of training that follow from the shape of the data.

The page "Training an encoder" has the measurements behind the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from skorch.callbacks import LRScheduler

from ..training import ResampleDead, Schedule

_STEPS = 10_000
_MOST_EPOCHS = 1000
_STEPS_A_PASS = 1000
_WARMUP_STEPS = 100
_PASSES_OF_SILENCE = 1.5
_SILENT_ROWS_AN_ATOM = 30
_FEW_ROWS = 1000
_AUTO = object()


def auto_batch_size(n_samples: int) -> int:
    """Return 256; in large data a power of two that makes about 1,000 steps of a pass, at most
    4,096."""
    power = round(math.log2(n_samples / _STEPS_A_PASS))
    return 2 ** min(12, max(8, power))


def auto_learning_rate(n_features: int, batch_size: int, most: float = 4e-3) -> float:
    """Return 2e-3 for 256 rows of 600 features, in proportion to the root of both; at most 4e-3,
    or what else is the most."""
    return min(4e-3, most, 2e-3 * math.sqrt(batch_size / 256 * 600 / n_features))


def auto_max_iter(n_samples: int, batch_size: int) -> int:
    """Return the epochs that make 10,000 steps, at most 1,000."""
    return min(_MOST_EPOCHS, math.ceil(_STEPS / math.ceil(n_samples / batch_size)))


def auto_schedule(n_samples: int, batch_size: int, max_iter: int) -> Schedule:
    """Return a warm-up of 5 % of the steps, at most 100 of them, and a decay in the last 20 %."""
    n_steps = max_iter * math.ceil(n_samples / batch_size)
    return Schedule(warmup=min(0.05, _WARMUP_STEPS / n_steps), decay=0.2)


def auto_dead_latents(n_samples: int, n_components: int, is_chunk: bool) -> ResampleDead:
    """Return a resampling after 1.5 passes of silence; a chunk may be a small part of all rows, and
    30 rows an atom are then the least."""
    window = math.ceil(_PASSES_OF_SILENCE * n_samples)
    return ResampleDead(max(window, _SILENT_ROWS_AN_ATOM * n_components) if is_chunk else window)


def resolve(
    estimator: Any,
    n_samples: int,
    n_components: int,
    codes_known: bool,
    is_chunk: bool,
    before: Mapping[str, Any],
) -> dict[str, Any]:
    """Return by name what the parameters of an estimator come to that may be "auto".

    Parameters
    ----------
    estimator : object
        A trained encoder that knows its `n_features_in_`.
    n_samples, n_components : int
        Rows to train on, and atoms.
    codes_known : bool
        Whether codes of the rows are known.
    is_chunk : bool
        Whether the rows are a chunk of a larger whole, passed once.
    before : mapping of str to object
        Attributes of the fit from which this one goes on: what was "auto" stays, whatever the
        number of rows.
    """
    is_known = codes_known or estimator.dictionary is not None
    batch_size = before.get("batch_size_") or auto_batch_size(n_samples)
    batch_size = _given(estimator, "batch_size", batch_size)
    most = estimator._max_rate_coefficient / math.sqrt(n_components)
    rate = auto_learning_rate(estimator.n_features_in_, batch_size, most)
    max_iter = _given(estimator, "max_iter", auto_max_iter(n_samples, batch_size))
    own = _has_own_schedule(estimator)
    schedule = None if own else auto_schedule(n_samples, batch_size, max_iter)
    center = before.get("fit_intercept_", not (is_known or estimator.positive_dict))
    center = _given(estimator, "fit_intercept", center)
    dead = None
    if center and not is_known and (is_chunk or n_samples >= _FEW_ROWS):
        dead = auto_dead_latents(n_samples, n_components, is_chunk)
    return {
        "fit_intercept": center,
        "batch_size": batch_size,
        "learning_rate": _given(estimator, "learning_rate", estimator._step_share * rate),
        "max_iter": 1 if is_chunk else max_iter,
        "schedule": None if is_chunk else _given(estimator, "schedule", schedule),
        "dead_latents": _given(estimator, "dead_latents", before.get("dead_latents_", dead)),
    }


def _has_own_schedule(estimator: Any) -> bool:
    """Tell whether a callback of the user sets the step size."""
    callbacks = [c[1] if isinstance(c, tuple) else c for c in estimator.callbacks or ()]
    return any(isinstance(callback, LRScheduler) for callback in callbacks)


def tell(estimator: Any) -> None:
    """Print what the parameters of an estimator that are "auto" have come to."""
    found = [
        f"{name}={_in_short(getattr(estimator, name + '_'))}"
        for name in estimator._declared
        if _given(estimator, name, _AUTO) is _AUTO and hasattr(estimator, name + "_")
    ]
    if found:
        print(f"{type(estimator).__name__}: {', '.join(found)}")


def _in_short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def _given(estimator: Any, name: str, auto: Any = None) -> Any:
    """Return a parameter of an estimator, or what it stands for where it is "auto"."""
    value = getattr(estimator, name, None)
    return auto if isinstance(value, str) and value == "auto" else value
