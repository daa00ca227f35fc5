"""MLPEncoder: codes by a multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._base_sae import BaseSAE
from ._declared import parameter
from ._l1_encoder import L1Encoder
from ._parameters import COUNT


class MLPEncoder(L1Encoder, BaseSAE):
    """Sparse coding amortized by a multilayer perceptron, with an L1 penalty.

    Codes are ``relu(MLP(x - c))``, reconstructions ``z D + c``, and training minimizes the
    objective of `SAEEncoder`. Hidden layers let the encoder take into account how atoms explain
    each other away, which no linear-nonlinear encoder can: the amortization gap shrinks, at the
    price of a forward pass that costs as many times more as the layers are wider.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        Widths of the hidden ReLU layers.

    See Also
    --------
    SAEEncoder : The same decoder behind a linear encoder.
    ITOCoder : The best codes for a dictionary, by optimization.

    References
    ----------
    O'Neill, Gumran and Klindt (2025), Compute Optimal Inference and Provable Amortisation Gap in
    Sparse Autoencoders, sections 3 and 4.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skamort import MLPEncoder
    >>> X = StandardScaler().fit_transform(load_digits().data[:500])
    >>> mlp = MLPEncoder(n_components=128, hidden_layer_sizes=(64,), tol=0.01, random_state=0)
    >>> mlp.fit_transform(X).shape
    (500, 128)
    """

    hidden_layer_sizes: int | Sequence[int] = parameter("array-like", COUNT, default=(256,))

    def _largest_matrix(self):
        return max(super()._largest_matrix(), max(self._hidden_layer_sizes()) ** 2)

    def _hidden_layer_sizes(self):
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        if not all(COUNT.is_satisfied_by(size) for size in sizes):
            raise ValueError(
                "MLPEncoder: hidden_layer_sizes must be integers >= 1, got "
                f"{self.hidden_layer_sizes!r}; use SAEEncoder for no hidden layer."
            )
        return sizes
