"""Dictionary learning: online, by alternating minimization, and by the published gradient descent.

All minimize J(Z, D) = mean_i [ 1/2 ||x_i - z_i D||^2 + alpha ||z_i||_1 ] over codes Z and atoms D
of unit norm, from a given dictionary:

    learn_online:  for every mini-batch of b samples, n of them seen before,
                   Z <- a solver on J(., D)
                   A <- f A + Z^T Z,  B <- f B + Z^T X,  f = (n / (n + b))^6
                   D <- exact block-coordinate update for A and B
    alternate:     the same with all samples: Z from the last Z, A = Z^T Z, B = Z^T X
    descend:       Z = exp(U), one Adam over U and D together (O'Neill et al., 2025, section 3)

The first is algorithm 1 of Mairal et al. (2010) with its forgetting (section 3.4.2). It comes close
after one pass over the data and then crawls; the second goes on to the minimum.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..solvers import FISTA, CoordinateDescent, update_dictionary
from ..training import Plateau

# Inference need not be more exact than the dictionary: a loose gap, or a few warm-started steps,
# win more time an iteration than they lose in the objective's fall.
INFERENCE = {"cd": CoordinateDescent(tol=1e-3), "fista": FISTA(max_iter=10, tol=1e-5)}
# Where codes do not start from the last ones, a few steps would end far from the best.
COLD_INFERENCE = {"cd": CoordinateDescent(tol=1e-3), "fista": FISTA(tol=1e-3)}
# Online there is no warm start. Much looser gaps are faster still, but they bias the dictionary.
ONLINE_INFERENCE = {"cd": CoordinateDescent(tol=3e-3), "fista": FISTA(max_iter=100, tol=3e-3)}
_MOST_MOMENTUM = 0.9
# Iterations over which the objective must fall by `tol` of itself to go on.
_PATIENCE = 10
# Exponent of forgetting: with 6 the last 9 % of the samples weigh as much as all before them.
# Less of it keeps too much of the first bad dictionaries, more is noisy after one pass.
_FORGETTING = 6
# An atom that the last half of the samples did not use is taken for unused. Little is lost: what
# it has learned would weigh less than 1/2^6 of what it would learn from as many new samples.
_IDLE_SHARE = 0.5
# Codes kept for warm starts, 1 GB of float32; beyond it every pass starts from zero.
_WARM_ELEMENTS = 1 << 28


@dataclass
class LearnedDictionary:
    """A dictionary, what it costs, and how it was found.

    Attributes
    ----------
    atoms : Tensor of shape (n_components, n_features)
    loss_curve : list of float
        The objective after each iteration.
    converged : bool
    statistics : Statistics or None
        Of the codes that the atoms were last updated for.
    """

    atoms: Tensor
    loss_curve: list[float] = field(default_factory=list)
    converged: bool = False
    statistics: "Statistics | None" = None

    @property
    def objective(self) -> float:
        """The last value of the objective."""
        return self.loss_curve[-1] if self.loss_curve else float("inf")


@dataclass
class Statistics:
    """All that a dictionary update needs to know of the samples seen.

    Attributes
    ----------
    gram_codes : Tensor of shape (n_components, n_components)
        Weighted sum of ``codes.T @ codes``.
    cross : Tensor of shape (n_components, n_features)
        Weighted sum of ``codes.T @ X``.
    idle : Tensor of shape (n_components,)
        Number of samples since each atom was used last, int64.
    n_samples : int
        Number of samples seen.
    """

    gram_codes: Tensor
    cross: Tensor
    idle: Tensor
    n_samples: int = 0

    @classmethod
    def like(cls, atoms):
        """Return the statistics of no samples."""
        idle = atoms.new_zeros(len(atoms), dtype=torch.int64)
        return cls(atoms.new_zeros(len(atoms), len(atoms)), torch.zeros_like(atoms), idle)

    def add(self, X, codes):
        """Take note of samples and their codes."""
        self.gram_codes.addmm_(codes.T, codes)
        self.cross.addmm_(codes.T, X)
        self.n_samples += len(X)
        self.idle += len(X)
        self.idle[(codes != 0).any(dim=0)] = 0

    def forget(self, n_new):
        """Fade before ``n_new`` samples come, and clear atoms that are not used any more."""
        keep = (self.n_samples / (self.n_samples + n_new)) ** _FORGETTING
        self.gram_codes.mul_(keep)
        self.cross.mul_(keep)
        unused = self.idle > _IDLE_SHARE * self.n_samples
        self.gram_codes[unused] = 0
        self.gram_codes[:, unused] = 0
        self.cross[unused] = 0

    def to(self, like):
        """Return the same statistics, of the dtype and on the device of a tensor."""
        idle = self.idle.to(like.device)
        return Statistics(self.gram_codes.to(like), self.cross.to(like), idle, self.n_samples)


def update_online(X, codes, atoms, statistics):
    """Update the atoms in place for one more batch of codes; return which atoms are unused."""
    statistics.forget(len(X))
    statistics.add(X, codes)
    return update_dictionary(atoms, statistics.gram_codes, statistics.cross)


def learn_online(X, learned, *, solver, alpha, positive, batch_size, generator, on_iteration):
    """Pass over the data once, updating the dictionary after each mini-batch.

    Chunks of the data, and mini-batches within a chunk, come in random order.

    Parameters
    ----------
    X : Rows of shape (n_samples, n_features)
        Data.
    learned : LearnedDictionary
        Where to start; holds the latest state at every moment, also when interrupted. Its
        statistics go on.
    solver : LassoSolver
        Finds the codes.
    alpha : float
        Weight of the L1 penalty.
    positive : bool
        Whether codes are >= 0.
    batch_size : int
        Samples of a mini-batch.
    generator : torch.Generator
        Draws the order, and atoms in place of unused ones.
    on_iteration : callable
        Called at the end with the mean objective, each mini-batch's before its update.
    """
    atoms, total = learned.atoms, 0.0
    if learned.statistics is None:
        learned.statistics = Statistics.like(atoms)

    def encode(batch):
        return solver.solve(batch, atoms, alpha=alpha, positive=positive).codes

    chunks = X.chunks(len(atoms))
    for index in torch.randperm(len(chunks), generator=generator).tolist():
        chunk = X[chunks[index]]
        order = torch.randperm(len(chunk), generator=generator).to(chunk.device)
        for rows in order.split(batch_size):
            batch = chunk[rows]
            codes = encode(batch)
            losses = _losses(batch, codes, atoms, alpha)
            unused = update_online(batch, codes, atoms, learned.statistics)
            _replace_atoms(atoms, unused, batch, losses, encode, generator)
            total += float(losses.sum())
    learned.loss_curve.append(total / len(X))
    on_iteration(learned.objective)


def alternate(X, learned, *, algorithm, alpha, positive, max_iter, tol, generator, on_iteration):
    """Alternate sparse inference and exact dictionary updates until neither gains.

    The dictionary that inference sees is extrapolated along its last move, as in accelerated
    gradient descent; the momentum restarts when the objective rises.

    Parameters
    ----------
    X : Rows of shape (n_samples, n_features)
        Data, taken in chunks where the codes of all would be too large.
    learned : LearnedDictionary
        Where to start; holds the latest state at every moment, also when interrupted.
    algorithm : {"cd", "fista"}
        How codes are found, warm-started where memory allows.
    alpha : float
        Weight of the L1 penalty.
    positive : bool
        Whether codes are >= 0.
    max_iter : int
        Maximum number of iterations.
    tol : float
        Converged when the objective has not fallen by this share of itself for ten iterations.
    generator : torch.Generator
        Draws atoms in place of unused ones.
    on_iteration : callable
        Called after each iteration with the objective.
    """
    atoms, n_accelerated = learned.atoms, 0
    chunks = X.chunks(len(atoms))
    starts = [None] * len(chunks)
    keep_starts = len(X) * len(atoms) <= _WARM_ELEMENTS
    plateau = Plateau(tol, _PATIENCE)

    def encode(samples, init=None):
        solver = (COLD_INFERENCE if init is None else INFERENCE)[algorithm]
        return solver.solve(samples, atoms, alpha=alpha, positive=positive, init=init).codes

    for _ in range(max_iter):
        statistics, losses = Statistics.like(atoms), []
        for index, rows in enumerate(chunks):
            chunk = X[rows]
            codes = encode(chunk, starts[index])
            if keep_starts:
                starts[index] = codes
            losses.append(_losses(chunk, codes, atoms, alpha))
            statistics.add(chunk, codes)
        losses = torch.cat(losses)
        objective = float(losses.mean())
        n_accelerated = 0 if objective > learned.objective else n_accelerated + 1
        learned.loss_curve.append(objective)
        on_iteration(objective)
        previous, learned.atoms, learned.statistics = learned.atoms, atoms.clone(), statistics
        unused = update_dictionary(learned.atoms, statistics.gram_codes, statistics.cross)
        if plateau.reached(objective):
            learned.converged = True
            return
        momentum = min(n_accelerated / (n_accelerated + 3), _MOST_MOMENTUM)
        step = learned.atoms - previous
        atoms = nn.functional.normalize(learned.atoms + momentum * step, dim=1)
        _replace_atoms(atoms, unused, X, losses, encode, generator)


def _losses(X, codes, atoms, alpha):
    """Objective of each sample."""
    residual = torch.addmm(X, codes, atoms, beta=-1)
    return 0.5 * residual.square().sum(1) + alpha * codes.abs().sum(1)


def _replace_atoms(atoms, unused, X, losses, encode, generator):
    """Point unused atoms at what badly explained samples lack.

    Samples are drawn with probabilities proportional to their losses. What they lack is computed
    again: residuals of all samples would not fit in memory.
    """
    if len(unused) == 0:
        return
    # The smallest of exponential variables with rates `losses`: draws without replacement.
    waits = torch.empty(len(losses), dtype=torch.float64).exponential_(generator=generator)
    waits /= losses.double().cpu()
    rows = waits.topk(min(len(unused), len(waits)), largest=False).indices
    samples = X[rows[waits[rows].isfinite()]]
    if len(samples) == 0:
        return
    directions = nn.functional.normalize(samples - encode(samples) @ atoms, dim=1)
    found = directions.square().sum(1) > 0
    atoms[unused[: len(found)][found]] = directions[found]


def descend(X, learned, *, alpha, learning_rate, max_iter, on_iteration):
    """Joint gradient descent on codes exp(U) and dictionary by Adam, as published.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        Data.
    learned : LearnedDictionary
        Where to start; holds the latest state at every moment, also when interrupted.
    alpha : float
        Weight of the L1 penalty.
    learning_rate : float
        Adam's step size.
    max_iter : int
        Number of steps.
    on_iteration : callable
        Called after each step with the objective.
    """
    n_samples, n_features = X.shape
    log_codes = X.new_full((n_samples, len(learned.atoms)), -10.0)
    optimizer = torch.optim.Adam([log_codes, learned.atoms], lr=learning_rate, fused=True)
    # The published loss is a mean over entries. Adam does not see the factor, but its epsilon does.
    scale = 2.0 / (n_samples * n_features)
    for _ in range(max_iter):
        codes = log_codes.exp()
        residual = torch.addmm(X, codes, learned.atoms, beta=-1)
        loss = (0.5 * residual.square().sum() + alpha * codes.sum()) / n_samples
        log_codes.grad = codes * (residual @ learned.atoms.T + alpha) * scale
        learned.atoms.grad = (codes.T @ residual) * scale
        optimizer.step()
        learned.atoms.div_(torch.linalg.vector_norm(learned.atoms, dim=1, keepdim=True))
        learned.loss_curve.append(float(loss))
        on_iteration(learned.objective)
    learned.converged = True
