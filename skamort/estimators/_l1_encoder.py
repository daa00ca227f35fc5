"""The encoders that training fits under an L1 penalty on their codes."""

from __future__ import annotations

import torch

from ..training import SparseCodingLoss
from ._alpha import alpha_of_sample
from ._parameters import L1Parameters
from ._target_l0 import TargetL0Parameters, threshold_of_data


class L1Encoder(L1Parameters, TargetL0Parameters):
    """Base of these encoders, beside that of their architecture."""

    def _weigh_penalty(self, sample):
        self._check_target_l0()
        self._look_for_variety(sample)
        self.alpha_ = alpha_of_sample(self, sample)

    def _check_target_l0(self):
        super()._check_target_l0()
        if self.target_l0 is not None and not getattr(self, "encoder_bias", True):
            raise ValueError(
                f"{type(self).__name__}: target_l0={self.target_l0} moves the threshold above "
                "which codes are active, and encoder_bias=False leaves none; set "
                "encoder_bias=True, or alpha in place of target_l0."
            )

    def _make_loss(self, feature_weights):
        return SparseCodingLoss(self.alpha_, feature_weights)

    @torch.no_grad()
    def _scale_codes(self, module, loss, rows):
        bias, _ = self._gate(module)
        if self.target_l0 is not None and bias is not None:
            step = self._starting_thresholds(module, rows, loss.sample_weight)
            bias.sub_(step)
            self._follow_gates(module, step)
        super()._scale_codes(module, loss, rows)

    @torch.no_grad()
    def _settle_at(self, data, n_active):
        module, unit = self.net_.module_, self.net_.data_scale
        bias, gate = self._gate(module)
        if bias is not None:
            level = threshold_of_data(module, data, n_active, lambda A: (gate(A) / unit).exp())
            step = unit * level.log()
            if step.isfinite():  # no threshold makes all latents active
                bias.sub_(step)
                self._follow_gates(module, step)

    def _gate(self, module):
        """Return the biases that decide which codes are active, or None, and what maps
        pre-activations to numbers that are positive where codes are active."""
        bias = module.encoder.output_layer.bias if "latent_rows" in module.offers else None
        return bias, lambda A: A

    def _follow_gates(self, module, step):
        """Let the sizes of codes stay where pre-activations were lowered by a step."""
