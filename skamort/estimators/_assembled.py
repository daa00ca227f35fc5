"""Estimators of parts that were trained elsewhere."""

from __future__ import annotations

from typing import Any

import torch

from ..modules import Decoder, LinearEncoder, SparseAutoencoder
from ..training import LatentActivity, SparseNet
from ._auto import resolve
from ._base_trained import BaseTrainedEncoder
from ._changes import parameters_of


def assembled(
    estimator: BaseTrainedEncoder, weights: Any, bias: Any, atoms: Any, center: Any, **state: Any
) -> BaseTrainedEncoder:
    """Return an estimator fitted, with a linear encoder and a dictionary that are known.

    `partial_fit` and a warm start go on from them. An `alpha` that is "auto" is then found; until
    then the estimator has none.

    Parameters
    ----------
    estimator : BaseTrainedEncoder
        An autoencoder with a linear encoder, not fitted; its parameters say the rest.
    weights, atoms : Tensor of shape (n_components, n_features)
        The encoder's weights, and the dictionary.
    bias : Tensor of shape (n_components,)
        The encoder's bias.
    center : Tensor of shape (n_features,)
        What is subtracted from X, and added to reconstructions.
    **state : Tensor
        Parameters and buffers of the activation by name.

    Returns
    -------
    estimator : BaseTrainedEncoder
        The estimator itself.
    """
    estimator._validate_params()
    estimator.n_features_in_, estimator._unit = atoms.shape[1], 1.0
    estimator.feature_weights_ = None
    found = resolve(estimator, len(atoms), len(atoms), False, True, {})
    for name in found.keys() & estimator._declared.keys():
        setattr(estimator, f"{name}_", found[name])
    has_penalty = "alpha" in estimator._declared
    if has_penalty:
        estimator.alpha_ = 1.0 if estimator.alpha == "auto" else float(estimator.alpha)
    activation = estimator._make_activation(1.0)
    activation.load_state_dict({**activation.state_dict(), **state})
    encoder = LinearEncoder.of(weights.clone(), bias.clone())
    module = SparseAutoencoder(encoder, activation, Decoder(atoms, center))
    module = module.to(atoms).eval()
    estimator.net_ = SparseNet(
        module,
        estimator._make_loss(None).to(atoms),
        generator=torch.Generator().manual_seed(0),
        **estimator._make_settings(module, LatentActivity()),
    ).initialize()
    module.eval()
    estimator._made_with = parameters_of(estimator)
    if has_penalty and estimator.alpha == "auto":
        estimator.alpha_ = estimator._made_with["alpha"] = None
    return estimator
