"""SAELens: `cfg.json` and `sae_weights.safetensors`, in and out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from .._fitted import check_estimator_given
from .._folder import replace_files
from .._unit import times
from .._validation import as_path
from ..modules import LinearEncoder, ReLU, Threshold, TopK
from ._files import checked_config, is_path, read_json, read_safetensors
from ._weights import Weights, taken, tensors_of

_CONFIG, _FILE = "cfg.json", "sae_weights.safetensors"
_FORMAT = "6.0.0"  # of SAELens, which reads configurations of earlier versions otherwise
_NORMALIZED = ("layer_norm", "constant_norm_rescale", "covariance_whitening")


def from_saelens(
    source: Any, cfg: Mapping[str, Any] | None = None, *, rows_are_normalized: bool = False
) -> Any:
    """Take over an autoencoder of SAELens.

    Atoms get unit norm, and codes what they had, where that leaves codes the same; with TopK whose
    atoms have several norms they stay as they are. SAELens saves BatchTopK and Matryoshka
    autoencoders as "jumprelu", and so they come.

    Parameters
    ----------
    source : str, path or mapping of str to Tensor
        The directory that `save_model` wrote, or a `state_dict()`.
    cfg : mapping, default=None
        With a state dict, the configuration: ``sae.cfg.to_dict()``.
    rows_are_normalized : bool, default=False
        Where SAELens normalizes each row before it encodes it (`normalize_activations`), which no
        estimator here does: whether rows are given normalized. Codes and reconstructions are then
        those of the normalized rows.

    Returns
    -------
    estimator : SAEEncoder, TopKSAE, JumpReLUSAE or GatedSAE
        A fitted estimator with the same codes, up to the norms of atoms, and reconstructions.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If the architecture is none of "standard", "topk", "jumprelu" and "gated", rows would be
        normalized, or weights are missing or of other shapes.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> from skamort import TopKSAE
    >>> from skamort.interop import from_saelens, to_saelens
    >>> X = load_digits().data / 16
    >>> sae = TopKSAE(96, k=8, tol=0.1, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_saelens(sae, folder)
    ...     again = from_saelens(folder)
    >>> bool(abs(again.transform(X) - sae.transform(X)).max() < 1e-5)
    True
    """
    if is_path(source):
        cfg = read_json(source, _CONFIG, "from_saelens")
        source = read_safetensors(source, _FILE, "from_saelens")
    cfg = checked_config(cfg, "cfg", "from_saelens")
    normalization = cfg.get("normalize_activations", "none")
    if normalization in _NORMALIZED and not rows_are_normalized:
        raise ValueError(
            f"from_saelens: normalize_activations={normalization!r} normalizes each row, which no "
            "estimator does; normalize rows yourself and set rows_are_normalized=True, or pass the "
            "module to skamort.interop.wrap."
        )
    return _weights(cfg, tensors_of(source, "from_saelens")).to_estimator()


def _weights(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Weights:
    architecture = cfg.get("architecture", "standard")
    if architecture not in _BIASES:
        raise ValueError(
            f"from_saelens: architecture={architecture!r} is none of {', '.join(_BIASES)}; pass "
            "the module to skamort.interop.wrap."
        )
    names = f"W_enc {_BIASES[architecture]} W_dec b_dec"
    encoder, bias, decoder, center = taken(tensors, names, "from_saelens")
    common = {
        "source": "from_saelens",
        "encoder": encoder.T,
        "bias": bias,
        "decoder": decoder,
        "center": center,
        "is_centered": cfg.get("apply_b_dec_to_input", True),
    }
    if architecture == "topk":
        scaled = cfg.get("rescale_acts_by_decoder_norm", False)
        return Weights(**common, activation="topk", k=cfg.get("k"), norms_count=scaled)
    if architecture == "jumprelu":
        (threshold,) = taken(tensors, "threshold", "from_saelens")
        return Weights(**common, activation="jumprelu", threshold=threshold)
    if architecture == "gated":
        log_scale, mag_bias = taken(tensors, "r_mag b_mag", "from_saelens")
        return Weights(**common, activation="gated", log_scale=log_scale, mag_bias=mag_bias)
    return Weights(**common, activation="relu")


_BIASES = {"standard": "b_enc", "topk": "b_enc", "jumprelu": "b_enc", "gated": "b_gate"}


def to_saelens(estimator: Any, path: Any, *, metadata: Mapping[str, Any] | None = None) -> None:
    """Write an estimator as an autoencoder of SAELens, for ``SAE.load_from_disk(path)``.

    Parameters
    ----------
    estimator : object
        A fitted autoencoder with a linear encoder, or an `AmortizedCoder` of one.
    path : str or path
        The directory, which is made; its two files are replaced. After an interruption they are the
        old ones, or the new, or ``cfg.json`` is missing.
    metadata : mapping, default=None
        What SAELens is to know of the data, such as `model_name` and `hook_name`.

    Raises
    ------
    ValueError
        If the encoder or its activation is none that SAELens has.
    TypeError
        If JSON does not hold the metadata.

    See Also
    --------
    from_saelens : The way back, with an example.
    """
    config, tensors = _as_saelens(estimator)
    text = _as_json(config, metadata)
    replace_files(as_path(path, "to_saelens: path"), {_FILE: save(tensors), _CONFIG: text.encode()})


def _as_json(config: dict[str, Any], metadata: Mapping[str, Any] | None) -> str:
    """Return the text of the configuration, before anything is written."""
    try:
        config["metadata"] = {"sae_lens_version": _FORMAT, **(metadata or {})}
        return json.dumps(config, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "to_saelens: metadata must be a mapping of texts to what JSON holds, got "
            f"{metadata!r} ({error}); give texts, finite numbers and lists and dicts of these."
        ) from error


@torch.no_grad()
def _as_saelens(estimator: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    check_estimator_given(estimator, "to_saelens")
    coder = getattr(estimator, "encoder_", estimator)
    if not hasattr(coder, "net_"):
        raise ValueError(
            f"to_saelens: {type(estimator).__name__} has no trained encoder; pass a fitted "
            "autoencoder, or teach one its codes by AmortizedCoder."
        )
    module = coder._transforming_module()
    encoder, unit = module.encoder, coder._unit
    if not isinstance(encoder, LinearEncoder):
        raise ValueError(
            f"to_saelens: {type(coder).__name__} has a {type(encoder).__name__}, SAELens has "
            "linear encoders only; use save, or fit an SAEEncoder to the codes."
        )
    atoms = module.decoder.dictionary
    center = estimator.intercept_
    tensors = {
        "W_enc": encoder.weight.T,
        "b_enc": atoms.new_zeros(len(atoms)) if encoder.bias is None else encoder.bias * unit,
        "W_dec": atoms,
        "b_dec": atoms.new_zeros(atoms.shape[1]) if center is None else torch.tensor(center),
    }
    kind, more = _activation(module.activation, unit, tensors)
    config = {
        "architecture": kind,
        "d_in": atoms.shape[1],
        "d_sae": len(atoms),
        "dtype": str(atoms.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **more,
    }
    tensors = {name: tensor.detach().cpu().to(atoms.dtype) for name, tensor in tensors.items()}
    return config, {name: tensor.contiguous() for name, tensor in tensors.items()}


def _activation(activation: Any, unit: float, tensors: dict[str, Tensor]) -> tuple[str, dict]:
    """Return the architecture and its settings; put its further tensors to the others."""
    if isinstance(activation, ReLU):
        return "standard", {}
    if isinstance(activation, TopK):
        return "topk", {"k": activation.n_kept, "rescale_acts_by_decoder_norm": False}
    if hasattr(activation, "log_scale"):
        tensors["b_gate"], factor = tensors.pop("b_enc"), activation.log_scale.exp()
        tensors["r_mag"] = activation.log_scale
        tensors["b_mag"] = times(activation.shift, unit) + factor * tensors["b_gate"]
        return "gated", {}
    if isinstance(activation, Threshold):
        threshold = activation.threshold.expand_as(tensors["b_enc"])
    elif hasattr(activation, "log_threshold"):
        threshold = activation.log_threshold.exp()
    else:
        raise ValueError(
            f"to_saelens: SAELens has no activation like {type(activation).__name__}; use save."
        )
    tensors["threshold"] = times(threshold, unit)
    return "jumprelu", {}
