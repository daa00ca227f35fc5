"""Other ways to keep k codes: the largest of each block of latents, or those of either sign.

GroupTopK:   Z = max(A, 0) on the largest entry of each of k blocks of latents, 0 elsewhere
SignedTopK:  Z = A on the k entries of largest magnitude, 0 elsewhere
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._validation import check_integer
from ._activations import Activation, largest
from ._codes import SparseCodes


class GroupTopK(Activation):
    """Keep the largest pre-activation of each of `k` blocks of latents, clipped at zero.

    Parameters
    ----------
    k : int
        Number of blocks, which divides that of the latents; neighbours share one.

    References
    ----------
    On the Limits of Sparse Autoencoders: A Theoretical Framework and Reweighted Remedy, appendix B.
    """

    capturable = True

    n_kept: int
    competes = True

    def __init__(self, k: int):
        super().__init__()
        self.n_kept = check_integer(k, "GroupTopK: k", 1)

    def check_width(self, n_components: int) -> None:
        """Refuse a number of latents that the blocks do not divide."""
        super().check_width(n_components)
        if n_components % self.n_kept:
            raise ValueError(
                f"GroupTopK: k={self.n_kept} blocks do not divide {n_components} latents; choose a "
                "k that does."
            )

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        chosen = self.select(preactivations)
        return chosen.with_values(chosen.values.relu()).to_dense()

    def select(self, preactivations: Tensor) -> SparseCodes:
        """Return the largest of each block."""
        size = preactivations.shape[1] // self.n_kept
        values, places = preactivations.unflatten(1, (self.n_kept, size)).max(dim=2)
        # Not in place: autograd, which known codes are learned by, keeps the places.
        places = places + torch.arange(self.n_kept, device=places.device).mul_(size)
        return SparseCodes(values, places, preactivations.shape[1])

    def find(self, encoder, X, intercept, workspace):
        """Return the largest of each block, if a screen finds them."""
        found = encoder.screen(X, intercept, self.n_kept, workspace)
        return found and (found[0], found[1].largest(1, n_groups=self.n_kept))

    def extra_repr(self) -> str:
        """Show k when the module is printed."""
        return f"k={self.n_kept}"


class SignedTopK(Activation):
    """Keep the `k` pre-activations of largest magnitude of each sample, with their sign.

    Parameters
    ----------
    k : int
        Number of codes kept a sample.
    """

    capturable = True

    n_kept: int
    competes = True
    is_signed = True

    def __init__(self, k: int):
        super().__init__()
        self.n_kept = check_integer(k, "SignedTopK: k", 1)

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        return self.select(preactivations).to_dense()

    def select(self, preactivations: Tensor) -> SparseCodes:
        """Return the pre-activations of largest magnitude of each row, in no order."""
        places = largest(preactivations.abs(), self.n_kept)[1]
        return SparseCodes(preactivations.gather(1, places), places, preactivations.shape[1])

    def find(self, encoder, X, intercept, workspace):
        """Return those of largest magnitude, if a screen finds them."""
        found = encoder.screen(X, intercept, self.n_kept, workspace)
        return found and (found[0], found[1].largest(self.n_kept, signed=True))

    def extra_repr(self) -> str:
        """Show k when the module is printed."""
        return f"k={self.n_kept}"
