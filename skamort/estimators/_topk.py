"""TopKSAE: the sparse autoencoder that keeps the k largest codes."""

from __future__ import annotations

from ..modules import SparseAutoencoder, TopK
from ..training import SparseCodingLoss
from ._base_topk import BaseTopK
from ._declared import parameter
from ._dictionary import resolve_n_components
from ._parameters import COUNT


class TopKSAE(BaseTopK):
    """Sparse autoencoder that keeps the k largest codes of each sample.

    Codes are ``max(TopK(W (x - c) + b), 0)``, reconstructions ``z D + c``, and training minimizes
    the mean over samples of ``1/2 ||x - x_hat||^2`` with the rows of D on the unit sphere.
    Sparsity is a constraint, not a penalty: codes are not shrunk and there is no weight to tune.

    Parameters
    ----------
    multi_topk : bool
        Whether the 4 k largest codes learn to reconstruct too, by 1/8 of the gradients of their
        loss (Multi-TopK): codes with another k, by `transform_k`, then lose less.
    transform_k : int or None
        Number of codes that `transform` keeps, at most `n_components`; it can be set on a fitted
        estimator. None: as many as in training.

    See Also
    --------
    BatchTopKSAE : Keeps as many on average, more where a sample needs more.
    SAEEncoder : The same model with an L1 penalty instead.
    ITOCoder : The best codes for a dictionary, by optimization.

    References
    ----------
    Gao et al. (2024), Scaling and evaluating sparse autoencoders, section 2.3. Makhzani and Frey
    (2013), k-Sparse Autoencoders.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skamort import TopKSAE
    >>> X = StandardScaler().fit_transform(load_digits().data)
    >>> codes = TopKSAE(n_components=128, k=8, tol=0.01, random_state=0).fit_transform(X)
    >>> int((codes > 0).sum(axis=1).max())
    8
    """

    multi_topk: bool = parameter("boolean", default=False, may_change="warm")
    transform_k: int | None = parameter(COUNT, None, default=None, may_change="always")

    def _make_activation(self, unit):  # noqa: ARG002
        self._check_k("transform_k", self.transform_k, resolve_n_components(self))
        return TopK(self._resolve_k())

    def _renew_activation(self, module):
        module.activation = self._make_activation(1.0)

    def _make_loss(self, feature_weights):
        return SparseCodingLoss(feature_weights=feature_weights, multi_topk=self.multi_topk)

    def _transforming_module(self):
        module = self.net_.module_
        if self.transform_k is None:
            return module
        self._validate_params()  # it may have been set since
        self._check_k("transform_k", self.transform_k, self._n_features_out)
        return SparseAutoencoder(module.encoder, TopK(self.transform_k), module.decoder)
