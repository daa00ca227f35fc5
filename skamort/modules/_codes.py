"""Codes in two layouts, and the products that a training step takes with them.

    residual            R = s (Z D - X)                      (n, n_features)
    transposed product  Z^T Y                                (n_components, n_features)
    gradient            G = (Y D^T + penalty) * 1[Z != 0]    the layout of Z

`DenseCodes` holds Z (n, n_components) as it is. `SparseCodes` holds k values and indices a row:
every product then touches k atoms a sample instead of all. Decoding is a weighted sum of atoms for
each sample, the transposed product a weighted sum of samples for each latent, the gradient a few
scalar products with atoms for each sample; `_sparse_products` takes them.

Under autocast dense products are taken in half precision; what comes out has the dtype of X or Y.
"""

from copy import copy
from functools import cached_property
from typing import NamedTuple, Self

import torch
from scipy import sparse
from torch import Tensor

from ._constants import constant, numbers_below
from ._sparse_products import masked_sums, sampled_products, sums_by_latent, weighted_sums

# Sparse products win from about this many components for one active code on, by a wide margin at
# the widths of real models; on one CPU core by a third to a half here (benchmarks/table_layouts.py,
# which has not run on a GPU yet).
_COMPONENTS_PER_CODE = {"cpu": 16, "cuda": 16}

_BLOCK_ROWS = 32

# What a product finds in passing, by the method that hands it out, once: who gets it may change it.
Found = dict[str, Tensor]


def sparse_pays(k: float, n_components: int, device: str = "cpu") -> bool:
    """Tell whether k codes a sample are few enough for the sparse layout to be the faster one on a
    kind of device."""
    return k * _COMPONENTS_PER_CODE[device] <= n_components


class DenseCodes:
    """Codes held as a matrix.

    Parameters
    ----------
    values : Tensor of shape (n, n_components)
        The codes.
    signed : bool, default=False
        Whether some may be below 0.
    """

    def __init__(self, values: Tensor, signed: bool = False):
        self.values = values
        self.signed = signed
        self._found: Found = {}

    def with_values(self, values: Tensor) -> "DenseCodes":
        """Return other codes of the same layout."""
        return DenseCodes(values, self.signed)

    def of_latents(self, numbers: Tensor) -> Tensor:
        """Return numbers of the latents, (n_components,), so that they go with the values."""
        return numbers

    def to_dense(self) -> Tensor:
        """Return the codes as a tensor of shape (n, n_components)."""
        return self.values

    def to_csr(self) -> sparse.csr_array:
        """Return the non-zero codes as a SciPy CSR array."""
        rows, columns = self.values.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(self.values))
        return to_csr(self.values[rows, columns], columns, counts, self.values.shape)

    def keep_largest(self, k: int) -> "DenseCodes":
        """Return the k largest codes of each row; the others become 0."""
        values, indices = self.values.topk(k, dim=1, sorted=False)
        return DenseCodes(SparseCodes(values, indices, self.values.shape[1]).to_dense())

    def sum(self, sample_weight: Tensor | None = None) -> Tensor:
        """Return the sum of all codes, each times its sample's weight, a scalar tensor."""
        return _total(self.values, sample_weight)

    def column_sums(self) -> Tensor:
        """Return the sum of each latent's codes, of shape (n_components,)."""
        found = self._found.pop("column_sums", None)
        return self.values.sum(0) if found is None else found

    def firing_counts(self) -> Tensor:
        """Return how many samples each latent is active on, int64 of shape (n_components,)."""
        if self.values.device.type != "cpu":
            found = self._found.pop("firing_counts", None)
            return self.values.count_nonzero(0) if found is None else found
        # Signs, since sums of floats beat booleans'; by blocks of rows, which stay in the cache.
        blocks = self.values.split(_BLOCK_ROWS)
        zero = self.values.new_zeros(self.values.shape[1])
        return sum((rows.sign().abs_().sum(0) for rows in blocks), zero).long()

    def residual(self, dictionary: Tensor, X: Tensor, scale: float = 1.0) -> Tensor:
        """Return scale * (Z D - X)."""
        if X.is_cuda and not torch.is_autocast_enabled("cuda"):  # fewer operators
            return torch.addmm(X, self.values, dictionary, beta=-scale, alpha=scale)
        residual = (self.values @ dictionary).to(X.dtype).sub_(X)
        return residual if scale == 1 else residual.mul_(scale)

    def transposed_product(self, Y: Tensor, out: Tensor | None = None) -> Tensor:
        """Return Z^T Y; it may take the memory of `out`, of the same shape."""
        return _product(self.values.T, Y, out)

    def gradient(
        self, Y: Tensor, dictionary: Tensor, penalty: float | Tensor, out: Tensor | None = None
    ) -> "DenseCodes":
        """Return (Y D^T + penalty) where a code is not 0, 0 elsewhere.

        The penalty is a number, or one a row, (n, 1). The values may take the memory of `out`, of
        the shape of `values`.
        """
        gradient = self._code_gradient(Y, dictionary, penalty, out)
        found, masked = masked_sums(gradient, self.values), DenseCodes(gradient)
        if found is not None:
            of_gradient, self._found["column_sums"], self._found["firing_counts"] = found
            masked._found["column_sums"] = of_gradient
            return masked
        sizes = self.values.abs() if self.signed else self.values
        # The operator behind ReLU's backward pass, in place.
        torch.ops.aten.threshold_backward(gradient, sizes, 0, grad_input=gradient)
        return masked

    def _code_gradient(self, Y, dictionary, penalty, out):
        """Return Y D^T + penalty."""
        is_priced = isinstance(penalty, Tensor) or penalty
        if is_priced and Y.is_cuda and not torch.is_autocast_enabled("cuda"):  # one operator less
            if not isinstance(penalty, Tensor):
                penalty = constant(penalty, (len(dictionary),), Y)
            return torch.addmm(penalty, Y, dictionary.T)
        gradient = _product(Y, dictionary.T, out)
        return gradient.add_(penalty) if is_priced else gradient


