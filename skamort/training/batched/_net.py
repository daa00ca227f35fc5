"""The parameters of many nets of equal shapes in one tensor; every product a batched one.

Symbols are those of `_loss`, with the models first and the samples last, a layout in which batched
products of small matrices are several times faster:

    A = W X + b,  Z = activation(A)                (n_models, n_components, n)
    R = D^T Z - X                                  (n_models, n_features, n), X centered
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..._device import upload
from ..._numba import has_numba
from ...modules import MLP, LinearEncoder, SparseAutoencoder, Workspace
from .._callbacks import ClipGradient
from .._loss import ReconstructionLoss
from .._net import SparseNet
from .._rules import clear_denormals, clipping_factor, normalize_atoms, project_on_sphere

# Up to this k the largest codes are found by as many rounds of maxima, which vectorize.
_MOST_ROUNDS = 8
# The compiled step takes time in proportion to k to find them; up to this one it is little.
_MOST_COMPILED = 32


class BatchedNet:
    """Many `SparseNet` as one, and Adam's steps on all.

    Parameters
    ----------
    nets : list of SparseNet
        Initialized and not yet trained, with parts whose `batched` the engine knows, of the same
        shapes, k not increasing along the list; on one device, be it not the one below.
    device : torch.device
        Where they are trained.

    Attributes
    ----------
    learned : Tensor of shape (n_models, n_parameters)
        All that is learned, a row a model.
    layout : dict of str to tuple
        Of each parameter that is learned: where its numbers start and stop in such a row, and its
        shape.
    fixed : dict of str to Tensor
        Parameters that are not learned, models first.
    values, grads : dict of str to Tensor
        All parameters, and the gradients of those that are learned, models first: views.
    settings : dict of str to Tensor
        What may differ from model to model, a row each.
    n_steps : int
        The number of the step at hand; who takes the steps counts them here.
    """

    def __init__(self, nets: list[SparseNet], device: torch.device):
        module = nets[0].module_
        self.loss = nets[0].criterion_
        self.reconstructs = isinstance(self.loss, ReconstructionLoss)
        self.trains_atoms = module.decoder.dictionary.requires_grad
        self.is_topk = module.activation.n_kept is not None
        self.activations = [net.module_.activation for net in nets]
        self.layers = _names_of_layers(module)
        self._read_parameters(nets, device)
        self.mean, self.square = torch.zeros_like(self.learned), torch.zeros_like(self.learned)
        self.n_steps = 0
        self.betas = nets[0].optimizer_.defaults["betas"]
        self.decays = self.learned.new_tensor(self.betas, dtype=torch.float64)
        self.count = torch.zeros_like(self.decays[0])
        self.rates, self.eps = (self._of_numbers(nets, key) for key in ("lr", "eps"))
        self.settings = self._read_settings(nets)
        self.workspace = Workspace()
        self.is_compiled = self._can_be_compiled()
        self._make_views()

    def _read_parameters(self, nets: list[SparseNet], device: torch.device) -> None:
        """Copy all parameters, those that are learned into one tensor."""
        self.layout: dict[str, tuple[int, int, torch.Size]] = {}
        self.fixed: dict[str, Tensor] = {}
        start = 0
        for name, parameter in nets[0].module_.named_parameters():
            if parameter.requires_grad:
                self.layout[name] = (start, start := start + parameter.numel(), parameter.shape)
            else:
                fixed = [net.module_.get_parameter(name) for net in nets]
                self.fixed[name] = _stacked(fixed, device)
        rows = [
            torch.cat([net.module_.get_parameter(name).flatten() for name in self.layout])
            for net in nets
        ]
        self.learned = _stacked(rows, device)

    def _of_numbers(self, nets: list[SparseNet], key: str) -> Tensor:
        """Return a setting of the optimizer for each number that each net learns."""
        settings = [
            {p: group[key] for group in net.optimizer_.param_groups for p in group["params"]}
            for net in nets
        ]
        rows = [
            [of[net.module_.get_parameter(name)] for name in self.layout]
            for net, of in zip(nets, settings, strict=True)
        ]
        sizes = [stop - start for start, stop, _ in self.layout.values()]
        return self.learned.new_tensor(np.repeat(rows, sizes, axis=1))

    def _read_settings(self, nets: list[SparseNet]) -> dict[str, Tensor]:
        """Return what may differ from model to model, a row each."""
        losses: list[Any] = [net.criterion_ for net in nets]
        columns: dict[str, list] = {}
        max_norms = [_max_norm(net) for net in nets]
        if min(max_norms) < inf:
            columns["max_norm"] = max_norms
            columns["units"] = [self._gradient_units(net) for net in nets]
        if self.is_topk:
            columns["k"] = [activation.n_kept for activation in self.activations]
        if self.reconstructs:
            columns["alpha"] = [loss.alpha for loss in losses]
        settings = {name: self.learned.new_tensor(column) for name, column in columns.items()}
        if self.reconstructs and self.loss.squared_weights is not None:
            rows = [loss.squared_weights for loss in losses]
            settings["squared_weights"] = _stacked(rows, self.learned.device)
        return settings

    def _gradient_units(self, net: SparseNet) -> list[float]:
        return [net.gradient_unit(net.module_.get_parameter(name)) for name in self.layout]

    def _can_be_compiled(self) -> bool:
        """Tell whether the compiled step is there, and knows these models."""
        return (
            has_numba()
            and self.learned.device.type == "cpu"
            and len(self.layers) == 1
            and self.reconstructs
            and (not self.is_topk or self.settings["k"].max().item() <= _MOST_COMPILED)
        )

    def _make_views(self) -> None:
        self.grad = torch.empty_like(self.learned)
        self.values, self.grads = dict(self.fixed), {}
        for name, (start, stop, shape) in self.layout.items():
            self.values[name] = self.learned[:, start:stop].unflatten(1, shape)
            self.grads[name] = self.grad[:, start:stop].unflatten(1, shape)

    def __len__(self) -> int:
        return len(self.learned)

    def keep(self, models: list[int]) -> None:
        """Go on with some of the models."""
        rows = index_of(models, self.learned.device)
        for name in ("learned", "mean", "square", "rates", "eps"):
            setattr(self, name, getattr(self, name)[rows])
        self.activations = [self.activations[model] for model in models]
        self.fixed = {name: value[rows] for name, value in self.fixed.items()}
        self.settings = {name: value[rows] for name, value in self.settings.items()}
        self._make_views()

    def backward(self, X: Tensor, *target: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gradients of a batch.

        Parameters
        ----------
        X : Tensor of shape (n_models, n_features, n)
            A batch for each model.
        *target : Tensor of shape (n_models, n_components, n)
            Its known codes, where they are known.

        Returns
        -------
        loss : Tensor of shape (n_models,)
            The losses.
        fired : Tensor of shape (n_models, n_components)
            On how many samples each latent is active.
        """
        if self.is_compiled:
            return self._compiled_step(X, self.grad)
        inputs, codes = self._encode(X)
        active = torch.sign(codes, out=self.workspace.take("active", codes))
        fired = active.sum(2)
        if self.reconstructs:
            weighted, loss = self._reconstruct(codes, inputs[0])
            code_grad = self._decoder_backward(codes, weighted)
        else:
            loss, code_grad = self._compare(codes, *target)
        center_grad = self._encoder_backward(code_grad.mul_(active), inputs)
        if center_grad is not None:
            if self.reconstructs:
                center_grad += weighted.sum(2).mul_(1 / X.shape[2])
            self.grads["decoder.intercept"].copy_(center_grad)
        return loss, fired

    def evaluate(self, X: Tensor, *target: Tensor) -> Tensor:
        """Return the losses of a batch, of shape (n_models,)."""
        if self.is_compiled:
            return self._compiled_step(X, self.grad[:, :0])[0]
        inputs, codes = self._encode(X)
        if self.reconstructs:
            return self._reconstruct(codes, inputs[0])[1]
        return self._compare(codes, *target)[0]

    def step(self, factors: list[float] | Tensor) -> None:
        """Take a step of Adam, of `factors` of its size, atoms staying on the unit sphere.

        The factors are numbers, or on a GPU a tensor of shape (n_models, 1).
        """
        atoms = self.values["decoder.dictionary"]
        if self.trains_atoms:
            project_on_sphere(self.grads["decoder.dictionary"], atoms)
        if "max_norm" in self.settings:
            self.grad.mul_(self._clipping_factors().unsqueeze(1))
        self._take_adam_step(factors)
        if self.trains_atoms:
            normalize_atoms(atoms)

    def _clipping_factors(self) -> Tensor:
        norms = [torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in self.grads.values()]
        lengths = torch.stack(norms, dim=1) / self.settings["units"]
        return clipping_factor(lengths, self.settings["max_norm"])

    def _take_adam_step(self, factors: list[float] | Tensor) -> None:
        decays = self.betas
        self.mean.lerp_(self.grad, 1 - decays[0])
        self.square.mul_(decays[1]).addcmul_(self.grad, self.grad, value=1 - decays[1])
        if isinstance(factors, Tensor):
            self._move_by(factors)
            return
        shares = [1 - decay**self.n_steps for decay in decays]  # of a moment that has been seen
        scale = self.square.sqrt().div_(shares[1] ** 0.5).add_(self.eps)
        rates = self.rates
        if set(factors) != {1.0}:
            rates = rates * rates.new_tensor(factors).unsqueeze(1)
        self.learned.addcmul_(self.mean / scale, rates, value=-1 / shares[0])

    def _move_by(self, factors: Tensor) -> None:
        """Move the weights along the moments; the number of steps too is a tensor, so that a CUDA
        graph can count them."""
        self.count += 1
        shares = 1 - self.decays.pow(self.count)
        scale = self.square.sqrt().div_(shares[1].sqrt()).add_(self.eps)
        rates = (self.rates * factors).div_(shares[0])
        self.learned.addcmul_(self.mean / scale, rates, value=-1)

    def clear_denormals(self) -> None:
        """Set moments that have decayed to denormal numbers to zero."""
        for moment in (self.mean, self.square):
            clear_denormals(moment)

    @torch.no_grad()
    def store(self, net: SparseNet, learned: Tensor, mean: Tensor, square: Tensor) -> None:
        """Give a net its weights and its moments, a row of numbers each, wherever these are."""
        rows = [row.to(net.device) for row in (learned, mean, square)]
        for name, (start, stop, shape) in self.layout.items():
            parameter = net.module_.get_parameter(name)
            values, *moments = (row[start:stop].view(shape) for row in rows)
            parameter.copy_(values)
            net.optimizer_.state[parameter] = {
                "step": parameter.new_full((), self.n_steps, dtype=torch.float32),
                "exp_avg": moments[0].clone(),
                "exp_avg_sq": moments[1].clone(),
            }

    @torch.no_grad()
    def take_back(self, model: int, net: SparseNet) -> None:
        """Go on with the weights and the moments of a net to which they were given by `store`."""
        for name, (start, stop, _) in self.layout.items():
            parameter = net.module_.get_parameter(name)
            state = net.optimizer_.state[parameter]
            self.learned[model, start:stop] = parameter.flatten()
            self.mean[model, start:stop] = state["exp_avg"].flatten()
            self.square[model, start:stop] = state["exp_avg_sq"].flatten()

    def _compiled_step(self, X: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the losses, the gradients and on how many samples each latent is active."""
        from ._step_numba import compiled_step

        return compiled_step(X, self.learned, grad, self.layout, self.fixed, self.settings)

    # -- The model ---------------------------------------------------------------------------------

    def _encode(self, X: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the inputs of the encoder's layers, and the codes."""
        intercept = self.values.get("decoder.intercept")
        inputs = [X if intercept is None else X - intercept.unsqueeze(2)]
        for layer in self.layers[:-1]:
            inputs.append(self._apply(layer, inputs[-1]).relu_())
        preactivations = self._apply(self.layers[-1], inputs[-1])
        if self.is_topk:
            return inputs, self._keep_largest(preactivations)
        return inputs, preactivations.relu_()

    def _apply(self, layer: str, inputs: Tensor) -> Tensor:
        weight, bias = self.values[f"{layer}.weight"], self.values.get(f"{layer}.bias")
        out = self.workspace.take(layer, inputs, (*weight.shape[:2], inputs.shape[2]))
        if bias is None:
            return torch.bmm(weight, inputs, out=out)
        return torch.baddbmm(bias.unsqueeze(2), weight, inputs, out=out)

    def _keep_largest(self, preactivations: Tensor) -> Tensor:
        """Return what `TopK` makes of each model's pre-activations."""
        counts = [activation.n_kept for activation in self.activations]
        if preactivations.is_cuda:
            return self._keep_first(preactivations, counts[0])
        if counts[0] <= _MOST_ROUNDS:
            codes, fired = self._keep_maxima(preactivations, counts)
            if (fired <= self.settings["k"].unsqueeze(1)).all():  # else equals went in one round
                return codes
        pairs = zip(self.activations, preactivations, strict=True)
        return torch.stack([activation(values.mT).mT for activation, values in pairs])

    def _keep_first(self, preactivations: Tensor, most: int) -> Tensor:
        """Sort the largest of each sample, and keep the first of them."""
        values, indices = preactivations.topk(most, dim=1)
        ranks = torch.arange(most, device=values.device).view(-1, 1)
        kept = values.relu_().mul_(ranks < self.settings["k"].view(-1, 1, 1))
        return torch.zeros_like(preactivations).scatter_(1, indices, kept)

    def _keep_maxima(self, preactivations: Tensor, counts: list[int]) -> tuple[Tensor, Tensor]:
        """Keep the largest of each sample round after round; return the codes and their number."""
        names = ("codes", "rest", "below")
        codes, rest, below = (self.workspace.take(name, preactivations) for name in names)
        rest.copy_(torch.clamp(preactivations, min=0, out=codes))
        for found in range(counts[0]):
            n_models = sum(count > found for count in counts)
            left = rest[:n_models]
            torch.lt(left, left.amax(1, keepdim=True), out=below[:n_models])
            left.mul_(below[:n_models])
        codes.sub_(rest)
        return codes, torch.sign(codes, out=below).sum(1)

    def _reconstruct(self, codes: Tensor, centered: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted residual and the loss."""
        dictionary = self.values["decoder.dictionary"]
        space = self.workspace.take("residual", centered)
        residual = torch.bmm(dictionary.transpose(1, 2), codes, out=space).sub_(centered)
        weighted = residual
        if "squared_weights" in self.settings:
            weighted = residual * self.settings["squared_weights"].unsqueeze(2)
        loss = torch.linalg.vecdot(residual.flatten(1), weighted.flatten(1))
        loss += 2 * self.settings["alpha"] * codes.sum((1, 2))
        return weighted, loss.mul_(0.5 / codes.shape[2])

    def _decoder_backward(self, codes: Tensor, weighted: Tensor) -> Tensor:
        """Leave the atoms' gradients; return those of the codes, all latents taken as active."""
        share = 1 / codes.shape[2]
        if self.trains_atoms:
            grad = torch.bmm(weighted, codes.transpose(1, 2)).mul_(share)
            self.grads["decoder.dictionary"].copy_(grad.transpose(1, 2))
        penalty = self.settings["alpha"].view(-1, 1, 1) * share
        space = self.workspace.take("code_grad", codes)
        dictionary = self.values["decoder.dictionary"]
        return torch.baddbmm(penalty, dictionary, weighted, alpha=share, out=space)

    def _compare(self, codes: Tensor, *target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of codes whose targets are known, and its gradient."""
        with torch.enable_grad():
            codes = codes.requires_grad_()
            losses = torch.vmap(self.loss)(codes.mT, *(tensor.mT for tensor in target))
            (code_grad,) = torch.autograd.grad(losses.sum(), codes)
        return losses.detach(), code_grad

    def _encoder_backward(self, output_grad: Tensor, inputs: list[Tensor]) -> Tensor | None:
        """Leave the encoder's gradients; return the intercept's, where there is one."""
        for depth, layer in reversed(list(enumerate(self.layers))):
            grad = torch.bmm(inputs[depth], output_grad.transpose(1, 2))
            self.grads[f"{layer}.weight"].copy_(grad.transpose(1, 2))
            weight, total = self.values[f"{layer}.weight"], output_grad.sum(2)
            if f"{layer}.bias" in self.grads:
                self.grads[f"{layer}.bias"].copy_(total)
            if depth:
                output_grad = torch.bmm(weight.transpose(1, 2), output_grad)
                output_grad.mul_(inputs[depth].sign_())
        if "decoder.intercept" in self.values:
            return -torch.bmm(total.unsqueeze(1), weight).squeeze(1)
        return None


def _names_of_layers(module: SparseAutoencoder) -> list[str]:
    """Return the names of the encoder's linear layers in the module."""
    names = {part: name for name, part in module.named_modules()}
    return [names[layer] for layer in cast("LinearEncoder | MLP", module.encoder).layers]


def index_of(rows: list[int], device: torch.device) -> Tensor:
    """Return an index of rows, be they none."""
    return upload(torch.tensor(rows, dtype=torch.int64), device)


def _stacked(tensors: Iterable[Tensor], device: torch.device) -> Tensor:
    return upload(torch.stack([tensor.detach() for tensor in tensors]), device)


def _max_norm(net: SparseNet) -> float:
    """Return the length to which a net's gradients are shortened."""
    clips = [callback for _, callback in net.callbacks_ if isinstance(callback, ClipGradient)]
    return clips[0].max_norm if clips else inf
