"""Floating point operations of encoders, by formula.

Counted are the products of matrices, a multiplication and an addition as two operations, as
`torch.utils.flop_counter` counts them; what is done once an entry is left out. With M features, N
atoms and E the numbers in the encoder's weight matrices (MN where it is linear), for one sample:

    encode:                  2 E
    train for one step:      2 E + 2 E + 2 (E - E_1)       encoder, its gradients, and through it
                             + 2 MN + 2 MN (+ 2 MN)        decode, gradient of codes (and atoms)
    optimize, T iterations:  2 MN + T min(4 MN, 2 N^2)     correlations, then gradients or a sweep

E_1 belongs to the first layer, which needs no gradient of its input. Where at most k codes are
active and the products are sparse, they have k M in place of M N, but for the encoder's own.
"""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral, Real
from typing import Any

from sklearn.utils.validation import check_is_fitted

from .._compat import Interval, StrOptions, validate_params

# From so many components for one active code on, training takes sparse products.
_COMPONENTS_PER_CODE = 16


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
    The published figure for the training of sparse coding, 2.1e12 in the base case, multiplies the
    loss and the update of the codes, which are counted for the whole batch, by its size once more.
    Counted once they leave 8.3e10, which the published formula gives here. It still has the
    normalization of the atoms in every sample; by products it is 3.1e10.

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
    check_is_fitted(estimator)
    if hasattr(estimator, "teacher_"):
        return _flops_of_taught(estimator, n_samples, mode, n_iter, formula)
    if hasattr(estimator, "net_"):
        count = _PER_SAMPLE[formula, mode](estimator.net_)
        return float(n_samples * count * (estimator.n_iter_ if mode == "training" else 1))
    if not hasattr(estimator, "transform_tol"):
        raise TypeError(
            f"flops has no formula for {type(estimator).__name__}; pass an estimator of skamort."
        )
    if mode == "training":
        return _flops_of_learning(estimator, n_samples, n_iter, formula)
    inner = getattr(estimator, "estimator_", None)
    guess = 0.0 if inner is None else flops(inner, n_samples, n_iter=n_iter, formula=formula)
    return guess + n_samples * _optimization(estimator, n_iter, formula)


def _flops_of_taught(estimator, n_samples, mode, n_iter, formula):
    """AmortizedCoder: its encoder, and in training its teacher, who labels too."""
    if mode == "inference":
        return flops(estimator.encoder_, n_samples, formula=formula)
    n_labelled = n_samples + estimator.n_augmented
    shared = {"n_iter": n_iter, "formula": formula}
    return (
        flops(estimator.teacher_, n_samples, mode="training", **shared)
        + flops(estimator.teacher_, n_labelled, **shared)
        + flops(estimator.encoder_, n_labelled, mode="training", formula=formula)
    )


def _flops_of_learning(estimator, n_samples, n_iter, formula):
    """The fit of what optimizes its codes: of the estimator inside, or of the dictionary."""
    if not hasattr(estimator, "n_iter_"):  # ITOCoder
        inner = estimator.estimator_
        shared = {"mode": "training", "n_iter": n_iter, "formula": formula}
        return 0.0 if inner is None else flops(inner, n_samples, **shared)
    n_atoms, n_features = estimator.components_.shape
    products = n_atoms * n_features
    n_iterations = estimator.n_iter_all_starts_
    if formula == "published":
        step = 3 * (5 * products + n_atoms) + 2 * n_features + 2 * n_atoms
        return float(n_iterations * (n_samples * step + products))
    if estimator.algorithm == "adam":
        return float(n_iterations * n_samples * 6 * products)
    statistics = 2 * n_atoms**2 + 2 * products
    each = _optimization(estimator, n_iter, formula) + statistics
    return float(n_iterations * (n_samples * each + 2 * n_atoms * products))


def _optimization(estimator, n_iter, formula):
    """One sample's codes by an iterative solver."""
    if n_iter is None:
        raise ValueError(
            f"flops: {type(estimator).__name__} optimizes its codes, in a number of iterations "
            "that depends on the data; pass n_iter, for example the mean of info.n_iter from "
            "sparse_encode(..., algorithm='fista', return_info=True)."
        )
    n_atoms, n_features = estimator.components_.shape
    products = n_atoms * n_features
    if formula == "products":
        return 2 * products + n_iter * min(4 * products, 2 * n_atoms**2)
    return products + n_atoms + n_iter * (4 * products + 2 * n_features + 11 * n_atoms)


def _weights(net):
    """Sizes of the encoder's matrices; each takes part in one product a sample."""
    return [p.numel() for p in net.module_.encoder.parameters() if p.ndim == 2]


def _inference_products(net):
    return 2 * sum(_weights(net))


def _training_products(net):
    module, weights = net.module_, _weights(net)
    n_atoms, n_features = module.decoder.dictionary.shape
    learns_codes = type(net.criterion_).__name__ == "CodeRegressionLoss"
    # The gradient passes through every layer but the first, and that too on its way to a center.
    through = sum(weights) - (0 if module.decoder.intercept is not None else weights[0])
    if learns_codes:
        return 4 * sum(weights) + 2 * through
    k = getattr(module.activation, "k", n_atoms)
    active = (k if k * _COMPONENTS_PER_CODE <= n_atoms else n_atoms) * n_features
    n_decoder_products = 3 if module.decoder.dictionary.requires_grad else 2
    decoder = 2 * n_decoder_products * active
    if hasattr(module.encoder, "weight"):  # linear: by hand, and sparse where the codes are
        return 2 * weights[0] + 2 * active + decoder
    return 4 * sum(weights) + 2 * through + decoder


def _hidden_width(net):
    """Features, latents and hidden units of a net with published formulas."""
    weights = [p.shape for p in net.module_.encoder.parameters() if p.ndim == 2]
    chained = all(a[0] == b[1] for a, b in pairwise(weights))
    if len(weights) > 2 or not chained:
        raise TypeError(
            "flops: the published formulas are for encoders that are linear or have one hidden "
            "layer; choose formula='products'."
        )
    hidden = weights[0][0] if len(weights) == 2 else 0
    return weights[0][1], weights[-1][0], hidden


def _inference_published(net):
    m, n, h = _hidden_width(net)
    return 2 * m * h + h + 2 * h * n + n + 2 * n * m if h else 4 * m * n + n


def _training_published(net):
    m, n, h = _hidden_width(net)
    backward = 2 * n + 4 * m * n + 2 * (m * n + n)
    if h:
        backward = n + (2 * n * h + n) + h + (2 * m * h + h) + 2 * n * m
        backward += 2 * (m * h + h + h * n + n)
    learned = 3 * m * n if net.module_.decoder.dictionary.requires_grad else 0
    return _inference_published(net) + backward + learned


_PER_SAMPLE = {
    ("products", "inference"): _inference_products,
    ("products", "training"): _training_products,
    ("published", "inference"): _inference_published,
    ("published", "training"): _training_published,
}
