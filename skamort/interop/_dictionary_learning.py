"""dictionary_learning: `ae.pt` and `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ._files import checked_config, is_path, read_json, read_torch
from ._weights import Weights, taken, tensors_of

_NAME = "from_dictionary_learning"


def from_dictionary_learning(source: Any, config: Mapping[str, Any] | None = None) -> Any:
    """Take over an autoencoder of the package dictionary_learning.

    Parameters
    ----------
    source : str, path or mapping of str to Tensor
        The directory with `ae.pt` and `config.json`, which may be missing, the file `ae.pt`, or a
        `state_dict()`. Files are read as weights alone.
    config : mapping, default=None
        What `config.json` holds. Where there is none, the weights tell the architecture, but for
        AutoEncoderTopK and BatchTopKSAE, whose weights have the same names:
        ``{"trainer": {"dict_class": "BatchTopKSAE"}}``.

    Returns
    -------
    estimator : SAEEncoder, TopKSAE, BatchTopKSAE, JumpReLUSAE, GatedSAE or MatryoshkaSAE
        A fitted estimator with the same codes, up to the norms of atoms, and reconstructions.

    Raises
    ------
    FileNotFoundError
        If there is no file of weights.
    ValueError
        If weights do not tell the architecture, are missing or have other shapes.

    Examples
    --------
    >>> import torch
    >>> from skamort.interop import from_dictionary_learning
    >>> state = {"bias": torch.zeros(2), "encoder.weight": torch.eye(3, 2),
    ...     "encoder.bias": torch.zeros(3), "decoder.weight": torch.ones(2, 3)}
    >>> from_dictionary_learning(state).transform([[1.0, 2.0]]).shape
    (1, 3)
    """
    if is_path(source):
        folder = Path(source) if Path(source).is_dir() else Path(source).parent
        if config is None and (folder / "config.json").exists():
            config = read_json(folder, "config.json", _NAME)
        source = read_torch(source, "ae.pt", _NAME)
    config = checked_config({} if config is None else config, "config", _NAME)
    trainer = checked_config(config.get("trainer", config), "config['trainer']", _NAME)
    return _weights(tensors_of(source, _NAME), trainer).to_estimator()


def _weights(tensors: Mapping[str, Tensor], trainer: Mapping[str, Any]) -> Weights:
    if "W_enc" in tensors:
        return _of_matrices(tensors)
    if "k" in tensors:
        return _of_topk(tensors, str(trainer.get("dict_class", trainer.get("trainer_class", ""))))
    if "gate_bias" in tensors:
        return _of_gates(tensors)
    names = "encoder.weight encoder.bias decoder.weight"
    encoder, bias, decoder = taken(tensors, names, _NAME)
    is_centered = "bias" in tensors  # AutoEncoder, of which AutoEncoderNew is the other
    (center,) = taken(tensors, "bias" if is_centered else "decoder.bias", _NAME)
    return Weights(_NAME, encoder, bias, decoder.T, center, is_centered, "relu")


def _of_topk(tensors: Mapping[str, Tensor], told: str) -> Weights:
    if "TopK" not in told:
        raise ValueError(
            f"{_NAME}: AutoEncoderTopK and BatchTopKSAE have the same weights, and dict_class is "
            f"{told!r}; pass config={{'trainer': {{'dict_class': 'BatchTopKSAE'}}}} or the other."
        )
    names = "encoder.weight encoder.bias decoder.weight b_dec k"
    encoder, bias, decoder, center, k = taken(tensors, names, _NAME)
    activation = "batch_topk" if "BatchTopK" in told else "topk"
    found = Weights(_NAME, encoder, bias, decoder.T, center, True, activation, int(k))
    if activation == "batch_topk":  # the other's is for use without it, and young
        (found.threshold,) = taken(tensors, "threshold", _NAME)
    return found


def _of_matrices(tensors: Mapping[str, Tensor]) -> Weights:
    """Return the weights of JumpReluAutoEncoder, or of MatryoshkaBatchTopKSAE."""
    names = "W_enc b_enc W_dec b_dec threshold"
    encoder, bias, decoder, center, threshold = taken(tensors, names, _NAME)
    found = Weights(_NAME, encoder.T, bias, decoder, center, False, "jumprelu")
    found.threshold = threshold
    if "k" in tensors:
        found.is_centered, found.activation, found.k = True, "batch_topk", int(tensors["k"])
        (sizes,) = taken(tensors, "group_sizes", _NAME)
        found.prefix_sizes = sizes.cumsum(0).tolist()
    return found


def _of_gates(tensors: Mapping[str, Tensor]) -> Weights:
    names = "encoder.weight gate_bias decoder.weight decoder_bias r_mag mag_bias"
    encoder, bias, decoder, center, log_scale, mag_bias = taken(tensors, names, _NAME)
    found = Weights(_NAME, encoder, bias, decoder.T, center, True, "gated")
    found.log_scale, found.mag_bias = log_scale, mag_bias
    return found
