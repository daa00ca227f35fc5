import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import (
    PCA,
    DictionaryLearning,
    FastICA,
    MiniBatchDictionaryLearning,
    SparseCoder,
    sparse_encode,
)
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skamort import _explained_variance
from skamort._progress import progress_bar
from skamort.metrics import AmortizationGap, amortization_gap, sparse_coding_objective
from skamort.metrics._reconstruction import objective_samples

SEEDS = st.integers(0, 2**32 - 1)


class Encoder:
    """Any encoder: codes by the given function, a dictionary and perhaps an intercept."""

    def __init__(self, dictionary, encode, intercept=None):
        self.components_ = dictionary
        self.encode = encode
        if intercept is not None:
            self.intercept_ = intercept

    def transform(self, X):
        return self.encode(X)


def unit_rows(rng, n_components=6, n_features=4):
    rows = rng.normal(size=(n_components, n_features))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 4)), unit_rows(rng)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.booleans(), st.floats(0.01, 3))
def test_bounds_hold_for_every_sample(seed, positive, alpha):
    rng = np.random.default_rng(seed)
    X, dictionary = rng.normal(size=(5, 4)), unit_rows(rng)
    codes = rng.normal(size=(5, 6)) * (rng.random((5, 6)) < 0.5)
    codes = np.abs(codes) if positive else codes
    encoder = Encoder(dictionary, lambda _: codes)
    encoder.positive_code = positive
    found = amortization_gap(encoder, X, alpha)
    assert (found.lower_bound_samples <= found.best_objective_samples).all()
    assert (found.best_objective_samples <= found.objective_samples).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        exact = sparse_encode(
            X, dictionary, algorithm="lasso_cd", alpha=alpha, positive=positive, max_iter=10_000
        )
    optimum = objective_samples(X, exact, dictionary, alpha)
    assert (found.lower_bound_samples <= optimum + 1e-9).all()
    assert_allclose(found.best_objective_samples, optimum, rtol=1e-3, atol=1e-4)


def test_without_a_penalty_least_squares_is_the_best(problem):
    X, dictionary = problem
    encoder = Encoder(dictionary[:2], lambda X: X @ dictionary[:2].T)
    _, residuals, *_ = np.linalg.lstsq(dictionary[:2].T, X.T, rcond=None)
    found = amortization_gap(encoder, X, 0)
    assert found.lower_bound <= residuals.sum() / 2 / len(X) + 1e-12
    assert_allclose(found.best_objective, residuals.sum() / 2 / len(X), rtol=1e-4)


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_identities_of_the_result(seed):
    objective, best, bound = np.random.default_rng(seed).normal(size=(3, 9))
    found = AmortizationGap(0.1, True, objective, best, bound)
    assert found.gap == pytest.approx(found.objective - found.best_objective)
    assert found.gap_upper == pytest.approx(found.objective - found.lower_bound)
    assert_array_equal(found.gap_samples, objective - best)
    assert_array_equal(found.gap_upper_samples, objective - bound)


def test_objective_is_the_metric(problem):
    X, dictionary = problem
    encoder = Encoder(dictionary, lambda X: np.maximum(X @ dictionary.T, 0))
    found = amortization_gap(encoder, X, 0.2)
    expected = sparse_coding_objective(X, encoder.transform(X), dictionary, 0.2)
    assert found.objective == pytest.approx(expected)
    assert found.gap > 0.1
    assert found.gap_upper - found.gap < 1e-4


def test_exact_codes_have_no_gap(problem):
    X, dictionary = problem
    encoder = Encoder(
        dictionary,
        lambda X: sparse_encode(X, dictionary, algorithm="lasso_cd", alpha=0.2, max_iter=10_000),
    )
    found = amortization_gap(encoder, X, 0.2)
    assert 0 <= found.gap <= found.gap_upper < 1e-4


def test_a_looser_tolerance_widens_the_interval(problem):
    X, dictionary = problem
    encoder = Encoder(dictionary, lambda X: np.maximum(X @ dictionary.T, 0))
    tight = amortization_gap(encoder, X, 0.2)
    loose = amortization_gap(encoder, X, 0.2, max_iter=1)
    assert loose.gap < tight.gap < tight.gap_upper < loose.gap_upper


def test_intercept_is_honoured(problem):
    X, dictionary = problem
    center = np.array([5.0, -3.0, 0.0, 1.0])
    plain = Encoder(dictionary, lambda X: X @ dictionary.T)
    moved = Encoder(dictionary, lambda X: (X - center) @ dictionary.T, intercept=center)
    there, here = amortization_gap(moved, X + center, 0.2), amortization_gap(plain, X, 0.2)
    assert_allclose(there.objective_samples, here.objective_samples)
    assert there.gap == pytest.approx(here.gap, abs=1e-4)


