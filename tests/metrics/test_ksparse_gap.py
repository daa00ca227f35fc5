"""The amortization gap among codes with as many non-zeros."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import SparseCoder
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skamort import BatchTopKSAE, GradSparseCoder, ITOCoder, TopKSAE, _explained_variance
from skamort.inspection import compare_encoders
from skamort.metrics import (
    KSparseAmortizationGap,
    amortization_gap,
    fraction_variance_unexplained,
)
from skamort.solvers import sparse_encode


class Encoder:
    """The largest correlations of any dictionary, as codes."""

    def __init__(self, dictionary, k, positive=False):
        self.components_, self.k, self.positive_code = dictionary, k, positive

    def transform(self, X):
        size = X @ self.components_.T
        size = np.maximum(size, 0) if self.positive_code else size
        order = np.abs(size).argsort(axis=1).argsort(axis=1)
        return np.where(order >= size.shape[1] - self.k, size, 0)


def unit_rows(rng, n_components=9, n_features=6):
    rows = rng.normal(size=(n_components, n_features))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 6)), unit_rows(rng)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.booleans(), st.integers(1, 3))
def test_interval_holds_the_exact_gap(seed, positive, k):
    rng = np.random.default_rng(seed)
    X, dictionary = rng.normal(size=(5, 6)), unit_rows(rng)
    found = amortization_gap(Encoder(dictionary, k, positive), X, n_nonzero_coefs=k)
    best, info = sparse_encode(
        X, dictionary, algorithm="exact", n_nonzero_coefs=k, positive=positive, return_info=True
    )
    assert (found.lower_bound_samples <= found.best_objective_samples).all()
    assert (found.best_objective_samples <= found.objective_samples).all()
    assert (found.best_objective_samples >= info.residual / 2 - 1e-9).all()
    small = np.abs(best).sum(axis=1) <= found.max_l1_samples + 1e-9
    small &= np.linalg.norm(best, axis=1) <= found.max_l2_samples + 1e-9
    assert (found.lower_bound_samples <= info.residual / 2 + 1e-9)[small].all()
    assert (found.n_nonzero_coefs_samples == k).all()


def test_shares_are_of_the_variance(problem):
    X, dictionary = problem
    encoder = Encoder(dictionary, 2)
    found = amortization_gap(encoder, X, n_nonzero_coefs=2)
    expected = fraction_variance_unexplained(X, encoder.transform(X) @ dictionary)
    assert found.fvu == pytest.approx(expected)
    assert found.fvu_gap == pytest.approx(found.fvu - found.best_fvu)
    assert found.fvu_gap_upper == pytest.approx(found.fvu - found.lower_bound_fvu)
    assert 0.05 < found.fvu_gap < found.fvu_gap_upper
    text = repr(found)
    assert "KSparseAmortizationGap(n_nonzero_coefs=2, positive=False, n_samples=40)" in text
    assert f"{100 * found.fvu_gap:.1f} to {100 * found.fvu_gap_upper:.1f} points" in text
    assert f"||z||_1 <= {found.max_l1_samples.mean():.3g}" in text


@pytest.mark.parametrize("seed", range(3))
def test_best_codes_are_those_of_the_better_start(seed):
    rng = np.random.default_rng(seed)
    X, dictionary = rng.normal(size=(40, 6)), unit_rows(rng, 14)
    encoder = Encoder(dictionary, 3)
    found = amortization_gap(encoder, X, n_nonzero_coefs=3).best_objective_samples
    asked = {"algorithm": "exchange", "n_nonzero_coefs": 3, "return_info": True}
    ends = [
        sparse_encode(X, dictionary, init=init, **asked)[1].residual / 2
        for init in (None, encoder.transform(X))
    ]
    assert_allclose(found, np.minimum(*ends), atol=1e-12)
    assert all((found < end - 1e-6).any() for end in ends)


def test_exact_codes_have_no_lower_end(problem):
    X, dictionary = problem
    best = sparse_encode(X, dictionary, algorithm="exact", n_nonzero_coefs=2)
    found = amortization_gap(Encoder(dictionary, 2), X, n_nonzero_coefs=2, codes=best)
    assert found.gap < 1e-12


def test_more_non_zeros_have_more_to_win(problem):
    X, dictionary = problem
    few, more = (amortization_gap(Encoder(dictionary, 1), X, n_nonzero_coefs=k) for k in (1, 3))
    assert few.objective == more.objective
    assert few.gap < more.gap
    # As many as features explain all.
    full = amortization_gap(Encoder(dictionary, 1), X, n_nonzero_coefs=6)
    assert full.best_objective < 1e-9


def test_each_sample_has_as_many_as_the_encoder_gave_it(problem, monkeypatch):
    X, dictionary = problem
    codes = sparse.csr_array(np.maximum(X @ dictionary.T - 0.7, 0))
    counts = (codes.toarray() != 0).sum(axis=1)
    assert len(set(counts)) > 3
    encoder = Encoder(dictionary, 2, positive=True)
    encoder._penalizes_size = False
    found = amortization_gap(encoder, X, codes=codes)
    assert_array_equal(found.n_nonzero_coefs_samples, counts)
    assert "(mean)" in repr(found)
    zero = counts == 0
    assert zero.any()
    assert found.gap_upper_samples[zero].max() < 1e-12
    monkeypatch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 9 * 7)
    again = amortization_gap(encoder, X, codes=codes)
    assert_allclose(again.best_objective_samples, found.best_objective_samples, rtol=1e-9)
    assert_allclose(again.lower_bound_samples, found.lower_bound_samples, atol=1e-3)
    assert again.variance == pytest.approx(found.variance)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        TopKSAE(9, k=2, max_iter=3, random_state=0),
        TopKSAE(9, k=2, max_iter=3, random_state=0, feature_weights=np.arange(1, 7)),
        BatchTopKSAE(9, k=2, max_iter=3, random_state=0),
        GradSparseCoder(9, n_nonzero_coefs=2, max_iter=3, random_state=0),
        ITOCoder(dictionary=unit_rows(np.random.default_rng(1)), n_nonzero_coefs=2),
        SparseCoder(
            unit_rows(np.random.default_rng(1)),
            transform_algorithm="omp",
            transform_n_nonzero_coefs=2,
        ),
        make_pipeline(StandardScaler(), TopKSAE(9, k=2, max_iter=3, random_state=0)),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_encoders_that_limit_the_number_are_judged_so(problem, estimator):
    X = problem[0]
    found = amortization_gap(estimator.fit(X), X)
    assert isinstance(found, KSparseAmortizationGap)
    assert found.n_nonzero_coefs_samples.mean() == pytest.approx(2, abs=0.6)
    table = compare_encoders({"it": estimator}, X, X, alpha=0.3)
    assert table["fvu_gap"]["it"] == pytest.approx(found.fvu_gap)
    assert table["fvu_gap_upper"]["it"] == pytest.approx(found.fvu_gap_upper)
    assert type(amortization_gap(estimator, X, alpha=0.3)) is not KSparseAmortizationGap


def test_others_are_not(problem):
    X, dictionary = problem
    coder = ITOCoder(dictionary=dictionary, alpha=0.3).fit(X)
    assert not isinstance(amortization_gap(coder, X), KSparseAmortizationGap)
    assert "fvu_gap" not in compare_encoders({"it": coder}, X, X, alpha=0.3)
    pursuit = ITOCoder(dictionary=dictionary, n_nonzero_coefs=2).fit(X)
    table = compare_encoders({"it": coder, "pursuit": pursuit}, X, X, alpha=0.3)
    for column in ("fvu_gap", "fvu_gap_upper"):
        assert np.isnan(table[column]["it"])
        assert table[column]["pursuit"] > 0


def test_without_variance_objectives_are_told(problem):
    X, dictionary = problem
    told = repr(amortization_gap(Encoder(dictionary, 2), X[:1], n_nonzero_coefs=2))
    assert "nan" not in told
    assert "points" not in told


def test_duplicate_atoms_and_zero_rows(problem):
    X, dictionary = problem
    X = np.vstack([X, np.zeros((2, 6))])
    twice = np.vstack([dictionary, dictionary])
    found = amortization_gap(Encoder(twice, 2), X, n_nonzero_coefs=2)
    once = amortization_gap(Encoder(dictionary, 2), X, n_nonzero_coefs=2)
    assert found.best_objective == pytest.approx(once.best_objective, rel=0.1)
    assert not found.gap_upper_samples[-2:].any()


def test_bad_input(problem):
    X, dictionary = problem
    encoder = Encoder(dictionary, 3)
    with pytest.raises(ValueError, match=r"alpha=0.1 and n_nonzero_coefs=3 both judge codes"):
        amortization_gap(encoder, X, 0.1, n_nonzero_coefs=3)
    with pytest.raises(ValueError, match=r"n_nonzero_coefs=2, but a sample has 3 codes; choose"):
        amortization_gap(encoder, X, n_nonzero_coefs=2)
    with pytest.raises(ValueError, match=r"n_nonzero_coefs=10 exceeds the 9 atoms"):
        amortization_gap(encoder, X, n_nonzero_coefs=10)
    with pytest.raises(ValueError, match="n_nonzero_coefs must be >= 1"):
        amortization_gap(encoder, X, n_nonzero_coefs=0)
    with pytest.raises(ValueError, match="X contains NaN"):
        amortization_gap(encoder, np.full((2, 6), np.nan), n_nonzero_coefs=3)
