"""SAEEncoder: the sparse autoencoder with an L1 penalty."""

import math

import torch

from .._compat import StrOptions
from ..modules import ProLU, ReLU
from ._base_sae import BaseSAE
from ._declared import parameter
from ._dictionary import resolve_n_components
from ._l1_encoder import L1Encoder


class SAEEncoder(L1Encoder, BaseSAE):
    """Sparse autoencoder: ReLU codes, linear in the data before the ReLU, with an L1 penalty.

    Codes are ``relu((x - c) W + b)``, reconstructions ``z D + c``, and training minimizes the mean
    over samples of ``1/2 ||x - x_hat||^2 + alpha ||z||_1`` with the rows of D on the unit sphere:
    the objective of `GradSparseCoder` and of scikit-learn's `DictionaryLearning`, so that one
    `alpha` means one thing. The encoder starts tied to the dictionary, W = s D^T with the factor s
    that reconstructs best.

    Parameters
    ----------
    activation : {"relu", "prolu"}
        How pre-activations become codes. "prolu": as they are where, positive, they exceed minus
        the bias of their latent, which then does not shift them; it learns by a straight-through
        gradient.

    See Also
    --------
    MLPEncoder : The same decoder behind a deeper encoder.
    ITOCoder : The best codes for a dictionary, by optimization.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
    Sparse Autoencoders, section 3. Bricken et al. (2023), Towards Monosemanticity.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skamort import SAEEncoder
    >>> X = StandardScaler().fit_transform(load_digits().data)
    >>> sae = SAEEncoder(n_components=128, tol=0.01, random_state=0).fit(X)
    >>> sae.transform(X).shape
    (1797, 128)
    >>> sae.score(X) > 0.8
    True
    """

    activation: str = parameter(StrOptions({"relu", "prolu"}), default="relu")

    @property
    def _max_rate_coefficient(self):
        return 0.08 if self.activation == "prolu" else math.inf

    def _has_bias(self):
        return self.encoder_bias and self.activation == "relu"

    def _make_activation(self, unit):
        is_plain = self.activation == "relu" or not self.encoder_bias
        return ReLU() if is_plain else ProLU(resolve_n_components(self), unit)

    def _gate(self, module):
        if self.activation == "relu" or not self.encoder_bias:
            return super()._gate(module)
        bias = module.activation.bias
        return bias, lambda A: torch.where(A > 0, A + bias, -torch.inf)
