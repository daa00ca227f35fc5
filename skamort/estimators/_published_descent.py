"""The published joint gradient descent on codes and dictionary, here for comparison.

Z = exp(U), one Adam over U and D together (O'Neill et al., 2025, section 3), D on the sphere
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._rows import Rows
from .._sample_weight import mean_of_rows
from ._learned_dictionary import LearnedDictionary


@dataclass(frozen=True)
class PublishedDescent:
    """Joint gradient descent on codes exp(U) and dictionary by Adam.

    Attributes
    ----------
    alpha : float
        Weight of the L1 penalty.
    learning_rate : float
        Adam's step size.
    max_iter : int
        Number of steps.
    sample_weight : Tensor of shape (n_samples,) or None
        Weights of the rows; None: all weigh 1.
    """

    alpha: float
    learning_rate: float
    max_iter: int
    sample_weight: Tensor | None = None

    def learn(self, rows: Rows, learned: LearnedDictionary) -> None:
        """Descend from the atoms of `learned`, with data and codes held as a whole."""
        X = rows[:]
        n_samples, n_features = X.shape
        log_codes = X.new_full((n_samples, len(learned.atoms)), -10.0)
        variables = [log_codes, learned.atoms]
        optimizer = torch.optim.Adam(variables, lr=self.learning_rate, fused=True)
        # The published loss is a mean over entries. Adam does not see the factor, but its epsilon
        # does.
        scale = 2.0 / (n_samples * n_features)
        for _ in range(self.max_iter):
            codes = log_codes.exp()
            residual = torch.addmm(X, codes, learned.atoms, beta=-1)
            loss = self._loss(residual, codes)
            log_codes.grad = codes * (residual @ learned.atoms.T + self.alpha) * scale
            if self.sample_weight is not None:  # codes of repeated rows would move as one does
                residual.mul_(self.sample_weight.unsqueeze(1))
            learned.atoms.grad = (codes.T @ residual) * scale
            optimizer.step()
            learned.atoms.div_(torch.linalg.vector_norm(learned.atoms, dim=1, keepdim=True))
            learned.record(float(loss))
        learned.converged = True

    def _loss(self, residual: Tensor, codes: Tensor) -> Tensor:
        if self.sample_weight is None:
            return (0.5 * residual.square().sum() + self.alpha * codes.sum()) / len(codes)
        losses = 0.5 * residual.square().sum(1) + self.alpha * codes.sum(1)
        return mean_of_rows(losses, self.sample_weight)
