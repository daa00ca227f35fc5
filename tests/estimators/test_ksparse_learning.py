"""Dictionaries learned under k-sparse codes."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from on_disk import OnDisk
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skamort import GradSparseCoder, _rows
from skamort.datasets import make_sparse_coded_signal
from skamort.estimators import _ksparse_learning
from skamort.estimators._statistics import SparseStatistics, Statistics, Usage
from skamort.metrics import dictionary_mcc
from skamort.solvers import sparse_encode

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*still falling:sklearn.exceptions.ConvergenceWarning"
)
K = 2


@pytest.fixture(scope="module")
def signal():
    return make_sparse_coded_signal(
        1200, n_components=16, n_features=12, n_nonzero_coefs=K, positive=True, random_state=0
    )


def coder(**options):
    shared = {"n_nonzero_coefs": K, "max_iter": 6, "random_state": 0, "fit_intercept": False}
    return GradSparseCoder(**{"n_components": 16} | shared | options)


def k_sparse_error(X, dictionary, k=K):
    codes = sparse_encode(X, dictionary, algorithm="ormp", n_nonzero_coefs=k, positive=True)
    return np.square(X - codes @ dictionary).sum()


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("algorithm", ["auto", "omp", "iht"])
def test_codes_have_k_non_zeros_by_the_solver_of_learning(signal, algorithm, positive):
    X = signal[0]
    fitted = coder(algorithm=algorithm, positive_code=positive).fit(X)
    codes = fitted.transform(X)
    solver = "ormp" if algorithm == "auto" else algorithm
    expected = sparse_encode(
        X, fitted.components_, algorithm=solver, n_nonzero_coefs=K, positive=positive
    )
    assert_allclose(codes, expected, atol=1e-6)
    assert np.count_nonzero(codes, axis=1).max() == K
    assert (codes.min() < 0) != positive
    assert fitted.alpha_ is None
    assert_allclose(np.linalg.norm(fitted.components_, axis=1), 1, rtol=1e-5)


def test_the_loss_is_half_the_squared_error_and_falls(signal):
    X = signal[0]
    fitted = coder(dict_init=signal[1], max_iter=1, batch_size=None).fit(X)
    assert_allclose(fitted.loss_curve_, [k_sparse_error(X, signal[1]) / 2 / len(X)], rtol=1e-4)
    curve = coder().fit(X).loss_curve_
    assert curve[-1] < 0.5 * curve[0]


def test_the_dictionary_is_found_again(signal):
    fitted = coder(n_init=6, max_iter=30, batch_size=100).fit(signal[0])
    assert dictionary_mcc(signal[1], fitted.components_) > 0.97


def test_it_is_better_for_such_codes_than_that_of_a_penalty(signal):
    X = signal[0] + 0.3 * np.random.RandomState(0).randn(*signal[0].shape)
    errors = [
        k_sparse_error(X, coder(max_iter=30, **options).fit(X).components_)
        for options in ({}, {"n_nonzero_coefs": None, "dict_init": "samples"})
    ]
    assert errors[0] < errors[1]


def test_transform_goes_by_something_else_where_it_is_told(signal):
    X = signal[0]
    fitted = coder(positive_code=False).fit(X)
    for option, value in (("alpha", 0.1), ("n_nonzero_coefs", 3), ("residual_tol", 0.05)):
        codes = coder(positive_code=False, **{f"transform_{option}": value}).fit(X).transform(X)
        expected = sparse_encode(X, fitted.components_, **{option: value})
        assert_allclose(codes, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.1}, "alpha=0.1 and n_nonzero_coefs=2 both say .* drop alpha for codes with 2"),
        ({"algorithm": "cd"}, "n_nonzero_coefs=2 does not go with algorithm='cd', which"),
        ({"algorithm": "omp", "n_nonzero_coefs": None}, "algorithm='omp' finds .* set n_nonzero"),
        ({"n_nonzero_coefs": 17}, "n_nonzero_coefs=17 exceeds n_components=16; choose"),
        ({"n_nonzero_coefs": 0}, "The 'n_nonzero_coefs' parameter"),
        ({"transform_algorithm": "fista"}, "transform_algorithm='fista' needs .* set transform_al"),
    ],
)
def test_what_does_not_go_together_is_refused(signal, options, message):
    for learn in (coder(**options).fit, coder(**options).partial_fit):
        with pytest.raises(ValueError, match=message):
            learn(signal[0])


@pytest.mark.parametrize("k", [12, 16])
def test_as_many_non_zeros_as_features_leave_no_error(signal, k):
    X = signal[0][:100].astype(np.float64)
    fitted = coder(n_nonzero_coefs=k, positive_code=False, max_iter=2).fit(X)
    assert fitted.score(X) == pytest.approx(1)


def test_partial_fit_learns_from_chunks_and_after_pickling(signal):
    chunks = np.split(signal[0], 4)
    fitted = coder(batch_size=100)
    before = k_sparse_error(signal[0], fitted.partial_fit(chunks[0]).components_)
    for chunk in chunks[1:3]:
        fitted.partial_fit(chunk)
    again = pickle.loads(pickle.dumps(fitted)).partial_fit(chunks[3])
    assert_array_equal(fitted.partial_fit(chunks[3]).components_, again.components_)
    assert k_sparse_error(signal[0], again.components_) < 0.8 * before
    assert fitted.n_samples_seen_ == len(signal[0])


def test_partial_fit_goes_on_after_fit_and_with_another_sparsity(signal):
    X = signal[0]
    fitted = coder().fit(X)
    error = k_sparse_error(X, fitted.components_)
    assert k_sparse_error(X, fitted.partial_fit(X).components_) < 1.05 * error
    assert fitted.set_params(n_nonzero_coefs=None).partial_fit(X).alpha_ > 0
    assert fitted.set_params(n_nonzero_coefs=3).partial_fit(X).alpha_ is None
    assert np.count_nonzero(fitted.transform(X), axis=1).max() == 3


def test_warm_start_goes_on(signal):
    fitted = coder(warm_start=True, max_iter=3).fit(signal[0])
    last = fitted.loss_curve_[-1]
    assert fitted.fit(signal[0]).loss_curve_[0] <= 1.05 * last


@pytest.mark.parametrize("batch_size", [100, None])
def test_atoms_without_use_are_replaced(signal, batch_size):
    X = np.abs(signal[0])
    dead = -np.abs(signal[1])
    codes = coder(dict_init=dead, batch_size=batch_size).fit(X).transform(X)
    assert (codes > 0).any(axis=0).mean() > 0.8


def test_equal_atoms_and_rows_of_zeros(signal):
    X = np.concatenate([np.zeros((20, 12), np.float32), signal[0][:300]])
    start = np.repeat(signal[1][:8], 2, axis=0)
    fitted = coder(dict_init=start, positive_dict=False).fit(X)
    assert_array_equal(fitted.transform(X[:20]), 0)
    cosines = fitted.components_ @ fitted.components_.T
    assert np.triu(cosines, 1).max() < 1 - 1e-5
    zeros = coder(n_nonzero_coefs=1).fit(np.zeros((5, 4)))
    assert np.isfinite(zeros.components_).all()


@pytest.mark.parametrize("batch_size", [64, None])
def test_integer_weights_stand_for_equal_rows(signal, batch_size):
    X, start = signal[0][:60].astype(np.float64), signal[1]
    counts = np.random.RandomState(0).randint(0, 4, len(X))
    options = {"dict_init": start, "batch_size": batch_size, "max_iter": 2}
    weighted = coder(**options).partial_fit(X, sample_weight=counts)
    repeated = coder(**options | {"batch_size": None}).partial_fit(np.repeat(X, counts, axis=0))
    assert_allclose(weighted.components_, repeated.components_, atol=1e-9)
    fitted = coder(**options | {"batch_size": None})
    weighted = fitted.fit(X, sample_weight=counts).components_
    assert_allclose(weighted, fitted.fit(np.repeat(X, counts, axis=0)).components_, atol=1e-9)


def test_what_is_missing_counts_for_nothing(signal):
    X = signal[0][:400].astype(np.float64)
    holes = np.where(np.random.RandomState(0).rand(*X.shape) < 0.1, np.nan, X)
    fitted = coder(missing_values=np.nan, batch_size=100, max_iter=10).fit(holes)
    assert fitted.loss_curve_[-1] < 0.6 * fitted.loss_curve_[0]
    assert fitted.score(holes) > 0.7
    assert np.count_nonzero(fitted.transform(holes), axis=1).max() == K
    with pytest.raises(ValueError, match="NaN"):
        coder().fit(holes)


def test_other_sources_of_rows_give_the_same(signal, monkeypatch):
    X = signal[0]
    options = {"batch_size": 128, "positive_dict": True, "max_iter": 3}
    expected = coder(**options).fit(X)
    rows = sparse.csr_array(X)
    assert_allclose(coder(**options).fit(rows).components_, expected.components_, atol=1e-5)
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 16 * 200)
    by_blocks = coder(**options).fit(OnDisk(X, (100, 12), most_rows=400)).components_
    assert k_sparse_error(X, by_blocks) < 1.1 * k_sparse_error(X, expected.components_)
    assert (by_blocks >= 0).all()


def test_an_interrupt_keeps_the_dictionary_so_far(signal, monkeypatch):
    update, n_calls = _ksparse_learning.update_dictionary_rows, []

    def interrupted(*args, **kwargs):
        n_calls.append(1)
        if len(n_calls) == 3:
            raise KeyboardInterrupt
        return update(*args, **kwargs)

    monkeypatch.setattr(_ksparse_learning, "update_dictionary_rows", interrupted)
    with pytest.warns(UserWarning, match="the fit was interrupted in iteration 1"):
        fitted = coder(batch_size=100, dict_init="samples").fit(signal[0])
    assert fitted.loss_curve_ == []
    assert k_sparse_error(signal[0], fitted.components_) < 0.9 * np.square(signal[0]).sum()
    assert np.isfinite(fitted.transform(signal[0])).all()


@pytest.mark.filterwarnings("error")
def test_it_says_that_it_has_not_converged(signal):
    with pytest.warns(ConvergenceWarning, match="still falling after 2 iterations"):
        coder(max_iter=2).fit(signal[0])


@pytest.mark.parametrize("weights", [None, torch.rand(40, dtype=torch.float64)])
def test_sparse_statistics_are_those_of_dense_products(weights):
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(40, 200, generator=generator, dtype=torch.float64)
    codes *= torch.rand(40, 200, generator=generator) < 0.01
    X, atoms = torch.randn(40, 5, dtype=torch.float64), torch.zeros(200, 5, dtype=torch.float64)
    kinds = [kind.like(atoms) for kind in (Statistics, SparseStatistics)]
    for kind in kinds:
        kind.add(X, codes, weights)
        kind.add(X, 0 * codes, weights)
    for name in ("gram_codes", "cross", "total", "idle", "n_samples"):
        assert_allclose(*(getattr(kind, name) for kind in kinds), atol=1e-12)
    usage = Usage.like(atoms)
    usage.add(X, codes, weights)
    assert_allclose(usage.energy, Usage.of(kinds[0], atoms).energy, atol=1e-12)


def test_what_rounding_leaves_of_a_row_is_no_atom():
    X = np.random.RandomState(0).randn(20, 4)
    start = np.concatenate([X, np.ones((10, 4))])
    fitted = coder(n_components=30, n_nonzero_coefs=1, dict_init=start, max_iter=2, tol=1).fit(X)
    expected = start / np.linalg.norm(start, axis=1, keepdims=True)
    assert_allclose(fitted.components_[:21], expected[:21], atol=1e-9)
