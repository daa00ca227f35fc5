import tracemalloc
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.stats import pearsonr

from skamort import _explained_variance
from skamort.metrics import _recovery, dictionary_mcc, latent_mcc, stability

SEEDS = st.integers(0, 2**32 - 1)


def absolute_correlations(first, second):
    return np.array([[abs(pearsonr(a, b).statistic) for b in second.T] for a in first.T])


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_best_of_all_permutations(seed):
    truth, codes = np.random.default_rng(seed).normal(size=(2, 9, 4))
    similarity = absolute_correlations(truth, codes)
    best = max(similarity[range(4), order].mean() for order in permutations(range(4)))
    assert latent_mcc(truth, codes) == pytest.approx(best)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 6), st.integers(1, 6))
def test_greedy_where_widths_differ(seed, n_true, n_learned):
    if n_true == n_learned:
        n_learned += 1
    rng = np.random.default_rng(seed)
    truth, codes = rng.normal(size=(9, n_true)), rng.normal(size=(9, n_learned))
    similarity = absolute_correlations(truth, codes)
    left, rows, columns = similarity.copy(), [], []
    for _ in range(min(n_true, n_learned)):
        row, column = np.unravel_index(left.argmax(), left.shape)
        rows, columns = [*rows, row], [*columns, column]
        left[row] = left[:, column] = -1
    chosen = similarity[np.ix_(rows, columns)]  # what was chosen is matched anew
    best = max(chosen[range(len(rows)), order].mean() for order in permutations(range(len(rows))))
    assert latent_mcc(truth, codes) == pytest.approx(best)


def test_greedy_pairs_are_matched_anew():
    """Greedily .9 + .1; the pairs crossed have .8 + .8, and the third latent is left out."""
    similarity = np.array([[0.9, 0.8, 0.1], [0.8, 0.1, 0.05]])
    assert _recovery._mean_of_best_matching(similarity) == pytest.approx(0.8)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 5), st.integers(1, 5))
def test_order_sign_scale_and_shift_do_not_matter(seed, n_true, n_learned):
    rng = np.random.default_rng(seed)
    truth, codes = rng.normal(size=(20, n_true)), rng.normal(size=(20, n_learned))
    factors = rng.choice([-1, 1], n_learned) * rng.uniform(0.1, 10, n_learned)
    moved = rng.permutation((codes * factors + rng.normal(size=n_learned)).T).T
    assert latent_mcc(truth, moved) == pytest.approx(latent_mcc(truth, codes))
    assert latent_mcc(truth, codes) == pytest.approx(latent_mcc(codes, truth))
    assert 0 <= latent_mcc(truth, codes) <= 1
    shuffled = (rng.permutation(truth.T) * rng.choice([-1, 1], n_true)[:, None]).T
    assert latent_mcc(truth, shuffled) == pytest.approx(1)


@settings(deadline=None)
@given(SEEDS, st.booleans(), st.booleans())
def test_sparse_codes_as_dense_ones(seed, sparse_truth, sparse_codes):
    rng = np.random.default_rng(seed)
    truth, codes = rng.normal(size=(2, 30, 5)) * (rng.random((2, 30, 5)) < 0.3)
    codes[:, 2] = 0
    as_given = (
        sparse.csr_array(truth) if sparse_truth else truth,
        sparse.csr_array(codes) if sparse_codes else codes,
    )
    for matched in (False, True):
        assert latent_mcc(*as_given, matched=matched) == pytest.approx(
            latent_mcc(truth, codes, matched=matched)
        )


def test_dead_latents_correlate_with_nothing():
    truth = np.random.default_rng(0).normal(size=(50, 4))
    codes = truth.copy()
    codes[:, 1] = 3.0
    codes[:, 3] = 1e-7 * codes[:, 3]  # variance 1e-14
    assert latent_mcc(truth, codes) == pytest.approx(0.5)
    assert latent_mcc(truth, np.zeros((50, 4))) == 0
    assert latent_mcc(truth, np.zeros((50, 7))) == 0


def test_matched_keeps_order_and_sign():
    truth = np.random.default_rng(0).normal(size=(1000, 2))
    codes = truth * [2.0, -3.0]
    assert latent_mcc(truth, codes, matched=True) == pytest.approx(0, abs=1e-12)
    assert latent_mcc(truth, np.abs(codes), matched=True) < 0.2
    expected = np.mean([pearsonr(truth[:, j], truth[:, j] ** 3).statistic for j in range(2)])
    assert latent_mcc(truth, truth**3, matched=True) == pytest.approx(expected)


@pytest.mark.parametrize("layouts", list(product([np.asarray, sparse.csr_array], repeat=2)))
def test_matched_columns_are_taken_a_few_at_a_time(monkeypatch, layouts):
    """Blocks of 3 columns, the last of them of one; of either layout."""
    monkeypatch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 3 * 40)
    truth, codes = np.random.default_rng(2).exponential(size=(2, 40, 7))
    truth[truth < 1], codes[:, 4] = 0, 2.5
    constant = [0 if j == 4 else pearsonr(truth[:, j], codes[:, j]).statistic for j in range(7)]
    truth, codes = (as_given(v) for as_given, v in zip(layouts, (truth, codes), strict=True))
    assert latent_mcc(truth, codes, matched=True) == pytest.approx(np.mean(constant))


