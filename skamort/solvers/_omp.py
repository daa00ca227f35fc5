"""Orthogonal matching pursuit, plain and order-recursive.

One atom joins the support at a time; then all coefficients of the support are solved again, so that
the residual r = x - z D is orthogonal to it. The next atom is

    OMP    argmax |<d_j, r>|
    ORMP   argmax |<d_j, r>| / ||d_j - P d_j||        P projects on the span of the support

so ORMP takes the atom that lowers the residual most, which finds the exact support more often.
Where positive, only atoms with <d_j, r> > 0 join, and the coefficients are solved under z >= 0: an
atom whose coefficient would become negative leaves the support.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .._threads import run_in_threads
from ._engine import resolve_engine, resolve_n_jobs
from ._ksparse import DEPENDENT, KSparseSolver, refit
from ._omp_gram import pursue_by_gram, sum_of_rows


@dataclass(frozen=True)
class OMP(KSparseSolver):
    """Orthogonal matching pursuit: scikit-learn's ``orthogonal_mp`` for a batch.

    Choose it for a given number of non-zeros. A sample costs one product with the dictionary and,
    with the Gram matrix, n_nonzero_coefs^2 n_components / 2 multiplications; without, one product
    with the dictionary for each non-zero. The Gram matrix is computed for up to 2^14 atoms where
    samples are many.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample; None for a tenth of the features. Fewer come out where the
        residual vanishes, or where no atom correlates with it.
    engine : {"auto", "numba", "torch"}, default="auto"
        Compiled kernels on the CPU, or torch. "auto" takes numba where it is installed and the data
        are on the CPU.
    n_jobs : int, default=None
        Threads of the compiled kernels; None or -1 for as many as torch uses.

    References
    ----------
    Y. Pati, R. Rezaiifar and P. Krishnaprasad, Orthogonal matching pursuit, 1993; R. Rubinstein, M.
    Zibulevsky and M. Elad, Efficient implementation of the K-SVD algorithm using batch orthogonal
    matching pursuit, 2008.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import OMP
    >>> OMP(n_nonzero_coefs=1).solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), positive=False).codes
    tensor([[3., 0.]])
    """

    engine: str = "auto"
    n_jobs: int | None = None
    _recursive: ClassVar[bool] = False

    def _engine_for(self, X: Tensor, gram: Tensor | None) -> str:
        engine = resolve_engine(self.engine, X)
        # The kernels work on rows of the Gram matrix.
        return "torch" if gram is None else engine

    def _gram_pays(self, X: Tensor, dictionary: Tensor) -> bool:
        # Its kernels need it, up to a bound; torch can do with a product a non-zero instead.
        k = self.n_nonzero_coefs or max(X.shape[1] // 10, 1)
        compiled = resolve_engine(self.engine, X) == "numba"
        most = 4 * len(X) + 2048 if compiled else k * len(X)
        return len(dictionary) <= min(most, 1 << 14)

    def _pursue_block(
        self,
        X: Tensor,
        dictionary: Tensor,
        gram: Tensor | None,
        k: int,
        positive: bool,
        codes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        codes.zero_()
        if self._engine_for(X, gram) == "torch":
            if positive:
                return _pursue_positive(X, dictionary, gram, k, self._recursive, codes)
            if gram is not None:
                return pursue_by_gram(X, dictionary, gram, k, self._recursive, codes)
            return _pursue_signed(X, dictionary, k, self._recursive, codes)
        from ._omp_numba import pursue as pursue_compiled

        n_iter = torch.zeros(len(X), dtype=torch.int64)
        residual = torch.zeros(len(X), dtype=torch.float64)
        shared = [a.contiguous().numpy() for a in (dictionary, gram)]
        by_row = [a.contiguous().numpy() for a in (X, X @ dictionary.T, codes, n_iter, residual)]
        run_in_threads(
            lambda rows: pursue_compiled(
                *shared, k, positive, self._recursive, *(a[rows] for a in by_row)
            ),
            len(X),
            resolve_n_jobs(self.n_jobs),
        )
        return n_iter, residual


@dataclass(frozen=True)
class ORMP(OMP):
    """Order-recursive matching pursuit, or orthogonal least squares; what SPAMS calls OMP.

    Choose it over `OMP` where atoms are correlated: for nearly the same cost (twice in torch where
    positive) it finds the exact support more often.

    Parameters
    ----------
    n_nonzero_coefs : int, default=None
        Most non-zeros of a sample; None for a tenth of the features.
    engine : {"auto", "numba", "torch"}, default="auto"
        As for `OMP`.
    n_jobs : int, default=None
        As for `OMP`.

    References
    ----------
    S. Cotter, J. Adler, B. Rao and K. Kreutz-Delgado, Forward sequential algorithms for best basis
    selection, 1999.

    Examples
    --------
    >>> import torch
    >>> from skamort.solvers import ORMP
    >>> ORMP(n_nonzero_coefs=1).solve(torch.tensor([[3.0, 0.5]]), torch.eye(2), positive=True).codes
    tensor([[3., 0.]])
    """

    _recursive: ClassVar[bool] = True


def _pursue_signed(
    X: Tensor, dictionary: Tensor, k: int, recursive: bool, codes: Tensor
) -> tuple[Tensor, Tensor]:
    """Gram-Schmidt on each sample's support, one product q D^T for every atom that joins."""
    n_samples, n_features = X.shape
    eps = torch.finfo(X.dtype).eps
    norms = dictionary.square().sum(dim=1)
    least = DEPENDENT * eps * norms
    c, residual = X @ dictionary.T, X.clone()
    left = norms.expand_as(c).clone() if recursive else None
    floor = (4 * eps) ** 2 * X.square().sum(dim=1)
    basis, y = X.new_zeros(n_samples, k, n_features), X.new_zeros(n_samples, k)
    triangle = torch.eye(k, dtype=X.dtype, device=X.device).repeat(n_samples, 1, 1)
    support = torch.zeros(n_samples, k, dtype=torch.int64, device=X.device)
    n_iter = torch.zeros(n_samples, dtype=torch.int64, device=X.device)
    for step in range(k):
        score = c.abs() if left is None else c.square() / torch.maximum(left, least)
        chosen = score.argmax(dim=1)
        best, atom = c.gather(1, chosen[:, None])[:, 0], dictionary[chosen]
        shares = torch.bmm(basis[:, :step], atom[:, :, None])[:, :, 0]
        q = atom - torch.bmm(shares[:, None, :], basis[:, :step])[:, 0]
        length = q.norm(dim=1)
        live = (best.square() > floor * norms[chosen]) & (length.square() > least[chosen])
        if not live.any():
            break
        q = torch.where(live[:, None], q / length[:, None], 0)
        y[:, step] = (q * residual).sum(dim=1)
        residual = torch.addcmul(residual, y[:, step, None], q, value=-1)
        triangle[:, :step, step] = torch.where(live[:, None], shares, 0)
        triangle[:, step, step] = torch.where(live, length, 1)
        basis[:, step], support[:, step] = q, chosen
        n_iter += live
        share = q @ dictionary.T
        c.addcmul_(y[:, step, None], share, value=-1)
        c.scatter_(1, support[:, : step + 1], 0)
        if left is not None:
            left.addcmul_(share, share, value=-1)
    z = torch.linalg.solve_triangular(triangle, y[:, :, None], upper=True)[:, :, 0]
    codes.scatter_add_(1, support, z)
    return n_iter, residual.double().square().sum(dim=1)


