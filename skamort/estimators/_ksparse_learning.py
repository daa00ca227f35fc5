"""Dictionary learning under k-sparse codes.

Minimizes J(Z, D) = mean_i 1/2 ||x_i - z_i D||^2 over atoms D of unit norm and codes Z with at most
k non-zeros a sample, from a given dictionary:

    online:     for every mini-batch of b samples, n of them seen before, pass after pass,
                Z <- a k-sparse solver on J(., D)
                h <- f h,  f = n / (n + b)
                D <- block-coordinate update for the batch, each atom j held by h_j
                h_j <- h_j + ||z_j||^2
    alternate:  Z of all samples, A = Z^T Z, B = Z^T X, exact block-coordinate updates for A and B

Codes of other supports do not come from the last ones: every pass finds them anew. The method of
optimal directions (Engan, Aase and Husoy, 1999) alternates so with D = pinv(Z) X, K-SVD (Aharon,
Elad and Bruckstein, 2006) updates the codes of an atom along with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .._rows import Rows
from .._sample_weight import count_of
from ..solvers import SOLVERS, update_dictionary_rows
from ._dictionary_learning import DictionaryLearner, Encode, WarmCodes
from ._learned_dictionary import LearnedDictionary
from ._missing import complete
from ._statistics import Seen, SparseStatistics, Statistics, Usage, compact

# A pass online wins more than one that alternates as long as the objective falls by so much.
_ONLINE_GAIN = 0.05
# Visits of all atoms for the same codes, which cost more than a visit.
_SWEEPS = 2


@dataclass(frozen=True, kw_only=True)
class KSparseLearner(DictionaryLearner):
    """Learns a dictionary under codes with few non-zeros.

    Attributes
    ----------
    algorithm : str
        The k-sparse solver that finds the codes.
    n_nonzero_coefs : int
        Most non-zeros of a sample.
    """

    n_nonzero_coefs: int
    alpha: float = 0.0

    _seen: ClassVar[type[Seen]] = Usage
    _gathered: ClassVar[type[Statistics]] = SparseStatistics

    def _begin(self, X: Rows, learned: LearnedDictionary) -> None:
        for _ in range(self.max_iter):
            before = learned.objective
            self.online(X, learned)
            if learned.objective > (1 - _ONLINE_GAIN) * before:
                break

    def _blocks(self, X: Rows, atoms: Tensor) -> list[slice]:
        # Solvers prepare the dictionary for every block anew.
        return X.blocks(len(atoms), least=len(atoms))

    def _online_blocks(self, X: Rows, atoms: Tensor) -> list[slice]:
        # Codes are held for a mini-batch, so blocks need not be small.
        is_held = isinstance(X.source, Tensor)
        return X.blocks(least=len(X) if is_held else len(atoms))

    def _learn_batch(self, batch: tuple[Tensor, ...], atoms: Tensor, statistics: Usage) -> float:
        X, *weights = batch
        encode = self._encoder(atoms)
        codes = encode(X)
        X = complete(X, codes, atoms)
        losses = self._losses(X, codes, atoms, *weights)
        statistics.forget(count_of(X, *weights))
        update_dictionary_rows(
            atoms, X, codes, inertia=statistics.energy,
            sample_weight=weights[0] if weights else None, positive=self.positive_dict,
        )  # fmt: skip
        statistics.add(X, codes, *weights)
        unused = (statistics.energy <= 0).nonzero().flatten()
        self._replace(atoms, unused, X, losses, encode, *weights)
        return float(losses.sum())

    def _losses(
        self, X: Tensor, codes: Tensor, atoms: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        losses = 0.5 * compact(codes).residual(atoms, X).square().sum(1)
        return losses if sample_weight is None else losses.mul_(sample_weight)

    def _warm_codes(self, X: Rows, atoms: Tensor) -> WarmCodes:
        return WarmCodes(self._blocks(X, atoms), are_kept=False)

    def _update(self, atoms: Tensor, statistics: Statistics) -> Tensor:
        for _ in range(_SWEEPS - 1):
            super()._update(atoms, statistics)
        return super()._update(atoms, statistics)

    def _encoder(
        self,
        atoms: Tensor,
        inference: dict | None = None,  # noqa: ARG002  (one for all)
        start: Tensor | None = None,  # noqa: ARG002  (there is none)
    ) -> Encode:
        solver = SOLVERS[self.algorithm](**{"n_nonzero_coefs": self.n_nonzero_coefs})
        return lambda X: solver.solve(X, atoms, positive=self.positive, mask=~X.isnan()).codes
