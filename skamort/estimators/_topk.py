"""TopKSAE: the sparse autoencoder that keeps the k largest codes."""

from __future__ import annotations

import math

from .._compat import StrOptions
from ..modules import SparseAutoencoder, TopK
from ..training import ResampleDead, SparseCodingLoss, TeachDead
from ._base_sae import BaseSAE
from ._declared import parameter
from ._dictionary import resolve_n_components
from ._parameters import COUNT


class TopKSAE(BaseSAE):
    """Sparse autoencoder that keeps the k largest codes of each sample.

    Codes are ``max(TopK(W (x - c) + b), 0)``, reconstructions ``z D + c``, and training minimizes
    the mean over samples of ``1/2 ||x - x_hat||^2`` with the rows of D on the unit sphere.
    Sparsity is a constraint, not a penalty: codes are not shrunk and there is no weight to tune.

    Parameters
    ----------
    k : int or None
        Number of codes kept a sample, at most `n_components`. None: the square root of
        ``n_features``, rounded up.
    multi_topk : bool
        Whether the 4 k largest codes learn to reconstruct too, by 1/8 of the gradients of their
        loss (Multi-TopK): codes with another k, by `transform_k`, then lose less.
    transform_k : int or None
        Number of codes that `transform` keeps, at most `n_components`; it can be set on a fitted
        estimator. None: as many as in training.
    dead_latents : {"auto", "auxk", "resample"}, TeachDead, ResampleDead or None
        What to do about latents that fire no more. "resample": start them anew at samples that are
        badly reconstructed. "auxk": teach the ``n_features / 2`` largest of them to reconstruct
        what the others leave over. A `skamort.training.TeachDead` or `ResampleDead` also says after
        how many samples without firing a latent is dead (five passes over X, at most 10 million;
        set its `window` where `partial_fit` gets X in chunks). None: nothing. "auto": "resample"
        after 1.5 passes, in `partial_fit` after no less than 30 samples an atom; None where no
        center is learned, `fit` has fewer than 1,000 rows, or codes or dictionary are known.

    See Also
    --------
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

    k: int | None = parameter(COUNT, None, default=None, may_change="warm")
    multi_topk: bool = parameter("boolean", default=False, may_change="warm")
    transform_k: int | None = parameter(COUNT, None, default=None, may_change="always")
    dead_latents: str | ResampleDead | TeachDead | None = parameter(
        StrOptions({"auto", "auxk", "resample"}),
        TeachDead,
        ResampleDead,
        None,
        default="auto",
        may_change="warm",
    )

    def _make_activation(self, unit):  # noqa: ARG002
        _check_k(self, "transform_k", self.transform_k, resolve_n_components(self))
        return TopK(resolve_k(self))

    def _renew_activation(self, module):
        module.activation = self._make_activation(1.0)

    def _make_loss(self, feature_weights):
        return SparseCodingLoss(feature_weights=feature_weights, multi_topk=self.multi_topk)

    def _transforming_module(self):
        module = self.net_.module_
        if self.transform_k is None:
            return module
        self._validate_params()  # it may have been set since
        _check_k(self, "transform_k", self.transform_k, self._n_features_out)
        return SparseAutoencoder(module.encoder, TopK(self.transform_k), module.decoder)


def resolve_k(estimator):
    """Return the k that the estimator's parameters ask for.

    Raises
    ------
    ValueError
        If it exceeds the number of atoms.
    """
    n_components = resolve_n_components(estimator)
    if estimator.k is None:
        return min(math.ceil(math.sqrt(estimator.n_features_in_)), n_components)
    _check_k(estimator, "k", estimator.k, n_components)
    return estimator.k


def _check_k(estimator, name, k, n_components):
    """Refuse a k beyond the number of atoms."""
    if k is not None and k > n_components:
        raise ValueError(
            f"{type(estimator).__name__}: {name}={k} exceeds n_components={n_components}; "
            f"choose {name} <= n_components."
        )
