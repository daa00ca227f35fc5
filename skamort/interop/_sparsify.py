"""sparsify (EleutherAI): `cfg.json` and `sae.safetensors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._files import checked_config, is_path, read_json, read_safetensors
from ._weights import Weights, taken, tensors_of

_NAME = "from_sparsify"
_REFUSED = ("transcode", "skip_connection")


def from_sparsify(source: Any, cfg: Mapping[str, Any] | None = None) -> Any:
    """Take over a TopK autoencoder of EleutherAI's sparsify.

    Parameters
    ----------
    source : str, path or mapping of str to Tensor
        The directory that `save_to_disk` wrote, or a `state_dict()`.
    cfg : mapping, default=None
        With a state dict, the configuration, which says `k`: ``sae.cfg.to_dict()``.

    Returns
    -------
    estimator : TopKSAE
        A fitted estimator with the same codes and reconstructions.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If it is a transcoder, has a skip connection or another activation than TopK, or weights are
        missing or of other shapes.

    Examples
    --------
    >>> import torch
    >>> from skamort.interop import from_sparsify
    >>> state = {"encoder.weight": torch.eye(3, 2), "encoder.bias": torch.zeros(3),
    ...     "W_dec": torch.eye(3, 2) + 1, "b_dec": torch.zeros(2)}
    >>> int((from_sparsify(state, {"k": 1}).transform([[1.0, 2.0]]) > 0).sum())
    1
    """
    if is_path(source):
        cfg = read_json(source, "cfg.json", _NAME)
        source = read_safetensors(source, "sae.safetensors", _NAME)
    cfg = checked_config(cfg, "cfg", _NAME)
    refused = [name for name in _REFUSED if cfg.get(name)]
    if refused or cfg.get("activation", "topk") != "topk":
        told = refused[0] if refused else f"activation={cfg['activation']!r}"
        raise ValueError(f"{_NAME}: no estimator here has {told}; only TopK autoencoders come.")
    names = "encoder.weight encoder.bias W_dec b_dec"
    encoder, bias, decoder, center = taken(tensors_of(source, _NAME), names, _NAME)
    return Weights(
        _NAME, encoder, bias, decoder, center, is_centered=True, activation="topk", k=cfg.get("k")
    ).to_estimator()
