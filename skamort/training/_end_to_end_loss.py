"""The loss of what a model further on makes of reconstructions: KL(p(. | x) || p(. | x_hat))."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .._given import described
from ..modules import SparseAutoencoder
from ._loss import ReconstructionLoss


class EndToEndLoss(ReconstructionLoss):
    """Mean over samples of KL(p(. | x) || p(. | x_hat)) + alpha ||z_i||_1.

    Rows are activations of a model, and p is what its rest makes of them: codes learn what matters
    to the model instead of what is large.

    Parameters
    ----------
    log_probabilities : callable
        Maps activations, a tensor of shape (n, n_features) in the unit of the data, to the logs of
        probabilities, (n, n_outcomes), differentiably. Its own parameters are left as they are
        where they need no gradient.
    alpha : float, default=0.0
        Weight of the L1 penalty, in nats for a unit of the data.

    References
    ----------
    Braun, Taylor, Goldowsky-Dill and Sharkey (2024), Identifying functionally important features
    with end-to-end sparse dictionary learning.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skamort import TopKSAE
    >>> from skamort.training import EndToEndLoss
    >>> X, y = load_digits(return_X_y=True)
    >>> rest = LogisticRegression().fit(X / 16, y)
    >>> weight, bias = torch.tensor(rest.coef_.T), torch.tensor(rest.intercept_)
    >>> class EndToEndSAE(TopKSAE):
    ...     def _make_loss(self, feature_weights):
    ...         return EndToEndLoss(lambda x: (x @ weight + bias).log_softmax(1))
    >>> sae = EndToEndSAE(32, k=3, tol=0.1, random_state=0).fit(X / 16)
    >>> X_hat = sae.inverse_transform(sae.transform(X / 16))
    >>> bool((rest.predict(X_hat) == rest.predict(X / 16)).mean() > 0.9)
    True
    """

    degree = 0
    offers = frozenset({"sample_weight"})

    def __init__(self, log_probabilities: Callable[[Tensor], Tensor], alpha: float = 0.0):
        super().__init__(alpha)
        if not callable(log_probabilities):
            raise TypeError(
                "EndToEndLoss: log_probabilities must be callable, got "
                f"{described(log_probabilities)}; pass the rest of the model as a function."
            )
        self.log_probabilities = log_probabilities
        self.unit = 1.0

    def divide_by(self, unit: float) -> None:
        """Follow data that are divided by a unit."""
        super().divide_by(unit)
        self.unit = unit

    def equation(
        self,
        module: SparseAutoencoder,
        X: Tensor,
        *target: Tensor,  # noqa: ARG002
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the divergence and the penalty of a batch, and its codes."""
        X_hat, codes = module(X)
        with torch.no_grad():
            expected = self.log_probabilities(X * self.unit)
        found = self.log_probabilities(X_hat * self.unit)
        divergence = self.weigh_samples(expected.exp() * (expected - found)).sum() / len(X)
        penalty = self.alpha * self.weigh_samples(codes).sum() / len(X)
        return {"divergence": divergence, "penalty": penalty}, codes
