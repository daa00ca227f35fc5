"""Codes in two halves: the positive parts of all atoms, then the negative ones."""

import torch
from torch import Tensor

from ._declared import Declared, parameter


class SplitSign(Declared):
    """Whether codes come in two halves.

    Parameters
    ----------
    split_sign : bool
        Whether `transform` returns ``[max(z, 0), max(-z, 0)]``, two columns an atom, in place of
        codes z of either sign; a linear classifier downstream can then weigh the signs apart.
    """

    split_sign: bool = parameter("boolean", default=False, may_change="warm")

    @property
    def _n_features_out(self):
        return len(self.components_) * (2 if self.split_sign else 1)

    def _split(self, codes: Tensor) -> Tensor:
        """Return the codes as `transform` gives them."""
        halves = [codes.clamp(min=0), (-codes).clamp(min=0)]
        return torch.cat(halves, dim=1) if self.split_sign else codes

    def _joined(self, codes):
        return joined(self, codes)


def joined(coder, codes):
    """Return the codes of `coder`, one of ours or of scikit-learn, with one column an atom."""
    if not getattr(coder, "split_sign", False):
        return codes
    half = codes.shape[1] // 2
    return codes[:, :half] - codes[:, half:]
