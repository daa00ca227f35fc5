"""Solvers find by Triton's kernels what they find by torch's operators."""

import os
from contextlib import nullcontext
from unittest import TestCase, mock

import numpy as np
import pytest
import torch
from device import emulated_cuda
from numpy.testing import assert_allclose

from skamort import _triton
from skamort.solvers import FISTA, CoordinateDescent, duality_gap
from skamort.solvers._cd_torch import _Small
from skamort.solvers._certificate import gap_from_gram, objective
from skamort.solvers._fista import Factored

# Those of before 3.9 cannot be interpreted with NumPy 2.5.
pytest.importorskip("triton", "3.6" if torch.cuda.is_available() else "3.9")


@pytest.fixture
def kernels(gpu, monkeypatch):
    """Let kernels run; give what counts them, None on a real GPU."""
    if gpu is not None and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("kernels are compiled here, for a real GPU")
    monkeypatch.setattr(_triton, "_broken", set())
    with nullcontext() if gpu is None else emulated_cuda(capability=8) as counts:
        yield counts


def problem(n_samples, n_components, n_features, dtype=torch.float64):
    rng = np.random.default_rng(0)
    X, atoms = (rng.standard_normal((n, n_features)) for n in (n_samples, n_components))
    return tuple(torch.tensor(a, dtype=dtype).cuda() for a in (X, atoms))


def by_operators(solver, *given, **asked):
    with mock.patch("skamort._triton._is_installed", return_value=False):
        return solver.solve(*given, **asked)


def ran(counts):
    return {place[0] for place in counts.operators}


@pytest.mark.parametrize(
    ("positive", "n_components", "masked"),
    [(False, 7, False), (False, 37, False), (True, 20, True)],
    ids=["gram", "factored", "mask"],
)
def test_steps_of_fista(kernels, positive, n_components, masked, monkeypatch):
    import skamort.solvers._fista_triton as module

    monkeypatch.setattr(module, "_MOST_COLUMNS", 16)  # two or three turns of a loop
    X, atoms = problem(1, n_components, 8)
    asked = {"alpha": 0.3, "positive": positive}
    if masked:
        asked["mask"] = torch.tensor(np.random.default_rng(1).random((1, 8)) < 0.8).cuda()
    solver = FISTA(max_iter=25, tol=0, is_guarded=False)
    ours = solver.solve(X, atoms, **asked)
    assert kernels is None or {"_propose", "_advance"} <= ran(kernels)
    theirs = by_operators(solver, X, atoms, **asked)
    assert_allclose(ours.codes.cpu(), theirs.codes.cpu(), atol=1e-9)


@pytest.mark.parametrize(("positive", "held"), [(False, True), (True, True), (True, False)])
def test_small_problems_end_each_at_its_own_gap(kernels, positive, held, monkeypatch):
    import skamort.solvers._working_set_triton as module

    if not held:
        monkeypatch.setattr(module, "_HELD_BYTES", 0)
        monkeypatch.setattr(module, "_TILE", 32)  # two atoms at a time
    X, atoms = problem(3, 5, 8)
    cov, energy, alpha = X @ atoms.T, X.square().sum(1), X.new_full((3,), 0.3)
    targets = torch.tensor([1.0, 1e-3, 1e-1]).to(X) * energy
    start, longest = torch.zeros_like(cov), atoms.square().sum(1).amax().expand(3)

    def solve(rows):
        grams = (atoms @ atoms.T).expand(len(rows), -1, -1).contiguous()
        given = (a[rows] for a in (cov, start, alpha, energy, targets, longest))
        small = _Small(grams, *given, positive)
        assert small.suits_kernel()
        small.minimize_by_kernel()
        return small.codes

    together = solve(torch.arange(3).cuda())
    gaps = gap_from_gram(energy, cov, together, cov - together @ (atoms @ atoms.T), alpha, positive)
    assert (gaps <= targets).all()
    assert not together[0].any()  # zero was good enough
    for row in range(1, 3):
        alone = solve(torch.tensor([row]).cuda())
        assert_allclose(alone[0].cpu(), together[row].cpu(), atol=1e-12)


