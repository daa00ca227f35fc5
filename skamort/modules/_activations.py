"""Activations: pre-activations (n, n_components) to sparse, non-negative codes of the same shape.

    ReLU:   Z = max(A, 0)
    TopK:   Z = max(A, 0) on the k largest entries of each row of A, 0 elsewhere

Both have dZ/dA = 1[Z > 0], which is what the training step relies on.
"""

import torch
from torch import Tensor, nn

_BLOCK = 8


class TopK(nn.Module):
    """Keep the `k` largest pre-activations of each sample, clipped at zero.

    Parameters
    ----------
    k : int
        Number of codes kept a sample; at most as many are non-zero.

    References
    ----------
    Gao et al. (2024), Scaling and evaluating sparse autoencoders, section 2.3.
    """

    def __init__(self, k: int):
        super().__init__()
        self.k = k

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        values, indices = preactivations.topk(self.k, dim=-1, sorted=False)
        codes = preactivations.new_zeros(preactivations.shape)
        return codes.scatter_(-1, indices, values.relu())

    def select(self, preactivations: Tensor) -> tuple[Tensor, Tensor]:
        """Return the k largest pre-activations of each row and their columns, in no order."""
        return largest(preactivations, self.k)

    def extra_repr(self) -> str:
        """Show k when the module is printed."""
        return f"k={self.k}"


def largest(A: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest values of each row and their columns, in no order.

    `torch.topk` looks at every entry twice. Among blocks of columns, the k with the largest maxima
    hold the k largest entries; finding those first halves the time on wide rows.
    """
    stride = A.shape[1] // _BLOCK
    if stride < 4 * k:
        return A.topk(k, dim=1, sorted=False)
    # A block is every stride-th column, so that its maximum is an elementwise one of long rows.
    maxima = A[:, : _BLOCK * stride].unflatten(1, (_BLOCK, stride)).amax(1)
    blocks = maxima.topk(k, dim=1, sorted=False).indices
    firsts = torch.arange(0, _BLOCK * stride, stride, device=A.device).unsqueeze(1)
    columns = (firsts + blocks.unsqueeze(1)).flatten(1)
    rest = torch.arange(_BLOCK * stride, A.shape[1], device=A.device).expand(len(A), -1)
    columns = torch.cat([columns, rest], dim=1)
    values, places = A.gather(1, columns).topk(k, dim=1, sorted=False)
    return values, columns.gather(1, places)
