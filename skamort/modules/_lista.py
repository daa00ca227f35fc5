"""Unrolled iterative shrinkage with learned weights (LISTA): an encoder of a few proximal steps.

    A_1 = X W_1^T + b_1
    A_t = g_t * Z_{t-1} + (X - Z_{t-1} D_t) W_t^T + b_t,    Z_{t-1} = relu(A_{t-1})

with W_t, D_t (n_components, n_features), g_t and b_t (n_components,) learned layer by layer. Where
W_t = D / L, D_t = D, g_t = 1 and b_t = -alpha / L, with L the largest eigenvalue of D D^T, a layer
is one step of ISTA on the objective: there the encoder starts. One layer is linear-nonlinear.

Gregor and LeCun (2010) learn Z_{t-1} S^T with any S (n_components, n_components). Here S is
diag(g_t) - W_t D_t^T, as it is at the start: with more atoms than twice the features that is fewer
numbers, and on the synthetic signals ten layers recover more.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .._unit import factor_for
from ._columns import check_columns
from ._encoders import Encoder


class LISTA(Encoder):
    """Learned iterative shrinkage, from data to the pre-activations of the last layer.

    Parameters
    ----------
    dictionary : Tensor of shape (n_components, n_features)
        Atoms; the layers start as proximal steps on their objective.
    alpha : float
        Weight of the L1 penalty in that objective.
    n_layers : int
        Number of steps, at least 1.
    """

    capturable = True

    def __init__(self, dictionary: Tensor, alpha: float, n_layers: int):
        super().__init__()
        if n_layers < 1:
            raise ValueError(f"LISTA: n_layers must be >= 1, got {n_layers}.")
        # Not matrix_norm(ord=2): the smaller Gram matrix is as exact and much cheaper.
        wide = dictionary.shape[0] > dictionary.shape[1]
        gram = dictionary.T @ dictionary if wide else dictionary @ dictionary.T
        lipschitz = torch.linalg.eigvalsh(gram)[-1]
        weight, bias = dictionary / lipschitz, -alpha / lipschitz
        self.layers = nn.ModuleList(
            _ProximalStep(weight, bias, None if index == 0 else dictionary)
            for index in range(n_layers)
        )

    @property
    def steps(self) -> list[_ProximalStep]:
        """The layers."""
        return cast("list[_ProximalStep]", list(self.layers))

    def forward(self, X: Tensor) -> Tensor:
        """Map (n, n_features) data to (n, n_components) pre-activations."""
        first, *others = self.steps
        check_columns(X, first.weight.shape[1], "LISTA")
        preactivations = first(X)
        for layer in others:
            preactivations = layer(X, preactivations.relu())
        return preactivations

    @torch.no_grad()
    def rescale(self, scale: Tensor | float) -> None:
        """Multiply the pre-activations by a positive factor, or by one for each latent."""
        last = self.steps[-1]
        weight = last.weight
        factor = factor_for(weight, scale)
        weight.mul_(factor.reshape(-1, 1))
        last.bias.mul_(scale)
        if last.gain is not None:
            last.gain.mul_(scale)

    def units(self) -> dict[nn.Parameter, int]:
        """Thresholds have the unit of the data."""
        return {step.bias: 1 for step in self.steps}


class _ProximalStep(nn.Module):
    """One layer; without a dictionary the first, which starts from codes of zero."""

    def __init__(self, weight: Tensor, bias: Tensor, dictionary: Tensor | None):
        super().__init__()
        n_components = len(weight)
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(bias.repeat(n_components))
        self.dictionary: nn.Parameter | None = None
        self.gain: nn.Parameter | None = None
        if dictionary is not None:
            self.dictionary = nn.Parameter(dictionary.clone())
            self.gain = nn.Parameter(weight.new_ones(n_components))

    def forward(self, X: Tensor, codes: Tensor | None = None) -> Tensor:
        if codes is None or self.dictionary is None or self.gain is None:
            return nn.functional.linear(X, self.weight, self.bias)
        unexplained = X - codes @ self.dictionary
        return codes * self.gain + nn.functional.linear(unexplained, self.weight, self.bias)
