"""What every public estimator promises, found by discovery."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from discovery import fast_estimators
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skamort import ITOCoder, _rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("quick_inner_encoder"),
]

N_COMPONENTS = 12


@pytest.fixture(scope="module")
def X():
    return np.random.RandomState(0).randn(60, 6)


@pytest.fixture(params=fast_estimators(), ids=lambda e: type(e).__name__)
def estimator(request):
    return clone(request.param).set_params(n_components=N_COMPONENTS, random_state=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_types_are_kept(estimator, X, dtype):
    codes = estimator.fit_transform(X.astype(dtype))
    assert codes.dtype == estimator.components_.dtype == dtype
    assert estimator.inverse_transform(codes).dtype == dtype


def test_half_precision_becomes_single(estimator, X):
    assert estimator.fit_transform(X.astype(np.float16)).dtype == np.float32


def test_integers_become_double(estimator, X):
    assert estimator.fit_transform(np.round(5 * X).astype(int)).dtype == np.float64


def test_codes_are_non_negative_and_reconstruct(estimator, X):
    codes = estimator.fit_transform(X)
    assert codes.shape == (60, N_COMPONENTS)
    assert codes.min() >= 0
    X_hat = estimator.inverse_transform(codes)
    intercept = getattr(estimator, "intercept_", None)
    assert_allclose(X_hat, codes @ estimator.components_ + (0 if intercept is None else intercept))
    fvu = ((X - X_hat) ** 2).sum() / ((X - X.mean(axis=0)) ** 2).sum()
    assert estimator.score(X) == pytest.approx(1 - fvu)
    assert_allclose(estimator.score_samples(X), -((X - X_hat) ** 2).mean(axis=1), rtol=1e-3)


def test_atoms_have_unit_norm(estimator, X):
    assert_allclose(np.linalg.norm(estimator.fit(X).components_, axis=1), 1)


def test_sparse_output_is_the_same_codes_as_csr(estimator, X, monkeypatch):
    dense = estimator.fit(X).transform(X)
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 7 * N_COMPONENTS)  # several blocks
    codes = estimator.set_params(sparse_output=True).transform(X)
    assert isinstance(codes, sparse.csr_array)
    assert codes.nnz == np.count_nonzero(dense)
    assert_allclose(codes.toarray(), dense, atol=1e-4)
    assert_allclose(estimator.inverse_transform(codes), estimator.inverse_transform(dense))


def test_a_row_is_encoded_by_itself(estimator, X):
    codes = estimator.fit(X).transform(X)
    assert_allclose(np.vstack([estimator.transform(row[None]) for row in X]), codes, atol=1e-4)
    order = np.random.RandomState(1).permutation(60)
    assert_allclose(estimator.transform(X[order]), codes[order], atol=1e-4)


def test_same_seed_same_bits_and_global_streams_untouched(estimator, X):
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    first = estimator.fit(X).components_
    second = clone(estimator).fit(X).components_
    after = np.random.get_state()[1], torch.random.get_rng_state()  # noqa: NPY002
    assert_array_equal(first, second)
    for state_before, state_after in zip(before, after, strict=True):
        assert_array_equal(state_after, state_before)
    assert not np.array_equal(clone(estimator).set_params(random_state=1).fit(X).components_, first)


def test_what_is_read_only_is_taken(estimator, X, tmp_path):
    """As rows of a frame are, and all that joblib maps for its processes."""
    X, weights = X.copy(), np.ones(len(X))
    X.flags.writeable = weights.flags.writeable = False
    torch.set_warn_always(True)
    try:
        codes = estimator.fit(X, sample_weight=weights).transform(X)
        joblib.dump(estimator, tmp_path / "estimator")
        mapped = joblib.load(tmp_path / "estimator", mmap_mode="r")
        assert_array_equal(mapped.transform(X), codes)
        if hasattr(mapped, "partial_fit"):
            mapped.partial_fit(X, sample_weight=weights)
    finally:
        torch.set_warn_always(False)


def test_pickled_estimator_gives_the_same_codes(estimator, X):
    estimator.fit(X)
    copy = pickle.loads(pickle.dumps(estimator))
    assert_array_equal(copy.transform(X), estimator.transform(X))


@pytest.mark.parametrize("spoil", ["data", "atoms"])
def test_a_refit_that_fails_leaves_no_half_of_a_fit(estimator, X, spoil):
    estimator.fit(X)
    bad = {
        "data": lambda: estimator.fit(np.full((9, 4), np.nan)),
        "atoms": lambda: estimator.set_params(n_components=None, dictionary=np.ones((5, 3))).fit(X),
    }
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        bad[spoil]()
    # With a dictionary ITOCoder needs no fit, and refuses the dictionary instead.
    stateless = estimator.dictionary is not None and isinstance(estimator, ITOCoder)
    for width in (4, 6):
        with pytest.raises(ValueError if stateless else NotFittedError):
            estimator.transform(X[:, :width])


def test_data_frames_in_and_out(estimator, X):
    frame = pytest.importorskip("pandas").DataFrame(
        X, columns=list("abcdef"), index=[f"row{i}" for i in range(60)]
    )
    codes = estimator.set_output(transform="pandas").fit_transform(frame)
    assert list(codes.index) == list(frame.index)
    prefix = type(estimator).__name__.lower()
    assert list(codes.columns) == [f"{prefix}{i}" for i in range(N_COMPONENTS)]
    assert list(estimator.get_feature_names_out()) == list(codes.columns)
    assert list(estimator.feature_names_in_) == list("abcdef")
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.transform(frame.rename(columns={"a": "z"}))


def test_lists_and_read_only_memmaps(estimator, X, tmp_path):
    expected = clone(estimator).fit_transform(X)
    assert_array_equal(clone(estimator).fit_transform(X.tolist()), expected)
    np.save(tmp_path / "X.npy", X)
    memmap = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert_array_equal(estimator.fit_transform(memmap), expected)
    assert_array_equal(memmap, X)


def test_works_in_a_pipeline_and_a_grid_search_with_workers(estimator, X):
    y = (X[:, 0] > 0).astype(int)
    pipeline = make_pipeline(StandardScaler(), estimator)
    grid = {f"{type(estimator).__name__.lower()}__n_components": [4, 8]}
    with config_context(enable_metadata_routing=False):
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_params_ == {next(iter(grid)): 8}


def test_one_sample_and_constant_columns(estimator, X):
    with_constant = np.hstack([X, np.ones((60, 1)), np.zeros((60, 1))])
    assert np.isfinite(clone(estimator).fit_transform(with_constant)).all()
    assert estimator.fit_transform(X[:1]).shape == (1, N_COMPONENTS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: np.where(X[3, 2] == X, np.nan, X), "NaN"),
        (lambda X: np.where(X[3, 2] == X, np.inf, X), "infinity"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X[:, :0], r"0 feature|at least one array or dtype"),
        (lambda X: X[0], "1D array"),
        (lambda X: X[None], "3"),
        (lambda X: X.astype(complex), "[Cc]omplex"),
        (lambda X: np.full(X.shape, "word"), "must hold numbers"),
    ],
    ids=["nan", "inf", "no rows", "no columns", "1d", "3d", "complex", "text"],
)
def test_bad_data_is_refused(estimator, X, spoil, message):
    bad = spoil(X)
    with pytest.raises((ValueError, TypeError), match=message):
        clone(estimator).fit(bad)
    with pytest.raises((ValueError, TypeError), match=message):
        estimator.fit(X).transform(bad)


def test_wrong_width_is_refused(estimator, X):
    estimator.fit(X)
    with pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 6"):
        estimator.transform(X[:, :5])
    with pytest.raises(ValueError, match="11 columns, the dictionary has 12 atoms"):
        estimator.inverse_transform(np.ones((2, 11)))


def test_missing_or_unknown_device_is_refused(estimator, X):
    for device in ("gpu", "mps", "xpu:0", "meta"):
        with pytest.raises(ValueError, match=f"device must be 'auto', .* got '{device}'"):
            clone(estimator).set_params(device=device).fit(X)
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=rf"device='{missing}' is not there.*choose"):
        clone(estimator).set_params(device=missing).fit(X)


def with_parameter(*names):
    """Return every pair of an estimator and one of these parameters that it has."""
    pairs = [(e, name) for e in fast_estimators() for name in names if name in e.get_params()]
    return pytest.mark.parametrize(
        ("estimator", "name"), pairs, ids=[f"{type(e).__name__}-{name}" for e, name in pairs]
    )


@with_parameter(
    *("alpha", "k", "n_components", "max_iter", "batch_size", "transform_max_iter"),
    *("max_grad_norm", "fit_intercept", "feature_weights", "precision", "bandwidth"),
    *("schedule", "dead_latents", "checkpoint", "multi_topk", "n_stages", "transform_k"),
)
def test_parameters_out_of_range_are_refused(estimator, X, name):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {type(estimator).__name__}"):
        clone(estimator).set_params(**{name: -1}).fit(X)


BAD_ATOMS = {
    "a zero atom": (lambda D: np.vstack([D[:-1], 0 * D[-1:]]), "zero atom"),
    "NaN": (lambda D: np.where(np.eye(*D.shape) == 1, np.nan, D), "NaN"),
    "wrong width": (lambda D: D[:, :-1], "atoms are rows, as wide as X"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_ATOMS.values(), ids=BAD_ATOMS)
@with_parameter("dictionary", "dict_init")
def test_bad_dictionaries_are_refused(estimator, X, name, spoil, message):
    atoms = spoil(np.random.RandomState(0).randn(N_COMPONENTS, 6))
    with pytest.raises(ValueError, match=message):
        clone(estimator).set_params(**{name: atoms}).fit(X)


def test_n_components_must_agree_with_the_dictionary(estimator, X):
    with pytest.raises(ValueError, match=r"12.*leave n_components=None|n_components=12 .* 5"):
        estimator.set_params(dictionary=np.eye(6)[:5]).fit(X)
