"""The center of the data: their mean, or their geometric median."""

import torch

from .._rows import few_rows
from .._sample_weight import count_of, mean_of_rows
from ._far_rows import without_far_rows
from ._missing import center_of_observed, fill_in

# Share of the mean square from which on a mean is better taken off.
_MEAN_SHARE = 1 / 3


def initial_intercept(kind, X, sample_weight=None):
    """Return the center that a value of `fit_intercept` asks for, a tensor of shape (n_features,),
    0 where nothing is observed; None for False."""
    if not kind:
        return None
    if kind != "geometric_median":  # True or "mean"
        return fill_in(mean_of_rows(X, sample_weight), 0.0)
    few = few_rows(X)
    return geometric_median(X[few], None if sample_weight is None else sample_weight[few])


def resolve_fit_intercept(estimator, X, is_known, sample_weight=None):
    """Return what the parameter `fit_intercept` stands for, given `Rows` of X.

    Sparse positive codes give data a mean too, of up to a fifth of their square, and a dictionary
    is found more exactly without a center there. Digits, counts and activations of language models
    have a mean of half of it, and are explained by fewer codes with one. Where a few rows would
    rule the mean the median takes its place.
    """
    if estimator.fit_intercept != "auto":
        return estimator.fit_intercept
    if is_known or getattr(estimator, "positive_dict", False):
        return False
    few = few_rows(X)
    weights = None if sample_weight is None else sample_weight[few].double()
    whole = X[few].double()
    X, weights = without_far_rows(whole, weights)
    mean, centered = center_of_observed(X / (fill_in(X, 0.0).abs().max() or 1.0), weights)
    around, of_mean = mean_of_rows(centered.square(), weights).sum(), mean.square().sum()
    if of_mean <= _MEAN_SHARE * (of_mean + around):
        return False
    return True if X is whole else "geometric_median"


def moved_center(center, n_seen, X, sample_weight=None):
    """Return the mean of `n_seen` rows whose mean is `center`, and of those of X, weighted."""
    n_new, mean = count_of(X, sample_weight), fill_in(mean_of_rows(X, sample_weight), center)
    return center + (mean - center) * (n_new / (n_seen + n_new))


def geometric_median(X, sample_weight=None, max_iter=100, tol=1e-5):
    """Return the point whose distances to the rows of X have the smallest sum.

    Weiszfeld's iteration, y <- sum_i w_i x_i / d_i / sum_i w_i / d_i with d_i = ||x_i - y|| and
    weights w_i, from the mean; a row on which y happens to lie holds it back as in the reference.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        Rows.
    sample_weight : Tensor of shape (n_samples,), default=None
        Weights of the rows; None: all weigh 1.
    max_iter : int, default=100
        Maximum number of iterations.
    tol : float, default=1e-5
        The iteration ends when y moves by no more than this share of the median distance.

    Returns
    -------
    Tensor of shape (n_features,)
        The median.

    References
    ----------
    Vardi and Zhang (2000), The multivariate L1-median and associated data depth.
    """
    y = mean_of_rows(X, sample_weight)
    weights = X.new_ones(len(X)) if sample_weight is None else sample_weight
    for _ in range(max_iter):
        distances = torch.linalg.vector_norm(X - y, dim=1)
        typical = distances.median()
        apart = (distances > torch.finfo(X.dtype).eps * typical) & (weights > 0)
        if not apart.any():
            break
        inverse = torch.where(apart, weights / distances, 0)
        target = inverse @ X / inverse.sum()
        pull = torch.linalg.vector_norm((target - y) * inverse.sum())
        held = min(1.0, float(weights[~apart].sum() / pull)) if pull > 0 else 1.0
        step = (1 - held) * (target - y)
        y = y + step
        if torch.linalg.vector_norm(step) <= tol * typical:
            break
    return y
