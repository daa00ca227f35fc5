"""Products of codes with matrices, of sparse ones as lists of rows, by whichever engine takes them
fastest.

On the CPU compiled kernels take them, where numba is installed; on a GPU those of Triton; else, and
where gradients are asked for, operators of torch, those of `embedding_bag`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from .._numba import has_numba
from .._threads import run_in_threads
from .._triton import attempt, has_triton

if TYPE_CHECKING:
    from ._codes import SparseCodes

# Products that are worth loading the kernels of numba.
_FEWEST_PRODUCTS = 1 << 20

_SUM = 0  # the mode of embedding_bag, as its operators number it


def weighted_sums(
    weights: Tensor,
    rows: Tensor,
    offsets: Tensor,
    matrix: Tensor,
    out: Tensor | None = None,
    minus: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """Return weighted sums of rows of a matrix.

    Parameters
    ----------
    weights : Tensor of shape (n_terms,)
        Weight of each term.
    rows : Tensor of shape (n_terms,), int64
        Row of each term.
    offsets : Tensor of shape (n_sums + 1,), int64
        Where the terms of each sum begin, and where the last ones end.
    matrix : Tensor of shape (n_rows, n_features)
        The rows.
    out : Tensor of shape (n_sums, n_features), optional
        Memory that the result may take.
    minus : Tensor of shape (n_sums, n_features), optional
        What is subtracted from the sums.
    scale : float, default=1.0
        What the difference is multiplied by.

    Returns
    -------
    Tensor of shape (n_sums, n_features)
        The sums.
    """
    engine = _engine(len(rows), matrix, weights)
    if engine == "triton" and (minus is None or minus.is_contiguous()):
        sums = _by_triton("sum_rows", weights, rows, offsets, matrix, minus, scale)
        if sums is not None:
            return sums
    if engine == "numba":
        sums = _weighted_sums_compiled(weights, rows, offsets, matrix, out)
    else:
        sums = embedding_bag(
            rows, matrix, offsets, per_sample_weights=weights, mode="sum", include_last_offset=True
        )
    difference = sums if minus is None else sums.sub_(minus)
    return difference if scale == 1 else difference.mul_(scale)


def sampled_products(
    codes: SparseCodes,
    Y: Tensor,
    matrix: Tensor,
    bias: Tensor | None = None,
    is_masked: bool = False,
) -> Tensor:
    """Return the entries of Y matrix^T + bias, (n, n_components), where codes are held.

    Parameters
    ----------
    codes : SparseCodes
        They say which entries.
    Y : Tensor of shape (n, n_features)
        Rows.
    matrix : Tensor of shape (n_components, n_features)
        More rows.
    bias : Tensor of shape (n_components,), optional
        What is added.
    is_masked : bool, default=False
        Whether entries where a code is 0 are to become 0.

    Returns
    -------
    Tensor of shape (n_codes,)
        The entries, in the order of the codes.
    """
    indices, values = codes.indices.reshape(-1), codes.values.reshape(-1)
    kept = values if is_masked else None
    engine = _engine(len(indices), Y, matrix)
    if engine == "triton":
        products = _by_triton("multiply_rows", Y, matrix, indices, codes.offsets, bias, kept)
        if products is not None:
            return products
    if engine == "numba":
        products = _sampled_products_compiled(Y, matrix, indices, codes.offsets)
    else:
        # The operator behind embedding_bag's backward pass: autograd would decode first.
        products = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            Y, matrix, indices, codes.offsets[:-1], codes.rows, _SUM
        )
    if bias is not None:
        products.add_(bias[indices])
    return products if kept is None else products.mul_(kept != 0)


def sums_by_latent(codes: SparseCodes, Y: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return what `_codes_triton.sum_by_latent` does, where it runs: Z^T Y, and the sum of each
    latent's codes and on how many samples it is active; else None."""
    if _engine(codes.indices.numel(), Y, codes.values) != "triton":
        return None
    return _by_triton("sum_by_latent", codes.values.reshape(-1), *codes.by_latent, Y)


def masked_sums(gradient: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Do what `_dense_triton.mask` does, where it runs: set a gradient to 0 where a code is, and
    return by latent its sums, those of the codes, and how many are not 0; else return None."""
    if _engine(len(codes), gradient, codes) != "triton":
        return None

    def run() -> tuple[Tensor, Tensor, Tensor]:
        from ._dense_triton import mask

        return mask(gradient, codes)

    return attempt(run, codes.device)


def _engine(n_rows: int, matrix: Tensor, other: Tensor) -> str:
    """Name the engine for a product that reads so many rows of a matrix."""
    if (
        torch.is_grad_enabled()
        or matrix.dtype != other.dtype
        or matrix.dtype not in (torch.float32, torch.float64)
        or not (matrix.is_contiguous() and other.is_contiguous())
    ):
        return "torch"
    if matrix.device.type == "cpu":
        pays = n_rows * matrix.shape[1] >= _FEWEST_PRODUCTS
        return "numba" if pays and has_numba() else "torch"
    return "triton" if has_triton(matrix.device) else "torch"


def _by_triton(name: str, *arguments: Any) -> Any:
    """Return the result of a function of `_codes_triton`, or None where it fails."""

    def run() -> Any:
        from . import _codes_triton

        return getattr(_codes_triton, name)(*arguments)

    return attempt(run, arguments[0].device)


def _weighted_sums_compiled(
    weights: Tensor, rows: Tensor, offsets: Tensor, matrix: Tensor, out: Tensor | None
) -> Tensor:
    from ._codes_numba import sum_rows

    n_sums = len(offsets) - 1
    sums = matrix.new_empty(n_sums, matrix.shape[1]) if out is None else out
    w, r, o, m, s = (t.detach().numpy() for t in (weights, rows, offsets, matrix, sums))

    def add(part):
        sum_rows(w, r, o[part.start : part.stop + 1], m, s[part])

    run_in_threads(add, n_sums, torch.get_num_threads())
    return sums


def _sampled_products_compiled(
    Y: Tensor, matrix: Tensor, indices: Tensor, offsets: Tensor
) -> Tensor:
    from ._codes_numba import multiply_rows

    products = Y.new_empty(len(indices))
    y, m, i, o, p = (t.detach().numpy() for t in (Y, matrix, indices, offsets, products))

    def multiply(part):
        multiply_rows(y[part], m, i, o[part.start : part.stop + 1], p)

    run_in_threads(multiply, len(Y), torch.get_num_threads())
    return products
