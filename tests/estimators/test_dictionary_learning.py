"""Dictionary learning: online, in pieces, and from blocks of rows."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from on_disk import OnDisk
from sklearn.exceptions import ConvergenceWarning

from skamort import GradSparseCoder, _rows
from skamort.datasets import make_published_signal
from skamort.estimators import _dictionary_learning, _statistics
from skamort.metrics import dictionary_mcc, sparse_coding_objective
from skamort.solvers import sparse_encode

stops_early = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def exact_objective(X, coder):
    codes = sparse_encode(
        X, coder.components_, algorithm="cd", alpha=coder.alpha_, positive=True, tol=1e-5
    )
    return sparse_coding_objective(X, codes, coder.components_, coder.alpha_)


@pytest.fixture(scope="module")
def stream():
    return make_published_signal(20240926, n_samples=12_000)


@pytest.mark.parametrize("algorithm", ["cd", "fista"])
def test_refining_goes_below_one_online_pass(stream, algorithm):
    X = stream[0][:4000]
    coder = GradSparseCoder(16, alpha=0.1, algorithm=algorithm, batch_size=128, random_state=0)
    with pytest.warns(ConvergenceWarning, match="after 1 iterations"):
        online = exact_objective(X, coder.set_params(max_iter=1).fit(X))
    refined = exact_objective(X, coder.set_params(max_iter=None).fit(X))
    assert refined < online
    assert coder.loss_curve_[1] < coder.loss_curve_[0]


def test_an_online_pass_beats_a_full_iteration(stream):
    X = stream[0]
    coder = GradSparseCoder(16, alpha=0.1, max_iter=1, random_state=0)
    objectives = []
    for batch_size in ("auto", None):
        with pytest.warns(ConvergenceWarning):
            coder.set_params(batch_size=batch_size).fit(X)
        objectives.append(exact_objective(X, coder))
    assert objectives[0] < 0.9 * objectives[1]


@stops_early
def test_auto_goes_online_on_large_data_alone(stream):
    small = stream[0][:2047]
    curves = [
        GradSparseCoder(16, max_iter=3, tol=1, batch_size=size, random_state=0)
        .fit(small)
        .loss_curve_
        for size in ("auto", None, 2048)
    ]
    assert curves[0] == curves[1] == curves[2]
    coder = GradSparseCoder(16, max_iter=3, random_state=0)
    first = [
        coder.set_params(batch_size=size).fit(stream[0]).loss_curve_[1] for size in ("auto", 256)
    ]
    assert first[0] == first[1]


def test_partial_fit_learns_from_chunks(stream):
    X = stream[0]
    coder = GradSparseCoder(16, alpha=0.03, batch_size=64, random_state=1)
    for chunk in np.split(X, 8):
        coder.partial_fit(chunk)
    assert coder.n_iter_ == len(coder.loss_curve_) == 8
    assert coder.loss_curve_[-1] < 0.75 * coder.loss_curve_[0]
    once = exact_objective(X, coder)
    for chunk in np.split(X, 8):
        coder.partial_fit(chunk)
    assert exact_objective(X, coder) < 0.98 * once
    assert_allclose(np.linalg.norm(coder.components_, axis=1), 1, rtol=1e-5)


def test_partial_fit_goes_on_after_fit(stream):
    X = stream[0]
    coder = GradSparseCoder(16, alpha=0.03, random_state=0).fit(X[:1000])
    n_iter, components = coder.n_iter_, coder.components_
    before = exact_objective(X[1000:], coder)
    coder.partial_fit(X[1000:])
    assert coder.n_iter_ == n_iter + 1
    assert (coder.components_ != components).any()
    assert exact_objective(X[1000:], coder) < before


def test_partial_fit_goes_on_after_pickling(stream):
    chunks = np.split(stream[0], 8)
    coder = GradSparseCoder(16, batch_size=100, random_state=0).partial_fit(chunks[0])
    again = pickle.loads(pickle.dumps(coder))
    assert_array_equal(
        coder.partial_fit(chunks[1]).components_, again.partial_fit(chunks[1]).components_
    )


def test_partial_fit_forgets(stream):
    """Data that change: the dictionary of the last ones is learned as if there had been no
    others."""
    old = make_published_signal(1, n_samples=4000)[0]
    new = stream[0][:8000]
    learn = GradSparseCoder(16, alpha=0.1, batch_size=200, random_state=0).partial_fit
    fresh = exact_objective(new, learn(new))
    assert exact_objective(new, learn(old).partial_fit(new)) < 1.1 * fresh


def test_forgetting_weighs_samples_by_the_power_of_their_rank():
    rng = np.random.default_rng(0)
    batches = [torch.from_numpy(rng.random((n, 3))) for n in (5, 1, 10, 4)]
    statistics = _statistics.Statistics.like(torch.zeros(3, 3, dtype=torch.float64))
    expected, n_seen = 0, np.cumsum([len(batch) for batch in batches])
    for batch in batches:
        statistics.forget(len(batch))
        statistics.add(batch, batch)
    for batch, n in zip(batches, n_seen, strict=True):
        expected = expected + (n / n_seen[-1]) ** _statistics._FORGETTING * (batch.T @ batch)
    assert_allclose(statistics.gram_codes, expected, rtol=1e-12)
    assert_allclose(statistics.cross, expected, rtol=1e-12)
    assert statistics.n_samples == 20


def test_atoms_without_use_are_replaced_online():
    X = np.abs(np.random.RandomState(0).randn(1000, 4))
    dead = -np.abs(np.random.RandomState(1).randn(6, 4))
    coder = GradSparseCoder(dict_init=dead, batch_size=50, random_state=0).partial_fit(X)
    assert (coder.transform(X) > 0).any(axis=0).sum() >= 4


def test_atoms_that_fall_out_of_use_are_replaced_online():
    rng = np.random.RandomState(0)
    first, last = np.zeros((2, 3000, 6))
    first[:, :3] = np.abs(rng.randn(3000, 3))
    last[:, 3:] = np.abs(rng.randn(3000, 3))
    coder = GradSparseCoder(3, alpha=0.01, fit_intercept=False, batch_size=100, random_state=0)
    for X in (first, *[last] * 5):
        coder.partial_fit(X)
    assert coder.score(last) > 0.9


def test_partial_fit_with_known_codes_or_dictionary(stream):
    X, dictionary, codes = stream
    coder = GradSparseCoder(16, random_state=0)
    for rows in np.split(np.arange(len(X)), 40):
        coder.partial_fit(X[rows], codes=codes[rows])
    assert dictionary_mcc(dictionary, coder.components_) > 0.999
    known = GradSparseCoder(dictionary=dictionary)
    for _ in range(2):
        known.partial_fit(X[:50])
    assert_allclose(known.components_, dictionary, rtol=1e-5)


def test_partial_fit_of_one_row_and_of_zeros():
    coder = GradSparseCoder(4, random_state=0)
    for row in np.random.RandomState(0).randn(20, 1, 3):
        coder.partial_fit(row)
    coder.partial_fit(np.zeros((5, 3)))
    assert np.isfinite(coder.components_).all()
    assert_allclose(np.linalg.norm(coder.components_, axis=1), 1)


def test_partial_fit_keeps_the_dtype_of_the_first_chunk(stream):
    coder = GradSparseCoder(16, random_state=0).partial_fit(stream[0][:100])
    coder.partial_fit(stream[0][:100].astype(np.float64))
    assert coder.components_.dtype == np.float32


def test_partial_fit_refuses_bad_input(stream):
    X, _, codes = stream
    coder = GradSparseCoder(16, random_state=0)
    with pytest.raises(ValueError, match="algorithm='adam' has no online form; choose"):
        coder.set_params(algorithm="adam").partial_fit(X)
    with pytest.raises(ValueError, match="'batch_size' parameter"):
        coder.set_params(algorithm="auto", batch_size=0).partial_fit(X)
    coder.set_params(batch_size="auto")
    with pytest.raises(ValueError, match=r"codes must have shape .* \(12000, 16\)"):
        coder.partial_fit(X, codes=codes[:5])
    assert not hasattr(coder, "components_")
    before = coder.partial_fit(X[:500]).components_
    with pytest.raises(ValueError, match="7 features, but GradSparseCoder is expecting 8"):
        coder.partial_fit(X[:, :7])
    with pytest.raises(ValueError, match="NaN"):
        coder.partial_fit(np.where(X > 1, np.nan, X))
    assert_array_equal(coder.components_, before)


# -- By chunks -------------------------------------------------------------------------------------


@stops_early
@pytest.mark.parametrize("warm", [True, False])
def test_chunks_give_the_dictionary_of_the_whole(stream, monkeypatch, warm):
    X = stream[0][:1000].astype(np.float64)
    coder = GradSparseCoder(16, alpha=0.1, algorithm="cd", batch_size=None, random_state=0)
    whole = coder.set_params(max_iter=12, tol=1).fit(X).components_
    curve = coder.loss_curve_
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 16 * 130)
    if not warm:
        monkeypatch.setattr(_dictionary_learning, "_WARM_ELEMENTS", 0)
    coder.fit(X)
    # Cold starts end elsewhere within the gap that inference allows.
    assert_allclose(coder.components_, whole, atol=1e-8 if warm else 0.02)
    assert_allclose(coder.loss_curve_, curve, rtol=1e-9 if warm else 1e-3)


@stops_early
@pytest.mark.parametrize("init", [None, "samples", "k-means++"])
def test_what_is_not_in_memory_is_learned_as_if_it_were(stream, monkeypatch, init):
    X = stream[0][:5000]
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 16 * 700)
    coder = GradSparseCoder(
        16, alpha=0.1, batch_size=256, dict_init=init, max_iter=5, tol=1, random_state=0
    )
    expected = coder.fit(X).components_
    source = OnDisk(X, (300, 8), most_rows=1400)  # as many as the codes of 700
    assert_array_equal(coder.fit(source).components_, expected)
    expected = coder.fit(X).partial_fit(X).components_
    assert_array_equal(coder.fit(source).partial_fit(source).components_, expected)


@stops_early
def test_known_codes_are_taken_by_blocks(stream, monkeypatch):
    X, _, codes = stream
    whole = GradSparseCoder(16).fit(X, codes=codes).components_
    online = GradSparseCoder(16, random_state=0).partial_fit(X, codes=codes).components_
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 16 * 700)
    sources = OnDisk(X, most_rows=700), OnDisk(codes, most_rows=700)
    assert_allclose(GradSparseCoder(16).fit(sources[0], codes=sources[1]).components_, whole, 1e-4)
    by_blocks = GradSparseCoder(16, random_state=0).partial_fit(sources[0], codes=sources[1])
    assert_allclose(by_blocks.components_, online, atol=1e-4)


def test_a_bad_row_of_a_stream_leaves_no_trace(stream, monkeypatch):
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 16 * 700)
    first, second, third = np.split(stream[0], 3)
    spoilt = second.copy()
    spoilt[3210, 5] = np.nan
    coders = [GradSparseCoder(16, random_state=0).partial_fit(first) for _ in range(2)]
    with pytest.raises(ValueError, match="GradSparseCoder: row 3210 of the data contains NaN"):
        coders[0].partial_fit(OnDisk(spoilt, most_rows=700))
    dictionaries = [coder.partial_fit(third).components_ for coder in coders]
    assert_array_equal(*dictionaries)
