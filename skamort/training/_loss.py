"""What a loss is: an equation, its gradients, and what it requires of a module.

Symbols: X (n, n_features) data, Z (n, n_components) codes, D (n_components, n_features) dictionary,
c (n_features,) intercept, A pre-activations, R = Z D + c - X residual, gamma (n_features,) weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from .._given import described
from .._validation import check_real
from ..modules import DenseCodes, SparseAutoencoder, SparseCodes, Workspace, training_flops
from ._data_parallel import OneProcess

# Data are of size 1: a larger weight leaves no code either, and its product might be infinite.
_LARGEST_ALPHA = 1e15


class Outcome(NamedTuple):
    """What a loss says of a batch.

    Attributes
    ----------
    loss : Tensor
        The value, a scalar.
    codes : DenseCodes or SparseCodes
        The codes of the batch.
    terms : dict of str to Tensor
        The parts of the value that the history is to tell, by name.
    """

    loss: Tensor
    codes: DenseCodes | SparseCodes
    terms: dict[str, Tensor] = {}  # noqa: RUF012  # a NamedTuple's default, never changed


def refuse_call(loss: Loss, *arguments: Any) -> Tensor:  # noqa: ARG001
    """Refuse to call a loss of a model with what a model has computed."""
    raise TypeError(
        f"{type(loss).__name__} is not called; evaluate(module, X) gives its value, and "
        "backward(module, X) its gradients."
    )


class Loss(nn.Module):
    """Base of the losses: what training asks of one.

    A subclass gives `equation`, from which autograd finds the gradients, or faster ones by hand in
    `backward` and `evaluate`. A loss never changes a weight.

    Attributes
    ----------
    degree : int
        The value grows with this power of the data's scale; one of degree 0 is blind to it.
    requires : frozenset of str
        What `Encoder.offers` and `Activation.offers` must name for it to work.
    offers : frozenset of str
        What callbacks and fits may require of it, by name: "dead", that `dead` makes a difference;
        "sample_weight", that `sample_weight` does.
    decodes : bool
        Whether the decoder takes part.
    batched : tuple of str or None
        Names of attributes that must be equal in losses for `training.batched` to train their
        models together; None, as for all of other packages, where its maths is not in there. It
        speaks of this class alone, for a subclass may compute something else.
    capturable : bool
        Whether a CUDA graph may hold a step: its operators and their shapes are the same whatever
        the numbers in a batch, and nothing looks at these. It too speaks of this class alone.
    alpha_factor : float
        Factor of the penalty in the gradients, not in the value; below 1 while it warms up.
    dead : Tensor of shape (n_dead,), int64, or None
        Latents that fire no more, where somebody looks for them.
    sample_weight : Tensor of shape (n,), or None
        Weights of the samples of the batch at hand; None: all weigh 1. It is given only to losses
        that name "sample_weight" in `offers`: their value is the mean over the n samples of each
        one's loss times its weight.
    processes : OneProcess or ManyProcesses
        With whom the rows of a batch are shared.
    """

    degree: int = 2
    requires: frozenset[str] = frozenset()
    offers: ClassVar[frozenset[str]] = frozenset()
    decodes: ClassVar[bool] = True
    batched: ClassVar[tuple[str, ...] | None] = None
    capturable: ClassVar[bool] = False

    forward: Callable[..., Tensor] = refuse_call

    def __init__(self) -> None:
        super().__init__()
        self.alpha_factor = 1.0
        self.dead: Tensor | None = None
        self.sample_weight: Tensor | None = None
        self.processes = OneProcess()

    def check_model(self, module: SparseAutoencoder) -> None:
        """Refuse a model that the loss is not for.

        Raises
        ------
        ValueError
            If it offers too little, or its sizes do not fit.
        """
        if self.requires:
            check_offered(self, module.offers | self.offers)

    def check(self, module: SparseAutoencoder, X: Tensor) -> None:
        """Refuse a model and a batch that do not fit; it looks at no number.

        Raises
        ------
        TypeError
            If they are no model and no tensor.
        ValueError
            If their sizes, or those of `sample_weight`, do not fit.
        """
        if not hasattr(module, "decoder"):
            raise TypeError(
                f"{type(self).__name__} is that of a skamort.modules.SparseAutoencoder, which "
                f"comes first, and a batch of data, got {described(module)}."
            )
        module.check(X)
        self.check_model(module)
        if self.sample_weight is not None and tuple(self.sample_weight.shape) != X.shape[:1]:
            raise ValueError(
                f"{type(self).__name__}: sample_weight must have a weight for each of {len(X)} "
                f"samples, got shape {tuple(self.sample_weight.shape)}."
            )

    def equation(
        self, module: SparseAutoencoder, X: Tensor, *target: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the terms of the loss of a batch by name, and its codes.

        The value is their sum. That of the name "penalty", if there is one, is what warms up.
        """
        raise NotImplementedError(f"{type(self).__name__} has no value; define its equation.")

    def backward(
        self,
        module: SparseAutoencoder,
        X: Tensor,
        *target: Tensor,
        workspace: Workspace | None = None,  # noqa: ARG002
    ) -> Outcome:
        """Leave the gradients of a batch in the module's parameters.

        Parameters
        ----------
        module : SparseAutoencoder
            The model.
        X : Tensor of shape (n, n_features)
            The batch.
        *target : Tensor
            What else the data set holds of its rows, such as known codes.
        workspace : Workspace, optional
            Memory that gradients may take; what a step leaves there the next one overwrites.
        """
        self.check(module, X)
        with torch.enable_grad():
            terms, codes = self.equation(module, X, *target)
            factors = {"penalty": self.alpha_factor}
            weighted = [factors.get(name, 1.0) * term for name, term in terms.items()]
            torch.stack(weighted).sum().backward()
        return _outcome(terms, codes)

    def flops(self, module: SparseAutoencoder, formula: str = "products") -> float:
        """Return the operations of a training step for a sample; see `skamort.metrics.flops`."""
        return training_flops(module, formula, self.decodes)

    def weigh_samples(self, values: Tensor) -> Tensor:
        """Return values, a row a sample of the batch, times the samples' weights."""
        if self.sample_weight is None:
            return values
        return values * self.sample_weight.view(-1, *[1] * (values.ndim - 1))

    def divide_by(self, unit: float) -> None:
        """Follow data and codes that are divided by a unit, where there are weights with one."""

    @torch.no_grad()
    def evaluate(self, module: SparseAutoencoder, X: Tensor, *target: Tensor) -> Outcome:
        """Return the loss of a batch without gradients."""
        self.check(module, X)
        return _outcome(*self.equation(module, X, *target))

    def best_scale(self, module: SparseAutoencoder, X: Tensor) -> float:  # noqa: ARG002
        """Return the positive factor of a batch's first codes that suits the loss best."""
        return 1.0


