"""The amortization gap: what an encoder's codes cost beyond the best codes for its dictionary.

    lower bound <= min_Z J(Z, D) <= best objective found <= encoder's objective

for the objective J of the package, sample by sample. The best codes solve a convex problem, and the
duality gap of the best found bounds from below what any encoder could reach. `_ksparse_gap` has the
same for codes that a number of non-zeros limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._decoder import alpha_of, decoder_of, limits_number, positive_of
from .._device import blocks_larger_by, holding_uploads
from .._explained_variance import row_blocks
from .._fitted import check_estimator_given
from .._matrices import Codes, as_dense, check_dense_or_csr, check_shapes_fit, check_squares_held
from .._pipeline import as_one_coder
from .._progress import progress_bar
from .._validation import as_tensor, check_dictionary, check_integer, check_real
from ..solvers import CoordinateDescent, duality_gap
from ._gap import AmortizationGap
from ._ksparse_gap import half_variance, ksparse_gap
from ._on_device import device_of, objectives, placed


def amortization_gap(
    estimator: Any,
    X: Any,
    alpha: float | None = None,
    *,
    n_nonzero_coefs: int | None = None,
    codes: Any = None,
    max_iter: int = 2000,
    tol: float = 1e-5,
    verbose: int | bool = False,
) -> AmortizationGap:
    """Measure how far an encoder's codes are from the best codes for its dictionary.

    The best codes minimize 1/2 ||x - z D||^2 + alpha ||z||_1 for each sample. Coordinate
    descent, on the device of the estimator where it has one, seeks them from the encoder's
    codes on, and the duality gap certifies how near they are: the amortization gap comes as an
    interval.

    With `n_nonzero_coefs` the best codes minimize 1/2 ||x - z D||^2 with at most so many non-zeros.
    Exchanges of single atoms seek them, on the same device, from the encoder's codes and from those
    of a pursuit (:class:`skamort.solvers.Exchange`). What none can go below is known for codes no
    larger than the best found (:func:`skamort.solvers.ksparse_bound`): the amortization gap is at
    most that far, for such codes.

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
        Weight of the L1 norm. None takes the estimator's own, at which it finds codes:
        `transform_alpha` where it is set, else `alpha`, 1 for scikit-learn's `SparseCoder` without.
        Not beside `n_nonzero_coefs`.
    n_nonzero_coefs : int, default=None
        Most non-zeros of the best codes of a sample, no fewer than the encoder's codes have. None:
        `alpha` judges; but where that is None too and the encoder limits the number of its codes,
        as :class:`skamort.TopKSAE`, :class:`skamort.BatchTopKSAE`, :class:`skamort.JumpReLUSAE`,
        k-sparse coders and those of scikit-learn by "omp", its default, and "lars" do, each sample
        has as many as the encoder gave it.
    codes : {array-like, sparse matrix} of shape (n_samples, n_components), default=None
        The estimator's codes of X, where they are at hand; not of a Pipeline, whose codes have
        another scale. None: ``estimator.transform(X)``.
    max_iter : int, default=2000
        Most rounds of coordinate descent, or exchanges, on a sample. Too few widen the interval, no
        more.
    tol : float, default=1e-5
        The search for a sample's best codes ends when their duality gap is at most
        ``tol * 1/2 ||x||^2``. Exchanges end where none is left.
    verbose : int or bool, default=False
        Whether to draw a bar of the rows that are done, from the second second on.

    Returns
    -------
    gap : AmortizationGap
        Objectives and bounds, by sample and in the mean; where the number of non-zeros is limited a
        :class:`KSparseAmortizationGap`, which also has them as shares of the variance.

    Raises
    ------
    ValueError
        NaN or infinity in X, a negative `alpha`, no `alpha` where the estimator has none, a
        dictionary with a zero atom, codes that do not decode with the dictionary, both `alpha` and
        `n_nonzero_coefs`, or more non-zeros than those.
    TypeError
        If the estimator has no dictionary.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    skamort.solvers.duality_gap : The certificate for codes from anywhere.
    skamort.solvers.ksparse_bound : That for a limited number of non-zeros.
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

    With as many non-zeros:

    >>> pursuit = SparseCoder(dictionary, transform_algorithm="omp", transform_n_nonzero_coefs=3)
    >>> found = amortization_gap(pursuit, X, n_nonzero_coefs=3)
    >>> 0 <= found.best_fvu < found.fvu
    True
    """
    check_estimator_given(estimator, "amortization_gap")
    whole, estimator = estimator, as_one_coder(estimator)
    max_iter, tol = check_integer(max_iter, "max_iter", 0), check_real(tol, "tol")
    counts = n_nonzero_coefs is not None or (alpha is None and limits_number(estimator))
    if not counts:
        alpha = alpha_of(whole) if alpha is None else alpha
    elif alpha is not None:
        raise ValueError(
            f"amortization_gap: alpha={alpha} and n_nonzero_coefs={n_nonzero_coefs} both judge "
            "codes; pass one of them."
        )
    alpha = check_real(0.0 if alpha is None else alpha, "alpha")
    data = check_dense_or_csr(X, "X")
    codes = check_dense_or_csr(estimator.transform(X) if codes is None else codes)
    dictionary, intercept = decoder_of(estimator, codes)
    check_dictionary(dictionary, as_tensor(as_dense(data[:1]), "X"))
    check_shapes_fit(data, codes, dictionary)
    positive = positive_of(estimator, codes)
    limit, device = _check_limit(n_nonzero_coefs, codes), device_of(estimator)
    width = max(1, max(dictionary.shape) // blocks_larger_by(device))
    with holding_uploads():
        blocks = (
            placed(as_dense(data[rows]) - intercept, codes[rows], dictionary, device)
            for rows in _shown_rows(data.shape[0], width, bool(verbose))
        )
        if counts:
            return ksparse_gap(blocks, positive, limit, max_iter, half_variance(data))
        solver = CoordinateDescent(max_iter=max_iter, tol=tol)
        samples = [_gap_of_block(solver, *block, alpha, positive) for block in blocks]
    found = np.concatenate(samples, axis=1)
    check_squares_held(found, "amortization_gap")
    return AmortizationGap(alpha, positive, *found)


def _shown_rows(n_samples: int, width: int, verbose: bool) -> Iterator[slice]:
    """Slices of a few rows, with a bar of those that are done."""
    with progress_bar(n_samples, "amortization_gap", disable=not verbose, unit="row") as bar:
        for rows in row_blocks(n_samples, width):
            yield rows
            bar.update(rows.stop - rows.start)


def _check_limit(limit: Any, codes: Codes) -> int | None:
    """The number of non-zeros that codes may have, as they must."""
    if limit is None:
        return None
    limit, most = check_integer(limit, "n_nonzero_coefs", 1), int((codes != 0).sum(axis=1).max())
    if limit > codes.shape[1]:
        raise ValueError(
            f"amortization_gap: n_nonzero_coefs={limit} exceeds the {codes.shape[1]} atoms of the "
            f"dictionary; choose n_nonzero_coefs <= {codes.shape[1]}."
        )
    if most > limit:
        raise ValueError(
            f"amortization_gap: n_nonzero_coefs={limit}, but a sample has {most} codes; choose "
            f"n_nonzero_coefs >= {most}, or alpha= to judge codes by an L1 norm."
        )
    return limit


def _gap_of_block(
    solver: Any, X: Tensor, codes: Tensor, atoms: Tensor, alpha: float, positive: bool
) -> np.ndarray:
    """Encoder's objective, best objective and lower bound of a few samples, (3, n_samples)."""
    solved = solver.solve(X, atoms, alpha=alpha, positive=positive, init=codes).codes
    objective, best = (objectives(X, z, atoms, alpha) for z in (codes, solved))
    # Past the tolerance the solver may not improve on good codes: keep the encoder's there.
    solved = torch.where((best < objective)[:, None], solved, codes)
    best = torch.minimum(best, objective)
    bound = best - duality_gap(X, solved, atoms, alpha, positive)
    return torch.stack([objective, best, bound]).cpu().numpy()
