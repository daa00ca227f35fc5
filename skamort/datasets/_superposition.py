"""The toy model of superposition: many sparse sources, seen through few dimensions.

data = code @ dictionary with code (n_samples, n_components) zero with probability `sparsity`, else
uniform on (0, 1], and dictionary (n_components, n_features), which is W_p transposed.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from scipy.linalg import block_diag, helmert
from sklearn.utils import check_random_state
from torch import Tensor

from .._compat import Interval, StrOptions, validate_params
from .._matrices import check_matrix

# Of the model that learns how sources are mixed.
_BATCH_SIZE, _LEARNING_RATE = 256, 3e-3


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "sparsity": [Interval(Real, 0, 1, closed="left")],
        "mixing": [StrOptions({"learned", "digons", "simplices"}), "array-like"],
        "importance": ["array-like", None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_superposition(
    n_samples: int,
    *,
    n_components: int = 200,
    n_features: int = 20,
    sparsity: float = 0.9,
    mixing: Any = "learned",
    importance: Any = None,
    max_iter: int = 1000,
    random_state: Any = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generate sparse sources in superposition: more of them than dimensions they are seen in.

    A source is zero with a probability of `sparsity`, else uniform on (0, 1]; how many are active
    differs from sample to sample.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    n_components : int, default=200
        Number of sources.
    n_features : int, default=20
        Number of features of the data.
    sparsity : float, default=0.9
        Probability that a source is zero, >= 0 and below 1.
    mixing : {"learned", "digons", "simplices"} or array-like of shape (n_components, \
n_features), default="learned"
        The directions of the sources. "learned": those of the rows of W for which
        ``relu(x W W^T + b)`` reconstructs sources x best, found by descent; what a network with too
        few dimensions makes of them. "digons": pairs of opposite directions, and directions of
        their own for the rest. "simplices": regular simplices at right angles to each other, of as
        equal sizes as can be; both need more sources than features, and at most twice as many. An
        array: the directions themselves.
    importance : array-like of shape (n_components,), default=None
        Weight >= 0 of each source's squared error where the mixing is learned; None for 1.
    max_iter : int, default=1000
        Steps of the descent, each with 256 fresh samples.
    random_state : int, RandomState instance or None, default=None
        Seed of the mixing and of the sources. Pass an int for the same arrays at every call.

    Returns
    -------
    data : ndarray of shape (n_samples, n_features)
        ``code @ dictionary``.
    dictionary : ndarray of shape (n_components, n_features)
        Directions of the sources, one a row, of the norms that were learned, or of unit norm.
    code : ndarray of shape (n_samples, n_components)
        The sources.

    Raises
    ------
    ValueError
        A number outside its range, sizes that make no digons or simplices, an array of another
        shape, or `importance` where nothing is learned.

    See Also
    --------
    make_sparse_coded_signal : As many active sources in every sample, and directions at random.

    References
    ----------
    Elhage et al. (2022), Toy models of superposition. On the Limits of Sparse Autoencoders: A
    Theoretical Framework and Reweighted Remedy (WSAE), section 5.

    Examples
    --------
    Two sources that are seldom active together share one dimension as a digon:

    >>> from skamort.datasets import make_superposition
    >>> X, dictionary, codes = make_superposition(
    ...     100, n_components=2, n_features=1, sparsity=0.9, random_state=0)
    >>> X.shape, dictionary.shape, codes.shape
    ((100, 1), (2, 1), (100, 2))
    >>> round(float(dictionary.prod()), 1)
    -1.0
    """
    rng = check_random_state(random_state)
    sizes = n_components, n_features
    if importance is not None and not (isinstance(mixing, str) and mixing == "learned"):
        raise ValueError(
            "make_superposition: importance weighs what is learned; leave it out or choose "
            "mixing='learned'."
        )
    if not isinstance(mixing, str):
        dictionary = _check_array(mixing, sizes)
    elif mixing == "learned":
        weights = _check_importance(importance, n_components)
        dictionary = _learn_mixing(sizes, sparsity, weights, max_iter, rng.randint(2**31 - 1))
    else:
        dictionary = _simplices(_simplex_sizes(*sizes, digons=mixing == "digons"))
    code = (1 - rng.random_sample((n_samples, n_components))) * (
        rng.random_sample((n_samples, n_components)) >= sparsity
    )
    return code @ dictionary, dictionary, code


def _check_array(mixing: Any, shape: tuple[int, int]) -> np.ndarray:
    mixing = check_matrix(mixing, "mixing").astype(np.float64)
    if mixing.shape != shape:
        raise ValueError(
            f"make_superposition: mixing has shape {mixing.shape}, and (n_components, n_features) "
            f"is {shape}; they must agree."
        )
    return mixing


def _check_importance(importance: Any, n_components: int) -> Tensor:
    if importance is None:
        return torch.ones(n_components)
    weights = check_matrix([importance], "importance")[0]
    if len(weights) != n_components or weights.min() < 0:
        raise ValueError(
            f"make_superposition: importance needs {n_components} weights >= 0, one a source, got "
            f"{len(weights)}, the smallest {weights.min():g}."
        )
    return torch.as_tensor(weights, dtype=torch.float32)


def _simplex_sizes(n_components: int, n_features: int, *, digons: bool) -> np.ndarray:
    """How many sources each simplex has: one more than it has dimensions."""
    n_simplices = n_components - n_features
    if not 0 < n_simplices <= n_features:
        raise ValueError(
            f"make_superposition: {n_components} sources make no digons or simplices in "
            f"{n_features} dimensions; choose n_features < n_components <= 2 * n_features."
        )
    if digons:
        return np.r_[np.full(n_simplices, 2), np.ones(n_features - n_simplices, dtype=int)]
    return np.diff(np.arange(n_simplices + 1) * n_components // n_simplices)


def _simplices(sizes: np.ndarray) -> np.ndarray:
    """Corners of regular simplices as rows of unit norm; a single one has a dimension of its own.

    The Helmert matrix is an orthonormal basis of what is at right angles to (1, ..., 1), so that
    its columns are the corners of a simplex.
    """
    blocks = [helmert(p).T * (p / (p - 1)) ** 0.5 if p > 1 else np.ones((1, 1)) for p in sizes]
    return block_diag(*blocks)


def _learn_mixing(
    sizes: tuple[int, int], sparsity: float, importance: Tensor, max_iter: int, seed: int
) -> np.ndarray:
    """W (n_components, n_features) for which relu(x W W^T + b) is close to the sources x."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(sizes, generator=generator) * (2 / sum(sizes)) ** 0.5
    mixing, bias = mixing.requires_grad_(), torch.zeros(sizes[0], requires_grad=True)
    adam = torch.optim.Adam([mixing, bias], lr=_LEARNING_RATE)
    for _ in range(max_iter):
        x = 1 - torch.rand(_BATCH_SIZE, sizes[0], generator=generator)
        x *= torch.rand(x.shape, generator=generator) >= sparsity
        error = torch.relu(x @ mixing @ mixing.T + bias) - x
        adam.zero_grad()
        (importance * error.square()).sum(dim=1).mean().backward()
        adam.step()
    return mixing.detach().double().numpy()
