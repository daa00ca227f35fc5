"""A latent's direction added to what a layer returns."""

from __future__ import annotations

from contextlib import AbstractContextManager
from math import inf
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from .._fitted import check_estimator_given
from .._validation import check_real
from ._positions import kept_positions
from ._splice import replaced_rows


def steer(
    model: nn.Module, layer: str, estimator: Any, latent: int, strength: float, *, skip: int = 1
) -> AbstractContextManager[None]:
    """Add a multiple of an atom to what a layer returns, as a context manager.

    Parameters
    ----------
    model : torch.nn.Module
        Its weights and its code stay as they are.
    layer : str
        The name of a submodule, as in :func:`collect_activations`.
    estimator : object with ``components_``
        Any fitted estimator with atoms in its rows.
    latent : int
        Which atom, from 0.
    strength : float
        How much of it, in units of codes: atoms have unit norm. Something like the largest code of
        this latent shows; negative values suppress.
    skip : int, default=1
        First positions of each text that stay as they are. A model that is called with one new
        token at a time, as in generation with a cache, takes each for a first position: set 0
        there.

    Returns
    -------
    steered : context manager
        Within it the model computes with the atom added.

    Raises
    ------
    ValueError
        If there is no such layer or latent.

    Examples
    --------
    >>> import torch
    >>> from sklearn.decomposition import PCA
    >>> from skamort.hooks import steer
    >>> x = torch.eye(3)
    >>> model = torch.nn.Sequential(torch.nn.Identity())
    >>> pca = PCA().fit(x.numpy())
    >>> with steer(model, "0", pca, latent=1, strength=2.0):
    ...     moved = model(x) - x
    >>> bool(torch.allclose(moved, 2 * torch.tensor(pca.components_[1])))
    True
    """
    check_estimator_given(estimator, "steer", ("components_",))
    atom, strength = atom_of(estimator, latent), check_real(strength, "strength", -inf)
    return replaced_rows(
        model,
        layer,
        lambda rows: rows + strength * _fitting(atom, rows, layer),
        lambda shape: kept_positions(shape, None, None, skip),
    )


def _fitting(atom: Tensor, rows: Tensor, layer: str) -> Tensor:
    """Return an atom as rows are; one of another width raises ValueError."""
    if len(atom) != rows.shape[1]:
        raise ValueError(
            f"atoms have {len(atom)} features, but layer {layer!r} returns {rows.shape[1]}."
        )
    return atom.to(rows)


def atom_of(estimator: Any, latent: int) -> Tensor:
    """Return an atom (n_features,)."""
    components = estimator.components_
    if isinstance(latent, bool) or not isinstance(latent, Integral):
        raise TypeError(f"latent must be an integer, got {latent!r}.")
    if not 0 <= latent < len(components):
        raise ValueError(f"latent must be from 0 to {len(components) - 1}, got {latent!r}.")
    return torch.as_tensor(components[latent])
