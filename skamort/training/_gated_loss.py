"""The loss of sparse autoencoders with gates pi, which learn by reconstructing themselves:

    1/2 ||x - x_hat(z)||^2 + alpha ||relu(pi)||_1 + 1/2 ||x - x_hat(relu(pi))||^2

with the decoder frozen in the last term.
"""

from __future__ import annotations

import torch

from ..modules import Workspace, add_gradient, compact
from ._loss import Outcome, refuse_call
from ._sparse_coding_loss import SparseCodingLoss


class GatedLoss(SparseCodingLoss):
    """Mean over samples of the errors of codes and of gates, and alpha times the gates' L1 norm.

    For models whose activation is `skamort.modules.Gated`.

    Parameters
    ----------
    alpha : float, default=0.0
        Weight of the L1 penalty on the gates.
    feature_weights : Tensor of shape (n_features,), optional
        gamma; all ones when absent.

    References
    ----------
    Rajamanoharan et al. (2024), Improving dictionary learning with gated sparse autoencoders.
    """

    capturable = True
    requires = frozenset({"gates"})
    forward = refuse_call  # type: ignore[assignment]

    @torch.no_grad()
    def backward(self, module, X, *target, workspace=None):  # noqa: ARG002
        """Compute the gradients by hand, of few open gates in the sparse layout."""
        self.check(module, X)
        workspace = Workspace() if workspace is None else workspace
        dictionary, intercept = module.decoder.dictionary, module.decoder.intercept
        traced, preactivations = module.encoder.trace(X, intercept, workspace)
        centered, activation = traced.detach(), module.activation
        gates = compact(preactivations.detach().to(centered.dtype).relu())
        scale, shift = (gates.of_latents(p) for p in (activation.log_scale.exp(), activation.shift))
        sizes = torch.addcmul(shift, gates.values, scale).relu_()
        codes = gates.with_values(sizes * (gates.values > 0))
        outcome, weighted, gate_weighted = self._value_of(codes, gates, dictionary, centered)
        if dictionary.requires_grad:
            space = workspace.take_for_gradient("dictionary gradient", dictionary)
            add_gradient(dictionary, codes.transposed_product(weighted, out=space))
        code_grad = codes.gradient(weighted, dictionary, 0.0)
        through = code_grad.values * scale
        add_gradient(activation.log_scale, gates.with_values(through * gates.values).column_sums())
        add_gradient(activation.shift, code_grad.column_sums())
        gradient = gates.gradient(gate_weighted, dictionary, self.price(len(X)))
        gradient = gradient.with_values(gradient.values.add_(through))
        module.encoder.backward(centered, preactivations, gradient, intercept, workspace)
        if intercept is not None:
            add_gradient(intercept, weighted.sum(0))
        if self.dead is not None:
            self._teach_dead(module, centered, preactivations, weighted, outcome.terms["error"])
        return outcome

    @torch.no_grad()
    def evaluate(self, module, X, *target):  # noqa: ARG002
        """Return the loss of a batch and its codes."""
        self.check(module, X)
        centered = module.center(X)
        gates = module.encoder(centered)
        codes = compact(module.activation(gates))
        return self._value_of(codes, compact(gates.relu()), module.decoder.dictionary, centered)[0]

    def _value_of(self, codes, gates, dictionary, centered):
        """Return the outcome, and the gradients of both errors by the reconstructions."""
        residuals = [part.residual(dictionary, centered) for part in (codes, gates)]
        weighted = [self.weigh(residual) / len(centered) for residual in residuals]
        errors = [(w * r).sum() / 2 for w, r in zip(weighted, residuals, strict=True)]
        penalty = self.alpha * self.penalty(gates).sum() / len(centered)
        terms = {"error": errors[0], "penalty": penalty, "gate_error": errors[1]}
        return Outcome(torch.stack([*terms.values()]).sum(), codes, terms), *weighted