class ByLatent(NamedTuple):
    """Codes sorted by latent.

    Attributes
    ----------
    order : Tensor of shape (n_codes,), int64
        Their places among all.
    samples : Tensor of shape (n_codes,), int64
        Their rows.
    latents : Tensor of shape (n_codes,), int32
        Their latents.
    offsets : Tensor of shape (n_components + 1,), int64
        Where those of each latent begin, and where the last ones end.
    """

    order: Tensor
    samples: Tensor
    latents: Tensor
    offsets: Tensor


class SparseCodes:
    """Codes held as k values and indices a row.

    Parameters
    ----------
    values : Tensor of shape (n, k)
        The codes that may differ from 0.
    indices : Tensor of shape (n, k), int64
        Their latents, all different in a row.
    n_components : int
        Number of latents.
    """

    def __init__(self, values: Tensor, indices: Tensor, n_components: int):
        self.values = values
        self.indices = indices
        self.n_components = n_components
        self._found: Found = {}

    @cached_property
    def offsets(self) -> Tensor:
        """Where the codes of each row begin, and where the last ones end, (n + 1,), int64."""
        n, k = self.indices.shape
        return numbers_below(n * k + 1, k, device=self.indices.device)

    @cached_property
    def rows(self) -> Tensor:
        """The row of each code, of all n k in their order."""
        n, k = self.indices.shape
        return numbers_below(n, device=self.indices.device).repeat_interleave(k)

    def with_values(self, values: Tensor) -> Self:
        """Return other codes of the same layout."""
        codes = copy(self)
        codes.values, codes._found = values, {}
        codes.__dict__.pop("_values_by_latent", None)
        return codes

    def of_latents(self, numbers: Tensor) -> Tensor:
        """Return numbers of the latents, (n_components,), so that they go with the values."""
        return numbers[self.indices]

    def to_dense(self) -> Tensor:
        """Return the codes as a tensor of shape (n, n_components)."""
        codes = self.values.new_zeros(len(self.values), self.n_components)
        return codes.scatter_(1, self.indices, self.values)

    def to_csr(self) -> sparse.csr_array:
        """Return the non-zero codes as a SciPy CSR array, columns in order."""
        columns, order = self.indices.sort(dim=1)
        values = self.values.gather(1, order)
        kept = values != 0
        return to_csr(values[kept], columns[kept], kept.sum(1), (len(values), self.n_components))

    def keep_largest(self, k: int) -> "SparseCodes":
        """Return the k largest codes of each row."""
        values, places = self.values.topk(k, dim=1, sorted=False)
        return SparseCodes(values, self.indices.gather(1, places), self.n_components)

    def sum(self, sample_weight: Tensor | None = None) -> Tensor:
        """Return the sum of all codes, each times its sample's weight, a scalar tensor."""
        return _total(self.values, sample_weight)

    def column_sums(self) -> Tensor:
        """Return the sum of each latent's codes, of shape (n_components,)."""
        if "column_sums" in self._found:
            return self._found.pop("column_sums")
        values = self.values.reshape(-1)
        if values.is_cuda:  # which adds in any order where it adds at places
            values, offsets = self._values_by_latent, self.by_latent.offsets
            # Unsafe: it takes the offsets as they are, for to look would make it wait.
            return torch.segment_reduce(values, "sum", offsets=offsets, unsafe=True)
        sums = values.new_zeros(self.n_components)
        return sums.index_add_(0, self.indices.reshape(-1), values)

    def firing_counts(self) -> Tensor:
        """Return how many samples each latent is active on, int64 of shape (n_components,)."""
        if "firing_counts" in self._found:
            return self._found.pop("firing_counts")
        active = self.values.sign().abs_().reshape(-1)
        return _counts(self.indices.reshape(-1), self.n_components, active)

    def residual(self, dictionary: Tensor, X: Tensor, scale: float = 1.0) -> Tensor:
        """Return scale * (Z D - X)."""
        return self._decode(dictionary, X, scale)

    def decode(self, dictionary: Tensor) -> Tensor:
        """Return Z D."""
        return self._decode(dictionary, None, 1.0)

    def _decode(self, dictionary: Tensor, minus: Tensor | None, scale: float) -> Tensor:
        atoms, weights = self.indices.reshape(-1), self.values.reshape(-1)
        return weighted_sums(weights, atoms, self.offsets, dictionary, minus=minus, scale=scale)

    def sample(self, Y: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the entries of Y matrix^T + bias, (n, n_components), where codes are held."""
        return sampled_products(self, Y, matrix, bias).view(self.indices.shape)

    def transposed_product(self, Y: Tensor, out: Tensor | None = None) -> Tensor:
        """Return Z^T Y; it may take the memory of `out`, of the same shape."""
        found = sums_by_latent(self, Y)
        if found is not None:
            sums, self._found["column_sums"], self._found["firing_counts"] = found
            return sums
        _, samples, _, offsets = self.by_latent
        return weighted_sums(self._values_by_latent, samples, offsets, Y, out)

    def gradient(
        self,
        Y: Tensor,
        dictionary: Tensor,
        penalty: float | Tensor,
        out: Tensor | None = None,  # noqa: ARG002
    ) -> Self:
        """Return (Y D^T + penalty) where a code is not 0, 0 elsewhere; `out` is ignored."""
        if not isinstance(penalty, Tensor) and not penalty:
            products = sampled_products(self, Y, dictionary, is_masked=True)
            return self.with_values(products.view(self.indices.shape))
        products = self.sample(Y, dictionary)
        products.add_(self._by_row(penalty) if isinstance(penalty, Tensor) else penalty)
        return self.with_values(products.mul_(self.values != 0))

    def _by_row(self, numbers: Tensor) -> Tensor:
        """Return numbers of the rows, (n, 1), so that they go with the values."""
        return numbers

    @cached_property
    def by_latent(self) -> ByLatent:
        """The codes sorted by latent."""
        latents = self.indices.reshape(-1).to(torch.int32)  # half as wide sorts twice as fast
        ordered, order = latents.sort(stable=True)
        if latents.is_cuda:  # fewer operators
            bounds = numbers_below(
                self.n_components + 1, device=latents.device, dtype=latents.dtype
            )
            offsets = torch.searchsorted(ordered, bounds)
        else:
            offsets = latents.new_zeros(self.n_components + 1, dtype=torch.int64)
            torch.cumsum(_counts(latents, self.n_components), 0, out=offsets[1:])
        return ByLatent(order, self._rows_of(order), ordered, offsets)

    @cached_property
    def _values_by_latent(self) -> Tensor:
        return self.values.reshape(-1)[self.by_latent.order]

    def _rows_of(self, places: Tensor) -> Tensor:
        """Return the rows to which codes belong, given their places among all."""
        return places // self.indices.shape[1]


def _total(values: Tensor, sample_weight: Tensor | None) -> Tensor:
    return values.sum() if sample_weight is None else sample_weight @ values.sum(1)


def _counts(numbers: Tensor, n_numbers: int, weights: Tensor | None = None) -> Tensor:
    """Return how often each number below `n_numbers` occurs, int64; weights are 0 or 1."""
    if not numbers.is_cuda:
        return torch.bincount(numbers, weights, minlength=n_numbers).long()
    ones = torch.ones_like(numbers) if weights is None else weights
    counts = numbers.new_zeros(n_numbers, dtype=torch.int64)
    return counts.index_add_(0, numbers, ones.long())  # bincount makes a GPU wait


def _product(A: Tensor, B: Tensor, out: Tensor | None) -> Tensor:
    """Return A B, in the dtype of A."""
    if out is None or torch.is_autocast_enabled(A.device.type):
        return (A @ B).to(A.dtype)
    return torch.mm(A, B, out=out)


def to_csr(values: Tensor, columns: Tensor, counts: Tensor, shape: tuple) -> sparse.csr_array:
    """Assemble a CSR array from its entries row by row and the number of them in each row."""
    indptr = torch.zeros(len(counts) + 1, dtype=torch.int32)
    torch.cumsum(counts.cpu(), 0, dtype=torch.int32, out=indptr[1:])
    indices = columns.to(torch.int32).cpu()
    return sparse.csr_array((values.cpu().numpy(), indices.numpy(), indptr.numpy()), shape)
