"""The synthetic data behind the published figures of the amortization-gap paper, bit for bit."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import torch

from .._compat import Interval, validate_params
from ._validation import check_n_nonzero_coefs


@validate_params(
    {
        "seed": [Interval(Integral, 0, 2**32 - 1, closed="both")],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_nonzero_coefs": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def make_published_signal(
    seed: int = 20240926,
    *,
    n_samples: int = 2048,
    n_components: int = 16,
    n_features: int = 8,
    n_nonzero_coefs: int = 3,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reproduce the synthetic data of the published amortization-gap experiments.

    Codes are half-normal, ``|N(0, 1)|``, on `n_nonzero_coefs` atoms chosen uniformly; atoms are
    Gaussian directions; there is no noise. In the base case, which is the default, the first 1024
    samples are for training and the last 1024 for testing.

    Parameters
    ----------
    seed : int, default=20240926
        Seed of a published experiment: 20240625 where codes or the dictionary are known, 20240926
        where neither is and for the sweeps of L1 weight, top-k, bias and width, 20240927 for the
        regimes of N, M and K.
    n_samples : int, default=2048
        Number of samples, for training and testing together. A longer signal begins with the same
        samples and has the same dictionary.
    n_components : int, default=16
        Number of sources, N in the paper.
    n_features : int, default=8
        Number of measurements, M in the paper.
    n_nonzero_coefs : int, default=3
        Number of active sources of a sample, K in the paper.

    Returns
    -------
    data : ndarray of shape (n_samples, n_features)
        ``code @ dictionary``, float32.
    dictionary : ndarray of shape (n_components, n_features)
        Atoms, one a row, of unit norm, float32.
    code : ndarray of shape (n_samples, n_components)
        Non-negative codes, float32.

    Raises
    ------
    ValueError
        A number outside its range, or `n_nonzero_coefs` above `n_components`.

    See Also
    --------
    make_sparse_coded_signal : The same model with noise, signs and atoms of unequal weight.

    Notes
    -----
    The experiments seed the global generators of NumPy and torch. Here two generators of our own
    follow the same two streams, so nothing global changes.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
    Sparse Autoencoders.

    Examples
    --------
    >>> from skamort.datasets import make_published_signal
    >>> X, dictionary, codes = make_published_signal(20240625)
    >>> X_train, X_test = X[:1024], X[1024:]
    >>> codes[0].nonzero()[0]
    array([ 9, 11, 13])
    """
    check_n_nonzero_coefs("make_published_signal", n_nonzero_coefs, n_components)
    rng = np.random.RandomState(seed)
    code = np.zeros((n_samples, n_components), dtype=np.float32)
    for row in code:
        magnitudes = np.abs(rng.normal(0, 1, n_components))
        support = rng.choice(n_components, n_nonzero_coefs, replace=False)
        row[support] = magnitudes[support]
    atoms = torch.randn(n_components, n_features, generator=torch.Generator().manual_seed(seed))
    atoms /= torch.linalg.norm(atoms, dim=1, keepdim=True)
    data = torch.from_numpy(code) @ atoms
    return data.numpy(), atoms.numpy(), code
