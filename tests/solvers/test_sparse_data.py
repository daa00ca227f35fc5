"""Solvers and metrics on sparse data: what dense ones give, in blocks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skamort import _explained_variance, _rows
from skamort.solvers import duality_gap, sparse_encode


def problem(seed, dtype=np.float64, n_atoms=6):
    random = np.random.default_rng(seed)
    X = random.poisson(0.3, (40, 9)).astype(dtype)
    return X, random.standard_normal((n_atoms, 9)).astype(dtype)


KINDS = [sparse.csr_array, sparse.csc_matrix, sparse.coo_array]


@pytest.mark.parametrize("block_rows", [1, 7, 50])
@pytest.mark.parametrize(
    ("algorithm", "dtype", "starts"),
    [("cd", np.float64, True), ("fista", np.float32, False), ("omp", np.float64, False)],
)
@pytest.mark.parametrize(("seed", "kind"), list(enumerate(KINDS)))
def test_codes_and_gaps_are_those_of_dense_data(seed, algorithm, block_rows, kind, dtype, starts):
    X, dictionary = problem(seed, dtype)
    options = {"alpha": 0.3, "algorithm": algorithm, "tol": 1e-6, "return_info": True}
    options |= {"n_nonzero_coefs": 2} if algorithm == "omp" else {}
    options["init"] = np.ones((40, 6), dtype) if starts else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows, "BLOCK_ELEMENTS", 9 * block_rows)
        patch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 9 * block_rows)
        codes, info = sparse_encode(kind(X), dictionary, **options)
        gap = duality_gap(kind(X), sparse.csr_array(codes), dictionary, 0.3)
    expected, expected_info = sparse_encode(X, dictionary, **options)
    assert_allclose(codes, expected, atol=1e-3)
    assert codes.dtype == dtype
    assert info.algorithm == expected_info.algorithm
    for ours, theirs in [(info.gap, expected_info.gap), (info.residual, expected_info.residual)]:
        assert (ours is None) == (theirs is None)
        assert ours is None or ours.shape == theirs.shape
    assert_allclose(gap, duality_gap(X, codes, dictionary, 0.3), rtol=1e-9, atol=1e-6)


def test_data_and_codes_have_as_many_rows():
    X, dictionary = problem(0)
    for n_codes in (39, 41):
        codes = sparse.csr_array((n_codes, 6))
        with pytest.raises(ValueError, match=f"X and codes.*40.*{n_codes}"):
            duality_gap(sparse.csr_array(X), codes, dictionary, 0.3)


def test_what_did_not_converge_is_told_once(monkeypatch):
    X, dictionary = problem(0, n_atoms=3)
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 9 * 5)
    with pytest.warns(ConvergenceWarning) as told:
        sparse_encode(sparse.csr_array(X), dictionary, alpha=0.01, algorithm="fista", max_iter=1)
    with pytest.warns(ConvergenceWarning) as expected:
        sparse_encode(X, dictionary, alpha=0.01, algorithm="fista", max_iter=1)
    assert [str(one.message) for one in told] == [str(one.message) for one in expected]


def test_bad_rows_and_masks_are_refused():
    X, dictionary = problem(0)
    X[3, 2] = np.nan
    bad, mask = sparse.csr_array(X), np.ones(X.shape, bool)
    for solve in (sparse_encode, lambda X, D, **options: duality_gap(X, X, D, 1.0, **options)):
        with pytest.raises(ValueError, match="NaN"):
            solve(bad, dictionary)
        with pytest.raises(ValueError, match="sparse X has no mask"):
            solve(sparse.csr_array(np.eye(9)), np.eye(9), mask=mask)
