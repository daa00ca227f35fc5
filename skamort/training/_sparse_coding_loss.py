"""The loss of sparse autoencoders, with gradients by hand.

With the symbols of `_loss`, and masks 1[.] where a code is positive,

    dL/dR = gamma^2 R / n,  dL/dD = Z^T dL/dR,  dL/dA = (dL/dR D^T + alpha / n) * 1[Z > 0],

the last for activations with that derivative; another gives its own. A sample's weight multiplies
its rows of dL/dR and of alpha / n.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..modules import (
    DenseCodes,
    SparseAutoencoder,
    SparseCodes,
    TopK,
    Workspace,
    add_gradient,
    add_gradient_sum,
    constant,
)
from ._loss import Outcome, ReconstructionLoss

_AUXILIARY_WEIGHT = 1 / 32
_MULTI_TOPK_WEIGHT = 1 / 8
_MULTI_TOPK_FACTOR = 4


class SparseCodingLoss(ReconstructionLoss):
    """Mean over samples of 1/2 ||gamma * r_i||^2 + alpha ||z_i||_1.

    The gradients of dead latents, where the attribute `dead` names some, are those of an auxiliary
    loss (AuxK) that is not part of the value: from the n_features / 2 largest pre-activations of
    the dead they learn to reconstruct the residual, 1/32 * 1/2 ||gamma * (r_i + z_i D)||^2,
    normalized by the share of the data's energy that is in the residual.

    With `multi_topk` 1/8 of the gradients that the 4 k largest codes would give are added
    (Multi-TopK); the value stays that of the k largest.

    Parameters
    ----------
    alpha : float, default=0.0
        Weight of the L1 penalty.
    feature_weights : Tensor of shape (n_features,), optional
        gamma; all ones when absent.
    multi_topk : bool, default=False
        Whether 4 k codes are to reconstruct too.

    References
    ----------
    Gao et al. (2024), Scaling and evaluating sparse autoencoders, appendix A.2 and section 5.4.
    """

    capturable = True

    batched = ()

    offers = frozenset({"dead", "sample_weight"})

    def __init__(
        self,
        alpha: float = 0.0,
        feature_weights: Tensor | None = None,
        multi_topk: bool = False,
    ):
        super().__init__(alpha, feature_weights)
        self.multi_topk = multi_topk
        if multi_topk:
            self.requires = self.requires | {"n_kept", "partial_gradients"}

    def forward(self, residual: Tensor, codes: Tensor) -> Tensor:
        """Return the loss, a scalar tensor; `codes` are non-negative."""
        if residual.ndim != 2 or codes.ndim != 2 or len(residual) != len(codes):
            raise ValueError(
                f"{type(self).__name__}: residual and codes must be matrices with a row for each "
                f"sample, got shapes {tuple(residual.shape)} and {tuple(codes.shape)}."
            )
        return self._value(_dot(residual, self.weigh(residual)), DenseCodes(codes), len(residual))

    @torch.no_grad()
    def backward(
        self,
        module: SparseAutoencoder,
        X: Tensor,
        *target: Tensor,  # noqa: ARG002
        workspace: Workspace | None = None,
    ) -> Outcome:
        """Compute the gradients by hand, about a third faster than autograd.

        The encoder carries dL/dA on, a linear one in three products. Where few codes are active
        these come in the sparse layout, and of all products only A stays dense, if it is needed.
        """
        self.check(module, X)
        dictionary = module.decoder.dictionary
        workspace = Workspace() if workspace is None else workspace
        centered, preactivations, codes, more = self._encode(module, X, workspace)
        residual_grad, error, share = self._measure(codes, dictionary, centered)
        self._backpropagate(
            module, centered, preactivations, codes, residual_grad, workspace,
            is_last=more is None and self.dead is None,
        )  # fmt: skip
        if more is not None:
            weighted = self.weigh(more.residual(dictionary, centered))
            weighted.mul_(_MULTI_TOPK_WEIGHT / len(X))
            self._backpropagate(module, centered, preactivations, more, weighted, workspace)
        if self.dead is not None:
            half_mean = error * _half_mean(len(X), share)
            self._teach_dead(module, centered, preactivations, residual_grad, half_mean)
        return Outcome(self._value(error, codes, len(X), share), codes)

    def _encode(self, module, X, workspace):
        """Return centered data, pre-activations or None if the codes were found without them, the
        codes, and those of Multi-TopK or None."""
        k, activation, preactivations = module.activation.n_kept, module.activation, None
        if self.multi_topk:
            activation = TopK(min(_MULTI_TOPK_FACTOR * k, len(module.decoder.dictionary)))
        centered, preactivations, codes = self._find_codes(module, X, workspace, activation)
        if self.multi_topk:
            return centered, preactivations, codes.keep_largest(k), codes
        return centered, preactivations, codes, None

    def _find_codes(self, module, X, workspace, activation=None, activate=None):
        """Return centered data, pre-activations or None if the codes were found without them, and
        the codes, in the layout of `activate`: that of the module if None."""
        found = module.find(X, activation, workspace)
        if found is not None:
            return found[0], None, found[1]
        traced, preactivations = module.encoder.trace(X, module.decoder.intercept, workspace)
        centered = traced.detach()
        activate = activate or module.activate
        return centered, preactivations, activate(preactivations.detach(), centered, activation)

    def _measure(self, codes, dictionary, centered):
        """Return dL/dR, the squared error of a share of the residual, summed, and that share: 1/n
        on a GPU, which takes a product's share in passing."""
        share = 1 / len(centered) if centered.is_cuda else 1.0
        residual = codes.residual(dictionary, centered, share)
        weighted = self.weigh(residual)
        error = _dot(residual, weighted)
        return weighted if share < 1 else weighted.div_(len(centered)), error, share

    def _backpropagate(
        self, module, centered, preactivations, codes, residual_grad, workspace, is_last=False
    ) -> None:
        """Add the gradients that follow from dL/dR; where they are the last ones, processes begin
        to exchange that of the dictionary while the encoder's are computed."""
        dictionary, intercept = module.decoder.dictionary, module.decoder.intercept
        if dictionary.requires_grad:
            space = workspace.take_for_gradient("dictionary gradient", dictionary)
            add_gradient(dictionary, codes.transposed_product(residual_grad, out=space))
            if is_last:
                self.processes.begin(dictionary)
        space = workspace.take_on_cpu("code gradient", codes.values)
        gradient = self.code_gradient(module, preactivations, codes, residual_grad, space)
        module.encoder.backward(centered, preactivations, gradient, intercept, workspace)
        if intercept is not None:  # its share through the encoder is there already
            add_gradient_sum(intercept, residual_grad)

    def code_gradient(
        self,
        module: SparseAutoencoder,
        preactivations: Tensor,
        codes: DenseCodes | SparseCodes,
        residual_grad: Tensor,
        out: Tensor | None,
    ) -> DenseCodes | SparseCodes:
        """Return dL/dA, which may take the memory of `out`, given dL/dR."""
        dictionary, activation = module.decoder.dictionary, module.activation
        penalty = self.price(len(residual_grad))
        if activation.is_masked:
            return codes.gradient(residual_grad, dictionary, penalty, out=out)
        gradient = (residual_grad @ dictionary.T).to(residual_grad.dtype).add_(penalty)
        return DenseCodes(activation.backward(preactivations.detach(), codes.to_dense(), gradient))

    def _teach_dead(self, module, centered, preactivations, residual_grad, error):
        """Add the auxiliary loss's gradients to those of the dead latents, given dL/dR and half
        the mean squared error."""
        dictionary, dead = module.decoder.dictionary, self.dead
        atoms, n_samples = dictionary[dead], len(centered)
        largest = TopK(min(len(dead), max(1, centered.shape[1] // 2)))
        if preactivations is None:
            of_dead = module.encoder.preactivations_of(dead, centered)
        else:
            of_dead = preactivations[:, dead].to(centered.dtype)
        codes = DenseCodes(largest(of_dead))
        decoded = codes.residual(atoms, torch.zeros_like(centered))
        error_grad = self.weigh(decoded).div_(n_samples).add_(residual_grad)
        energy = (self.weigh(centered) * centered).sum() / n_samples
        energy, error = self.processes.mean(torch.stack([energy, 2 * error]))
        # Where all is reconstructed, or no row weighs anything, there is nothing to learn.
        error_grad.mul_((_AUXILIARY_WEIGHT * energy / error).nan_to_num(0.0, posinf=0.0))
        if dictionary.requires_grad:
            dictionary.grad.index_add_(0, dead, codes.transposed_product(error_grad))
        code_grad = codes.gradient(error_grad, atoms, 0.0)
        module.encoder.backward_of(dead, centered, code_grad)

    @torch.no_grad()
    def evaluate(self, module: SparseAutoencoder, X: Tensor, *target: Tensor) -> Outcome:  # noqa: ARG002
        """Return the loss of a batch and its codes."""
        self.check(module, X)
        codes = module.encode_compactly(X)
        residual = codes.residual(module.decoder.dictionary, module.center(X))
        error = _dot(residual, self.weigh(residual))
        return Outcome(self._value(error, codes, len(X)), codes)

    def price(self, n_samples: int) -> float | Tensor:
        """Return dL/dz of the penalty: a number, or one a sample where these have weights."""
        price = self.alpha_factor * self.alpha / n_samples
        return price if self.sample_weight is None else price * self.sample_weight.unsqueeze(1)

    def penalty(self, codes: DenseCodes | SparseCodes) -> Tensor:
        """Return what alpha weighs, the L1 norm of codes >= 0, summed over a batch; on a GPU its
        part of each latent, which the gradient finds in passing."""
        is_found = codes.values.is_cuda and self.sample_weight is None
        return codes.column_sums() if is_found else codes.sum(self.sample_weight)

    def _value(self, error, codes, n_samples, share=1.0) -> Tensor:
        """Return the loss, given the squared error of a share of the residual, summed."""
        factor = _half_mean(n_samples, share)
        if not self.alpha:
            return error.mul_(factor)
        penalty = self.penalty(codes)
        if not penalty.ndim:
            return torch.add(error, penalty, alpha=2 * self.alpha * share**2).mul_(factor)
        ones = constant(1.0, penalty.shape, penalty)
        price = self.alpha / n_samples
        return torch.addmv(error.view(1), penalty.view(1, -1), ones, beta=factor, alpha=price)[0]


def _half_mean(n_samples: int, share: float) -> float:
    """Return what makes a sum of squares, of a share of the numbers, half their mean a sample."""
    return 0.5 / (n_samples * share**2)


def _dot(residual: Tensor, weighted: Tensor) -> Tensor:
    return torch.dot(residual.view(-1), weighted.view(-1))
