"""When training will probably end, told while it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def expected_plateau(losses: Sequence[float], tol: float, patience: int) -> float:
    """Return the round that will probably end a plateau, as `Plateau` has it.

    Losses are taken to fall as ``a + b / t``, through the last and the one half-way. From round s
    on they fall by ``b p / (s (s + p))`` in a patience of p rounds, which is to be too little.

    Parameters
    ----------
    losses : sequence of float
        The lowest loss after each round, two or more.
    tol, patience : float and int
        Those of the `Plateau`.
    """
    n_rounds, least = len(losses), tol * abs(losses[-1])
    half = n_rounds // 2
    slope = (losses[half - 1] - losses[-1]) / (1 / half - 1 / n_rounds)
    if slope and not least:
        return math.inf
    reach = slope * patience / least if slope else 0.0
    last_fall = math.sqrt(patience**2 / 4 + reach) - patience / 2
    return max(n_rounds, last_fall) + patience


class Forecast:
    """Tells after each epoch at which training will probably end, and at which at the latest.

    Parameters
    ----------
    n_epochs : int
        Most epochs of the run.
    stop : StopOnPlateau, optional
        What may end it before.
    schedule : Schedule, optional
        Whose step size falls after the plateau.
    """

    def __init__(self, n_epochs: int, stop: Any = None, schedule: Any = None):
        self.n_epochs = n_epochs
        self.stop = stop
        self.schedule = schedule
        self.bests: list[float] = []

    def end(self, epoch: int) -> tuple[int, int]:
        """Return both after this epoch, once `stop` knows its loss; the same where nothing tells
        the first, or nothing can move it."""
        if self.schedule is not None and self.schedule.is_falling:
            known = self.schedule.n_steps_ // self.schedule.epoch_steps_
            return known, known
        best = math.inf if self.stop is None else self.stop.plateau_.best
        self.bests = [*self.bests, best] if best < math.inf else []
        if len(self.bests) < 2:
            return self.n_epochs, self.n_epochs
        plateau = self.stop.plateau_
        about = expected_plateau(self.bests, plateau.tol, plateau.patience)
        about += epoch - len(self.bests)
        if self.schedule is not None:
            about /= max(1 - self.schedule.decay, 1e-9)
        return math.ceil(min(about, self.n_epochs)), self.n_epochs
