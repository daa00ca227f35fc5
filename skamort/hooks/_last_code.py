"""A latent's code at the end of short texts, as explanations by n-grams ask for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn

from .._fitted import check_estimator_given
from .._validation import check_integer
from ._layer import evaluated, find_layer, read_layer
from ._splice import encode


def last_code(
    model: nn.Module,
    layer: str,
    estimator: Any,
    latent: int,
    *,
    padding: int,
    batch_size: int = 64,
) -> Callable[[Sequence[Sequence[int]]], np.ndarray]:
    """Return a function from texts to a latent's code at the last token of each.

    Parameters
    ----------
    model : torch.nn.Module
        A causal language model, called with token numbers (n_texts, n_positions).
    layer : str
        The name of a submodule, as in :func:`collect_activations`.
    estimator : object with ``transform``
        Any fitted estimator.
    latent : int
        Its number, from 0.
    padding : int
        The token that stands for nothing. One is set before each text, since a model's first
        position is unlike all others, and as many as needed behind, where a causal model does not
        see them.
    batch_size : int, default=64
        Texts computed at once.

    Returns
    -------
    activate : callable
        From a list of lists of token numbers to an ndarray of as many codes.

    Raises
    ------
    ValueError
        If there is no such layer.

    See Also
    --------
    skamort.inspection.explain_by_ngrams : What asks.

    Examples
    --------
    >>> import torch
    >>> from sklearn.decomposition import PCA
    >>> from skamort.hooks import collect_activations, last_code
    >>> model = torch.nn.Sequential(torch.nn.Embedding(9, 4))
    >>> pca = PCA().fit(collect_activations(model, "0", [torch.arange(9).reshape(3, 3)]).rows)
    >>> activate = last_code(model, "0", pca, latent=0, padding=0)
    >>> one, other = activate([[1, 2, 3], [5, 3]])  # an embedding knows no context
    >>> bool(one == other)
    True
    """
    find_layer(model, layer)
    check_integer(latent, "latent", 0)
    check_integer(batch_size, "batch_size", 1)
    check_estimator_given(estimator, "last_code")

    def activate(texts: Sequence[Sequence[int]]) -> np.ndarray:
        parts = [
            _codes(model, layer, estimator, texts[start : start + batch_size], padding)[:, latent]
            for start in range(0, len(texts), batch_size)
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    return activate


def _codes(
    model: nn.Module, layer: str, estimator: Any, texts: Sequence[Sequence[int]], padding: int
) -> np.ndarray:
    """Return the codes at the last token of each text."""
    last = torch.tensor([len(text) for text in texts])
    ids = torch.full((len(texts), int(last.max()) + 1), padding)
    for row, text in zip(ids, texts, strict=True):
        row[1 : len(text) + 1] = torch.tensor(text)
    with evaluated(model), torch.no_grad():
        values = read_layer(model, layer, ids)
    codes = encode(estimator, values[torch.arange(len(texts)), last])
    return codes.toarray() if sparse.issparse(codes) else np.asarray(codes)
