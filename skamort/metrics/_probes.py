"""What single latents tell of labels: class differences to choose by, and the loss of the best
one."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import type_of_target

from .._matrices import as_dense, check_dense_or_csr, check_labels, check_same_length
from .._validation import check_real

_STEPS = 25


def class_difference(codes: Any, y: Any) -> np.ndarray:
    """Difference of the class means of each latent, in units of its standard deviation.

    As `score_func` of :class:`~sklearn.feature_selection.SelectKBest` it makes a sparse probe: a
    classifier on the few latents that differ most.

    Parameters
    ----------
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Sparse codes; CSR codes are not made dense.
    y : array-like of shape (n_samples,)
        Labels of two classes.

    Returns
    -------
    difference : ndarray of shape (n_components,)
        Absolute value of the difference; 0 for a latent that is constant.

    Raises
    ------
    ValueError
        If there are not two classes, or NaN or infinity in `codes`.

    References
    ----------
    Gurnee et al. (2023), Finding Neurons in a Haystack: Case Studies with Sparse Probing, section
    3.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.feature_selection import SelectKBest
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skamort import TopKSAE
    >>> from skamort.metrics import class_difference
    >>> X, digits = load_digits(return_X_y=True)
    >>> probe = make_pipeline(
    ...     TopKSAE(128, k=8, tol=0.01, random_state=0),
    ...     SelectKBest(class_difference, k=2),
    ...     LogisticRegression(),
    ... )
    >>> bool(probe.fit(X, digits == 0).score(X, digits == 0) > 0.95)
    True
    """
    codes, is_one = _checked(codes, y)
    codes = _scaled(codes)
    n = codes.shape[0]
    total, squares = _sums(codes), _sums(codes.power(2) if sparse.issparse(codes) else codes**2)
    inside = _sums(codes[is_one])
    n_inside = int(is_one.sum())
    difference = np.abs(inside / n_inside - (total - inside) / (n - n_inside))
    variance = np.maximum(squares / n - (total / n) ** 2, 0)
    # what rounding leaves of a constant's variance
    varies = variance > 1e-10 * squares / n
    return np.divide(difference, np.sqrt(variance), where=varies, out=np.zeros(len(total)))


def probe_loss(codes: Any, y: Any, *, penalty: float = 1e-4) -> np.ndarray:
    """Cross-entropy of the best logistic probe on each latent alone.

    For latent i it is the minimum over w and b of the mean cross-entropy of sigmoid(w z_i + b) and
    the label, in nats; its minimum over latents says whether a model has a feature of this class.

    Parameters
    ----------
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Sparse codes; they are made dense.
    y : array-like of shape (n_samples,)
        Labels of two classes.
    penalty : float, default=1e-4
        Weight of w^2 / 2, with codes of unit standard deviation, without which a latent that tells
        the classes apart would have no best w.

    Returns
    -------
    loss : ndarray of shape (n_components,)
        At most the entropy of the labels, which a latent that tells nothing has.

    Raises
    ------
    ValueError
        If there are not two classes, or NaN or infinity in `codes`.

    References
    ----------
    Gao et al. (2024), Scaling and evaluating sparse autoencoders, section 4.2.

    Examples
    --------
    >>> from skamort.metrics import probe_loss
    >>> probe_loss([[0.0, 1.0], [0.0, 2.0], [1.0, 1.0], [1.0, 2.0]], [0, 0, 1, 1]).round(2)
    array([0.  , 0.69])
    """
    check_real(penalty, "penalty")
    codes, is_one = _checked(codes, y)
    z = _standardized(as_dense(_scaled(codes)))
    share, target = is_one.mean(), is_one[:, np.newaxis].astype(float)
    w, b = np.zeros(z.shape[1]), np.full(z.shape[1], np.log(share / (1 - share)))
    for _ in range(_STEPS):
        w, b = _newton_step(z, target, w, b, penalty)
    return _cross_entropy(z * w + b, target)


def _scaled(codes: Any) -> Any:
    """Return codes in float64, the largest about 1, so that squares neither vanish nor overflow."""
    codes = codes.astype(np.float64)
    largest = abs(codes).max()
    return codes / largest if largest > 0 else codes


def _standardized(codes: np.ndarray) -> np.ndarray:
    """Return codes of mean 0 and unit variance; 0 where they are constant."""
    z = np.asarray(codes, dtype=np.float64)
    centered, spread = z - z.mean(axis=0), z.std(axis=0)
    varies = spread > 1e-10 * np.abs(z).max(axis=0)
    return np.divide(centered, spread, where=varies, out=np.zeros_like(z))


def _newton_step(
    z: np.ndarray, target: np.ndarray, w: np.ndarray, b: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return w and b of all latents after a step that makes none of them worse."""
    probability = 1 / (1 + np.exp(-(z * w + b)))
    residual, curvature = probability - target, probability * (1 - probability) + 1e-12
    gradient_w, gradient_b = (residual * z).mean(0) + penalty * w, residual.mean(0)
    ww, wb, bb = (curvature * z * z).mean(0) + penalty, (curvature * z).mean(0), curvature.mean(0)
    determinant = ww * bb - wb**2
    step_w = (bb * gradient_w - wb * gradient_b) / determinant
    step_b = (ww * gradient_b - wb * gradient_w) / determinant
    step, before = np.ones_like(w), _penalized(z, target, w, b, penalty)
    for _ in range(8):  # halved where the whole step is too long
        worse = _penalized(z, target, w - step * step_w, b - step * step_b, penalty) > before
        if not worse.any():
            break
        step = np.where(worse, step / 2, step)
    step = np.where(worse, 0, step)
    return w - step * step_w, b - step * step_b


def _penalized(
    z: np.ndarray, target: np.ndarray, w: np.ndarray, b: np.ndarray, penalty: float
) -> np.ndarray:
    return _cross_entropy(z * w + b, target) + penalty / 2 * w**2


def _cross_entropy(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    return (np.logaddexp(0, logits) - target * logits).mean(axis=0)


def _sums(codes: Any) -> np.ndarray:
    return np.asarray(codes.sum(axis=0), dtype=np.float64).ravel()


def _checked(codes: Any, y: Any) -> tuple[Any, np.ndarray]:
    codes, y = check_dense_or_csr(codes), check_labels(y, "y")
    check_same_length(codes, y, "codes and y")
    classes = np.unique(y)
    if type_of_target(y) != "binary" or len(classes) != 2:
        raise ValueError(
            f"y must have labels of two classes, got {len(classes)}; pass y == label for one of "
            "many."
        )
    return codes, y == classes[1]