class ReconstructionLoss(Loss):
    """Base of the losses that measure the residual, feature by feature.

    Parameters
    ----------
    alpha : float, default=0.0
        Weight of the penalty on the codes.
    feature_weights : Tensor of shape (n_features,), optional
        gamma; all ones when absent.

    Attributes
    ----------
    penalty_degree : int
        What alpha weighs grows with this power of the codes' scale.
    """

    squared_weights: Tensor | None
    penalty_degree: ClassVar[int] = 1

    def __init__(self, alpha: float = 0.0, feature_weights: Tensor | None = None):
        super().__init__()
        self.alpha = check_real(alpha, f"{type(self).__name__}: alpha")
        if not (feature_weights is None or _is_row(feature_weights)):
            raise TypeError(
                f"{type(self).__name__}: feature_weights must be a tensor of floats of shape "
                f"(n_features,), got {described(feature_weights)}."
            )
        weights = None if feature_weights is None else feature_weights.square()
        self.register_buffer("squared_weights", weights)

    def check_model(self, module: SparseAutoencoder) -> None:
        """Refuse a model that the loss is not for, one of another width included."""
        super().check_model(module)
        weights = self.squared_weights
        if weights is not None and len(weights) != module.decoder.dictionary.shape[1]:
            raise ValueError(
                f"{type(self).__name__}: feature_weights are {len(weights)}, but the model has "
                f"{module.decoder.dictionary.shape[1]} features; give one for each."
            )

    def divide_by(self, unit: float) -> None:
        """Give alpha the weight beside the error that it has in the data's own unit."""
        alpha = self.alpha / unit ** (self.degree - self.penalty_degree)
        self.alpha = min(alpha, _LARGEST_ALPHA)

    def weigh(self, residual: Tensor) -> Tensor:
        """Return gamma^2 R, each row times its sample's weight."""
        residual = self.weigh_samples(residual)
        return residual if self.squared_weights is None else residual * self.squared_weights

    def error(self, residual: Tensor) -> Tensor:
        """Return the mean over samples of 1/2 ||gamma * r_i||^2, weighted."""
        return (self.weigh(residual) * residual).sum() / (2 * len(residual))

    @torch.no_grad()
    def best_scale(self, module: SparseAutoencoder, X: Tensor) -> float:
        """Return the positive factor of a batch's codes that minimizes the squared error.

        That is <gamma X, gamma Z D> / ||gamma Z D||^2, with X centered; 1 where no positive factor
        does. The penalty is left out: codes that start small die of it.
        """
        codes, centered = module.encode_compactly(X), module.center(X)
        decoded = codes.residual(module.decoder.dictionary, torch.zeros_like(X))
        weighted = self.weigh(decoded)
        scale = ((weighted * centered).sum() / (weighted * decoded).sum()).item()
        return scale if 0 < scale < float("inf") else 1.0


def _is_row(values: Any) -> bool:
    return isinstance(values, Tensor) and values.is_floating_point() and values.ndim == 1


def check_offered(part: Any, offered: frozenset[str]) -> None:
    """Refuse a loss or a callback that requires what a model and its loss do not offer."""
    required: frozenset[str] = getattr(part, "requires", frozenset())
    missing = required - offered
    if missing:
        raise ValueError(
            f"{type(part).__name__} requires {' and '.join(sorted(missing))} of the model and its "
            f"loss, which offer {', '.join(sorted(offered)) or 'nothing'}; choose another encoder, "
            "activation or loss, or leave it out."
        )


def _outcome(terms: dict[str, Tensor], codes: Tensor) -> Outcome:
    if "loss" in terms:
        raise ValueError("A term of a loss cannot be called 'loss', which is their sum; rename it.")
    told = {name: term.detach() for name, term in terms.items()}
    loss = torch.stack(list(told.values())).sum()
    return Outcome(loss, DenseCodes(codes.detach()), told if len(told) > 1 else {})
