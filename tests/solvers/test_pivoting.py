"""Pivots on a working set: the best codes of coherent atoms, without sweeps to help."""

import numpy as np
import pytest
from engines import callable_part
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from skamort.solvers import _pivoting_numba as kernels
from skamort.solvers import duality_gap
from skamort.solvers._pivoting_numba import WHOLE

make_room, pivot = map(callable_part, (kernels.make_room, kernels.pivot))


def pivoted(x, atoms, alpha, positive, target, start=None):
    """Codes, correlations, and whether the target was reached."""
    size, width = len(atoms), -(-len(atoms) // WHOLE) * WHOLE
    block = np.zeros((width, width), x.dtype)
    block[:size, :size] = atoms @ atoms.T
    z, b = np.zeros((2, width), x.dtype)
    z[:size] = 0 if start is None else start
    b[:size] = atoms @ x
    u = b - block @ z
    weight = x.dtype.type(alpha)
    energy = float(x.astype(float) @ x)
    room = make_room(width, x.dtype)
    reached = pivot(energy, z, b, u, block, size, weight, positive, target * energy, room)
    return z[:size], u[:size], reached


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 12),
    st.integers(1, 40),
    st.sampled_from([0.02, 0.1, 0.5]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
)
def test_pivots_alone_find_the_best_codes(seed, n_features, size, share, positive, twice, dtype):
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((size, n_features)) + 1  # far from orthogonal
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    if twice:  # atoms that depend on each other
        atoms = np.vstack([atoms, atoms[: size // 2]])
    x = rng.standard_normal(n_features).astype(dtype)
    alpha = max(share * np.abs(atoms @ x).max(), 1e-3)
    z, u, reached = pivoted(x, atoms.astype(dtype), alpha, positive, 1e-6)
    rounded = dtype == np.float32  # what float32 leaves of atoms that nearly depend on each other
    assert reached or rounded
    assert not positive or z.min() >= 0
    np.testing.assert_allclose(u, atoms @ (x - z @ atoms), atol=1e3 * np.finfo(dtype).eps)
    gap = duality_gap(x[None], z[None], atoms.astype(dtype), dtype(alpha), positive)
    assert gap[0] <= (1e-3 if rounded else 2e-6) * float(x @ x)
    if not reached:
        return
    again = pivoted(x, atoms.astype(dtype), alpha, positive, 2e-6, z)
    assert again[2]
    np.testing.assert_allclose(again[0], z, rtol=1e-4, atol=1e3 * np.finfo(dtype).eps)


def test_an_atom_whose_square_is_zero_in_the_dtype_stays_out():
    """Its code could grow for ever, and would not change the correlation."""
    x, atoms = np.float32([1e24, 1]), np.float32([[1e-25, 0], [0, 1]])
    z, _, reached = pivoted(x, atoms, 0.01, False, 1e-6)
    assert not reached
    np.testing.assert_allclose(z, [0, 0.99], rtol=1e-6)
