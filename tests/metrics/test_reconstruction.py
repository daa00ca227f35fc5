import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.decomposition import SparseCoder, dict_learning
from sklearn.metrics import r2_score

from skamort import _explained_variance
from skamort.metrics import (
    amortization_gap,
    fraction_variance_unexplained,
    sparse_coding_objective,
)

SEEDS = st.integers(0, 2**32 - 1)


def random_problem(seed, n_samples=7, n_features=4, n_components=6):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    codes = rng.normal(size=(n_samples, n_components)) * (rng.random((n_samples, 6)) < 0.4)
    return X, codes, rng.normal(size=(n_components, n_features))


@settings(deadline=None)
@given(SEEDS, st.floats(0, 10))
def test_objective_by_its_definition(seed, alpha):
    X, codes, dictionary = random_problem(seed)
    by_sample = [
        0.5 * np.linalg.norm(x - z @ dictionary) ** 2 + alpha * np.abs(z).sum()
        for x, z in zip(X, codes, strict=True)
    ]
    found = sparse_coding_objective(X, codes, dictionary, alpha)
    assert found == pytest.approx(np.mean(by_sample))
    assert sparse_coding_objective(X, sparse.csr_array(codes), dictionary, alpha) == pytest.approx(
        found
    )


def test_objective_is_sklearns():
    """scikit-learn reports the same objective, as a sum over samples."""
    X = np.random.default_rng(0).normal(size=(20, 5))
    codes, dictionary, errors = dict_learning(
        X, n_components=4, alpha=0.5, max_iter=3, tol=0, random_state=0, method="cd"
    )
    assert 20 * sparse_coding_objective(X, codes, dictionary, 0.5) == pytest.approx(errors[-1])


def test_objective_does_not_depend_on_blocks(monkeypatch):
    X, codes, dictionary = random_problem(0)
    whole = sparse_coding_objective(X, codes, dictionary, 0.3)
    monkeypatch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 10)
    assert sparse_coding_objective(X, codes, dictionary, 0.3) == pytest.approx(whole)


def test_variance_of_float32_is_computed_in_float64():
    X = (1000 + np.random.default_rng(0).normal(size=(100_000, 2))).astype(np.float32)
    X_hat = np.full_like(X, 1001)
    expected = fraction_variance_unexplained(X.astype(float), X_hat.astype(float))
    assert fraction_variance_unexplained(X, X_hat) == pytest.approx(expected, rel=1e-6)


def test_objective_of_float32_is_computed_in_float64():
    X, codes, dictionary = (part.astype(np.float32) for part in random_problem(0))
    expected = sparse_coding_objective(
        *(part.astype(np.float64) for part in (X, codes, dictionary)), 0.1
    )
    assert sparse_coding_objective(X, codes, dictionary, 0.1) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"alpha": -1.0}, ValueError, "alpha must be >= 0, got -1"),
        ({"alpha": "1"}, TypeError, "alpha must be a finite number, got '1'"),
        ({"codes": np.ones((7, 5))}, ValueError, r"codes \(7, 5\).*do not fit together"),
        ({"dictionary": np.ones((6, 3))}, ValueError, r"dictionary \(6, 3\).*do not fit"),
        ({"X": np.full((7, 4), np.inf)}, ValueError, "X contains NaN or infinity"),
        ({"codes": np.full((7, 6), np.nan)}, ValueError, "codes contains NaN"),
    ],
)
def test_objective_of_bad_input(wrong, error, message):
    X, codes, dictionary = random_problem(0)
    call = {"X": X, "codes": codes, "dictionary": dictionary, "alpha": 1.0, **wrong}
    with pytest.raises(error, match=message):
        sparse_coding_objective(**call)


@settings(deadline=None)
@given(SEEDS, st.floats(0.01, 100), st.floats(-10, 10))
def test_fvu_is_one_less_r2_and_blind_to_scale_and_shift(seed, scale, shift):
    rng = np.random.default_rng(seed)
    X, X_hat = rng.normal(size=(2, 6, 3))
    fvu = fraction_variance_unexplained(X, X_hat)
    assert fvu == pytest.approx(1 - r2_score(X, X_hat, multioutput="variance_weighted"))
    moved = fraction_variance_unexplained(scale * X + shift, scale * X_hat + shift)
    assert moved == pytest.approx(fvu, rel=1e-6)


def test_fvu_of_the_mean_is_one_and_of_the_data_zero():
    X = np.random.default_rng(0).normal(3, 1, size=(50, 4))
    assert fraction_variance_unexplained(X, X) == 0
    assert_allclose(fraction_variance_unexplained(X, np.tile(X.mean(axis=0), (50, 1))), 1)


def test_fvu_where_nothing_varies():
    X = np.ones((4, 2))
    assert fraction_variance_unexplained(X, X) == 0
    assert fraction_variance_unexplained(X, 0 * X) == 1


def test_fvu_of_bad_input():
    with pytest.raises(ValueError, match=r"X_reconstructed must have the shape of X, \(2, 2\)"):
        fraction_variance_unexplained(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="X_reconstructed contains NaN"):
        fraction_variance_unexplained(np.ones((2, 2)), np.full((2, 2), np.nan))


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("weights", [None, np.arange(30.0)])
def test_sparse_data_are_judged_as_dense_ones(kind, weights, monkeypatch):
    random = np.random.default_rng(0)
    X, codes = random.poisson(0.3, (30, 7)), random.poisson(0.3, (30, 4))
    dictionary = random.standard_normal((4, 7))
    X_hat = codes @ dictionary
    monkeypatch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 7 * 4)
    fvu = fraction_variance_unexplained(X, X_hat, sample_weight=weights)
    for pair in [(kind(X), X_hat), (X, kind(X_hat)), (kind(X), kind(X_hat))]:
        found = fraction_variance_unexplained(*pair, sample_weight=weights)
        assert found == pytest.approx(fvu, rel=1e-12)
    objective = sparse_coding_objective(X, codes, dictionary, 0.1)
    assert sparse_coding_objective(kind(X), kind(codes), dictionary, 0.1) == pytest.approx(
        objective
    )
    assert fraction_variance_unexplained(kind((2, 3)), np.zeros((2, 3))) == 0
    assert fraction_variance_unexplained(kind((2, 3)), np.ones((2, 3))) == 1


def test_an_objective_that_no_float_holds_is_refused():
    X, codes, atoms = np.full((3, 2), 1e200), np.ones((3, 4)), np.ones((4, 2))
    with pytest.raises(ValueError, match=r"sparse_coding_objective: .* no float64 holds; divide X"):
        sparse_coding_objective(X, codes, atoms, 0.1)
    coder = SparseCoder(atoms / np.sqrt(2), transform_algorithm="threshold", transform_alpha=0.1)
    with pytest.raises(ValueError, match=r"amortization_gap: .* no float64 holds; divide X"):
        amortization_gap(coder, X, 0.1)
