"""LISTAEncoder: a few learned iterations, between one product and an optimization."""

from __future__ import annotations

from ..modules import LISTA
from ._base_trained import BaseTrainedEncoder
from ._declared import parameter
from ._l1_encoder import L1Encoder
from ._parameters import COUNT


class LISTAEncoder(L1Encoder, BaseTrainedEncoder):
    """Sparse coding amortized by learned iterations of shrinkage, with an L1 penalty.

    The encoder is an optimization of `n_layers` proximal gradient steps with all of its weights
    learned; reconstructions are ``z D + c``, and training minimizes the objective of `SAEEncoder`.
    Every layer starts as an exact step of ISTA on the dictionary that training starts from, so even
    an untrained encoder is a sensible one. More layers narrow the amortization gap, each at the
    price of two products with the dictionary: one is a sparse autoencoder, ten come close to the
    optimum that ISTA needs hundreds of steps for.

    Parameters
    ----------
    n_layers : int
        Number of learned iterations.

    See Also
    --------
    SAEEncoder : The same decoder behind a linear encoder.
    MLPEncoder : The same decoder behind a multilayer perceptron.
    ITOCoder : The best codes for a dictionary, by optimization.

    References
    ----------
    Gregor and LeCun (2010), Learning fast approximations of sparse coding, section 3. Chen, Liu,
    Wang and Yin (2018), Theoretical linear convergence of unfolded ISTA, for the coupling of a
    layer's weights.

    Examples
    --------
    >>> from skamort import LISTAEncoder
    >>> from skamort.datasets import make_sparse_coded_signal
    >>> from skamort.metrics import latent_mcc
    >>> X, dictionary, codes = make_sparse_coded_signal(
    ...     1000, n_components=16, n_features=8, n_nonzero_coefs=2, positive=True, random_state=0)
    >>> lista = LISTAEncoder(dictionary=dictionary, alpha=0.03, tol=0.01, random_state=0)
    >>> latent_mcc(codes, lista.fit_transform(X), matched=True) > 0.9
    True
    """

    n_layers: int = parameter(COUNT, default=3)
    _step_share = 0.25  # a layer's change goes through the next ones: full steps killed all latents

    def _make_encoder(self, centered, dictionary, generator, sample_weight):  # noqa: ARG002
        return LISTA(dictionary, self.alpha_ / self._unit, self.n_layers)
