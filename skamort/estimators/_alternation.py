"""Dictionary learning by alternating minimization, and the published gradient descent.

Both minimize J(Z, D) = mean_i [ 1/2 ||x_i - z_i D||^2 + alpha ||z_i||_1 ] over codes Z and atoms D
of unit norm, from a given dictionary:

    alternate:  Z <- a solver on J(., D), from Z; D <- exact block-coordinate update for Z
    adam:       Z = exp(U), one Adam over U and D together (O'Neill et al., 2025, section 3)
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..solvers import FISTA, CoordinateDescent, update_dictionary
from ..training import Plateau

# Inference need not be more exact than the dictionary: a loose gap, or a few warm-started steps,
# win more time an iteration than they lose in the objective's fall.
INFERENCE = {"cd": CoordinateDescent(tol=1e-3), "fista": FISTA(max_iter=10, tol=1e-5)}
_MOST_MOMENTUM = 0.9
# Iterations over which the objective must fall by `tol` of itself to go on.
_PATIENCE = 10


@dataclass
class LearnedDictionary:
    """A dictionary, what it costs, and how it was found.

    Attributes
    ----------
    atoms : Tensor of shape (n_components, n_features)
    loss_curve : list of float
        The objective after each iteration.
    converged : bool
    """

    atoms: Tensor
    loss_curve: list[float] = field(default_factory=list)
    converged: bool = False

    @property
    def objective(self) -> float:
        """The last value of the objective."""
        return self.loss_curve[-1] if self.loss_curve else float("inf")


def alternate(X, learned, *, solver, alpha, positive, max_iter, tol, generator, on_iteration):
    """Alternate sparse inference and exact dictionary updates until neither gains.

    The dictionary that inference sees is extrapolated along its last move, as in accelerated
    gradient descent; the momentum restarts when the objective rises.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        Data.
    learned : LearnedDictionary
        Where to start; holds the latest state at every moment, also when interrupted.
    solver : LassoSolver
        Finds the codes, warm-started.
    alpha : float
        Weight of the L1 penalty.
    positive : bool
        Whether codes are >= 0.
    max_iter : int
        Maximum number of iterations.
    tol : float
        Converged when the objective has not fallen by this share of itself for ten iterations.
    generator : torch.Generator
        Draws atoms in place of dead ones.
    on_iteration : callable
        Called after each iteration with the objective.
    """
    codes, atoms, n_accelerated = None, learned.atoms, 0
    plateau = Plateau(tol, _PATIENCE)
    for _ in range(max_iter):
        codes = solver.solve(X, atoms, alpha=alpha, positive=positive, init=codes).codes
        residual = torch.addmm(X, codes, atoms, beta=-1)
        loss = 0.5 * residual.square().sum(1) + alpha * codes.abs().sum(1)
        objective = float(loss.mean())
        n_accelerated = 0 if objective > learned.objective else n_accelerated + 1
        learned.loss_curve.append(objective)
        on_iteration(objective)
        previous, learned.atoms = learned.atoms, atoms.clone()
        unused = update_dictionary(learned.atoms, codes.T @ codes, codes.T @ X)
        if plateau.reached(objective):
            learned.converged = True
            return
        momentum = min(n_accelerated / (n_accelerated + 3), _MOST_MOMENTUM)
        step = learned.atoms - previous
        atoms = nn.functional.normalize(learned.atoms + momentum * step, dim=1)
        _replace_atoms(atoms, unused, residual, loss, generator)


def _replace_atoms(atoms, unused, residual, loss, generator):
    """Point unused atoms at what the worst explained samples lack (their codes are all zero)."""
    if len(unused) == 0:
        return
    n_drawn = min(len(unused), int((loss > 0).sum()))
    if n_drawn == 0:
        return
    rows = torch.multinomial(loss.double().cpu(), n_drawn, generator=generator).to(atoms.device)
    directions = nn.functional.normalize(residual[rows], dim=1)
    found = directions.square().sum(1) > 0
    atoms[unused[:n_drawn][found]] = -directions[found]


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
