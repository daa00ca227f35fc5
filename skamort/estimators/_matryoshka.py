"""MatryoshkaSAE: the sparse autoencoder whose first latents do without the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..training import MatryoshkaLoss
from ._batch_topk import BatchTopKSAE
from ._declared import parameter
from ._dictionary import resolve_n_components
from ._parameters import COUNT


class MatryoshkaSAE(BatchTopKSAE):
    """Sparse autoencoder whose first latents reconstruct without the others, at several sizes.

    Codes are those of `BatchTopKSAE`, and training minimizes the mean over prefixes of the
    latents, and over samples, of ``1/2 ||x - c - z[:m] @ D[:m]||^2``. The first latents learn what
    is common, as a narrow dictionary would, and later ones what is left; they split general
    features into special ones less than a wide dictionary does by itself.

    Parameters
    ----------
    prefix_sizes : array-like of int or None
        Numbers m of the first latents that are to reconstruct alone, rising, the last
        `n_components`. None: that, and its half four times. Others call them widths of nested
        dictionaries, or give the sizes of the groups between them.

    Attributes
    ----------
    prefix_sizes_ : list of int
        The numbers that were used.

    See Also
    --------
    BatchTopKSAE : The same codes, which reconstruct together alone.

    References
    ----------
    Bussmann, Nabeshima, Karvonen and Nanda (2025), Learning multi-level features with Matryoshka
    sparse autoencoders.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import MatryoshkaSAE
    >>> from skamort.metrics import fraction_variance_unexplained
    >>> X = load_digits().data[:1000] / 16
    >>> sae = MatryoshkaSAE(128, k=8, prefix_sizes=[16, 128], tol=0.01, random_state=0).fit(X)
    >>> codes = sae.transform(X)
    >>> codes[:, 16:] = 0
    >>> fraction_variance_unexplained(X, sae.inverse_transform(codes)) < 0.5
    True
    """

    prefix_sizes: Sequence[int] | None = parameter("array-like", None, default=None)

    def _make_activation(self, unit):
        self.prefix_sizes_ = self._resolve_prefixes(resolve_n_components(self))
        return super()._make_activation(unit)

    def _resolve_prefixes(self, n_components):
        if self.prefix_sizes is None:
            return sorted({max(1, n_components >> halvings) for halvings in range(5)})
        sizes = np.asarray(self.prefix_sizes)
        counts = sizes.ndim == 1 and all(map(COUNT.is_satisfied_by, self.prefix_sizes))
        if not (counts and (np.diff(sizes) > 0).all() and n_components in sizes[-1:]):
            raise ValueError(
                f"{type(self).__name__}: prefix_sizes must be integers > 0 that rise to "
                f"n_components={n_components}, got {self.prefix_sizes}; end them with it."
            )
        return sizes.tolist()

    def _make_loss(self, feature_weights):
        return MatryoshkaLoss(self.prefix_sizes_, feature_weights)
