"""Activations: pre-activations A (n, n_components) to sparse, non-negative codes Z of that shape.

    ReLU:   Z = max(A, 0)
    TopK:   Z = max(A, 0) on the k largest entries of each row of A, 0 elsewhere

Both have dZ/dA = 1[Z > 0]. `Activation` is the contract, for these and for others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from .._given import described
from .._numba import has_numba
from .._threads import run_in_threads
from .._triton import attempt, has_triton
from .._validation import check_integer
from ._codes import SparseCodes

if TYPE_CHECKING:
    from ._encoders import Encoder
    from ._workspace import Workspace

_BLOCK = 8
# The compiled kernel takes rows at least this much wider than k, and enough of them that loading it
# is worth while.
_COLUMNS_PER_CODE = 16
_FEWEST_ELEMENTS = 1 << 17
# Below it a pass over a matrix on a GPU takes less than the launch of an operator, about 5 us.
_FEWEST_ON_GPU = 1 << 22
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Activation(nn.Module):
    """Base of the activations: what training asks of one, and the answers of a plain one.

    A subclass gives `forward`. The rest is for those that differ: `nn.Module.training` tells
    training from use, and buffers and parameters are saved with the model.

    Attributes
    ----------
    n_kept : int or None
        Most codes that are active in a row, if the activation sets a limit.
    n_active : int or None
        Codes that are active in a row on average, if the activation knows: `n_kept`, where there is
        such a limit. It then offers `select`, and the sparse layout of codes where that pays.
    competes : bool
        Whether the latents of a row compete, so that to scale one changes which others win.
    is_masked : bool
        Whether dZ/dA is 1 where a code is not 0 and 0 elsewhere. Others give `backward`.
    is_signed : bool
        Whether codes may be below 0.
    offers : frozenset of str
        What losses and callbacks may require of it, by name.
    sample_weight : Tensor of shape (n,) or None
        Weights of the rows at hand, where training has some: for activations whose codes depend on
        the batch.
    batched : tuple of str or None
        Names of attributes that must be equal in activations for `training.batched` to train their
        models together; None, as for all of other packages, where its maths is not in there. It
        speaks of this class alone, for a subclass may compute something else.
    capturable : bool
        As `Encoder.capturable`.
    """

    n_kept: int | None = None
    competes: ClassVar[bool] = False
    is_masked: ClassVar[bool] = True
    is_signed: ClassVar[bool] = False
    offers: ClassVar[frozenset[str]] = frozenset()
    batched: ClassVar[tuple[str, ...] | None] = None
    capturable: ClassVar[bool] = False
    sample_weight: Tensor | None = None

    @property
    def n_active(self) -> int | None:
        """Codes that are active in a row on average, if the activation knows."""
        return self.n_kept

    def __call__(self, preactivations: Tensor) -> Tensor:
        """Return what `forward` does, of pre-activations that it can take."""
        if not isinstance(preactivations, Tensor) or not preactivations.is_floating_point():
            raise TypeError(
                f"{type(self).__name__}: pre-activations must be a tensor of floats, got "
                f"{described(preactivations)}; convert them, for example with .float()."
            )
        self.check_width(preactivations.shape[-1])
        return super().__call__(preactivations)

    def check_width(self, n_components: int) -> None:
        """Refuse a number of latents that it cannot have.

        Raises
        ------
        ValueError
            If it keeps more codes than that, or has parameters for another number of latents.
        """
        name = type(self).__name__
        if self.n_kept is not None and self.n_kept > n_components:
            raise ValueError(
                f"{name}: it keeps {self.n_kept} codes, but there are {n_components} latents; "
                f"choose k <= {n_components}."
            )
        for parameter in self._parameters.values():
            shape = () if parameter is None else parameter.shape  # of a number for all: ()
            if shape and shape[0] != n_components:
                raise ValueError(
                    f"{name}: it has parameters of {shape[0]} latents, but there are "
                    f"{n_components}; make it with n_components={n_components}."
                )

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes >= 0 of the shape of `preactivations`."""
        raise NotImplementedError(f"{type(self).__name__} gives no codes; define its forward.")

    def select(self, preactivations: Tensor) -> SparseCodes:
        """Return the pre-activations that are kept, which may be below 0."""
        raise NotImplementedError(
            f"{type(self).__name__} limits no number of codes; take its codes as a matrix."
        )

    def backward(self, preactivations: Tensor, codes: Tensor, code_grad: Tensor) -> Tensor:
        """Return dL/dA, given dL/dZ; add the gradients of parameters of the activation's own.

        Asked where `is_masked` is false; all tensors have the shape of `preactivations`.
        """
        raise NotImplementedError

    def find(
        self,
        encoder: Encoder,  # noqa: ARG002
        X: Tensor,  # noqa: ARG002
        intercept: Tensor | None,  # noqa: ARG002
        workspace: Workspace,  # noqa: ARG002
    ) -> tuple[Tensor, SparseCodes] | None:
        """Return centered data and the codes that are kept, if the encoder finds them without
        computing all pre-activations: see `Encoder.screen`."""
        return None

    def rescale(self, scale: Tensor | float) -> None:
        """Follow pre-activations that are multiplied by a factor, or by one for each latent."""

    def restart(self, latents: Tensor) -> None:
        """Forget what was learned of some latents, which start anew.

        Parameters of an activation have an entry for each latent.
        """

    def units(self) -> dict[nn.Parameter, int]:
        """Return the power of the data's unit that a parameter has, for those with a unit."""
        return {}