def test_csr_codes_and_blocks_change_nothing(problem, monkeypatch):
    X, dictionary = problem
    dense = Encoder(dictionary, lambda X: np.maximum(X @ dictionary.T - 0.3, 0))
    csr = Encoder(dictionary, lambda X: sparse.csr_array(dense.transform(X)))
    expected = amortization_gap(dense, X, 0.2)
    monkeypatch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 20)
    found = amortization_gap(csr, X, 0.2)
    assert_allclose(found.objective_samples, expected.objective_samples)
    assert found.gap == pytest.approx(expected.gap, abs=1e-4)


def test_codes_at_hand_are_not_sought_again(problem):
    X, dictionary = problem
    encoder = Encoder(dictionary, lambda X: X @ dictionary.T)
    expected = amortization_gap(encoder, X, 0.2)
    codes, encoder.encode = encoder.transform(X), None
    found = amortization_gap(encoder, X, 0.2, codes=codes)
    assert_array_equal(found.gap_samples, expected.gap_samples)
    with pytest.raises(ValueError, match=r"X \(40, 4\), codes \(39, 6\) .* do not fit together"):
        amortization_gap(encoder, X, 0.2, codes=codes[1:])


def test_float32(problem):
    X, dictionary = (part.astype(np.float32) for part in problem)
    encoder = Encoder(dictionary, lambda X: np.maximum(X @ dictionary.T, 0))
    single, double = (amortization_gap(encoder, data, 0.2) for data in (X, X.astype(np.float64)))
    assert single.gap == pytest.approx(double.gap, abs=1e-4)
    assert single.gap_upper_samples.dtype == np.float64
    assert (single.gap_samples >= 0).all()


def test_pandas_in_and_out(problem):
    X, dictionary = problem
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    encoder = Encoder(dictionary, lambda X: pd.DataFrame(np.asarray(X) @ dictionary.T))
    found = amortization_gap(encoder, frame, 0.2)
    assert found.gap == pytest.approx(
        amortization_gap(Encoder(dictionary, lambda X: X @ dictionary.T), X, 0.2).gap
    )


class TestScikitLearn:
    @pytest.mark.parametrize("positive", [False, True])
    @pytest.mark.parametrize(
        "estimator",
        [
            DictionaryLearning(5, fit_algorithm="cd", max_iter=3, random_state=0),
            MiniBatchDictionaryLearning(5, fit_algorithm="cd", max_iter=3, random_state=0),
        ],
        ids=lambda estimator: type(estimator).__name__,
    )
    def test_lasso_codes_are_the_best(self, problem, estimator, positive):
        estimator.set_params(
            alpha=0.3,
            transform_algorithm="lasso_cd",
            transform_max_iter=10_000,
            positive_code=positive,
        )
        found = amortization_gap(estimator.fit(problem[0]), problem[0])
        assert found.alpha == 0.3
        assert found.positive == positive
        assert found.gap_upper < 1e-4

    def test_omp_codes_are_not(self, problem):
        """A pursuit goes by no weight; a named one judges its codes none the less."""
        estimator = DictionaryLearning(
            5,
            alpha=0.3,
            fit_algorithm="cd",
            max_iter=3,
            transform_algorithm="omp",
            transform_alpha=1e-3,
            random_state=0,
        )
        found = amortization_gap(estimator.fit(problem[0]), problem[0], 0.3)
        assert not found.positive
        assert found.gap > 0.01

    def test_sparse_coder_and_split_sign(self, problem):
        X, dictionary = problem
        coder = SparseCoder(
            dictionary, transform_algorithm="lasso_cd", transform_alpha=0.3, positive_code=False
        )
        assert amortization_gap(coder, X).gap_upper < 1e-3
        whole, split = (
            amortization_gap(coder.set_params(transform_alpha=0.3, split_sign=sign), X, 0.1)
            for sign in (False, True)
        )
        assert split.positive
        assert not whole.positive
        assert_allclose(split.objective_samples, whole.objective_samples)
        assert split.gap == pytest.approx(whole.gap, abs=1e-4)

    def test_mean_of_pca_is_its_intercept(self, problem):
        X = problem[0] + 10
        found = amortization_gap(PCA(2).fit(X), X, 0.2)
        centered = amortization_gap(PCA(2).fit(problem[0]), problem[0], 0.2)
        assert found.objective == pytest.approx(centered.objective)

    def test_components_that_are_no_dictionary(self, problem):
        ica = FastICA(3, tol=1.0, random_state=0).fit(problem[0])
        with pytest.raises(ValueError, match=r"FastICA: inverse_transform\(codes\) is not codes"):
            amortization_gap(ica, problem[0], 0.1)


