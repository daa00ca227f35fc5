"""Floating point operations of an estimator, by formula."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from .._compat import Interval, StrOptions, validate_params
from .._fitted import check_estimator_given


@validate_params(
    {
        "estimator": "no_validation",
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "mode": [StrOptions({"inference", "training"})],
        "n_iter": [Interval(Real, 0, None, closed="left"), None],
        "formula": [StrOptions({"products", "published"})],
    },
    prefer_skip_nested_validation=True,
)
def flops(
    estimator: Any,
    n_samples: int,
    *,
    mode: str = "inference",
    n_iter: float | None = None,
    formula: str = "products",
) -> float:
    """Floating point operations that an estimator of this package takes, by formula.

    Parameters
    ----------
    estimator : object
        Fitted estimator of this package.
    n_samples : int
        Number of samples that are encoded, or that it was trained on.
    mode : {"inference", "training"}, default="inference"
        Whether to count `transform`, or the whole `fit`: all epochs or iterations that it took.
    n_iter : float, default=None
        Mean number of gradient steps that the solver spends on a sample, for estimators that
        optimize their codes; for a teacher, in the training of `AmortizedCoder`. It depends on the
        data: ``sparse_encode(..., algorithm="fista", return_info=True)`` tells it in
        ``info.n_iter``. That of "cd" counts rounds of a working set, which are no gradient steps;
        FISTA's figure stands in for it, and bounds its operations from above.
    formula : {"products", "published"}, default="products"
        "products" counts the products of matrices, as `torch.utils.flop_counter` does.
        "published" takes the formulas of the amortization-gap paper, which exist for linear
        encoders, one hidden layer, gradient descent on codes, and inference-time optimization.

    Returns
    -------
    count : float
        Number of operations.

    Raises
    ------
    TypeError
        If there is no formula for the estimator.
    ValueError
        If `n_iter` is needed and missing, or a parameter is out of range.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    Notes
    -----
    Counted are the products of matrices, a multiplication and an addition as two operations, as
    `torch.utils.flop_counter` counts them; what is done once an entry is left out. With M features,
    N atoms and E the numbers in the encoder's weight matrices (MN where it is linear), to encode a
    sample takes 2 E, to train on it 6 E - 2 E_1 + 6 MN (E_1 in the first layer, which needs no
    gradient of its input), and to optimize its codes for T iterations 2 MN + T min(4 MN, 2 N^2).
    Where at most k codes are active and the products are sparse, they have k M in place of M N, but
    for the encoder's own.

    For autoencoders "published" are the formulas of the paper's text. For sparse coding that learns
    its dictionary they are those of the authors' code, whose forward pass takes 5 MN + N, where the
    text has 3 MN + N. The published figure for its training, 2.1e12 in the base case, follows from
    neither: it multiplies the loss and the update of the codes, which are counted for the whole
    batch, by its size once more. Counted once they leave 8.3e10 by the code, which "published"
    gives here, and 5.1e10 by the text. Both have the normalization of the atoms in every sample; by
    products it is 3.1e10.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
    Sparse Autoencoders, appendix.

    Examples
    --------
    >>> from skamort import ITOCoder, SAEEncoder
    >>> from skamort.datasets import make_published_signal
    >>> from skamort.metrics import flops
    >>> X, dictionary, _ = make_published_signal()
    >>> sae = SAEEncoder(dictionary=dictionary, tol=0.1, random_state=0).fit(X)
    >>> flops(sae, 1000)
    256000.0
    >>> flops(ITOCoder(dictionary=dictionary).fit(X), 1000, n_iter=20)
    10496000.0
    """
    check_estimator_given(estimator, "flops", ("fit",))
    if not hasattr(estimator, "_count_flops"):
        raise TypeError(
            f"flops has no formula for {type(estimator).__name__}; pass an estimator of skamort."
        )
    return float(estimator._count_flops(n_samples, mode, n_iter, formula))