def _pursue_positive(
    X: Tensor, dictionary: Tensor, gram: Tensor | None, k: int, recursive: bool, codes: Tensor
) -> tuple[Tensor, Tensor]:
    """Non-negative least squares on each sample's support after every atom that joins."""
    n_samples = len(X)
    eps = torch.finfo(X.dtype).eps
    norms = dictionary.square().sum(dim=1)
    least = DEPENDENT * eps * norms
    left = norms.expand(n_samples, -1)
    floor = (4 * eps) ** 2 * X.square().sum(dim=1)
    support = torch.zeros(n_samples, 0, dtype=torch.int64, device=X.device)
    active, z = support.bool(), X.new_zeros(n_samples, 0)
    n_iter = torch.zeros(n_samples, dtype=torch.int64, device=X.device)
    start = X @ dictionary.T
    residual, c = X, start
    for _ in range(2 * k):
        score = c.clamp(min=0)
        if recursive:
            score = torch.where(left > least, score.square() / left, 0)
        best, chosen = score.max(dim=1)
        known = c.gather(1, chosen[:, None])[:, 0].square() > floor * norms[chosen]
        live = (best > 0) & known & (active.sum(dim=1) < k)
        if not live.any():
            break
        n_iter += live
        support = torch.cat([support, chosen[:, None]], dim=1)
        active = torch.cat([active, live[:, None]], dim=1)
        atoms = dictionary[support]
        z, active = refit(atoms, X, torch.cat([z, z.new_zeros(n_samples, 1)], dim=1), active, True)
        residual = X - torch.bmm(z[:, None, :], atoms)[:, 0]
        c = residual @ dictionary.T if gram is None else start - sum_of_rows(gram, support, z)
        c.masked_fill_(torch.zeros_like(c).scatter_add_(1, support, active.to(c.dtype)) > 0, 0)
        if recursive:
            left = norms - _explained(atoms * active[:, :, None], dictionary)
    codes.scatter_add_(1, support, z)
    return n_iter, residual.double().square().sum(dim=1)


def _explained(atoms: Tensor, dictionary: Tensor) -> Tensor:
    """||P d_j||^2 for the span of each sample's atoms; zero rows among them do not count."""
    matrix = torch.bmm(atoms, atoms.transpose(1, 2))
    idle = matrix.diagonal(dim1=1, dim2=2) == 0
    jitter = 8 * torch.finfo(atoms.dtype).eps * matrix.diagonal(dim1=1, dim2=2)
    factor = torch.linalg.cholesky_ex(matrix + torch.diag_embed(torch.where(idle, 1, jitter))).L
    basis = torch.linalg.solve_triangular(factor, atoms, upper=False)
    return (basis @ dictionary.T).square().sum(dim=1)
