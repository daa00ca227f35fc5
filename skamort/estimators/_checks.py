"""What users give to a fit of a trained encoder, checked before any work."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import BatchScoring, Callback, InputShapeSetter, PassthroughScoring

from ..training import CODE_LOSSES, Checkpoint, Schedule

_MISPLACED = {
    BatchScoring: "training keeps no record of single batches; take EpochScoring",
    PassthroughScoring: "training keeps no record of single batches; take EpochScoring",
    InputShapeSetter: "the estimator knows the shape of its input; leave it out",
}


def check_callbacks(owner):
    """Return the skorch callbacks that the parameter `callbacks` of an estimator holds.

    Raises
    ------
    TypeError
        If one of them is not a callback, a class of callbacks, or such with a name, or one that has
        nothing to do here.
    ValueError
        If one monitors rows that are not held out.
    """
    callbacks = list(owner.callbacks or ())
    for entry in callbacks:
        callback = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
        kind = callback if isinstance(callback, type) else type(callback)
        if issubclass(kind, Checkpoint | Schedule):
            raise TypeError(
                f"{type(owner).__name__}: {kind.__name__} is no callback to add, it belongs to a "
                f"whole fit; pass it as {kind.__name__.lower()}=."
            )
        if not issubclass(kind, Callback):
            raise TypeError(
                f"{type(owner).__name__}: callbacks must hold skorch callbacks or pairs of a name "
                f"and one, got {entry!r}; derive it from skorch.callbacks.Callback."
            )
        _check_can_work(owner, callback, kind)
    return callbacks


def _check_can_work(owner, callback, kind):
    """Refuse a callback that looks for what a fit does not have."""
    for misplaced, reason in _MISPLACED.items():
        if issubclass(kind, misplaced):
            raise TypeError(f"{type(owner).__name__}: {kind.__name__} cannot work, {reason}.")
    monitor = getattr(callback, "monitor", None)
    if str(monitor).startswith("valid_") and not owner.early_stopping:
        raise ValueError(
            f"{type(owner).__name__}: {kind.__name__} monitors {monitor}, but no rows are held "
            "out; set early_stopping=True, or let it monitor 'train_loss'."
        )


def check_code_loss(owner, code_loss):
    """Refuse an argument `code_loss` of a fit that is none."""
    if code_loss not in CODE_LOSSES:
        raise ValueError(
            f"{type(owner).__name__}: code_loss must be one of {CODE_LOSSES}, got {code_loss!r}."
        )


def check_can_split(estimator: Any, n_samples: int, fraction: float) -> None:
    """Refuse to hold out rows where there is only one."""
    if fraction and n_samples < 2:
        raise ValueError(
            f"{type(estimator).__name__}: early_stopping=True holds out rows of X, which has "
            f"n_samples={n_samples}; give at least 2 rows, or set early_stopping=False."
        )
