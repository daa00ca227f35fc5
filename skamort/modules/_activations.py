"""Activations: pre-activations (n, n_components) to sparse, non-negative codes of the same shape.

    ReLU:   Z = max(A, 0)
    TopK:   Z = max(A, 0) on the k largest entries of each row of A, 0 elsewhere

Both have dZ/dA = 1[Z > 0], which is what the training step relies on.
"""

from torch import Tensor, nn


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

    def extra_repr(self) -> str:
        """Show k when the module is printed."""
        return f"k={self.k}"
