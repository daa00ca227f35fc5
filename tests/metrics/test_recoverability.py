import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard
from sklearn.linear_model import orthogonal_mp

from skamort import _explained_variance
from skamort.metrics import mutual_coherence, recovery_boundary


@given(st.integers(1, 300), st.data())
def test_the_boundary_lies_between_the_active_and_all_sources(n, data):
    k = data.draw(st.integers(1, n))
    boundary = recovery_boundary(n, k)
    assert min(k + 1, n) <= boundary <= n
    assert boundary >= min(n, k * np.log(n / k))
    if k < n:  # more active sources, or more sources, need no fewer features
        assert recovery_boundary(n, k + 1) >= boundary
    assert recovery_boundary(n + 1, k) >= boundary


def test_no_code_is_recoverable_from_as_many_features_as_are_active():
    assert 9 * np.log(16 / 9) < 8 < recovery_boundary(16, 9)


def test_more_active_sources_than_there_are():
    with pytest.raises(ValueError, match="n_nonzero_coefs=5 exceeds n_components=4"):
        recovery_boundary(4, 5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(1, 6))
def test_coherence_is_of_directions_alone(seed, n, m):
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((n, m))
    coherence = mutual_coherence(atoms)
    pairs = [
        abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
        for i, a in enumerate(atoms)
        for b in atoms[:i]
    ]
    assert coherence == pytest.approx(max(pairs))
    with pytest.MonkeyPatch.context() as patch:  # two rows of the inner products at a time
        patch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 2 * n)
        assert mutual_coherence(atoms) == pytest.approx(coherence, rel=1e-12)
    assert coherence >= np.sqrt(max(n - m, 0) / (m * (n - 1))) - 1e-12  # Welch
    moved = rng.permutation(atoms * rng.choice([-2, 1e170, 1e-170], (n, 1)))
    assert mutual_coherence(moved) == pytest.approx(coherence)


def test_orthogonal_atoms_and_one_alone_have_none():
    assert mutual_coherence(np.eye(3)) == mutual_coherence([[3.0, 4.0]]) == 0


def test_few_sources_are_recovered_below_the_bound_of_the_coherence():
    rng = np.random.default_rng(0)
    atoms = np.concatenate([np.eye(64), hadamard(64) / 8])
    k = int(np.ceil((1 + 1 / mutual_coherence(atoms)) / 2)) - 1
    assert k == 4
    code = np.zeros(128)
    code[rng.choice(128, k, replace=False)] = rng.standard_normal(k)
    np.testing.assert_allclose(orthogonal_mp(atoms.T, code @ atoms, n_nonzero_coefs=k), code)
