"""How much one latent means one thing."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse

from .._compat import Interval, validate_params
from .._explained_variance import row_blocks
from .._matrices import check_dense_or_csr, check_labels, check_same_length


@validate_params(
    {
        "codes": ["array-like", "sparse matrix"],
        "y": ["array-like"],
        "n_top": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def semantic_consistency(codes: Any, y: Any, *, n_top: int = 50) -> np.ndarray:
    """Share of a latent's top samples that belong to their most frequent class.

    Parameters
    ----------
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Codes, or any features; sparse ones are made dense some columns at a time. The samples of a
        latent's largest values are its top samples; samples at its smallest value, where a sparse
        code is silent, never are.
    y : array-like of shape (n_samples,)
        Class labels.
    n_top : int, default=50
        Number of samples of a latent to look at, those of its largest values; all that fire where
        there are fewer.

    Returns
    -------
    consistency : ndarray of shape (n_components,)
        From 1 / n_classes to 1, for a latent of one class; 0 for a latent that never varies,
        which has no top samples.

    Raises
    ------
    ValueError
        NaN or infinity in `codes`, different numbers of samples, or `n_top` below 1.

    References
    ----------
    On the Limits of Sparse Autoencoders: A Theoretical Framework and Reweighted Remedy (WSAE).

    Examples
    --------
    >>> from skamort.metrics import semantic_consistency
    >>> codes = [[0.9, 0.1], [0.8, 0.9], [0.1, 0.8], [0.0, 0.0]]
    >>> semantic_consistency(codes, ["cat", "cat", "dog", "dog"], n_top=2)
    array([1. , 0.5])
    """
    codes = check_dense_or_csr(codes)
    labels, y = np.unique(check_labels(y, "y"), return_inverse=True)
    check_same_length(codes, y, "codes and y")
    if not sparse.issparse(codes):
        return _consistency(codes, y, len(labels), n_top)
    by_column = codes.tocsc()
    blocks = row_blocks(*codes.shape[::-1])
    found = [_consistency(by_column[:, b].toarray(), y, len(labels), n_top) for b in blocks]
    return np.concatenate(found)


def _consistency(codes: np.ndarray, y: np.ndarray, n_labels: int, n_top: int) -> np.ndarray:
    top = np.argsort(-codes, axis=0, kind="stable")[:n_top]
    active = np.take_along_axis(codes, top, axis=0) > codes.min(axis=0)
    of_class = [(active & (y[top] == label)).sum(axis=0) for label in range(n_labels)]
    return np.max(of_class, axis=0) / active.sum(axis=0).clip(min=1)


@validate_params(
    {
        "codes": ["array-like", "sparse matrix"],
        "sources": ["array-like"],
        "threshold": [Interval(Real, 0, None, closed="left")],
        "normalize": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def sources_per_latent(
    codes: Any, sources: Any, *, threshold: float = 0.0, normalize: bool = False
) -> np.ndarray:
    """Count the sources that activate each latent: 1 for a monosemantic one.

    Encode samples in which a single source is active; a source activates a latent if the absolute
    codes that its samples have there sum to more than a threshold, or are larger than it on
    average.

    Parameters
    ----------
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Codes of samples with one active source each; CSR codes are not made dense.
    sources : array-like of shape (n_samples,)
        Label of the source that is active in each sample.
    threshold : float, default=0.0
        A source activates a latent if its sum, or its mean, exceeds this: in the units of the
        codes, times the number of samples of a source where sums count.
    normalize : bool, default=False
        Whether the codes of a source are averaged over its samples, where otherwise they are
        summed.

    Returns
    -------
    counts : ndarray of shape (n_components,)
        Number of sources, int, from 0 for a dead latent to the number of labels.

    Raises
    ------
    ValueError
        NaN or infinity in `codes`, different numbers of samples, or a negative `threshold`.

    See Also
    --------
    semantic_consistency : Where samples have classes, not single sources.

    Notes
    -----
    The mean over latents, of sums, is the monosemanticity curve of the reference. With a fixed
    threshold it falls where sources become rarer, whatever the latents do: a source of fewer
    samples has a smaller sum. ``normalize=True`` compares sources, and data, that are not equally
    frequent. A dead latent counts as better than a monosemantic one in either: look at
    `dead_fraction` too, or leave the zeros out.

    References
    ----------
    On the Limits of Sparse Autoencoders: A Theoretical Framework and Reweighted Remedy (WSAE).

    Examples
    --------
    >>> from skamort.metrics import sources_per_latent
    >>> codes = [[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.0, 0.7, 0.0]]
    >>> sources_per_latent(codes, ["cat", "cat", "dog"])
    array([1, 2, 0])
    >>> sources_per_latent(codes, ["cat", "cat", "dog"], threshold=0.5)
    array([1, 1, 0])
    >>> sources_per_latent(codes, ["cat", "cat", "dog"], threshold=0.5, normalize=True)
    array([1, 1, 0])
    """
    codes = check_dense_or_csr(codes)
    labels, sources = np.unique(check_labels(sources, "sources"), return_inverse=True)
    check_same_length(codes, sources, "codes and sources")
    n_samples, shape = len(sources), (len(labels), len(sources))
    weights = np.ones(n_samples, dtype=codes.dtype)
    if normalize:
        weights /= np.bincount(sources)[sources]
    of_source = sparse.csr_array((weights, (sources, np.arange(n_samples))), shape=shape)
    activation = of_source @ abs(codes)
    return np.asarray((activation > threshold).sum(axis=0)).ravel()


@validate_params(
    {"codes": ["array-like", "sparse matrix"], "relative": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def latent_variance(codes: Any, *, relative: bool = False) -> np.ndarray:
    """Variance of each latent over samples.

    The reference takes a high variance as a sign of a monosemantic latent: silent on most samples,
    strong on some.

    Parameters
    ----------
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Sparse codes; CSR codes are not made dense.
    relative : bool, default=False
        Whether the variance is divided by the square of the mean. As it is, a latent of codes
        twice as large has four times the variance, whatever it means.

    Returns
    -------
    variance : ndarray of shape (n_components,)
        In the squared units of the codes, or without unit if `relative`; 0 for a dead latent.

    Raises
    ------
    ValueError
        NaN or infinity in `codes`.

    See Also
    --------
    sources_per_latent : Where the sources of the data are known.

    References
    ----------
    On the Limits of Sparse Autoencoders: A Theoretical Framework and Reweighted Remedy (WSAE).

    Examples
    --------
    >>> from skamort.metrics import latent_variance
    >>> codes = [[0.0, 1.0], [0.0, 3.0], [0.0, 1.0], [4.0, 3.0]]
    >>> latent_variance(codes)
    array([3., 1.])
    >>> latent_variance(codes, relative=True)
    array([3.  , 0.25])
    """
    codes = check_dense_or_csr(codes).astype(np.float64)
    mean = np.asarray(codes.mean(axis=0)).ravel()
    if sparse.issparse(codes):
        # The zeros are as far from the mean as it is from 0.
        stored = codes.tocsc()
        n_stored = np.diff(stored.indptr)
        stored.data -= np.repeat(mean, n_stored)
        squares = np.asarray(stored.power(2).sum(axis=0)).ravel()
        variance = (squares + (codes.shape[0] - n_stored) * mean**2) / codes.shape[0]
    else:
        variance = codes.var(axis=0)
    if not relative:
        return variance
    return np.divide(variance, mean**2, out=np.zeros_like(mean), where=mean != 0)
