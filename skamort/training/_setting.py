"""Callbacks that are parameters of estimators."""

from __future__ import annotations

from skorch.callbacks import Callback


class Setting(Callback):
    """A callback whose parameters a user sets, tunes by grid search and reads in a printout.

    `__init__` only assigns; what is found out in training has a name with a trailing underscore.
    """

    def __repr__(self) -> str:
        names = self._get_param_names()
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({given})"
