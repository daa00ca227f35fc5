"""JumpReLUSAE: the sparse autoencoder that learns a threshold for each latent.

With u = W (x - c) + b, thresholds theta = exp(t), a window w = 1[|u - theta| < eps / 2] and H the
number of codes that are active,

    z = u 1[u > theta],   dz/dt ~ -theta^2 / eps w,   dH/dt ~ -theta / eps w

(~: the gradients that stand in for those of the steps, which are 0 almost everywhere).
"""

from __future__ import annotations

import math
import sys

import torch
from torch import Tensor, nn

from .._compat import StrOptions
from .._unit import factor_for
from ..modules import Activation, DenseCodes, add_gradient, threshold_of_rows
from ..training import SparseCodingLoss
from ._alpha import resolve_alpha
from ._base_sae import BaseSAE
from ._declared import parameter
from ._dictionary import resolve_n_components
from ._parameters import POSITIVE
from ._target_l0 import TargetL0Parameters, threshold_of_data

# Enough for the first codes to settle at the scale that reconstructs best.
_SCALING_STEPS = 20


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

    def _weigh_penalty(self, X, sample_weight):
        self._check_target_l0()
        self.alpha_ = resolve_alpha(self, X, sample_weight, self._price_of)

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
        # Thresholds stay where they are, so the codes that pass change with the scale: small steps.
        for _ in range(_SCALING_STEPS):
            if self.target_l0 is not None:
                self._start_at(module, rows, loss.sample_weight)
            module.encoder.rescale(loss.best_scale(module, rows) ** 0.5)

    @torch.no_grad()
    def _start_at(self, module, rows, sample_weight):
        """Let as many codes be active as are wanted, and one at its threshold pay for itself."""
        width = len(module.decoder.dictionary)
        preactivate = lambda X: module.encoder(module.center(X))  # noqa: E731
        start = threshold_of_rows(preactivate, rows, self.target_l0, width, sample_weight)
        if start > 0:
            self.alpha_ = self._price_of(start.item() * self._unit)
            module.activation.start.fill_(start)
            module.activation.log_threshold.fill_(start.log())

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


class JumpReLU(Activation):
    """Keep the pre-activations above a threshold, one for each latent.

    Parameters
    ----------
    n_components : int
        Number of latents.
    start : float
        Where the thresholds start.
    bandwidth : float
        Width of the window around them, relative to `start`.
    """

    is_masked = False
    start: Tensor

    def __init__(self, n_components: int, start: float, bandwidth: float):
        super().__init__()
        self.bandwidth = bandwidth
        self.register_buffer("start", torch.tensor(start, dtype=torch.float64))
        thresholds = torch.full((n_components,), math.log(start), dtype=torch.float32)
        self.log_threshold = nn.Parameter(thresholds)

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        return preactivations * (preactivations > self.log_threshold.exp())

    def backward(self, preactivations: Tensor, codes: Tensor, code_grad: Tensor) -> Tensor:
        """Return dL/dA; the thresholds learn from codes in their windows."""
        by_latent = (self._window(preactivations) * code_grad).sum(0)
        add_gradient(self.log_threshold, -self.log_threshold.exp().square() * by_latent)
        return code_grad * (codes > 0)

    def charge(
        self, preactivations: Tensor, price: float, sample_weight: Tensor | None = None
    ) -> None:
        """Add the thresholds' gradient where each active code costs a price, times the weight of
        its sample."""
        window = self._window(preactivations)
        counts = window.sum(0) if sample_weight is None else sample_weight @ window
        add_gradient(self.log_threshold, -price * self.log_threshold.exp() * counts)

    def _window(self, preactivations: Tensor) -> Tensor:
        distance = (preactivations - self.log_threshold.exp()).abs()
        width = (self.bandwidth * self.start).to(distance.dtype)
        return (distance < width / 2) / width

    @torch.no_grad()
    def rescale(self, scale: Tensor | float) -> None:
        """Follow the pre-activations."""
        log = self.log_threshold
        scale = factor_for(log, scale)
        log.add_(scale.log())
        self.start.mul_(scale.mean())

    @torch.no_grad()
    def restart(self, latents: Tensor) -> None:
        """Begin where thresholds start."""
        self.log_threshold[latents] = self.start.log()


class JumpReLULoss(SparseCodingLoss):
    """Mean over samples of 1/2 ||gamma * r_i||^2 + alpha ||z_i||_0."""

    penalty_degree = 0

    def penalty(self, codes):
        """Return the number of active codes in a batch, each times its sample's weight."""
        if self.sample_weight is None:
            return codes.firing_counts().sum()
        return self.sample_weight @ codes.values.sign().sum(1)

    def code_gradient(self, module, preactivations, codes, residual_grad, out):  # noqa: ARG002
        """Return dL/dA given dL/dR; the price of active codes teaches the thresholds alone."""
        code_grad = (residual_grad @ module.decoder.dictionary.T).to(residual_grad.dtype)
        price = self.alpha_factor * self.alpha / len(residual_grad)
        module.activation.charge(preactivations, price, self.sample_weight)
        return DenseCodes(module.activation.backward(preactivations, codes.to_dense(), code_grad))
