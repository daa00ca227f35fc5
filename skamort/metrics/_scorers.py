"""Scorers for grid searches: what an estimator's codes of held-out rows are worth.

A scorer is called with a fitted estimator and rows, as scikit-learn does, and more is better; what
is a loss or a count has `neg_` before its name.
"""

from __future__ import annotations

from typing import Any

from .._decoder import decoder_of, limits_number
from .._fitted import check_estimator_given
from .._matrices import Codes, as_dense, check_dense_or_csr
from ._reconstruction import sparse_coding_objective
from ._sparsity import dead_fraction, mean_l0


def neg_objective(estimator: Any, X: Any, y: Any = None) -> float:  # noqa: ARG001
    """Negative sparse coding objective, at the estimator's own `alpha`.

    Among estimators of one `alpha` the best codes and dictionary win; values at several do not
    compare, since the objective falls with `alpha`. For a choice of `alpha` or `k` look at
    :class:`~skamort.inspection.SweepDisplay`.

    Parameters
    ----------
    estimator : object
        Fitted, with ``transform``, ``inverse_transform`` and an `alpha_` or `alpha`.
    X : array-like of shape (n_samples, n_features)
        Data.
    y : object, default=None
        Ignored.

    Returns
    -------
    score : float
        At most 0, in squared units of the data.

    Raises
    ------
    TypeError
        If the estimator has no L1 weight, or pays for the number of its codes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skamort import GradSparseCoder
    >>> from skamort.metrics import neg_objective
    >>> X = load_digits().data[:200]
    >>> coder = GradSparseCoder(16, alpha=5.0, random_state=0)
    >>> search = GridSearchCV(coder, {"n_components": [4, 32]}, scoring=neg_objective, cv=2)
    >>> search.fit(X).best_params_
    {'n_components': 32}
    """
    check_estimator_given(estimator, "neg_objective")
    alpha = getattr(estimator, "alpha_", getattr(estimator, "alpha", None))
    if not isinstance(alpha, float | int) or limits_number(estimator):
        raise TypeError(
            f"neg_objective: {type(estimator).__name__} has no L1 weight to be judged at; score it "
            "by its own `score`, the variance explained."
        )
    codes = _codes(estimator, X, "neg_objective")
    dictionary, intercept = decoder_of(estimator, codes)
    centered = as_dense(check_dense_or_csr(X, "X")) - intercept
    return -sparse_coding_objective(centered, codes, dictionary, alpha)


def neg_l0(estimator: Any, X: Any, y: Any = None) -> float:  # noqa: ARG001
    """Negative mean number of non-zero codes of a row.

    Parameters
    ----------
    estimator : object
        Fitted, with ``transform``.
    X : array-like of shape (n_samples, n_features)
        Data.
    y : object, default=None
        Ignored.

    Returns
    -------
    score : float
        From -n_components to 0.

    Examples
    --------
    Beside the variance explained, in one search:

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_validate
    >>> from skamort import TopKSAE
    >>> from skamort.metrics import neg_dead_fraction, neg_l0
    >>> sae = TopKSAE(64, k=4, tol=0.01, random_state=0)
    >>> scoring = {"l0": neg_l0, "dead": neg_dead_fraction}
    >>> scores = cross_validate(sae, load_digits().data, scoring=scoring, cv=2)
    >>> bool((scores["test_l0"] >= -4).all())
    True
    """
    return -mean_l0(_codes(estimator, X, "neg_l0"))


def neg_dead_fraction(estimator: Any, X: Any, y: Any = None) -> float:  # noqa: ARG001
    """Negative share of the latents that no row uses.

    Parameters
    ----------
    estimator : object
        Fitted, with ``transform``.
    X : array-like of shape (n_samples, n_features)
        Data; of few rows even a living latent may see none that it fires for.
    y : object, default=None
        Ignored.

    Returns
    -------
    score : float
        From -1 to 0.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import TopKSAE
    >>> from skamort.metrics import neg_dead_fraction
    >>> X = load_digits().data
    >>> -1 <= neg_dead_fraction(TopKSAE(64, k=4, tol=0.01, random_state=0).fit(X), X) <= 0
    True
    """
    return -dead_fraction(_codes(estimator, X, "neg_dead_fraction"))


def _codes(estimator: Any, X: Any, owner: str) -> Codes:
    check_estimator_given(estimator, owner)
    return check_dense_or_csr(estimator.transform(X))