def test_sign_of_the_codes(problem):
    X, dictionary = problem
    signed = Encoder(dictionary, lambda X: X @ dictionary.T)
    unsigned = Encoder(dictionary, lambda X: np.abs(X @ dictionary.T))
    assert not amortization_gap(signed, X, 0.2).positive
    assert amortization_gap(unsigned, X, 0.2).positive
    unsigned.positive_code = False
    assert not amortization_gap(unsigned, X, 0.2).positive
    signed.positive_code = True
    with pytest.raises(ValueError, match="Encoder has positive_code=True but gave negative codes"):
        amortization_gap(signed, X, 0.2)


def test_repr_says_it_all(problem):
    X, dictionary = problem
    text = repr(amortization_gap(Encoder(dictionary, lambda X: X @ dictionary.T), X, 0.2))
    assert "AmortizationGap(alpha=0.2, positive=False, n_samples=40)" in text
    assert text.count("\n") == 4
    assert " % of the best" in text


def test_bad_input(problem):
    X, dictionary = problem
    encoder = Encoder(dictionary, lambda X: X @ dictionary.T)
    with pytest.raises(ValueError, match=r"Encoder has no L1 weight of its own.*pass alpha="):
        amortization_gap(encoder, X)
    with pytest.raises(ValueError, match="alpha must be >= 0, got -1"):
        amortization_gap(encoder, X, -1)
    with pytest.raises(ValueError, match="max_iter must be >= 0"):
        amortization_gap(encoder, X, 0.1, max_iter=-1)
    with pytest.raises(ValueError, match="X contains NaN"):
        amortization_gap(encoder, np.full((2, 4), np.nan), 0.1)
    with pytest.raises(NotFittedError):
        amortization_gap(DictionaryLearning(), X, 0.1)
    with pytest.raises(TypeError, match=r"StandardScaler has no dictionary.*pass the fitted coder"):
        amortization_gap(make_pipeline(PCA(2), StandardScaler()).fit(X), X, 0.1)
    with pytest.raises(ValueError, match=r"transform gives 3 codes a sample, but the dictionary"):
        amortization_gap(Encoder(dictionary, lambda X: X[:, :3]), X, 0.1)
    broken = np.concatenate([np.zeros((1, 4)), dictionary])
    with pytest.raises(ValueError, match=r"dictionary has 1 zero atom\(s\), at index 0"):
        amortization_gap(Encoder(broken, lambda X: X @ broken.T), X, 0.1)
    with pytest.raises(ValueError, match="dictionary contains NaN"):
        amortization_gap(Encoder(np.full((6, 4), np.nan), lambda X: X @ dictionary.T), X, 0.1)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix])
def test_the_gap_on_sparse_data_is_that_on_dense_ones(kind, monkeypatch):
    random = np.random.default_rng(0)
    X = random.poisson(0.3, (30, 4)).astype(float)
    atoms, intercept = unit_rows(random), random.random(4)
    encoder = Encoder(atoms, lambda X: np.maximum(0, X @ atoms.T), intercept)
    monkeypatch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 6 * 7)
    expected, found = (amortization_gap(encoder, data, 0.1) for data in (X, kind(X)))
    for name in ("objective_samples", "best_objective_samples", "lower_bound_samples"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)


@pytest.mark.parametrize("how", [{"alpha": 0.1}, {"n_nonzero_coefs": 6}])
def test_a_bar_counts_rows_and_changes_nothing(problem, monkeypatch, how):
    def noted(*args, **kwargs):
        bars.append(progress_bar(*args, **kwargs))
        return bars[-1]

    bars, (X, dictionary) = [], problem
    monkeypatch.setattr(_explained_variance, "_BLOCK_ELEMENTS", 100)  # several blocks
    monkeypatch.setattr("skamort.metrics._amortization.progress_bar", noted)
    encoder = Encoder(dictionary, lambda X: (X @ dictionary.T).clip(0))
    quiet, loud = (amortization_gap(encoder, X, **how, verbose=v) for v in (0, 1))
    assert [(bar.n, bar.total) for bar in bars] == [(0, 40), (40, 40)]
    assert_array_equal(loud.gap_samples, quiet.gap_samples)
