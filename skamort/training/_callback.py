"""What our callbacks have beside skorch's hooks: a state that checkpoints keep, a printout."""

from __future__ import annotations

from typing import Any, ClassVar

from skorch.callbacks import Callback


class Stateful(Callback):
    """A callback whose state lasts over a resumed run.

    Checkpoints save every callback that has `state_dict` and `load_state_dict`, a user's too. The
    state may hold tensors, numbers, texts, None, and lists and dicts of these.

    Attributes
    ----------
    state : tuple of str
        Names of the attributes that make the state, where they are there.
    """

    state: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> dict[str, Any]:
        """Return what a run that goes on needs to know."""
        return {name: getattr(self, name) for name in self.state if hasattr(self, name)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.__dict__.update(state)


class Setting(Stateful):
    """A callback that is a parameter of an estimator, to be tuned by grid search and printed.

    `__init__` only assigns; what is found out in training has a name with a trailing underscore.
    """

    def __repr__(self) -> str:
        names = self._get_param_names()
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({given})"
