"""The amortization gap of codes that a number of non-zeros limits, as an interval.

    floor <= min_z 1/2 ||x - z D||^2 <= best found <= the encoder's

over codes z with as many non-zeros, and no larger than the best found. The best codes are not known
here, for the problem is combinatorial: exchanges find good ones, and a bound in place of a duality
gap says what none can go below.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .._explained_variance import row_blocks
from .._matrices import Codes, as_dense
from ..solvers import Exchange, ksparse_bound
from ._gap import AmortizationGap
from ._on_device import objectives


@dataclass(frozen=True, eq=False, repr=False)
class KSparseAmortizationGap(AmortizationGap):
    """The error of an encoder's codes, of the best found with as many non-zeros, and a floor.

    The objective is 1/2 ||x - z D||^2, and `alpha` 0. The lower bound holds for codes with at most
    `n_nonzero_coefs_samples` non-zeros whose L1 and L2 norms are at most `max_l1_samples` and
    `max_l2_samples`.

    Parameters
    ----------
    alpha : float
        0: there is no penalty.
    positive : bool
        Whether the best codes are sought among those >= 0.
    objective_samples : ndarray of shape (n_samples,)
        1/2 ||x - z D||^2 of the encoder's codes, by sample.
    best_objective_samples : ndarray of shape (n_samples,)
        That of the best codes found, never above the encoder's.
    lower_bound_samples : ndarray of shape (n_samples,)
        What no codes as sparse and as small go below, never above the best found.
    n_nonzero_coefs_samples : ndarray of shape (n_samples,)
        Most non-zeros of a sample.
    max_l1_samples : ndarray of shape (n_samples,)
        Largest L1 norm of the codes that the lower bound is about.
    max_l2_samples : ndarray of shape (n_samples,)
        Their largest L2 norm.
    variance : float
        The objective of the mean of X in place of reconstructions, half its total variance: what an
        objective is divided by for a fraction of variance unexplained.

    Attributes
    ----------
    fvu : float
        Fraction of variance unexplained by the encoder's codes.
    best_fvu : float
        That of the best codes found.
    lower_bound_fvu : float
        What no codes as sparse and as small go below.
    fvu_gap : float
        ``fvu - best_fvu``: the amortization gap is at least this.
    fvu_gap_upper : float
        ``fvu - lower_bound_fvu``: the amortization gap is at most this.

    See Also
    --------
    amortization_gap : Measures it.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.metrics import KSparseAmortizationGap
    >>> found = np.array([1.0, 3.0]), np.array([1.0, 2.0]), np.array([1.0, 1.9])
    >>> allowed = np.array([4, 4]), np.array([5.0, 7.0]), np.array([3.0, 4.0])
    >>> KSparseAmortizationGap(0, True, *found, *allowed, variance=10.0)
    KSparseAmortizationGap(n_nonzero_coefs=4, positive=True, n_samples=2)
      encoder's codes         20.0 % of the variance unexplained
      best codes found        15.0 %
      none as small go below  14.5 %, of ||z||_1 <= 6, ||z||_2 <= 3.5 in the mean
      amortization gap        5.0 to 5.5 points
    """

    n_nonzero_coefs_samples: np.ndarray = field(repr=False)
    max_l1_samples: np.ndarray = field(repr=False)
    max_l2_samples: np.ndarray = field(repr=False)
    variance: float

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained by the encoder's codes."""
        return self._share(self.objective)

    @property
    def best_fvu(self) -> float:
        """Fraction of variance unexplained by the best codes found."""
        return self._share(self.best_objective)

    @property
    def lower_bound_fvu(self) -> float:
        """Fraction of variance unexplained that no codes as sparse and as small go below."""
        return self._share(self.lower_bound)

    @property
    def fvu_gap(self) -> float:
        """Lower end of the amortization gap, as a share of the variance."""
        return self._share(self.gap)

    @property
    def fvu_gap_upper(self) -> float:
        """Upper end of the amortization gap, as a share of the variance."""
        return self._share(self.gap_upper)

    def _share(self, objective: float) -> float:
        return objective / self.variance if self.variance > 0 else np.nan

    def __repr__(self) -> str:
        counts = self.n_nonzero_coefs_samples
        k = f"{counts[0]:g}" if (counts == counts[0]).all() else f"{counts.mean():.3g} (mean)"
        l1, l2 = self.max_l1_samples.mean(), self.max_l2_samples.mean()
        head = (
            f"KSparseAmortizationGap(n_nonzero_coefs={k}, positive={self.positive}, "
            f"n_samples={len(counts)})\n"
        )
        if not self.variance > 0:  # of which there are no shares
            return (
                f"{head}"
                f"  encoder's codes         {self.objective:.4g}\n"
                f"  best codes found        {self.best_objective:.4g}\n"
                f"  none as small go below  {self.lower_bound:.4g}\n"
                f"  amortization gap        {self.gap:.4g} to {self.gap_upper:.4g}"
            )
        return (
            f"{head}"
            f"  encoder's codes         {100 * self.fvu:.1f} % of the variance unexplained\n"
            f"  best codes found        {100 * self.best_fvu:.1f} %\n"
            f"  none as small go below  {100 * self.lower_bound_fvu:.1f} %, of "
            f"||z||_1 <= {l1:.3g}, ||z||_2 <= {l2:.3g} in the mean\n"
            f"  amortization gap        {100 * self.fvu_gap:.1f} to "
            f"{100 * self.fvu_gap_upper:.1f} points"
        )


