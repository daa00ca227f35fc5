"""Activations: pre-activations (n, n_components) to sparse, non-negative codes of the same shape.

    ReLU:   Z = max(A, 0)
    TopK:   Z = max(A, 0) on the k largest entries of each row of A, 0 elsewhere

Both have dZ/dA = 1[Z > 0], which is what the training step relies on.
"""

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from .._threads import run_in_threads

_BLOCK = 8
# The compiled kernel takes rows at least this much wider than k, and enough of them that loading it
# is worth while.
_COLUMNS_PER_CODE = 16
_FEWEST_ELEMENTS = 1 << 17
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


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
    hold the k largest entries; finding those first halves the time on wide rows. On the CPU, where
    numba is installed, a compiled kernel does the same several times faster.
    """
    is_wide = A.shape[1] >= k * _COLUMNS_PER_CODE and A.numel() >= _FEWEST_ELEMENTS
    if is_wide and A.device.type == "cpu" and A.is_contiguous() and has_numba():
        return _largest_compiled(A, k)
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


def _largest_compiled(A: Tensor, k: int) -> tuple[Tensor, Tensor]:
    from ._topk_numba import select_rows

    columns = torch.empty(len(A), k, dtype=torch.int64)
    bits, out = A.detach().view(_BITS[A.itemsize]).numpy(), columns.numpy()
    run_in_threads(
        lambda rows: select_rows(bits[rows], k, out[rows]), len(A), torch.get_num_threads()
    )
    return A.gather(1, columns), columns


@cache
def has_numba() -> bool:
    """Tell whether there are compiled kernels."""
    return find_spec("numba") is not None
