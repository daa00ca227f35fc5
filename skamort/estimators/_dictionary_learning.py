"""Dictionary learning: online, and by alternating minimization.

Both minimize J(Z, D) = mean_i [ 1/2 ||x_i - z_i D||^2 + alpha ||z_i||_1 ] over codes Z and atoms D
of unit norm, from a given dictionary. Samples with weights count as so many in all sums and means:

    online:     for every mini-batch of b samples, n of them seen before,
                Z <- a solver on J(., D)
                A <- f A + Z^T Z,  B <- f B + Z^T X,  f = (n / (n + b))^6
                D <- exact block-coordinate update for A and B
    alternate:  the same with all samples: Z from the last Z, A = Z^T Z, B = Z^T X

Entries of X that are missing count for nothing in J, and are filled in by Z D in B.

The first is algorithm 1 of Mairal et al. (2010) with its forgetting (section 3.4.2). It comes close
after one pass over the data and then crawls; the second goes on to the minimum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .._rows import Rows
from .._sample_weight import count_of
from ..solvers import FISTA, CoordinateDescent, update_dictionary
from ..training import Plateau
from ._dictionary import drawn_distinct_rows
from ._learned_dictionary import LearnedDictionary
from ._missing import complete, fill_in
from ._statistics import Seen, Statistics

# Inference need not be more exact than the dictionary: a loose gap, or a few warm-started steps,
# win more time an iteration than they lose in the objective's fall.
_INFERENCE = {
    "cd": CoordinateDescent(tol=1e-3, is_guarded=False),
    "fista": FISTA(max_iter=10, tol=1e-5, is_guarded=False),
}
# Where codes do not start from the last ones, a few steps would end far from the best.
_COLD_INFERENCE = {
    "cd": CoordinateDescent(tol=1e-3, is_guarded=False),
    "fista": FISTA(tol=1e-3, is_guarded=False),
}
# Online there is no warm start. Much looser gaps are faster still, but they bias the dictionary.
_ONLINE_INFERENCE = {
    "cd": CoordinateDescent(tol=3e-3, is_guarded=False),
    "fista": FISTA(max_iter=100, tol=3e-3, is_guarded=False),
}
_MOST_MOMENTUM = 0.9
# Iterations over which the objective must fall by `tol` of itself to go on.
_PATIENCE = 10
# Cosines of equal atoms differ from 1 by so many units of rounding at most, and so much of its
# length a sample lacks that is explained.
_ROUNDING = 100
# Atoms whose cosines with all others are held at once.
_COMPARED = 4096
# Codes kept for warm starts, 1 GB of float32; beyond it every pass starts from zero.
_WARM_ELEMENTS = 1 << 28

Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class DictionaryLearner:
    """Learns a dictionary from rows that are read a block at a time.

    Attributes
    ----------
    algorithm : {"cd", "fista"}
        How codes are found.
    alpha : float
        Weight of the L1 penalty.
    positive : bool
        Whether codes are >= 0.
    positive_dict : bool
        Whether entries of the atoms are >= 0.
    batch_size : int
        Samples of a mini-batch online.
    begins_online : bool
        Whether `learn` begins with an online pass.
    max_iter : int
        Maximum number of iterations of `learn`, an online pass being one.
    tol : float
        Converged when the objective has not fallen by this share of itself for ten iterations.
    generator : torch.Generator
        Draws the order of the samples, and atoms in place of unused ones.
    sample_weight : Tensor of shape (n_samples,) or None
        Weights of the rows; None: all weigh 1.
    """

    algorithm: str
    alpha: float
    positive: bool
    positive_dict: bool
    batch_size: int
    begins_online: bool
    max_iter: int
    tol: float
    generator: torch.Generator
    sample_weight: Tensor | None = None

    # What is known of samples from batch to batch, and what is gathered of all of them.
    _seen: ClassVar[type[Seen]] = Statistics
    _gathered: ClassVar[type[Statistics]] = Statistics

    def learn(self, X: Rows, learned: LearnedDictionary) -> None:
        """Learn from the atoms of `learned` on, until neither codes nor dictionary gain."""
        if self.begins_online:
            self._begin(X, learned)
        self.alternate(X, learned)
        self._part_equal(learned.atoms)

    def _begin(self, X: Rows, learned: LearnedDictionary) -> None:
        """Learn online as long as that is faster than to alternate."""
        self.online(X, learned)

    def online(self, X: Rows, learned: LearnedDictionary) -> None:
        """Pass over the data once, updating the dictionary after each mini-batch.

        Blocks of the data, and mini-batches within a block, come in random order. The statistics of
        `learned` go on; the objective recorded is the mean of each mini-batch's before its update.
        """
        total = 0.0
        learned.statistics = self._seen.of(learned.statistics, learned.atoms)
        blocks = self._online_blocks(X, learned.atoms)
        for index in torch.randperm(len(blocks), generator=self.generator).tolist():
            block = self._read(X, blocks[index])
            order = torch.randperm(len(block[0]), generator=self.generator).to(block[0].device)
            for rows in order.split(self.batch_size):
                batch = tuple(part[rows] for part in block)
                total += self._learn_batch(batch, learned.atoms, learned.statistics)
        learned.record(total / count_of(X, self.sample_weight))

    def _read(self, X: Rows, rows: slice) -> tuple[Tensor, ...]:
        """Return rows, and their weights where they have some."""
        weights = self.sample_weight
        return (X[rows],) if weights is None else (X[rows], weights[rows])

    def _blocks(self, X: Rows, atoms: Tensor) -> list[slice]:
        """Return slices of the rows that are read and encoded at once."""
        return X.blocks(len(atoms))

    def _online_blocks(self, X: Rows, atoms: Tensor) -> list[slice]:
        """Return slices of the rows that are shuffled together."""
        return self._blocks(X, atoms)

    def _learn_batch(self, batch: tuple[Tensor, ...], atoms: Tensor, statistics: Any) -> float:
        """Update the atoms in place for one more batch; return its summed objective before."""
        X, *weights = batch
        encode = self._encoder(atoms, _ONLINE_INFERENCE)
        codes = encode(X)
        X = complete(X, codes, atoms)
        losses = self._losses(X, codes, atoms, *weights)
        block, n_samples = (X, codes, *weights), count_of(X, *weights)
        unused = update_online([block], n_samples, atoms, statistics, self.positive_dict)
        self._replace(atoms, unused, X, losses, encode, *weights)
        return float(losses.sum())

    def alternate(self, X: Rows, learned: LearnedDictionary) -> None:
        """Alternate sparse inference and exact dictionary updates.

        Codes start from the last ones where memory allows. The dictionary that inference sees is
        extrapolated along its last move, as in accelerated gradient descent; the momentum restarts
        when the objective rises.
        """
        atoms, n_accelerated = learned.atoms, 0
        codes = self._warm_codes(X, atoms)
        plateau = Plateau(self.tol, _PATIENCE)
        for _ in range(self.max_iter - len(learned.loss_curve)):
            losses, statistics = self._pass(X, codes, atoms)
            objective = float(losses.mean())
            if self.sample_weight is not None:
                objective /= float(self.sample_weight.mean())
            n_accelerated = 0 if objective > learned.objective else n_accelerated + 1
            learned.record(objective)
            previous, learned.atoms = learned.atoms, atoms.clone()
            learned.statistics = self._seen.of(statistics, atoms)
            unused = self._update(learned.atoms, statistics)
            del statistics  # or those of the next pass would stand beside them
            if plateau.reached(objective):
                learned.converged = True
                return
            momentum = min(n_accelerated / (n_accelerated + 3), _MOST_MOMENTUM)
            step = learned.atoms - previous
            atoms = self._normalized(learned.atoms + momentum * step)
            encode = self._encoder(atoms, _COLD_INFERENCE)
            self._replace(atoms, unused, X, losses, encode, self.sample_weight)

    def _warm_codes(self, X: Rows, atoms: Tensor) -> WarmCodes:
        """Return what holds the codes of all samples for the next pass, none yet."""
        blocks = self._blocks(X, atoms)
        return WarmCodes(blocks, len(X) * len(atoms) <= _WARM_ELEMENTS)

    def _update(self, atoms: Tensor, statistics: Statistics) -> Tensor:
        """Update the atoms in place; return which are unused."""
        gram_codes, cross = statistics.gram_codes, statistics.cross
        return update_dictionary(atoms, gram_codes, cross, positive=self.positive_dict)

    def _pass(self, X: Rows, codes: WarmCodes, atoms: Tensor) -> tuple[Tensor, Statistics]:
        """Find the codes of all samples; return the objective of each, and the statistics."""
        statistics, losses = self._gathered.like(atoms), []
        for index, rows in enumerate(codes.blocks):
            block, *weights = self._read(X, rows)
            start = codes[index]
            inference = _COLD_INFERENCE if start is None else _INFERENCE
            found = self._encoder(atoms, inference, start)(block)
            codes[index] = found
            block = complete(block, found, atoms)
            losses.append(self._losses(block, found, atoms, *weights))
            statistics.add(block, found, *weights)
        return torch.cat(losses), statistics

    def _encoder(self, atoms: Tensor, inference: dict, start: Tensor | None = None) -> Encode:
        """Return what finds the codes of samples."""
        solver = inference[self.algorithm]
        settings = {"alpha": self.alpha, "positive": self.positive, "init": start}
        return lambda X: solver.solve(X, atoms, mask=~X.isnan(), **settings).codes

    def _losses(
        self, X: Tensor, codes: Tensor, atoms: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return the objective of each sample, times its weight."""
        residual = torch.addmm(X, codes, atoms, beta=-1)
        losses = 0.5 * residual.square().sum(1) + self.alpha * codes.abs().sum(1)
        return losses if sample_weight is None else losses.mul_(sample_weight)

    def _replace(
        self,
        atoms: Tensor,
        unused: Tensor,
        X: Tensor | Rows,
        losses: Tensor,
        encode: Encode,
        sample_weight: Tensor | None = None,
    ) -> None:
        """Point unused atoms at what badly explained samples lack.

        Distinct samples are drawn with probabilities proportional to their losses. What they lack
        is computed again: residuals of all samples would not fit in memory.
        """
        if len(unused) == 0:
            return
        samples = X[drawn_distinct_rows(X, losses, len(unused), self.generator, sample_weight)]
        if len(samples) == 0:
            return
        images = encode(samples) @ atoms
        samples = fill_in(samples, images)
        directions = self._normalized(samples - images)
        left, whole = (torch.linalg.vector_norm(a, dim=1) for a in (samples - images, samples))
        lack = left > _ROUNDING * torch.finfo(atoms.dtype).eps * whole
        found = lack & (directions != 0).any(1)
        atoms[unused[: len(found)][found]] = directions[found]

    def _part_equal(self, atoms: Tensor) -> None:
        """Give random directions to atoms that equal an earlier one up to rounding.

        They explain nothing that it does not, and codes would not be unique.
        """
        least, later = 1 - _ROUNDING * torch.finfo(atoms.dtype).eps, []
        for start in range(0, len(atoms), _COMPARED):
            cosines = (atoms[start : start + _COMPARED] @ atoms.T).triu(start + 1)
            cosines = cosines if self.positive else cosines.abs_()
            later.append((cosines > least).any(0))
        equal = torch.stack(later).any(0).nonzero().flatten()
        drawn = torch.randn(len(equal), atoms.shape[1], generator=self.generator)
        directions = self._normalized(drawn.to(atoms))
        found = (directions != 0).any(1)
        atoms[equal[found]] = directions[found]

    def _normalized(self, directions: Tensor) -> Tensor:
        """Scale to unit norm, without what atoms must not have; 0 where nothing is left."""
        kept = directions.clamp(min=0) if self.positive_dict else directions
        return nn.functional.normalize(kept, dim=1)


class WarmCodes:
    """The codes of the last pass by block of rows; None where they are not kept."""

    def __init__(self, blocks: list[slice], are_kept: bool):
        self.blocks, self._are_kept = blocks, are_kept
        self._codes: list[Tensor | None] = [None] * len(blocks)

    def __getitem__(self, index: int) -> Tensor | None:
        return self._codes[index]

    def __setitem__(self, index: int, codes: Tensor) -> None:
        if self._are_kept:
            self._codes[index] = codes


def update_online(
    blocks: Iterable[tuple[Tensor, ...]],
    n_samples: float,
    atoms: Tensor,
    statistics: Statistics,
    positive: bool,
) -> Tensor:
    """Update the atoms in place for more samples and their codes, and weights where they have some,
    given in blocks, which count as `n_samples`; return which atoms are unused."""
    statistics.forget(n_samples)
    for block in blocks:
        statistics.add(*block)
    return update_dictionary(atoms, statistics.gram_codes, statistics.cross, positive=positive)
