"""When to stop: the loss has ceased to fall."""

from dataclasses import dataclass


@dataclass
class Plateau:
    """Tells when a loss has not fallen by a share of itself for a number of rounds.

    Attributes
    ----------
    tol : float
        Smallest fall that counts, relative to the magnitude of the loss.
    patience : int
        Rounds without such a fall that make a plateau.
    """

    tol: float
    patience: int
    best: float = float("inf")
    n_stale: int = 0

    def reached(self, loss: float) -> bool:
        """Take note of the loss of one more round; return whether it ends a plateau."""
        if loss < self.best - self.tol * min(abs(self.best), abs(loss)):
            self.best, self.n_stale = loss, 0
        else:
            self.n_stale += 1
        return self.n_stale >= self.patience
