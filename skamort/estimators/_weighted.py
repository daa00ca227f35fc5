"""WeightedSAE: the sparse autoencoder that reconstructs some features better than others."""

from __future__ import annotations

from collections.abc import Callable

from numpy.typing import ArrayLike

from .._compat import StrOptions
from ._declared import parameter
from ._feature_weights import relative_scores, to_weights
from ._parameters import NON_NEGATIVE
from ._sae import SAEEncoder


class WeightedSAE(SAEEncoder):
    """Sparse autoencoder with a reconstruction error weighted by feature.

    Training minimizes the mean over samples of
    ``1/2 ||gamma * (x - x_hat)||^2 + alpha ||z||_1`` with ``gamma_j = s_j ** weight_exponent`` for
    a score s_j of each feature, scaled so that the mean of ``gamma ** 2`` is 1. Equal scores make
    it `SAEEncoder`; every trained encoder takes `feature_weights`. Its authors weight the features
    in which few sources are superposed, for more monosemantic latents; the page "What is proved"
    measures when that helps.

    Parameters
    ----------
    feature_weights : {"variance", "consistency"}, array-like or callable
        The score s_j >= 0 of each feature. "variance": its variance. "consistency": the share of
        its top samples that belong to their most frequent class, which needs y in `fit`. An array
        of shape (n_features,), or a callable that gets (X, y) and returns one.
    weight_exponent : float
        Exponent of the features' scores; 0 weighs all features alike.

    Attributes
    ----------
    feature_weights_ : ndarray of shape (n_features,)
        Weight of each feature's error, gamma.

    See Also
    --------
    SAEEncoder : The same model with equal weights.
    TopKSAE : Takes `feature_weights` too.

    References
    ----------
    On the Limits of Sparse Autoencoders: A Theoretical Framework and Reweighted Remedy, section 5.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import WeightedSAE
    >>> X, y = load_digits(return_X_y=True)
    >>> wsae = WeightedSAE(n_components=32, feature_weights="consistency", tol=0.01, random_state=0)
    >>> wsae.fit(X / 16, y).feature_weights_.shape
    (64,)
    """

    feature_weights: str | ArrayLike | Callable = parameter(
        StrOptions({"variance", "consistency"}), "array-like", callable, default="variance"
    )
    weight_exponent: float = parameter(NON_NEGATIVE, default=1.0)

    def _weigh_features(self, sample, y):
        scores = relative_scores(self, sample, y)
        return to_weights(scores**self.weight_exponent)
