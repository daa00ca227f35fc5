import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics.pairwise import cosine_similarity

from skamort.inspection import match_dictionaries


def dictionary(n_components, seed=0, n_features=6):
    return np.random.default_rng(seed).normal(size=(n_components, n_features))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 20), st.floats(-1, 1))
def test_parents_are_the_nearest_of_all(seed, n_small, n_large, min_cosine):
    small, large = dictionary(n_small, seed), dictionary(n_large, seed + 1)
    match = match_dictionaries(small, large, min_cosine=min_cosine)
    cosines = cosine_similarity(large, small)
    assert_allclose(match.cosines, cosines.max(axis=1))
    near = match.cosines >= min_cosine
    assert_array_equal(match.parents, np.where(near, cosines.argmax(axis=1), -1))
    assert match.n_children.shape == (n_small,)
    assert match.n_children.sum() == near.sum() == round(n_large * (1 - match.orphan_fraction))


def test_order_and_norms_of_atoms_play_no_part(monkeypatch):
    atoms, order = dictionary(7), np.random.default_rng(1).permutation(7)
    monkeypatch.setattr("skamort._rows.BLOCK_ELEMENTS", 14)  # two atoms at a time
    match = match_dictionaries(atoms, 3 * atoms[order])
    assert_array_equal(match.parents, order)
    assert_array_equal(match.n_children, 1)
    assert match.orphan_fraction == 0
    assert_array_equal(match_dictionaries(atoms, -atoms, min_cosine=1).parents, -1)


def test_a_zero_atom_has_no_parent_and_no_children():
    match = match_dictionaries([[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [5.0, 0.0]])
    assert_array_equal(match.parents, [-1, 1])
    assert_array_equal(match.cosines, [0, 1])


def test_bad_input():
    with pytest.raises(ValueError, match=r"dictionary_small have 6 features, those of .* 5"):
        match_dictionaries(dictionary(2), dictionary(3, n_features=5))
    with pytest.raises(ValueError, match="dictionary_large contains NaN"):
        match_dictionaries([[1.0]], [[np.nan]])
    for min_cosine in (1.5, -2):
        with pytest.raises(ValueError, match="min_cosine must be"):
            match_dictionaries([[1.0]], [[1.0]], min_cosine=min_cosine)