def test_all_pairs_are_taken_a_few_rows_at_a_time(monkeypatch):
    truth, codes = np.random.default_rng(3).exponential(size=(2, 30, 7))
    whole = latent_mcc(truth, codes), latent_mcc(*map(sparse.csr_array, (truth, codes)))
    monkeypatch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 2 * 7)
    assert latent_mcc(truth, codes) == whole[0] == pytest.approx(whole[1])
    assert latent_mcc(*map(sparse.csr_array, (truth, codes))) == whole[1]


def test_matched_needs_no_matrix_of_all_pairs():
    """3,000 latents have 72 MB of pairs."""
    codes = sparse.random(60, 3000, density=0.02, format="csr", random_state=0)
    latent_mcc(codes[:, :9], codes[:, :9], matched=True)
    tracemalloc.start()
    found = latent_mcc(codes, codes, matched=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == pytest.approx(np.mean(np.bincount(codes.indices, minlength=3000) > 0))
    assert peak < 20e6


@settings(deadline=None)
@given(SEEDS)
def test_dictionary_mcc_is_latent_mcc_across_coordinates(seed):
    true_atoms, atoms = np.random.default_rng(seed).normal(size=(2, 5, 12))
    assert_allclose(dictionary_mcc(true_atoms, atoms), latent_mcc(true_atoms.T, atoms.T))
    assert dictionary_mcc(true_atoms, -2 * true_atoms[::-1]) == pytest.approx(1)


@pytest.mark.parametrize("n_learned", [40, 41])
def test_a_wide_dead_dictionary_is_no_trouble(n_learned):
    truth = np.random.default_rng(0).normal(size=(100, 40))
    codes = np.zeros((100, n_learned))
    codes[:, :3] = truth[:, :3]
    assert latent_mcc(truth, codes) == pytest.approx(3 / 40)


def test_bad_input():
    with pytest.raises(ValueError, match="codes_true and codes must have the same number of rows"):
        latent_mcc(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"codes_true has 2 columns and codes has 3; matched=True"):
        latent_mcc(np.ones((3, 2)), np.ones((3, 3)), matched=True)
    with pytest.raises(ValueError, match="codes_true contains NaN"):
        latent_mcc([[np.nan]], [[1.0]])
    with pytest.raises(ValueError, match=r"have 2 features, those of dictionary 3"):
        dictionary_mcc(np.ones((3, 2)), np.ones((3, 3)))


# -- Stability -------------------------------------------------------------------------------------


def test_stability_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    first, second, third = rng.normal(size=(3, 5, 8))
    pairs = [dictionary_mcc(*pair) for pair in ((first, second), (first, third), (second, third))]
    assert stability([first, second, third]) == pytest.approx(np.mean(pairs))
    assert stability({"a": first, "b": second, "c": third}) == stability([first, second, third])
    shuffled = [first, first[::-1], -first[[2, 0, 1, 4, 3]]]
    assert stability(shuffled) == pytest.approx(1)


def test_stability_needs_two():
    with pytest.raises(ValueError, match="needs two dictionaries at least, got 1"):
        stability([np.eye(3)])


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("size", [2.0**400, 2.0**520, 2.0**1000])
def test_squares_that_no_float_holds_are_not_needed(layout, size):
    rng = np.random.default_rng(0)
    truth, codes = rng.random((30, 4)), rng.random((30, 5))
    factors = np.array([1.0, size, 8.0, size])
    assert latent_mcc(layout(truth * factors), layout(codes)) == pytest.approx(
        latent_mcc(truth, codes), abs=1e-12
    )


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("size", [1e-30, 3e-9, 0.02])
@pytest.mark.parametrize("matched", [False, True])
def test_small_codes_as_large_ones(layout, size, matched):
    rng = np.random.default_rng(3)
    truth = rng.standard_normal((40, 5)) * (rng.random((40, 5)) < 0.5)
    codes = truth + rng.standard_normal(truth.shape)
    expected = latent_mcc(truth, codes, matched=matched)
    assert_allclose(latent_mcc(truth, layout(size * codes), matched=matched), expected, rtol=1e-12)
    assert latent_mcc(0 * truth, layout(size * codes), matched=matched) == 0


@pytest.mark.parametrize("size", [1e-200, 1e-8, 1e200])
def test_atoms_of_any_norm(size):
    atoms, others = np.random.default_rng(1).standard_normal((2, 4, 9))
    sizes = np.array([[1.0], [size], [1.0], [0.1 * size]])
    assert_allclose(dictionary_mcc(sizes * atoms, others), dictionary_mcc(atoms, others))
