import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from on_disk import OnDisk
from sklearn.base import clone

from skamort import GradSparseCoder, _rows
from skamort.datasets import make_sparse_coded_signal
from skamort.estimators._center import geometric_median
from skamort.estimators._statistics import Statistics
from skamort.metrics import amortization_gap

MATRICES = hnp.arrays(float, (9, 3), elements=st.floats(-10, 10, width=16))


def distances(X, y):
    return torch.linalg.vector_norm(X - y, dim=1).sum().item()


@settings(deadline=None)
@given(X=MATRICES, seed=st.integers(0, 99))
def test_no_other_point_is_nearer_to_all(X, seed):
    X = torch.from_numpy(X)
    median = geometric_median(X, max_iter=2000, tol=1e-9)
    directions = torch.randn(20, 3, dtype=X.dtype, generator=torch.Generator().manual_seed(seed))
    reached = distances(X, median)
    for other in [*X, *(median + 0.1 * directions), X.mean(0)]:
        assert reached <= distances(X, other) + 1e-3


@settings(deadline=None)
@given(X=MATRICES, scale=st.floats(0.1, 10), shift=st.floats(-10, 10))
def test_moves_with_the_data(X, scale, shift):
    X = torch.from_numpy(X)
    moved = geometric_median(scale * X + shift, max_iter=2000, tol=1e-9)
    expected = scale * geometric_median(X, max_iter=2000, tol=1e-9) + shift
    # Where several points are as near, any of them will do.
    assert distances(scale * X + shift, moved) == pytest.approx(
        distances(scale * X + shift, expected), rel=1e-3, abs=1e-3
    )


def test_on_a_line_it_is_the_median_and_an_outlier_does_not_move_it():
    X = torch.tensor([[0.0], [1.0], [2.0], [3.0], [1e6]])
    assert geometric_median(X, max_iter=1000).item() == pytest.approx(2, abs=1e-2)


def test_equal_rows_are_their_own_median():
    X = torch.full((5, 2), 0.3)
    torch.testing.assert_close(geometric_median(X), X[0])


# -- The center of dictionary learning -------------------------------------------------------------

early = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SHIFT = np.array([30.0, -4.0, 0.0, 7.0, 1.0])


@pytest.fixture(scope="module")
def signal():
    shape = {"n_samples": 120, "n_components": 8, "n_features": 5, "n_nonzero_coefs": 2}
    return make_sparse_coded_signal(**shape, positive=True, random_state=0)[0]


@pytest.fixture
def coder():
    return GradSparseCoder(8, alpha=0.05, fit_intercept=True, max_iter=4, random_state=0)


@early
@pytest.mark.parametrize("kind", [True, "mean", "geometric_median"])
def test_a_shift_of_the_data_moves_the_center_alone(coder, signal, kind):
    coder.set_params(fit_intercept=kind, dict_init="samples")
    one, other = (clone(coder).fit(signal + shift) for shift in (0, SHIFT))
    assert_allclose(other.components_, one.components_, atol=1e-6)
    assert_allclose(other.intercept_ - SHIFT, one.intercept_, atol=1e-6)
    codes = other.transform(signal + SHIFT)
    assert_allclose(codes, one.transform(signal), atol=1e-5)
    assert_allclose(other.inverse_transform(codes), codes @ other.components_ + other.intercept_)
    assert other.score(signal + SHIFT) == pytest.approx(one.score(signal))
    assert amortization_gap(other, signal + SHIFT).gap_upper < 1e-3


@early
def test_without_an_intercept_the_center_is_zero(coder, signal):
    plain = coder.set_params(fit_intercept=False).fit(signal)
    assert_array_equal(plain.intercept_, np.zeros(5))
    assert_array_equal(plain.inverse_transform(np.eye(8)), plain.components_)


@early
def test_a_known_dictionary_takes_a_center_too(coder, signal):
    dictionary = np.random.default_rng(0).standard_normal((8, 5))
    known = clone(coder).set_params(dictionary=dictionary).fit(signal + SHIFT)
    assert_allclose(known.intercept_, (signal + SHIFT).mean(0))


@early
def test_the_center_of_parts_is_the_running_mean(coder, signal, monkeypatch):
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 8 * 16)
    seen = []
    for part in np.split(signal + SHIFT, [50, 60]):
        seen.append(part)
        coder.partial_fit(OnDisk(part))
        assert_allclose(coder.intercept_, np.concatenate(seen).mean(0))
    assert coder.n_samples_seen_ == 120
    first = clone(coder).set_params(fit_intercept="geometric_median")
    center = first.partial_fit(signal[:50]).intercept_.copy()
    assert_array_equal(first.partial_fit(signal[50:] + SHIFT).intercept_, center)


def test_statistics_follow_a_center_that_moves():
    generator = torch.Generator().manual_seed(0)
    X, codes = (torch.randn(20, n, generator=generator, dtype=torch.float64) for n in (3, 4))
    step = X[0]
    found, expected = (Statistics.like(X.new_zeros(4, 3)) for _ in range(2))
    for half in (slice(10), slice(10, 20)):
        for statistics, rows in ((found, X), (expected, X - step)):
            statistics.forget(10)
            statistics.add(rows[half], codes[half])
    found.move_center(step)
    torch.testing.assert_close(found.cross, expected.cross)


@early
def test_a_large_mean_is_taken_off_and_that_of_sparse_codes_is_not(coder, signal):
    coder.set_params(fit_intercept="auto")
    assert (signal.mean(0) ** 2).sum() < 0.3 * (signal**2).sum(1).mean()
    assert not coder.fit(signal).intercept_.any()
    assert coder.fit_intercept_ is False
    assert_allclose(coder.fit(signal + SHIFT).intercept_, (signal + SHIFT).mean(0))
    known = clone(coder).set_params(dictionary=np.eye(8, 5) + 0.1)
    assert not known.fit(signal + SHIFT).intercept_.any()
