"""What users give to a fit of a trained encoder, checked before any work."""

from __future__ import annotations

from skorch.callbacks import Callback

from ..training import CODE_LOSSES, Checkpoint, Schedule


def check_callbacks(owner):
    """Return the skorch callbacks that the parameter `callbacks` of an estimator holds.

    Raises
    ------
    TypeError
        If one of them is not a callback, a class of callbacks, or such with a name.
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
    return callbacks


def check_code_loss(owner, code_loss):
    """Refuse an argument `code_loss` of a fit that is none."""
    if code_loss not in CODE_LOSSES:
        raise ValueError(
            f"{type(owner).__name__}: code_loss must be one of {CODE_LOSSES}, got {code_loss!r}."
        )
