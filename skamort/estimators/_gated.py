"""GatedSAE: the sparse autoencoder that decides which codes are active apart from how large."""

from __future__ import annotations

from ..modules import Gated
from ..training import GatedLoss
from ._base_sae import BaseSAE
from ._dictionary import resolve_n_components
from ._l1_encoder import L1Encoder


class GatedSAE(L1Encoder, BaseSAE):
    """Sparse autoencoder with gates: which codes are active is penalized, their size is not.

    A code is active where its gate ``pi = W (x - c) + b`` is positive, and has the size
    ``relu(exp(r) pi + s)``, with a factor and a shift for each latent. Training minimizes the mean
    over samples of ``1/2 ||x - x_hat||^2 + alpha ||relu(pi)||_1``, and gates learn by
    reconstructing themselves: ``1/2 ||x - relu(pi) D - c||^2`` with D and c as they are is
    added. The L1 penalty shrinks gates, and codes make up for it.

    Parameters
    ----------
    alpha : float or "auto"
        Weight of the L1 penalty on the gates, in the units of the data. "auto": a tenth of the mean
        distance of the rows of X from their mean, by the first call where `fit` goes on and in
        `partial_fit`.

    See Also
    --------
    SAEEncoder : The same encoder without gates, whose codes the penalty shrinks.
    JumpReLUSAE : Learns a threshold for each latent.

    References
    ----------
    Rajamanoharan et al. (2024), Improving dictionary learning with gated sparse autoencoders.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import GatedSAE
    >>> X = load_digits().data / 16
    >>> sae = GatedSAE(n_components=64, tol=0.01, random_state=0).fit(X)
    >>> sae.transform(X).shape
    (1797, 64)
    >>> sae.score(X) > 0.8
    True
    """

    _penalizes_size = False  # but the gates'

    def _make_activation(self, unit):  # noqa: ARG002
        return Gated(resolve_n_components(self))

    def _make_loss(self, feature_weights):
        return GatedLoss(self.alpha_, feature_weights)

    def _follow_gates(self, module, step):
        activation = module.activation
        activation.shift.addcmul_(activation.log_scale.exp(), step)
