"""What is done to a working set: the atoms that join, the gap that is cheap, sweeps and solves."""

import numpy as np
import pytest
from engines import callable_part

pytest.importorskip("numba")

from skamort.solvers import _working_set_numba as kernels
from skamort.solvers import duality_gap
from skamort.solvers._certificate_numba import SEGMENT
from skamort.solvers._working_set_numba import BEST, GOAL, INNER, STALLED

begin, cheap_gap, goal, grow, highest, minimize, track = (
    callable_part(getattr(kernels, name))
    for name in ("begin", "cheap_gap", "goal", "grow", "highest", "minimize", "track")
)


def problem(seed, n_atoms=12, n_features=9):
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((n_atoms, n_features)) * rng.uniform(0.5, 2, (n_atoms, 1))
    return rng, atoms, rng.standard_normal(n_features)


@pytest.mark.parametrize("positive", [False, True])
def test_the_cheap_gap_is_the_gap(positive):
    for seed in range(20):
        rng, atoms, x = problem(seed)
        for alpha in (0.1, 2.0, 30.0):
            z = rng.standard_normal(12) * (rng.random(12) < 0.5) * rng.choice([0, 0.3, 1])
            z = np.abs(z) if positive else z
            b = atoms @ x
            u = b - atoms @ atoms.T @ z
            peak = max(u.max(), 0) if positive else np.abs(u).max()
            gap = cheap_gap(x @ x, z, b, u, 12, alpha, peak)
            expected = duality_gap(x[None], z[None], atoms, alpha, positive)
            np.testing.assert_allclose(gap, expected[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("positive", [False, True])
def test_the_atoms_that_correlate_most_join_in_turn(positive):
    rng = np.random.default_rng(0)
    c = rng.standard_normal(3 * SEGMENT - 7)
    c[0], c[SEGMENT + 3], c[SEGMENT] = 4, 6, 5  # first and second to join of a segment
    value = c.copy() if positive else np.abs(c)
    working, u, tops = np.zeros(20, np.int64), np.zeros(20), np.zeros(3)
    working[:2], before = [5, SEGMENT + 1], c.copy()
    rest = value.copy()
    rest[working[:2]] = 0
    order = np.argsort(-rest)
    bar = rest[order[6]]
    size = grow(c, tops, bar, positive, working, 2, u, 4)
    assert size == 6
    np.testing.assert_array_equal(working[2:6], order[:4])
    np.testing.assert_array_equal(u[:6], before[working[:6]])
    assert not c[working[:6]].any()
    assert highest(u, size, tops, positive) == value.max(initial=0)
    size = grow(c := before.copy(), tops, bar, positive, working, 6, u, 14)
    assert size == 8  # no more exceed the bar
    np.testing.assert_array_equal(working[6:8], order[4:6])
    rest[order[:6]] = 0
    assert tops.max() == rest.max()


@pytest.mark.parametrize("positive", [False, True])
def test_the_highest_may_be_any_in_use(positive):
    u, tops = np.array([1.0, 2.0, 9.0]), np.array([0.5, 0.0, 1.5])
    assert highest(u, 2, tops, positive) == 2
    for place in range(2):
        u[place] = 3 + place
        assert highest(u, 2, tops, positive) == 3 + place
    for place in range(3):
        tops[place] = 5 + place
        assert highest(u, 2, tops, positive) == 5 + place


def test_progress_is_a_gap_that_falls_or_atoms_that_join():
    progress = np.zeros(4)
    begin(progress, 2.0)
    assert 0.5 <= progress[GOAL] / 2 < 1
    assert 0 < progress[INNER] < progress[GOAL]
    assert goal(progress, 0.0) == progress[INNER]
    assert progress[INNER] < goal(progress, 100.0) < 100
    inner = progress[INNER]
    track(progress, 5.0, True)
    assert (progress[BEST], progress[STALLED], progress[INNER]) == (5, 0, inner)
    track(progress, 6.0, False)
    assert (progress[BEST], progress[STALLED]) == (5, 1)
    assert progress[INNER] < inner
    track(progress, 5.0, False)
    assert progress[STALLED] == 2
    track(progress, 4.0, False)
    assert (progress[BEST], progress[STALLED]) == (4, 0)
    track(progress, 4.0, False)
    track(progress, 9.0, True)
    assert (progress[BEST], progress[STALLED]) == (4, 0)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("kind", ["plain", "twice", "nearly", "opposite", "coherent"])
def test_a_working_set_is_minimized_to_its_target(positive, kind):
    for seed in range(6):
        rng, atoms, x = problem(seed)
        if kind == "coherent":
            atoms += 4
        elif kind != "plain":
            atoms[6:] = (-1 if kind == "opposite" else 1) * atoms[:6]
            atoms[6:] += (kind == "nearly") * 1e-5 * rng.standard_normal((6, 9))
        size, alpha = len(atoms), 0.05 * np.abs(atoms @ x).max()
        block, b = atoms @ atoms.T, atoms @ x
        z = rng.random(size) * (rng.random(size) < 0.3)
        u = b - block @ z
        room = np.zeros(size, np.int64), np.zeros((size, size)), np.zeros(size)
        minimize(x @ x, z, b, u, block, size, alpha, positive, 1e-9, *room)
        np.testing.assert_allclose(u, b - block @ z, atol=1e-9)
        assert duality_gap(x[None], z[None], atoms, alpha, positive)[0] < 1.1e-9
        assert not positive or (z >= 0).all()
