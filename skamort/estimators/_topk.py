"""TopKSAE: the sparse autoencoder that keeps the k largest codes."""

from __future__ import annotations

from .._compat import StrOptions
from ..modules import GroupTopK, SignedTopK, SparseAutoencoder, TopK
from ..solvers import GOMP
from ..training import PursuitLoss, SparseCodingLoss
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
    n_stages : int or None
        Stages of a pursuit, generalized OMP, that goes on from the encoder's codes to better ones:
        dictionary and center then learn from these as well. They are for
        ``ITOCoder(estimator=topk, n_nonzero_coefs=k, algorithm=...)``, with "gomp" or another
        k-sparse solver; `transform` gives the encoder's. 2 do, and take about twice the time. None:
        they learn from the encoder's codes alone.
    transform_k : int or None
        Number of codes that `transform` keeps, at most `n_components`; it can be set on a fitted
        estimator. None: as many as in training.

    activation : {"topk", "group_topk"}
        Which k codes are kept: the largest of all, or the largest of each of k blocks of
        neighbours, of which k None makes as many as divide `n_components`. The second reconstructs
        less.
    positive_code : bool
        Whether codes are >= 0; else those of largest magnitude are kept, with their sign.

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
    n_stages: int | None = parameter(COUNT, None, default=None, may_change="warm")
    transform_k: int | None = parameter(COUNT, None, default=None, may_change="always")

    activation: str = parameter(
        StrOptions({"topk", "group_topk"}), default="topk", may_change="warm"
    )
    positive_code: bool = parameter("boolean", default=True, may_change="warm")

    def _make_activation(self, unit):  # noqa: ARG002
        self._check_transform()
        self._check_k("transform_k", self.transform_k, resolve_n_components(self))
        self._check_multi_topk()
        return self._keep("k", self._resolve_k())

    def _check_multi_topk(self):
        if self.multi_topk and (self.activation != "topk" or not self.positive_code):
            raise ValueError(
                f"{type(self).__name__}: multi_topk=True teaches the 4 k largest codes >= 0, got "
                f"activation={self.activation!r}, positive_code={self.positive_code}; set "
                "multi_topk=False, or activation='topk' and positive_code=True."
            )

    def _keep(self, name, k):
        """Return the activation that keeps k codes, which the parameter `name` asks for."""
        if self.activation == "topk":
            return TopK(k) if self.positive_code else SignedTopK(k)
        n_components = resolve_n_components(self)
        if not self.positive_code:
            raise ValueError(
                f"{type(self).__name__}: activation='group_topk' keeps codes >= 0, got "
                "positive_code=False; set activation='topk' for codes of both signs."
            )
        if n_components % k:
            raise ValueError(
                f"{type(self).__name__}: activation='group_topk' makes {name}={k} blocks of "
                f"n_components={n_components} latents, which it does not divide; choose a {name} "
                "that does."
            )
        return GroupTopK(k)

    def _resolve_k(self):
        k, n_components = super()._resolve_k(), resolve_n_components(self)
        if self.k is None and self.activation == "group_topk":
            return max(size for size in range(1, k + 1) if n_components % size == 0)
        return k

    def _check_transform(self):
        if self.transform_k is not None and self.transform_threshold is not None:
            raise ValueError(
                f"{type(self).__name__}: transform_k={self.transform_k} and transform_threshold="
                f"{self.transform_threshold} both say which codes are kept; set one to None."
            )
        if self.transform_threshold is not None and not self.positive_code:
            raise ValueError(
                f"{type(self).__name__}: transform_threshold={self.transform_threshold} keeps "
                "codes >= 0, got positive_code=False; set transform_k instead."
            )

    def _renew_activation(self, module):
        module.activation = self._make_activation(1.0)

    def _make_loss(self, feature_weights):
        options = {"feature_weights": feature_weights, "multi_topk": self.multi_topk}
        if self.n_stages is None:
            return SparseCodingLoss(**options)
        solver = GOMP(n_nonzero_coefs=self._resolve_k(), n_stages=self.n_stages)
        return PursuitLoss(solver, self.positive_code, **options)

    def _transforming_module(self):
        self._check_transform()
        if self.transform_k is None:
            return super()._transforming_module()
        self._validate_params()  # it may have been set since
        self._check_k("transform_k", self.transform_k, self._n_features_out)
        module = self.net_.module_
        return SparseAutoencoder(
            module.encoder, self._keep("transform_k", self.transform_k), module.decoder
        )
