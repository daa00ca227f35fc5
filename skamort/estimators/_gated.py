"""GatedSAE: the sparse autoencoder that decides which codes are active apart from how large.

With gates pi = W (x - c) + b and, for each latent, a factor exp(r) and a shift s,

    z = 1[pi > 0] relu(exp(r) pi + s),
    loss = 1/2 ||x - x_hat(z)||^2 + alpha ||relu(pi)||_1 + 1/2 ||x - x_hat(relu(pi))||^2,

with the decoder frozen in the last term, and no gradient through the step. In the paper magnitudes
are relu(exp(r) (pi - b) + b_mag); with s = b_mag - exp(r) b they are the same, and so are the
points where all gradients are 0: that of s is then 0, and with it what b gets from sizes besides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._unit import factor_for
from ..modules import Activation, Workspace, add_gradient, compact
from ..training import Outcome, SparseCodingLoss
from ._base_sae import BaseSAE
from ._dictionary import resolve_n_components
from ._l1_encoder import L1Encoder


class GatedSAE(L1Encoder, BaseSAE):
    """Sparse autoencoder with gates: which codes are active is penalized, their size is not.

    A code is active where its gate ``pi = W (x - c) + b`` is positive, and has the size
    ``relu(exp(r) pi + s)``, with a factor and a shift for each latent. Training minimizes the mean
    over samples of ``1/2 ||x - x_hat||^2 + alpha ||relu(pi)||_1``, and gates learn by
    reconstructing themselves: ``1/2 ||x - relu(pi) D - c||^2`` with D and c as they are is
    added. The L1 penalty shrinks gates, and codes make up for it.

    Parameters
    ----------
    alpha : float or "auto"
        Weight of the L1 penalty on the gates, in the units of the data. "auto": a tenth of the mean
        distance of the rows of X from their mean, by the first call where `fit` goes on and in
        `partial_fit`.

    See Also
    --------
    SAEEncoder : The same encoder without gates, whose codes the penalty shrinks.
    JumpReLUSAE : Learns a threshold for each latent.

    References
    ----------
    Rajamanoharan et al. (2024), Improving dictionary learning with gated sparse autoencoders.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import GatedSAE
    >>> X = load_digits().data / 16
    >>> sae = GatedSAE(n_components=64, tol=0.01, random_state=0).fit(X)
    >>> sae.transform(X).shape
    (1797, 64)
    >>> sae.score(X) > 0.8
    True
    """

    _penalizes_size = False  # but the gates'

    def _make_activation(self, unit):  # noqa: ARG002
        return Gated(resolve_n_components(self))

    def _make_loss(self, feature_weights):
        return GatedLoss(self.alpha_, feature_weights)

    def _follow_gates(self, module, step):
        activation = module.activation
        activation.shift.addcmul_(activation.log_scale.exp(), step)


class Gated(Activation):
    """Z = relu(exp(r) A + s) where A > 0: pre-activations are gates.

    Parameters
    ----------
    n_components : int
        Number of latents.
    """

    is_masked = False

    def __init__(self, n_components: int):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(n_components))
        self.shift = nn.Parameter(torch.zeros(n_components))

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        codes = torch.addcmul(self.shift, preactivations, self.log_scale.exp()).relu()
        return torch.where(preactivations > 0, codes, 0)

    def backward(self, preactivations: Tensor, codes: Tensor, code_grad: Tensor) -> Tensor:
        """Return dL/dA; factors and shifts learn."""
        code_grad = code_grad * (codes > 0)
        through = code_grad * self.log_scale.exp()
        add_gradient(self.log_scale, (through * preactivations).sum(0))
        add_gradient(self.shift, code_grad.sum(0))
        return through

    def units(self) -> dict[nn.Parameter, int]:
        """Shifts have the unit of the data."""
        return {self.shift: 1}

    @torch.no_grad()
    def rescale(self, scale: Tensor | float) -> None:
        """Follow the pre-activations."""
        self.shift.mul_(factor_for(self.shift, scale))

    @torch.no_grad()
    def restart(self, latents: Tensor) -> None:
        """Let codes be their gates."""
        self.log_scale[latents] = self.shift[latents] = 0


class GatedLoss(SparseCodingLoss):
    """Mean over samples of the errors of codes and of gates, and alpha times the gates' L1 norm."""

    @torch.no_grad()
    def backward(self, module, X, *target, workspace=None):  # noqa: ARG002
        """Compute the gradients by hand, of few open gates in the sparse layout."""
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
        gradient.values.add_(through)
        module.encoder.backward(centered, preactivations, gradient, intercept, workspace)
        if intercept is not None:
            add_gradient(intercept, weighted.sum(0))
        if self.dead is not None:
            self._teach_dead(module, centered, preactivations, weighted, outcome.terms["error"])
        return outcome

    @torch.no_grad()
    def evaluate(self, module, X, *target):  # noqa: ARG002
        """Return the loss of a batch and its codes."""
        centered = module.center(X)
        gates = module.encoder(centered)
        codes = compact(module.activation(gates))
        return self._value_of(codes, compact(gates.relu()), module.decoder.dictionary, centered)[0]

    def _value_of(self, codes, gates, dictionary, centered):
        """Return the outcome, and the gradients of both errors by the reconstructions."""
        residuals = [part.residual(dictionary, centered) for part in (codes, gates)]
        weighted = [self.weigh(residual) / len(centered) for residual in residuals]
        errors = [(w * r).sum() / 2 for w, r in zip(weighted, residuals, strict=True)]
        penalty = self.alpha * self.penalty(gates) / len(centered)
        terms = {"error": errors[0], "penalty": penalty, "gate_error": errors[1]}
        return Outcome(torch.stack([*terms.values()]).sum(), codes, terms), *weighted
