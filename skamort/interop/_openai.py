"""openai/sparse_autoencoder: a state dict in a file of `torch.save`."""

from __future__ import annotations

from typing import Any

from ._files import is_path, read_torch
from ._weights import Weights, taken, tensors_of

_NAME = "from_openai"


def from_openai(source: Any, *, rows_are_normalized: bool = False) -> Any:
    """Take over an autoencoder of openai/sparse_autoencoder.

    Parameters
    ----------
    source : str, path or mapping of str to Tensor
        The file, which is read as weights alone, or a `state_dict()`.
    rows_are_normalized : bool, default=False
        Its TopK autoencoders normalize each row x before they encode it, to
        ``(x - mean(x)) / (std(x) + 1e-5)``, which no estimator here does: whether rows are given
        normalized. Codes and reconstructions are then those of the normalized rows.

    Returns
    -------
    estimator : SAEEncoder or TopKSAE
        A fitted estimator with the same codes, up to the norms of atoms, and reconstructions.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the activation is neither ReLU nor TopK, rows would be normalized, or weights are missing
        or of other shapes.

    References
    ----------
    Gao et al. (2024), Scaling and evaluating sparse autoencoders.

    Examples
    --------
    >>> import torch
    >>> from skamort.interop import from_openai
    >>> state = {"pre_bias": torch.zeros(2), "latent_bias": torch.zeros(3),
    ...     "encoder.weight": torch.eye(3, 2), "decoder.weight": torch.ones(2, 3),
    ...     "activation": "TopK", "activation_state_dict": {"k": 1, "postact_fn": "ReLU"}}
    >>> sae = from_openai(state, rows_are_normalized=True)
    >>> int((sae.transform([[-0.7, 0.7]]) > 0).sum())
    1
    """
    state = read_torch(source, "autoencoder.pt", _NAME) if is_path(source) else source
    tensors = tensors_of(state, _NAME)
    activation, more = state.get("activation", "ReLU"), state.get("activation_state_dict", {})
    if activation not in ("ReLU", "TopK") or more.get("postact_fn", "ReLU") != "ReLU":
        raise ValueError(
            f"{_NAME}: activation={activation!r} with postact_fn={more.get('postact_fn')!r} is "
            "neither ReLU nor TopK with ReLU; pass the module to skamort.interop.wrap."
        )
    if activation == "TopK" and not rows_are_normalized:
        raise ValueError(
            f"{_NAME}: with TopK each row is normalized, which no estimator does; normalize rows "
            "yourself and set rows_are_normalized=True, or pass the module to skamort.interop.wrap."
        )
    names = "encoder.weight latent_bias decoder.weight pre_bias"
    encoder, bias, decoder, center = taken(tensors, names, _NAME)
    kind, k = ("topk", more.get("k")) if activation == "TopK" else ("relu", None)
    return Weights(_NAME, encoder, bias, decoder.T, center, True, kind, k).to_estimator()
