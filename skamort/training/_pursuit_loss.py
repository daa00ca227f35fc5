"""The loss of sparse autoencoders whose dictionary also serves better codes than the encoder's.

Of codes Z' that a solver finds on from the encoder's Z, with R' = Z' D + c - X,

    dL/dR' = gamma^2 R' / n,    dL/dD += Z'^T dL/dR',    dL/dc += 1^T dL/dR'

Least squares on a support has no gradient by its coefficients, so nothing flows through the solver;
which atoms are chosen has none anywhere. The encoder learns from its own codes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._given import described
from ..modules import (
    DenseCodes,
    RaggedCodes,
    SparseAutoencoder,
    Workspace,
    add_gradient,
    add_gradient_sum,
    compact,
)
from ._loss import Outcome, refuse_call
from ._sparse_coding_loss import SparseCodingLoss


class PursuitLoss(SparseCodingLoss):
    """Mean over samples of 1/2 ||gamma * r_i||^2, with the gradients of better codes added.

    Dictionary and intercept learn to reconstruct from the codes that a pursuit finds on from those
    of the encoder, as much as from these. The value stays that of the encoder's codes.

    Parameters
    ----------
    solver : object
        A k-sparse solver of `skamort.solvers` that starts from codes and solves for the
        coefficients of those that it keeps, such as `GOMP`.
    positive : bool, default=True
        Whether codes are >= 0.
    feature_weights : Tensor of shape (n_features,), optional
        gamma; all ones when absent.
    multi_topk : bool, default=False
        As for `SparseCodingLoss`.

    References
    ----------
    Wang, Kwon and Shim (2012), Generalized orthogonal matching pursuit, for the codes. Gregor and
    LeCun (2010), Learning fast approximations of sparse coding, for stages that are trained
    through.
    """

    forward = refuse_call  # type: ignore[assignment]

    def __init__(
        self,
        solver: Any,
        positive: bool = True,
        feature_weights: Tensor | None = None,
        multi_topk: bool = False,
    ):
        super().__init__(feature_weights=feature_weights, multi_topk=multi_topk)
        if getattr(solver, "n_nonzero_coefs", None) is None:
            raise TypeError(
                f"PursuitLoss: solver must be a k-sparse solver with n_nonzero_coefs, got "
                f"{described(solver)}; pass one such as skamort.solvers.GOMP(n_nonzero_coefs=k)."
            )
        self.solver = solver
        self.positive = positive

    @torch.no_grad()
    def backward(
        self,
        module: SparseAutoencoder,
        X: Tensor,
        *target: Tensor,
        workspace: Workspace | None = None,
    ) -> Outcome:
        """Compute the gradients of the encoder's codes, and add those of the pursuit's."""
        outcome = super().backward(module, X, *target, workspace=workspace)
        dictionary, intercept = module.decoder.dictionary, module.decoder.intercept
        centered = module.center(X)
        with torch.autocast(X.device.type, enabled=False):
            codes = self._pursue(centered, dictionary, outcome.codes.to_dense())
            residual_grad = self.weigh(codes.residual(dictionary, centered)).div_(len(X))
            if dictionary.requires_grad:
                add_gradient(dictionary, codes.transposed_product(residual_grad))
        if intercept is not None:
            add_gradient_sum(intercept, residual_grad)
        return outcome

    def flops(self, module: SparseAutoencoder, formula: str = "products") -> float:
        """Return the operations of a training step for a sample, those of the stages included."""
        if formula == "published":
            raise TypeError(
                "flops: the published formulas have no stages of a pursuit; choose "
                "formula='products'."
            )
        dictionary = module.decoder.dictionary
        n_atoms, n_features = dictionary.shape
        k = min(self.solver.n_nonzero_coefs, n_atoms)
        n_stages = min(getattr(self.solver, "n_stages", k), k)  # others add an atom a stage
        # The first takes the encoder's codes; each has the inner products of its atoms.
        products = (n_stages - 1) * n_atoms
        products += sum((k * stage // n_stages) ** 2 for stage in range(1, n_stages + 1))
        products += (1 + dictionary.requires_grad) * k
        return super().flops(module, formula) + 2 * products * n_features

    def _pursue(self, X, dictionary, codes) -> DenseCodes | RaggedCodes:
        """Return the solver's codes of centered data, from those of the encoder."""
        if self.squared_weights is not None:
            gamma = self.squared_weights.sqrt()
            X, dictionary = X * gamma, dictionary * gamma
        return compact(self.solver.solve(X, dictionary, positive=self.positive, init=codes).codes)
