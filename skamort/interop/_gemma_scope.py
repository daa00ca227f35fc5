"""Gemma Scope (Google DeepMind): `params.npz`."""

from __future__ import annotations

from typing import Any

from ._files import is_path, read_npz
from ._weights import Weights, taken, tensors_of

_NAME = "from_gemma_scope"


def from_gemma_scope(source: Any) -> Any:
    """Take over a JumpReLU autoencoder of Gemma Scope.

    Parameters
    ----------
    source : str, path or mapping of str to array
        `params.npz` or its directory, or the arrays in it.

    Returns
    -------
    estimator : JumpReLUSAE
        A fitted estimator with the same codes, up to the norms of atoms, and reconstructions.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If weights are missing or of other shapes.

    References
    ----------
    Lieberum et al. (2024), Gemma Scope: open sparse autoencoders everywhere all at once on Gemma 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skamort.interop import from_gemma_scope
    >>> arrays = {"W_enc": np.eye(2, 3), "W_dec": np.ones((3, 2)), "b_enc": np.zeros(3),
    ...     "b_dec": np.zeros(2), "threshold": np.full(3, 1.5)}
    >>> int((from_gemma_scope(arrays).transform([[1.0, 2.0]]) > 0).sum())
    1
    """
    if is_path(source):
        source = read_npz(source, "params.npz", _NAME)
    names = "W_enc b_enc W_dec b_dec threshold"
    encoder, bias, decoder, center, threshold = taken(tensors_of(source, _NAME), names, _NAME)
    return Weights(
        _NAME,
        encoder.T,
        bias,
        decoder,
        center,
        is_centered=False,
        activation="jumprelu",
        threshold=threshold,
    ).to_estimator()
