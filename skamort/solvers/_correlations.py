"""Correlations of all atoms with a block of samples: the product X D^T that every sample pays for.

CPUs with bfloat16 instructions multiply it twice as fast as float32. Its eight bits are enough to
find the atoms that matter, for the error of a correlation is bounded,

    |<d~, x~> - <d, x>| <= ||d~ - d|| ||x~|| + ||d|| ||x~ - x||,     ||d~ - d|| <= 2^-9 ||d||,

and the few atoms that it could hide from a threshold are looked at again in float32.
"""

from __future__ import annotations

from functools import cache

import torch
from llvmlite.binding import get_host_cpu_features
from torch import Tensor

# Largest relative error of a number rounded to bfloat16.
_ROUNDING = 2.0**-9
# With fewer samples or features the conversion, and the atoms to look at again, take longer than
# the product saves.
_LEAST_SAMPLES, _LEAST_FEATURES = 32, 512
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
        pays = n_samples >= _LEAST_SAMPLES and dictionary.shape[1] >= _LEAST_FEATURES
        if pays and dictionary.dtype == torch.float32 and multiplies_bfloat16():
            self.rough = dictionary.bfloat16()
            self.longest = torch.linalg.vector_norm(dictionary, dim=1).amax()

    def __call__(self, X: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Correlations, (n_samples, n_components), and a bound on the error of each row.

        The bound leaves out the rounding of the dtype of ``X``, and is 0 where that is all.
        """
        if self.rough is not None:
            x = X.bfloat16()
            error = torch.linalg.vector_norm(x.float() - X, dim=1)
            error += _ROUNDING * torch.linalg.vector_norm(X, dim=1)
            error *= (1 + _ROUNDING) * self.longest
            if (error <= _TOLERABLE * alpha).all():
                product = (x @ self.rough.T).float()
                # Of the product's own rounding to bfloat16.
                largest = torch.maximum(product.amax(dim=1), -product.amin(dim=1))
                return product, error + 1.01 * _ROUNDING * largest
        return X @ self.dictionary.T, X.new_zeros(len(X))


@cache
def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products of bfloat16 that torch uses."""
    features = get_host_cpu_features()
    has = features.get("avx512bf16") or features.get("amx-bf16")
    return bool(has) and torch.backends.mkldnn.is_available()
