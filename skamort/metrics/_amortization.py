"""The amortization gap: what an encoder's codes cost beyond the best codes for its dictionary.

    lower bound <= min_Z J(Z, D) <= best objective found <= encoder's objective

for the objective J of the package, sample by sample. The best codes solve a convex problem, and the
duality gap of the best found bounds from below what any encoder could reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .._decoder import alpha_of, decoder_of, positive_of
from .._explained_variance import row_blocks
from .._matrices import Codes, as_dense, check_dense_or_csr, check_shapes_fit
from .._pipeline import as_one_coder
from .._validation import as_tensor, check_dictionary, check_integer, check_real
from ..solvers import CoordinateDescent, duality_gap
from ._reconstruction import objective_samples


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


def amortization_gap(
    estimator: Any,
    X: Any,
    alpha: float | None = None,
    *,
    codes: Any = None,
    max_iter: int = 2000,
    tol: float = 1e-5,
) -> AmortizationGap:
    """Measure how far an encoder's codes are from the best codes for its dictionary.

    The best codes minimize 1/2 ||x - z D||^2 + alpha ||z||_1 for each sample. Coordinate descent
    seeks them from the encoder's codes on, and the duality gap certifies how near they are: the
    amortization gap comes as an interval.

    Parameters
    ----------
    estimator : object
        Fitted transformer with `components_` (or `dictionary`, as
        :class:`sklearn.decomposition.SparseCoder`), of this package or any other, whose codes
        decode linearly. An `intercept_` (or `mean_`) is subtracted from X. Or a fitted
        :class:`sklearn.pipeline.Pipeline` that ends in one and whose other steps map back linearly:
        its atoms are taken in the space of X, of unit norm, and its codes with them.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data to encode.
    alpha : float, default=None
        Weight of the L1 norm. None takes the estimator's own: `transform_alpha` where it is set
        and weighs an L1 norm, else `alpha`.
    codes : {array-like, sparse matrix} of shape (n_samples, n_components), default=None
        The estimator's codes of X, where they are at hand; not of a Pipeline, whose codes have
        another scale. None: ``estimator.transform(X)``.
    max_iter : int, default=2000
        Most rounds of coordinate descent on a sample. Too few widen the interval, no more.
    tol : float, default=1e-5
        The search for a sample's best codes ends when their duality gap is at most
        ``tol * 1/2 ||x||^2``.

    Returns
    -------
    gap : AmortizationGap
        Objectives and bounds, by sample and in the mean.

    Raises
    ------
    ValueError
        NaN or infinity in X, a negative `alpha`, no `alpha` where the estimator has none, a
        dictionary with a zero atom, or codes that do not decode with the dictionary.
    TypeError
        If the estimator has no dictionary.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    skamort.solvers.duality_gap : The certificate for codes from anywhere.
    skamort.inspection.compare_encoders : The gaps of several encoders, beside other figures.

    Notes
    -----
    Best codes are sought among those >= 0 where the estimator has ``positive_code=True``, or has
    no such parameter and gave no negative code.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
    Sparse Autoencoders.

    Examples
    --------
    >>> from sklearn.datasets import make_sparse_coded_signal
    >>> from sklearn.decomposition import SparseCoder
    >>> from skamort.metrics import amortization_gap
    >>> X, dictionary, _ = make_sparse_coded_signal(
    ...     100, n_components=16, n_features=8, n_nonzero_coefs=3, random_state=0)
    >>> coder = SparseCoder(dictionary, transform_algorithm="threshold", transform_alpha=0.5)
    >>> found = amortization_gap(coder, X)
    >>> found.gap > 0.5
    True
    >>> found.gap_upper - found.gap < 1e-4
    True
    """
    estimator = as_one_coder(estimator)
    max_iter, tol = check_integer(max_iter, "max_iter", 0), check_real(tol, "tol")
    alpha = check_real(alpha_of(estimator) if alpha is None else alpha, "alpha")
    data = check_dense_or_csr(X, "X")
    codes = check_dense_or_csr(estimator.transform(X) if codes is None else codes)
    dictionary, intercept = decoder_of(estimator, codes)
    check_dictionary(dictionary, as_tensor(as_dense(data[:1]), "X"))
    check_shapes_fit(data, codes, dictionary)
    positive = positive_of(estimator, codes)
    solver = CoordinateDescent(max_iter=max_iter, tol=tol)
    samples = [
        _gap_of_block(
            solver, as_dense(data[rows]) - intercept, codes[rows], dictionary, alpha, positive
        )
        for rows in row_blocks(data.shape[0], max(dictionary.shape))
    ]
    return AmortizationGap(alpha, positive, *map(np.concatenate, zip(*samples, strict=True)))


def _gap_of_block(
    solver: Any, X: np.ndarray, codes: Codes, dictionary: np.ndarray, alpha: float, positive: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Encoder's objective, best objective and lower bound of a few samples."""
    codes = as_dense(codes)
    solved = solver.solve(
        *(torch.tensor(array.astype(X.dtype)) for array in (X, dictionary)),
        alpha=alpha,
        positive=positive,
        init=torch.tensor(codes.astype(X.dtype)),
    ).codes.numpy()
    objective = objective_samples(X, codes, dictionary, alpha)
    best = objective_samples(X, solved, dictionary, alpha)
    # Past the tolerance the solver may not improve on good codes: keep the encoder's there.
    solved = np.where((best < objective)[:, None], solved, codes)
    best = np.minimum(best, objective)
    return objective, best, best - duality_gap(X, solved, dictionary, alpha, positive)
