"""The result of `amortization_gap`: three objectives by sample, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class AmortizationGap:
    """An encoder's objective, the best one found and the certified lower bound.

    Parameters
    ----------
    alpha : float
        Weight of the L1 norm.
    positive : bool
        Whether the best codes are sought among those >= 0.
    objective_samples : ndarray of shape (n_samples,)
        The sparse coding objective of the encoder's codes, by sample.
    best_objective_samples : ndarray of shape (n_samples,)
        The best objective found for the same dictionary, never above the encoder's.
    lower_bound_samples : ndarray of shape (n_samples,)
        The objective that no codes for the same dictionary can go below, never above the best one
        found.

    Attributes
    ----------
    objective : float
        The encoder's objective, the mean over samples.
    best_objective : float
        The best objective found, the mean over samples.
    lower_bound : float
        The objective that no codes can go below, the mean over samples.
    gap : float
        ``objective - best_objective``: the amortization gap is at least this, >= 0.
    gap_upper : float
        ``objective - lower_bound``: the amortization gap is at most this.
    gap_samples : ndarray of shape (n_samples,)
        What the amortization gap of each sample is at least.
    gap_upper_samples : ndarray of shape (n_samples,)
        What the amortization gap of each sample is at most.

    See Also
    --------
    amortization_gap : Measures it.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.metrics import AmortizationGap
    >>> found = np.array([1.0, 3.0]), np.array([1.0, 2.0]), np.array([1.0, 1.9])
    >>> AmortizationGap(0.1, True, *found)
    AmortizationGap(alpha=0.1, positive=True, n_samples=2)
      encoder's objective    2
      best objective found   1.5
      certified lower bound  1.45
      amortization gap       0.5 to 0.55, 33.3 % to 37.9 % of the best
    """

    alpha: float
    positive: bool
    objective_samples: np.ndarray = field(repr=False)
    best_objective_samples: np.ndarray = field(repr=False)
    lower_bound_samples: np.ndarray = field(repr=False)

    @property
    def objective(self) -> float:
        """The encoder's objective."""
        return float(self.objective_samples.mean())

    @property
    def best_objective(self) -> float:
        """The best objective found."""
        return float(self.best_objective_samples.mean())

    @property
    def lower_bound(self) -> float:
        """The objective that no codes can go below."""
        return float(self.lower_bound_samples.mean())

    @property
    def gap_samples(self) -> np.ndarray:
        """Lower end of the amortization gap of each sample."""
        return self.objective_samples - self.best_objective_samples

    @property
    def gap_upper_samples(self) -> np.ndarray:
        """Upper end of the amortization gap of each sample."""
        return self.objective_samples - self.lower_bound_samples

    @property
    def gap(self) -> float:
        """Lower end of the amortization gap."""
        return float(self.gap_samples.mean())

    @property
    def gap_upper(self) -> float:
        """Upper end of the amortization gap."""
        return float(self.gap_upper_samples.mean())

    def __repr__(self) -> str:
        head = (
            f"AmortizationGap(alpha={self.alpha:g}, positive={self.positive}, "
            f"n_samples={len(self.objective_samples)})"
        )
        gap = f"{self.gap:.6g} to {self.gap_upper:.6g}"
        if self.lower_bound > 0:
            low, high = self.gap / self.best_objective, self.gap_upper / self.lower_bound
            gap += f", {low:.1%} to {high:.1%} of the best".replace("%", " %")
        return (
            f"{head}\n"
            f"  encoder's objective    {self.objective:.6g}\n"
            f"  best objective found   {self.best_objective:.6g}\n"
            f"  certified lower bound  {self.lower_bound:.6g}\n"
            f"  amortization gap       {gap}"
        )