def test_working_sets(kernels):
    X, atoms = problem(2, 100, 16, torch.float32)
    solver, asked = CoordinateDescent(tol=1e-2), {"alpha": 1.5, "positive": False}
    ours = solver.solve(X, atoms, **asked)
    assert kernels is None or "_minimize" in ran(kernels)
    theirs = by_operators(solver, X, atoms, **asked)
    assert ours.converged.all()
    gap = duality_gap(X, ours.codes, atoms, **asked)
    assert_allclose(ours.gap.cpu(), gap.cpu(), rtol=1e-3, atol=1e-9)
    assert_allclose(ours.codes.cpu(), theirs.codes.cpu(), atol=0.05)


def test_where_triton_fails_operators_solve(kernels):
    X, atoms = problem(2, 40, 16)
    broken = mock.Mock(side_effect=RuntimeError("no compiler"))
    asked = {"alpha": 1.5, "positive": False}
    for solver in (FISTA(max_iter=10, tol=0, is_guarded=False), CoordinateDescent(tol=1e-3)):
        _triton._broken.clear()
        fails = mock.patch.object(_triton, "launch", broken)
        with fails, TestCase().assertLogs("skamort") as told:
            ours = solver.solve(X, atoms, **asked)
        assert "no compiler" in "".join(told.output)
        assert len(told.output) == 1
        theirs = by_operators(solver, X, atoms, **asked)
        assert_allclose(ours.codes.cpu(), theirs.codes.cpu(), atol=1e-12)


def test_products_are_rounded_at_first_alone(gpu, monkeypatch):
    matmul, seen = torch.backends.cuda.matmul, []
    is_new = hasattr(matmul, "fp32_precision")

    def image(self, codes, plain=Factored.image):
        seen.append(matmul.fp32_precision == "tf32" if is_new else matmul.allow_tf32)
        return plain(self, codes)

    monkeypatch.setattr(Factored, "image", image)
    asked = {"alpha": 0.3, "positive": True}
    X, atoms = problem(2, 40, 16, torch.float32)
    result = FISTA(tol=1e-5, max_iter=4000).solve(X, atoms, **asked)
    n_rounded = sum(seen)
    assert 0 < n_rounded < len(seen)
    assert all(seen[:n_rounded])
    assert result.converged.all()
    for exact in ({"tol": 0.1}, {"init": result.codes}, {"dtype": torch.float64}):
        seen.clear()
        data = [a.to(exact.get("dtype")) for a in (X, atoms)]
        FISTA(tol=exact.get("tol", 1e-5)).solve(*data, init=exact.get("init"), **asked)
        assert seen
        assert not any(seen)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("solver", [FISTA(max_iter=20), CoordinateDescent(max_iter=1)])
def test_what_a_kernel_gets_wrong_is_in_the_gap(kernels, solver, monkeypatch):
    rng = np.random.default_rng(0)

    def wrong(kernel, grid, *arguments, **settings):
        for argument in arguments:
            if isinstance(argument, torch.Tensor) and argument.is_floating_point():
                argument.copy_(torch.tensor(rng.standard_normal(argument.shape)).to(argument))

    monkeypatch.setattr(_triton, "launch", wrong)
    X, atoms = problem(3, 60, 16, torch.float32)
    asked = {"alpha": 1.5, "positive": False}
    result = solver.solve(X.clone(), atoms.clone(), **asked)
    exact = [a.double() for a in (X, result.codes, atoms)]
    assert_allclose(result.gap.cpu(), duality_gap(*exact, **asked).cpu(), rtol=1e-5)
    worst = 0.5 * exact[0].square().sum(1)  # that of zero
    assert (objective(*exact, worst.new_full((3,), 1.5)) <= worst * (1 + 1e-6)).all()
    assert (result.converged == (result.gap <= 1e-4 * worst)).all()


def test_launches_of_a_step_of_fista(kernels):
    if kernels is None:
        pytest.skip("a real GPU does not count")
    X, atoms = problem(1, 40, 16)
    totals = []
    for length in (20, 40):
        kernels.clear()
        solver = FISTA(max_iter=length, tol=0, is_guarded=False)
        solver.solve(X, atoms, alpha=0.3, positive=False)
        totals.append(kernels.totals()[2])
    assert (totals[1] - totals[0]) / 20 <= 9  # of torch alone 48
