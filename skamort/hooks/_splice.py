"""Reconstructions in place of a layer's output."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .._fitted import check_estimator_given
from ._layer import find_layer, replaced
from ._positions import kept_positions

Rewrite = Callable[[Tensor], Tensor]


class Transformer(Protocol):
    """What goes from rows to codes and back."""

    def transform(self, X: Any) -> Any:
        """Return codes."""

    def inverse_transform(self, X: Any) -> Any:
        """Return rows."""


def splice(
    model: nn.Module, layer: str, estimator: Transformer, *, skip: int = 1
) -> AbstractContextManager[None]:
    """Put reconstructions in place of what a layer returns, as a context manager.

    Parameters
    ----------
    model : torch.nn.Module
        Its weights and its code stay as they are.
    layer : str
        The name of a submodule, as in :func:`collect_activations`.
    estimator : object with ``transform`` and ``inverse_transform``
        Any fitted estimator of skamort or scikit-learn, such as ``PCA``.
    skip : int, default=1
        First positions of each text that stay as they are. A model that is called with one new
        token at a time, as in generation with a cache, takes each for a first position: set 0
        there.

    Returns
    -------
    spliced : context manager
        Within it the model computes with reconstructions. They pass no gradient.

    Raises
    ------
    ValueError
        If there is no such layer.

    See Also
    --------
    loss_recovered : What the model loses by it.

    Examples
    --------
    >>> import torch
    >>> from sklearn.decomposition import PCA
    >>> from skamort.hooks import collect_activations, splice
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    >>> activations = collect_activations(model, "0", [x], dtype="float32")
    >>> pca = PCA(n_components=4).fit(activations.rows)
    >>> with splice(model, "0", pca):
    ...     spliced = model(x)
    >>> bool(torch.allclose(spliced, model(x), atol=1e-5))
    True
    """
    check_estimator_given(estimator, "splice", ("transform", "inverse_transform"))
    return replaced_rows(
        model,
        layer,
        lambda rows: reconstruct(estimator, rows),
        lambda shape: kept_positions(shape, None, None, skip),
    )


def replaced_rows(
    model: nn.Module, layer: str, new: Rewrite, kept: Callable[[torch.Size], Tensor]
) -> AbstractContextManager[None]:
    """Within, `new` of the rows at the positions that `kept` tells stands in their place."""
    find_layer(model, layer)

    def change(values: Tensor) -> Tensor:
        positions = kept(values.shape[:-1]).to(values.device)
        if not positions.any():
            return values
        changed = values.clone()
        changed[positions] = new(values[positions]).to(values)
        return changed

    return replaced(model, layer, change)


def reconstruct(estimator: Transformer, rows: Tensor) -> Tensor:
    """Return what the estimator makes of rows, on the CPU."""
    return torch.from_numpy(np.array(estimator.inverse_transform(encode(estimator, rows))))


def encode(estimator: Transformer, rows: Tensor) -> Any:
    """Return the codes of rows."""
    return estimator.transform(rows.detach().float().cpu().numpy())
