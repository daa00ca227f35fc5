"""The base of the autoencoders whose encoder is made of layers, tied to the dictionary at first."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from ..modules import SparseAutoencoder, make_encoder
from ..training import ResampleDead, TeachDead
from ._base_trained import BaseTrainedEncoder
from ._declared import parameter
from ._parameters import DeadLatentParameters

_REMEDIES = {"resample": ResampleDead, "auxk": TeachDead}


class BaseSAE(DeadLatentParameters, BaseTrainedEncoder):
    """Base of the encoders whose last layer has a row for each latent.

    Parameters
    ----------
    encoder_bias : bool
        Whether the encoder has a bias b.
    """

    encoder_bias: bool = parameter("boolean", default=True)

    def _hidden_layer_sizes(self) -> list[int]:
        """Return the widths of the layers between data and codes."""
        return []

    def _has_bias(self) -> bool:
        """Tell whether the encoder itself has a bias."""
        return self.encoder_bias

    def _make_encoder(
        self, centered: Any, dictionary: Any, generator: Any, sample_weight: Any
    ) -> Any:
        widths = (centered.shape[1], len(dictionary), self._hidden_layer_sizes())
        encoder = make_encoder(*widths, bias=self._has_bias(), generator=generator).to(centered)
        encoder.tie(centered, dictionary, sample_weight)
        return encoder

    def _make_dead_latents(self, module: SparseAutoencoder) -> list:
        if self.dead_latents == "auto" and not ResampleDead.requires <= module.offers:
            self.dead_latents_ = None
        remedy = self.dead_latents_
        if remedy is None:
            return []
        return [_REMEDIES[remedy]() if isinstance(remedy, str) else clone(remedy).check()]
