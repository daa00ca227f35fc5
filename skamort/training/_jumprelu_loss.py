"""The loss of sparse autoencoders with learned thresholds, which counts active codes."""

from __future__ import annotations

from ..modules import DenseCodes
from ._sparse_coding_loss import SparseCodingLoss


class JumpReLULoss(SparseCodingLoss):
    """Mean over samples of 1/2 ||gamma * r_i||^2 + alpha ||z_i||_0.

    For models whose activation is `skamort.modules.JumpReLU`, whose thresholds the price teaches.

    Parameters
    ----------
    alpha : float, default=0.0
        Weight of the L0 penalty, what an active code costs.
    feature_weights : Tensor of shape (n_features,), optional
        gamma; all ones when absent.

    References
    ----------
    Rajamanoharan et al. (2024), Jumping ahead: improving reconstruction fidelity with JumpReLU
    sparse autoencoders, equation 9.
    """

    capturable = True
    requires = frozenset({"thresholds"})

    penalty_degree = 0

    def penalty(self, codes):
        """Return the number of active codes in a batch, each times its sample's weight."""
        if self.sample_weight is None:
            return codes.firing_counts().sum()
        return self.sample_weight @ codes.values.sign().sum(1)

    def code_gradient(self, module, preactivations, codes, residual_grad, out):  # noqa: ARG002
        """Return dL/dA given dL/dR; the price of active codes teaches the thresholds alone."""
        code_grad = (residual_grad @ module.decoder.dictionary.T).to(residual_grad.dtype)
        price = self.alpha_factor * self.alpha / len(residual_grad)
        module.activation.charge(preactivations, price, self.sample_weight)
        return DenseCodes(module.activation.backward(preactivations, codes.to_dense(), code_grad))
