"""A dictionary on its way, whichever algorithm learns it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from ._statistics import Seen


def _say_nothing(objective: float) -> None:
    pass


@dataclass
class LearnedDictionary:
    """A dictionary, what it costs, and how it was found.

    It holds the latest state at every moment, also when learning is interrupted.

    Attributes
    ----------
    atoms : Tensor of shape (n_components, n_features)
    statistics : Seen or None
        Of the codes that the atoms were last updated for.
    loss_curve : list of float
        The objective after each iteration.
    converged : bool
    on_iteration : callable
        Called after each iteration with the objective.
    """

    atoms: Tensor
    statistics: Seen | None = None
    loss_curve: list[float] = field(default_factory=list)
    converged: bool = False
    on_iteration: Callable[[float], None] = _say_nothing

    @property
    def objective(self) -> float:
        """The last value of the objective."""
        return self.loss_curve[-1] if self.loss_curve else float("inf")

    def record(self, objective: float) -> None:
        """Take note of the objective after an iteration."""
        self.loss_curve.append(objective)
        self.on_iteration(objective)
