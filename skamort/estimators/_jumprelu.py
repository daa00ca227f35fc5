"""JumpReLUSAE: the sparse autoencoder that learns a threshold for each latent."""

from __future__ import annotations

import math
import sys

import torch

from .._compat import StrOptions
from ..modules import JumpReLU
from ..training import JumpReLULoss
from ._alpha import alpha_of_sample
from ._base_sae import BaseSAE
from ._declared import parameter
from ._dictionary import resolve_n_components
from ._parameters import POSITIVE
from ._target_l0 import TargetL0Parameters, threshold_of_data

# Enough for the first codes to settle at the scale that reconstructs best.
_SCALING_STEPS = 20
# Of the mean threshold at the start, what one has at least.
_LEAST = 1e-3
# Share of the latents that is active at the start at most: near a half thresholds are near 0, where
# their logarithms hardly move, and the weight of the penalty runs away.
_MOST_ACTIVE = 0.25


class JumpReLUSAE(TargetL0Parameters, BaseSAE):
    """Sparse autoencoder whose codes jump: 0 below a threshold, above it as they are.

    Codes are ``u 1[u > theta]`` with ``u = W (x - c) + b`` and a threshold theta > 0 for each
    latent, reconstructions ``z D + c``, and training minimizes the mean over samples of
    ``1/2 ||x - x_hat||^2 + alpha ||z||_0`` with the rows of D on the unit sphere. The penalty
    counts codes and does not shrink them. A code that pays for itself, 1/2 z^2 > alpha, is larger
    than sqrt(2 alpha): there the thresholds start. They learn from pre-activations that lie close
    to them, by straight-through estimates of their gradients.

    Parameters
    ----------
    alpha : float or "auto"
        Weight of the L0 penalty on the codes: what an active code costs, in the squared units of
        the data. "auto": what lets thresholds start at a tenth of the mean distance of the rows of
        X from their mean, by the first call where `fit` goes on and in `partial_fit`.
    bandwidth : float
        Width of the window around a threshold in which pre-activations teach it, relative to
        sqrt(2 alpha). Large batches allow a narrow one.

    Attributes
    ----------
    alpha_ : float
        The weight of the L0 penalty that was used.

    See Also
    --------
    SAEEncoder : The same encoder with an L1 penalty, which shrinks codes.
    TopKSAE : The same encoder with a fixed number of codes a sample.

    References
    ----------
    Rajamanoharan et al. (2024), Jumping ahead: improving reconstruction fidelity with JumpReLU
    sparse autoencoders, equations 9 to 12.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import JumpReLUSAE
    >>> X = load_digits().data / 16
    >>> sae = JumpReLUSAE(n_components=64, alpha=0.02, tol=0.01, random_state=0).fit(X)
    >>> sae.transform(X).shape
    (1797, 64)
    >>> sae.score(X) > 0.8
    True
    """

    alpha: float | str = parameter(
        POSITIVE, StrOptions({"auto"}), default="auto", may_change="warm"
    )
    _penalizes_size = False  # but their number
    bandwidth: float = parameter(POSITIVE, default=1.0, may_change="warm")

    def _weigh_penalty(self, sample):
        self._check_target_l0()
        self._look_for_variety(sample)
        self.alpha_ = alpha_of_sample(self, sample, self._price_of)

    def _price_of(self, size):
        """Return what a code of a size just pays for."""
        price = size * size / 2
        if not sys.float_info.min <= price < math.inf:
            raise ValueError(
                f"{type(self).__name__}: alpha, in squared units of X, is beyond what float64 "
                f"holds where codes are of size {size:.1e}; divide X by about that."
            )
        return price

    def _make_activation(self, unit):  # noqa: ARG002
        return JumpReLU(resolve_n_components(self), math.sqrt(2 * self.alpha_), self.bandwidth)

    def _scale_codes(self, module, loss, rows):
        if self.target_l0 is not None and self._start_at(module, loss, rows):
            return
        # Thresholds stay where they are, so the codes that pass change with the scale: small steps.
        for _ in range(_SCALING_STEPS):
            module.encoder.rescale(loss.best_scale(module, rows) ** 0.5)

    @torch.no_grad()
    def _start_at(self, module, loss, rows):
        """Let as many codes be active as are wanted, up to a share, and one at its threshold pay
        for itself.

        Returns False where no threshold >= 0 leaves so many.
        """
        activation = module.activation
        weights, most = loss.sample_weight, _MOST_ACTIVE
        thresholds = self._starting_thresholds(module, rows, weights, most).relu()
        start = thresholds.mean()
        if not start > 0:
            return False
        activation.start.fill_(start)
        activation.log_threshold.copy_(thresholds.clamp(min=_LEAST * start).log())
        module.rescale(loss.best_scale(module, rows))
        self.alpha_ = self._price_of(activation.start.item() * self._unit)
        return True

    @torch.no_grad()
    def _settle_at(self, data, n_active):
        module = self.net_.module_
        log = module.activation.log_threshold
        factor = threshold_of_data(module, data, n_active, lambda A: A / log.exp())
        log.add_(factor.clamp(min=torch.finfo(log.dtype).tiny).log())

    def _renew_activation(self, module):
        module.activation.bandwidth = self.bandwidth

    def _make_loss(self, feature_weights):
        return JumpReLULoss(self.alpha_, feature_weights)
