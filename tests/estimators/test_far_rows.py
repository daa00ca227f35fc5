"""A few rows far from all others rule neither what "auto" is nor where training starts, and are
told of."""

import warnings

import numpy as np
import pytest
import torch
from discovery import fast_estimators
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from on_disk import OnDisk
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skamort import GradSparseCoder, SAEEncoder, TopKSAE
from skamort._sparse_rows import SparseRows
from skamort.estimators import fit_many
from skamort.estimators._far_rows import far_rows, without_far_rows

DATA = np.random.default_rng(0).standard_normal((300, 6)) + 3
CODERS = [
    SAEEncoder(12, max_iter=60, random_state=0),
    TopKSAE(12, k=3, max_iter=60, random_state=0),
    GradSparseCoder(12, max_iter=20, random_state=0),
]


def with_far_rows(n_far, factor):
    X = DATA.copy()
    X[7 : 7 + n_far] *= factor
    return X, np.delete(X, range(7, 7 + n_far), axis=0)


def messages(fit):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    assert all(issubclass(w.category, ConvergenceWarning) for w in caught)
    return [m for m in (str(w.message) for w in caught) if "still falling" not in m]


@pytest.mark.parametrize("coder", CODERS, ids=lambda coder: type(coder).__name__)
@pytest.mark.parametrize(("n_far", "factor"), [(1, 30), (1, 1e4), (5, 300), (1, 1e9)])
def test_a_default_fit_explains_the_others_and_says_what_to_do(coder, n_far, factor):
    X, others = with_far_rows(n_far, factor)
    told = messages(lambda: coder.fit(X))
    assert len(told) == 1
    assert f"{n_far} of 300 rows that were looked at are far from all others" in told[0]
    assert "(row 7 of these first)" in told[0]
    assert coder.score(others) > 0.45
    assert np.linalg.norm(coder.intercept_ - others.mean(0)) < 1.5
    assert coder.fit_intercept_ == "geometric_median"
    if hasattr(coder, "alpha_"):
        length = np.linalg.norm(others - others.mean(0), axis=1).mean()
        assert coder.alpha_ == pytest.approx(0.1 * length, rel=1e-2)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array, OnDisk])
def test_rows_in_any_layout_start_where_the_others_do(layout):
    X, others = with_far_rows(1, 1e4)
    sae = SAEEncoder(12, max_iter=1, learning_rate=1e-9, random_state=0)
    messages(lambda: sae.fit(layout(X)))
    assert_allclose(sae.intercept_, others.mean(0), atol=0.1)
    messages(lambda: sae.set_params(fit_intercept="mean").fit(layout(X)))
    assert_allclose(sae.intercept_, X.mean(0), rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*still falling")
def test_a_warm_start_keeps_what_the_center_came_to():
    sae = SAEEncoder(12, max_iter=1, warm_start=True, random_state=0)
    messages(lambda: sae.fit(with_far_rows(1, 1e4)[0]))
    assert sae.fit(DATA).fit_intercept_ == "geometric_median"


def test_many_models_are_told_of_once():
    X = with_far_rows(1, 100)[0]
    assert len(messages(lambda: fit_many(CODERS[1], X, {"k": [1, 3]}))) == 1


@pytest.mark.parametrize("estimator", fast_estimators(), ids=lambda e: type(e).__name__)
def test_rows_of_one_kind_are_not_told_of(estimator):
    assert not [m for m in messages(lambda: estimator.fit(DATA)) if "far from" in m]


RANDOM = np.random.default_rng(1)
ORDINARY = {
    "of different length": DATA * np.exp(0.5 * RANDOM.standard_normal((300, 1))),
    "of two kinds": np.where(RANDOM.random((300, 1)) < 0.05, 1e3, 1) * DATA,
    "zero but for a few": np.where(np.arange(300)[:, None] < 3, DATA, 0),
    "all alike": np.full((300, 6), 0.3),
    "a few": DATA[:3] ** [[1], [1], [9]],
}


@pytest.mark.parametrize("X", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_rows_are_all_kept(X):
    X = torch.from_numpy(X)
    assert without_far_rows(X, None) == (X, None)


@settings(deadline=None, max_examples=25)
@given(
    n_far=st.integers(1, 6),
    factor=st.sampled_from([30.0, 1e6]),
    unit=st.sampled_from([2.0**-80, 1.0, 2.0**80]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_far_rows_are_found_in_any_unit_and_layout(n_far, factor, unit, dtype):
    X = (with_far_rows(n_far, factor)[0] * unit).astype(dtype)
    found, share = far_rows(torch.from_numpy(X), None)
    in_sparse, share_in_sparse = far_rows(SparseRows(sparse.csr_array(X), "SAEEncoder"), None)
    assert found.tolist() == in_sparse.tolist() == list(range(7, 7 + n_far))
    assert share == pytest.approx(share_in_sparse, rel=1e-3)


def test_a_small_weight_makes_them_harmless_and_missing_entries_do_not_hide_them():
    X, weights = with_far_rows(1, 100)[0], torch.ones(300, dtype=torch.float64)
    X[:, 0][7:20] = np.nan
    X = torch.from_numpy(X)
    assert far_rows(X, weights)[0].tolist() == [7]
    kept, kept_weights = without_far_rows(X, weights)
    assert len(kept) == len(kept_weights) == 299
    weights[7] = 1e-6
    assert without_far_rows(X, weights)[0] is X
