"""BatchTopKSAE: the sparse autoencoder that keeps k codes a sample on average."""

from __future__ import annotations

from .._unit import times
from ..modules import BatchTopK
from ..training import SparseCodingLoss
from ._base_topk import BaseTopK
from ._target_l0 import threshold_of_data


class BatchTopKSAE(BaseTopK):
    """Sparse autoencoder that keeps k codes a sample on average, more where more are needed.

    In training the ``k n`` largest of ``max(W (x - c) + b, 0)`` of the n samples of a batch are
    kept. `transform`, where a sample must not depend on others, keeps those above one threshold:
    `fit` finds the one at which the samples of X have k codes on average, and `partial_fit` goes on
    with the mean over the last batches. Reconstructions are ``z D + c``, and training minimizes
    the mean over samples of ``1/2 ||x - x_hat||^2`` with the rows of D on the unit sphere.

    Parameters
    ----------
    k : int or None
        Number of codes kept a sample, mean over samples, at most `n_components`. None: the square
        root of ``n_features``, rounded up.

    Attributes
    ----------
    threshold_ : float
        The threshold above which the samples of X have k codes on average.

    See Also
    --------
    TopKSAE : Keeps k codes of every sample.
    JumpReLUSAE : Learns a threshold for each latent.

    Notes
    -----
    Codes that equal the largest that is not kept are not kept either: equal samples have equal
    codes. Where processes share a batch (`skamort.training.DataParallel`), each keeps the largest
    of its own rows.

    References
    ----------
    Bussmann, Leask and Nanda (2024), BatchTopK sparse autoencoders.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skamort import BatchTopKSAE
    >>> X = load_digits().data / 16
    >>> sae = BatchTopKSAE(n_components=128, k=8, tol=0.01, random_state=0).fit(X)
    >>> n_codes = (sae.transform(X) > 0).sum(axis=1)
    >>> print(f"{n_codes.mean():.1f} codes, from {n_codes.min()} to {n_codes.max()}")
    8.0 codes, from 3 to 21
    """

    def set_params(self, **params):
        """Set parameters.

        Parameters
        ----------
        **params : dict
            Parameters of the estimator.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        if "transform_k" in params:
            raise ValueError(
                f"{type(self).__name__}: codes above a threshold are kept, not a number of them, "
                f"got transform_k={params['transform_k']}; set transform_threshold, to what "
                "threshold_for(X, l0) returns, instead."
            )
        return super().set_params(**params)

    def _make_activation(self, unit):  # noqa: ARG002
        return BatchTopK(self._resolve_k())

    def _renew_activation(self, module):
        before, module.activation = module.activation, self._make_activation(1.0)
        module.activation.to(before.threshold).load_state_dict(before.state_dict())

    def _make_loss(self, feature_weights):
        return SparseCodingLoss(feature_weights=feature_weights)

    def _settle(self, data):
        module = self.net_.module_
        activation = module.activation
        activation.threshold.copy_(threshold_of_data(module, data, activation.k))

    @property
    def threshold_(self) -> float:
        """The threshold above which the samples of X have k codes on average."""
        return times(self.net_.module_.activation.threshold, self._unit).item()
