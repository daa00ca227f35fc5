"""The loss of sparse autoencoders whose first latents reconstruct without the others.

With prefixes of N_1 < ... < N_G = N latents and residuals R_g = Z[:, :N_g] D[:N_g] - (X - c), all
of one batch of codes, the loss is the mean over g of 1/2 ||R_g||^2. A code of group h takes part in
the prefixes from h on, and so

    dL/dz = d^T S_h,   S_h = 1/G (R_h + ... + R_G),

by the products of sparse codes: to them each pair of a sample and a group is a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .._validation import check_integer
from ..modules import RaggedCodes, Workspace, add_gradient
from ._loss import Outcome, refuse_call
from ._sparse_coding_loss import SparseCodingLoss


class MatryoshkaLoss(SparseCodingLoss):
    """Mean over prefixes of the latents and over samples of 1/2 ||gamma * r||^2.

    Parameters
    ----------
    prefix_sizes : sequence of int
        Numbers of the first latents that reconstruct alone.
    feature_weights : Tensor of shape (n_features,), optional
        gamma; all ones when absent.

    References
    ----------
    Bussmann, Nabeshima, Karvonen and Nanda (2025), Learning multi-level features with Matryoshka
    sparse autoencoders.
    """

    capturable = True
    requires = frozenset({"ragged_codes"})
    forward = refuse_call  # type: ignore[assignment]

    prefix_sizes: Tensor

    def __init__(self, prefix_sizes: Sequence[int], feature_weights: Tensor | None = None):
        super().__init__(feature_weights=feature_weights)
        steps = [check_integer(size, "MatryoshkaLoss: a prefix size", 1) for size in prefix_sizes]
        if not steps or steps != sorted(set(steps)):
            raise ValueError(
                f"MatryoshkaLoss: prefix_sizes must be integers that rise, got {prefix_sizes}."
            )
        self.names = [f"error_{size}" for size in prefix_sizes]
        self.register_buffer("prefix_sizes", torch.tensor(prefix_sizes))

    def check_model(self, module):
        """Refuse a model that the loss is not for, one with more latents or fewer included."""
        super().check_model(module)
        n_components = len(module.decoder.dictionary)
        if self.names[-1] != f"error_{n_components}":
            raise ValueError(
                f"MatryoshkaLoss: the last prefix must hold all {n_components} latents of the "
                f"model, got {', '.join(self.names)}; let prefix_sizes end with {n_components}."
            )

    @torch.no_grad()
    def backward(self, module, X, *target, workspace=None):  # noqa: ARG002
        """Compute the gradients by hand, with sparse products alone but for the encoder's."""
        self.check(module, X)
        workspace = Workspace() if workspace is None else workspace
        dictionary, intercept = module.decoder.dictionary, module.decoder.intercept
        centered, preactivations, codes = self._find_codes(
            module, X, workspace, activate=module.select
        )
        parts, residuals = self._reconstruct(dictionary, codes, centered)
        outcome = self._outcome(residuals, codes)
        to_come = self.weigh(residuals).div_(residuals[..., 0].numel())
        _accumulate(to_come.unbind(1)[::-1])
        by_part = to_come.flatten(0, 1)
        if dictionary.requires_grad:
            space = workspace.take_for_gradient("dictionary gradient", dictionary)
            add_gradient(dictionary, parts.transposed_product(by_part, out=space))
        gradient = codes.with_values(parts.gradient(by_part, dictionary, 0.0).values)
        module.encoder.backward(centered, preactivations, gradient, intercept, workspace)
        if intercept is not None:
            add_gradient(intercept, to_come[:, 0].sum(0))
        if self.dead is not None:
            error = outcome.terms[self.names[-1]]
            residual_grad = to_come[:, -1] * len(self.prefix_sizes)
            self._teach_dead(module, centered, preactivations, residual_grad, error)
        return outcome

    @torch.no_grad()
    def evaluate(self, module, X, *target):  # noqa: ARG002
        """Return the loss of a batch and its codes."""
        self.check(module, X)
        centered, _, codes = self._find_codes(module, X, Workspace(), activate=module.select)
        residuals = self._reconstruct(module.decoder.dictionary, codes, centered)[1]
        return self._outcome(residuals, codes)

    def _reconstruct(self, dictionary, codes, centered):
        """Return the codes with a row for each sample and group, and the residuals of all prefixes,
        (n, n_prefixes, n_features)."""
        n, n_groups = len(centered), len(self.prefix_sizes)
        groups = torch.searchsorted(self.prefix_sizes, codes.indices, right=True)
        rows = codes.rows * n_groups + groups
        parts = RaggedCodes(codes.values, codes.indices, rows, (n * n_groups, len(dictionary)))
        residuals = parts.decode(dictionary).view(n, n_groups, -1)
        residuals[:, 0].sub_(centered)
        _accumulate(residuals.unbind(1))
        return parts, residuals

    def _outcome(self, residuals, codes):
        errors = (self.weigh(residuals) * residuals).sum((0, 2)).div_(2 * len(residuals))
        return Outcome(errors.mean(), codes, dict(zip(self.names, errors.unbind(), strict=True)))


def _accumulate(parts):
    """Add to each of a sequence of tensors those before it, in place: `cumsum` of a dimension that
    is not the last takes several times as long."""
    for part, following in pairwise(parts):
        following.add_(part)