def ksparse_gap(
    blocks: Iterable[tuple[Tensor, Tensor, Tensor]],
    positive: bool,
    limit: int | None,
    max_iter: int,
    variance: float,
) -> KSparseAmortizationGap:
    """The gap of checked codes: ``blocks`` are rows, their codes and the atoms, on one device.

    ``limit`` is the number of non-zeros; None: of each sample as many as its code has.
    """
    grams = _Grams()
    samples = [_gap_of_block(*block, positive, limit, max_iter, grams) for block in blocks]
    objective, best, bound, counts, l1, l2 = map(np.concatenate, zip(*samples, strict=True))
    return KSparseAmortizationGap(0.0, positive, objective, best, bound, counts, l1, l2, variance)


def half_variance(X: Codes) -> float:
    """1/2 ||x - mean||^2, mean over samples."""
    blocks = [as_dense(X[rows]) for rows in row_blocks(*X.shape)]
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in blocks) / X.shape[0]
    return sum(float(np.square(block - mean).sum()) for block in blocks) / X.shape[0] / 2


class _Grams:
    """The Gram matrix of the atoms of all blocks, where samples are solved in several groups."""

    def __init__(self) -> None:
        self._gram: Tensor | None = None

    def of(self, atoms: Tensor, n_groups: int) -> Tensor | None:
        """Return it; None for one group, for which the solver decides."""
        if n_groups > 1 and self._gram is None:
            self._gram = atoms @ atoms.T
        return self._gram if n_groups > 1 else None


def _gap_of_block(
    X: Tensor,
    codes: Tensor,
    atoms: Tensor,
    positive: bool,
    limit: int | None,
    max_iter: int,
    grams: _Grams,
) -> list[np.ndarray]:
    """Encoder's objective, best objective, lower bound, and what that is about, of samples."""
    counts = (codes != 0).sum(dim=1)
    if limit is not None:
        counts = torch.full_like(counts, limit)
    objective = objectives(X, codes, atoms)
    best, found = objective.clone(), codes.clone()
    groups = counts[counts > 0].unique().tolist()
    gram = grams.of(atoms, len(groups))
    for k in groups:
        rows, solver = (counts == k).nonzero()[:, 0], Exchange(k, max_iter=max_iter)
        for init in (codes[rows], None):
            z = solver.solve(X[rows], atoms, positive=positive, init=init, gram=gram).codes
            value = objectives(X[rows], z, atoms)
            wins = value < best[rows]
            best[rows[wins]], found[rows[wins]] = value[wins], z[wins]
    bound = torch.minimum(ksparse_bound(X, found, atoms, positive, n_nonzero_coefs=counts), best)
    norms = found.double().abs().sum(dim=1), found.double().norm(dim=1)
    return [part.cpu().numpy() for part in (objective, best, bound, counts, *norms)]