class ReLU(Activation):
    """Clip pre-activations at zero."""

    capturable = True

    batched = ()

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        return preactivations.relu()


class TopK(Activation):
    """Keep the `k` largest pre-activations of each sample, clipped at zero.

    Parameters
    ----------
    k : int
        Number of codes kept a sample; at most as many are non-zero.

    References
    ----------
    Gao et al. (2024), Scaling and evaluating sparse autoencoders, section 2.3.
    """

    capturable = True

    n_kept: int
    competes = True
    offers = frozenset({"n_kept"})
    batched = ()

    def __init__(self, k: int):
        super().__init__()
        self.n_kept = check_integer(k, "TopK: k", 1)

    def forward(self, preactivations: Tensor) -> Tensor:
        """Return codes of the shape of `preactivations`."""
        if preactivations.is_cuda and preactivations.ndim == 2:
            values, indices = largest(preactivations, self.n_kept)
        else:
            values, indices = preactivations.topk(self.n_kept, dim=-1, sorted=False)
        codes = preactivations.new_zeros(preactivations.shape)
        return codes.scatter_(-1, indices, values.relu())

    def select(self, preactivations: Tensor) -> SparseCodes:
        """Return the k largest pre-activations of each row, in no order."""
        return SparseCodes(*largest(preactivations, self.n_kept), preactivations.shape[1])

    def find(self, encoder, X, intercept, workspace):
        """Return the k largest, in order, if a screen finds them."""
        found = encoder.screen(X, intercept, self.n_kept, workspace)
        return found and (found[0], found[1].largest(self.n_kept))

    def extra_repr(self) -> str:
        """Show k when the module is printed."""
        return f"k={self.n_kept}"


def largest(A: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest values of each row and their columns, in no order.

    `torch.topk` looks at every entry twice. Among blocks of columns, the k with the largest maxima
    hold the k largest entries; finding those first halves the time on wide rows. Kernels do the
    same several times faster: on the CPU where numba is installed, on a GPU where Triton is.
    """
    is_wide = A.shape[1] >= k * _COLUMNS_PER_CODE and A.numel() >= _FEWEST_ELEMENTS
    if is_wide and A.device.type == "cpu" and A.is_contiguous() and has_numba():
        return _largest_compiled(A, k)
    found = _largest_by_triton(A, k)
    if found is not None:
        return found
    stride = A.shape[1] // _BLOCK
    is_launched = A.is_cuda and A.numel() < _FEWEST_ON_GPU  # which takes longer than to look twice
    if stride < 4 * k or is_launched:
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


def _largest_by_triton(A: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """Return what `largest` does, if a kernel on a GPU takes it."""
    if torch.is_grad_enabled() or not A.is_contiguous() or not has_triton(A.device):
        return None

    def run() -> tuple[Tensor, Tensor] | None:
        from ._topk_triton import select_rows, takes

        return select_rows(A, k) if takes(A, k) else None

    return attempt(run, A.device)
