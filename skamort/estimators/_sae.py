"""SAEEncoder: the sparse autoencoder with an L1 penalty."""

from ._base_sae import BaseSAE
from ._l1_encoder import L1Encoder


class SAEEncoder(L1Encoder, BaseSAE):
    """Sparse autoencoder: ReLU codes, linear in the data before the ReLU, with an L1 penalty.

    Codes are ``relu((x - c) W + b)``, reconstructions ``z D + c``, and training minimizes the mean
    over samples of ``1/2 ||x - x_hat||^2 + alpha ||z||_1`` with the rows of D on the unit sphere:
    the objective of `GradSparseCoder` and of scikit-learn's `DictionaryLearning`, so that one
    `alpha` means one thing. The encoder starts tied to the dictionary, W = s D^T with the factor s
    that reconstructs best.

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
