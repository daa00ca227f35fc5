"""Losses of the trained encoders, each with the backward pass that suits it.

Both losses have three methods. `forward` is the value; `backward` runs a module on a batch, leaves
the gradients in its parameters and returns the value and the codes; `evaluate` returns these two
without gradients. None changes a weight.

Symbols: X (n, n_features) data, Z (n, n_components) codes, D (n_components, n_features) dictionary,
c (n_features,) intercept, A pre-activations, R = Z D + c - X residual, gamma (n_features,) weights.
"""

import torch
from torch import Tensor, nn

from ..modules import DenseCodes, SparseAutoencoder, SparseCodes, TopK
from ._processes import OneProcess
from ._workspace import Workspace

_AUXILIARY_WEIGHT = 1 / 32
_MULTI_TOPK_WEIGHT = 1 / 8
_MULTI_TOPK_FACTOR = 4
_TINY_ENERGY = 1e-16  # a silent latent has the cosine 0


class SparseCodingLoss(nn.Module):
    """Mean over samples of 1/2 ||gamma * r_i||^2 + alpha ||z_i||_1.

    The gradients of dead latents, where the attribute `dead` names some, are those of an auxiliary
    loss (AuxK) that is not part of the value: from the n_features / 2 largest pre-activations of
    the dead they learn to reconstruct the residual, 1/32 * 1/2 ||gamma * (r_i + z_i D)||^2,
    normalized by the share of the data's energy that is in the residual.

    With `multi_topk`, for linear encoders with top-k codes, 1/8 of the gradients that the 4 k
    largest codes would give are added (Multi-TopK); the value stays that of the k largest.

    Parameters
    ----------
    alpha : float, default=0.0
        Weight of the L1 penalty.
    feature_weights : Tensor of shape (n_features,), optional
        gamma; all ones when absent.
    multi_topk : bool, default=False
        Whether 4 k codes are to reconstruct too.

    Attributes
    ----------
    degree : int
        The value grows with this power of the data's scale.
    alpha_factor : float
        Factor of alpha in the gradients, not in the value; below 1 while the penalty warms up.
    dead : Tensor of shape (n_dead,), int64, or None
        Latents that the auxiliary loss teaches; for linear encoders.
    processes : OneProcess or ManyProcesses
        With whom the rows of a batch are shared.

    References
    ----------
    Gao et al. (2024), Scaling and evaluating sparse autoencoders, appendix A.2 and section 5.4.
    """

    degree = 2

    def __init__(
        self,
        alpha: float = 0.0,
        feature_weights: Tensor | None = None,
        multi_topk: bool = False,
    ):
        super().__init__()
        self.alpha = alpha
        self.multi_topk = multi_topk
        self.alpha_factor = 1.0
        self.dead: Tensor | None = None
        self.processes = OneProcess()
        self.register_buffer("squared_weights", feature_weights)
        if feature_weights is not None:
            self.squared_weights = feature_weights.square()

    def forward(self, residual: Tensor, codes: Tensor) -> Tensor:
        """Return the loss, a scalar tensor; `codes` are non-negative."""
        return self._value(residual, self._weigh(residual), codes)

    @torch.no_grad()
    def backward(
        self, module: SparseAutoencoder, X: Tensor, *, workspace: Workspace | None = None
    ) -> tuple[Tensor, DenseCodes | SparseCodes]:
        """Compute the gradients by hand, about a third faster than autograd.

        dL/dR = gamma^2 R / n,  dL/dD = Z^T dL/dR,  dL/dA = (dL/dR D^T + alpha / n) * 1[Z > 0],
        which holds for every activation of `skamort.modules`. A linear encoder's gradients follow
        in three products; autograd carries dL/dA through any other. Where few codes are active the
        codes come in the sparse layout, and of all products only A stays dense. A and the gradients
        of the weights take memory from `workspace`, where there is one: what a step leaves there
        the next one overwrites.
        """
        is_linear = isinstance(module.encoder, nn.Linear)
        workspace = Workspace() if workspace is None else workspace
        if is_linear:
            centered = module.center(X)
            preactivations = _apply_linear(module.encoder, centered, workspace)
        else:
            with torch.enable_grad():
                centered = module.center(X)
                preactivations = module.encoder(centered)
        codes, more = self._activate(module, preactivations.detach(), centered.detach())
        residual = codes.residual(module.decoder.dictionary, centered)
        weighted = self._weigh(residual)
        loss = self._value(residual, weighted, codes)
        residual_grad = weighted.div_(len(X))
        self._backpropagate(module, centered, preactivations, codes, residual_grad, workspace)
        if more is not None:
            weighted = self._weigh(more.residual(module.decoder.dictionary, centered))
            weighted.mul_(_MULTI_TOPK_WEIGHT / len(X))
            self._backpropagate(module, centered, preactivations, more, weighted, workspace)
        if is_linear and self.dead is not None:
            self._teach_dead(module, centered, preactivations, residual_grad, loss)
        return loss, codes

    def _activate(self, module, preactivations, centered):
        """Return the codes, and those of Multi-TopK or None."""
        if not self.multi_topk:
            return module.activate(preactivations, centered), None
        k = module.activation.k
        several = TopK(min(_MULTI_TOPK_FACTOR * k, preactivations.shape[1]))
        more = module.activate(preactivations, centered, several)
        return more.keep_largest(k), more

    def _backpropagate(
        self, module, centered, preactivations, codes, residual_grad, workspace
    ) -> None:
        """Add the gradients that follow from dL/dR."""
        dictionary, intercept = module.decoder.dictionary, module.decoder.intercept
        if dictionary.requires_grad:
            space = _gradient_space(dictionary, "dictionary gradient", workspace)
            _add_gradient(dictionary, codes.transposed_product(residual_grad, out=space))
        penalty = self.alpha_factor * self.alpha / len(centered)
        space = _space(workspace, "code gradient", codes.values)
        code_grad = codes.gradient(residual_grad, dictionary, penalty, out=space)
        if isinstance(module.encoder, nn.Linear):
            _linear_backward(module, centered, code_grad, workspace)
        else:
            preactivations.backward(code_grad.to_dense().to(preactivations.dtype))
        if intercept is not None:  # its share through the encoder is there already
            intercept.grad += residual_grad.sum(0)

    def _teach_dead(self, module, centered, preactivations, residual_grad, loss) -> None:
        """Add the auxiliary loss's gradients to those of the dead latents."""
        encoder, dictionary, dead = module.encoder, module.decoder.dictionary, self.dead
        atoms, n_samples = dictionary[dead], len(centered)
        largest = TopK(min(len(dead), max(1, centered.shape[1] // 2)))
        codes = DenseCodes(largest(preactivations[:, dead].to(centered.dtype)))
        decoded = codes.residual(atoms, torch.zeros_like(centered))
        error_grad = self._weigh(decoded).div_(n_samples).add_(residual_grad)
        energy = (self._weigh(centered) * centered).sum() / n_samples
        energy, error = self.processes.mean(torch.stack([energy, 2 * loss]))
        error_grad.mul_(_AUXILIARY_WEIGHT * energy / error)
        if dictionary.requires_grad:
            dictionary.grad.index_add_(0, dead, codes.transposed_product(error_grad))
        code_grad = codes.gradient(error_grad, atoms, 0.0)
        encoder.weight.grad.index_add_(0, dead, code_grad.transposed_product(centered))
        if encoder.bias is not None:
            encoder.bias.grad.index_add_(0, dead, code_grad.column_sums())

    @torch.no_grad()
    def evaluate(
        self, module: SparseAutoencoder, X: Tensor
    ) -> tuple[Tensor, DenseCodes | SparseCodes]:
        """Return the loss of a batch and its codes."""
        codes = module.encode_compactly(X)
        residual = codes.residual(module.decoder.dictionary, module.center(X))
        return self._value(residual, self._weigh(residual), codes), codes

    @torch.no_grad()
    def best_scale(self, module: SparseAutoencoder, X: Tensor) -> float:
        """Return the positive factor of a batch's codes that minimizes the squared error.

        That is <gamma X, gamma Z D> / ||gamma Z D||^2, with X centered; 1 where no positive factor
        does. The penalty is left out: codes that start small die of it.
        """
        codes, centered = module.encode_compactly(X), module.center(X)
        decoded = codes.residual(module.decoder.dictionary, torch.zeros_like(X))
        weighted = self._weigh(decoded)
        scale = ((weighted * centered).sum() / (weighted * decoded).sum()).item()
        return scale if 0 < scale < float("inf") else 1.0

    def _weigh(self, residual: Tensor) -> Tensor:
        return residual if self.squared_weights is None else residual * self.squared_weights

    def _value(self, residual, weighted, codes) -> Tensor:
        loss = torch.dot(residual.view(-1), weighted.view(-1))
        if self.alpha:
            loss = torch.add(loss, codes.sum(), alpha=2 * self.alpha)
        return loss.mul_(0.5 / len(residual))


class CodeRegressionLoss(nn.Module):
    """Distance between an encoder's codes and known ones.

    Parameters
    ----------
    kind : {"cosine", "squared_error"}, default="cosine"
        "cosine" is minus the cosine similarity of each latent with its target across the batch,
        averaged over latents; it is blind to each latent's scale. "squared_error" is the mean over
        samples of 1/2 ||z_i - target_i||^2.

    Attributes
    ----------
    processes : OneProcess or ManyProcesses
        With whom the rows of a batch are shared.
    """

    def __init__(self, kind: str = "cosine"):
        super().__init__()
        self.kind = kind
        self.degree = 0 if kind == "cosine" else 2  # power of the data's scale in the value
        self.processes = OneProcess()

    def forward(self, codes: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar tensor."""
        if self.kind == "cosine":
            moments = [(codes * target).mean(0), codes.square().mean(0), target.square().mean(0)]
            product, *energies = self.processes.mean(torch.stack(moments))
            lengths = [energy.clamp_min(_TINY_ENERGY).sqrt() for energy in energies]
            return -(product / lengths[0] / lengths[1]).mean()
        return (codes - target).square().sum() / (2 * len(codes))

    def backward(
        self,
        module: SparseAutoencoder,
        X: Tensor,
        target: Tensor,
        *,
        workspace: Workspace | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, DenseCodes]:
        """Compute the gradients of the encoder by autograd."""
        codes = module.encode(X).to(X.dtype)
        loss = self(codes, target)
        loss.backward()
        return loss.detach(), DenseCodes(codes.detach())

    @torch.no_grad()
    def evaluate(
        self, module: SparseAutoencoder, X: Tensor, target: Tensor
    ) -> tuple[Tensor, DenseCodes]:
        """Return the loss of a batch and its codes."""
        codes = module.encode(X)
        return self(codes, target), DenseCodes(codes)


def _apply_linear(encoder: nn.Linear, centered: Tensor, workspace: Workspace) -> Tensor:
    """Return A = (X - c) W^T + b in memory of the workspace."""
    device, dtype = centered.device.type, centered.dtype
    if torch.is_autocast_enabled(device) and dtype != torch.float64:  # as autocast itself does
        dtype = torch.get_autocast_dtype(device)
    X, W = centered.to(dtype), encoder.weight.to(dtype)
    out = _space(workspace, "pre-activations", X, (len(X), len(W)))
    if encoder.bias is None:
        return torch.mm(X, W.T, out=out)
    return torch.addmm(encoder.bias.to(dtype), X, W.T, out=out)


def _linear_backward(
    module: SparseAutoencoder,
    centered: Tensor,
    output_grad: DenseCodes | SparseCodes,
    workspace: Workspace,
) -> None:
    """Add the gradients of A = (X - c) W^T + b, given dL/dA."""
    encoder, intercept = module.encoder, module.decoder.intercept
    space = _gradient_space(encoder.weight, "weight gradient", workspace)
    _add_gradient(encoder.weight, output_grad.transposed_product(centered, out=space))
    if encoder.bias is None and intercept is None:
        return
    total = output_grad.column_sums()
    if encoder.bias is not None:
        _add_gradient(encoder.bias, total)
    if intercept is not None:
        _add_gradient(intercept, -(total @ encoder.weight).to(total.dtype))


def _gradient_space(parameter: nn.Parameter, name: str, workspace: Workspace) -> Tensor | None:
    """Return memory for the first gradient of a parameter in a step, None for a further one."""
    return _space(workspace, name, parameter) if parameter.grad is None else None


def _space(workspace: Workspace, name: str, like: Tensor, shape=None) -> Tensor | None:
    """Return memory on the CPU; elsewhere the allocator itself keeps what is freed."""
    return workspace.take(name, like, shape) if like.device.type == "cpu" else None


def _add_gradient(parameter: nn.Parameter, gradient: Tensor) -> None:
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad.add_(gradient)
