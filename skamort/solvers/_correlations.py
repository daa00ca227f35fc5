"""Correlations of all atoms with a block of samples: the product X D^T that every sample pays for.

CPUs with bfloat16 instructions multiply it several times as fast as float32, with a bounded error
(`_bfloat16`); the few atoms that it could hide from a threshold are looked at again in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._bfloat16 import (
    FEWEST_ROWS,
    ROUNDING,
    SLACK,
    lengths_of,
    multiplies_bfloat16,
    round_rows,
)

# With fewer features the atoms to look at again take longer than the product saves.
_LEAST_FEATURES = 512
# Errors beyond this share of alpha would leave too many atoms to look at again.
_TOLERABLE = 0.5


class Correlations:
    """``X @ dictionary.T`` for one dictionary and many ``X``.

    Parameters
    ----------
    dictionary : Tensor of shape (n_components, n_features)
        On the CPU.
    n_samples : int
        Rows of ``X`` to come.
    """

    def __init__(self, dictionary: Tensor, n_samples: int) -> None:
        self.dictionary, self.rough = dictionary, None
        pays = n_samples >= FEWEST_ROWS and dictionary.shape[1] >= _LEAST_FEATURES
        if pays and dictionary.dtype == torch.float32 and multiplies_bfloat16():
            self.rough = dictionary.bfloat16()
            self.longest = lengths_of(dictionary).amax()

    def __call__(self, X: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Correlations, (n_samples, n_components), and a bound on the error of each row.

        The bound leaves out the rounding of the dtype of ``X``, and is 0 where that is all.
        """
        if self.rough is not None:
            x, slopes = round_rows(X)
            error = slopes * self.longest
            if (error <= _TOLERABLE * alpha).all():
                product = (x @ self.rough.T).float()
                # Of the product's own rounding to bfloat16.
                largest = torch.maximum(product.amax(dim=1), -product.amin(dim=1))
                return product, error + SLACK * ROUNDING * largest
        return X @ self.dictionary.T, X.new_zeros(len(X))
