import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import FunctionTransformer

from skamort import ITOCoder, TopKSAE, _rows
from skamort.inspection import _strongest, top_activations

AS_THEY_ARE = FunctionTransformer(accept_sparse=True, check_inverse=False)


def make_codes(n_rows=400, n_latents=7, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(n_rows, n_latents)).round(2)
    codes[rng.random(codes.shape) < 0.7] = 0
    codes[:, 3] = 0  # never active
    codes[:, 5] *= np.arange(n_rows) == 11  # once at most
    return codes


def columns(table):
    """Latent, bin, row and code as tuples."""
    return list(
        zip(*(np.asarray(table[c]).tolist() for c in ("latent", "bin", "row", "code")), strict=True)
    )


@given(st.integers(0, 50), st.integers(1, 9), st.sampled_from([1, 30, 10_000]))
@settings(max_examples=15, deadline=None)
def test_the_strongest_are_those_of_a_sort(seed, n_top, waiting):
    codes = make_codes(seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_strongest, "_WAITING", waiting)
        patch.setattr(_rows, "BLOCK_ELEMENTS", 7 * 13)
        table = top_activations(AS_THEY_ARE, codes, n_top=n_top)
    order = np.argsort(-np.abs(codes), axis=0, kind="stable")[:n_top]
    expected = [
        (j, 0, i, codes[i, j]) for j in range(7) for i in order[:, j].tolist() if codes[i, j]
    ]
    assert columns(table) == expected


@pytest.mark.parametrize("n_sampled", [256, 40])
def test_blocks_and_storage_change_nothing(n_sampled, monkeypatch):
    monkeypatch.setattr("skamort.inspection._top_activations.N_SAMPLED", n_sampled)
    codes, like = make_codes(), {"n_top": 3, "n_bins": 4, "n_per_bin": 2, "random_state": 5}
    whole = columns(top_activations(AS_THEY_ARE, codes, **like))
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 7 * 13)
    monkeypatch.setattr(_strongest, "_WAITING", 1)
    assert columns(top_activations(AS_THEY_ARE, codes, **like)) == whole
    assert columns(top_activations(AS_THEY_ARE, sparse.csc_array(codes), **like)) == whole
    some = top_activations(AS_THEY_ARE, codes, latents=[6, 2], **like)
    assert columns(some) == [x for j in (6, 2) for x in whole if x[0] == j]
    others = columns(top_activations(AS_THEY_ARE, codes, **like | {"random_state": 6}))
    assert [x for x in others if x[1] == 0] == [x for x in whole if x[1] == 0]
    assert others != whole


def test_bins_are_quantiles_of_what_is_active():
    codes = np.zeros((200, 2))
    codes[:, 0] = -np.random.default_rng(0).permutation(200)
    table = columns(top_activations(AS_THEY_ARE, codes, n_top=10, n_bins=4, n_per_bin=30))
    for number in (1, 2, 3, 4):
        sizes = [-code for _, bin_, _, code in table if bin_ == number]
        edges = np.quantile(np.arange(1, 200), [(number - 1) / 4, number / 4])
        assert edges[0] - 1 <= min(sizes) <= max(sizes) <= edges[1] + 1
        assert len(sizes) == 30
        assert len(set(sizes)) == 30
    strongest = [row for _, bin_, row, _ in table if bin_ == 0]
    assert not set(strongest) & {row for _, bin_, row, _ in table if bin_ > 0}


def test_a_sample_of_a_bin_is_fair(monkeypatch):
    """Each row is as likely to be drawn as any other: 5 of 50, 100 times."""
    monkeypatch.setattr("skamort.inspection._top_activations.N_SAMPLED", 20)
    codes, counts = np.ones((50, 1)), np.zeros(50)
    for seed in range(100):
        table = top_activations(AS_THEY_ARE, codes, n_top=0, n_bins=1, random_state=seed)
        counts[np.asarray(table["row"])] += 1
    assert_allclose(counts, 10, atol=5 * np.sqrt(10 * 0.9))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_of_all_kinds_and_a_memory_map(tmp_path):
    X = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
    path = tmp_path / "X.npy"
    np.save(path, X)
    lazy = np.load(path, mmap_mode="r")
    sae = TopKSAE(8, k=2, max_iter=1, random_state=0, sparse_output=True).fit(X)
    for estimator in (sae, ITOCoder(dictionary=np.eye(6), alpha=0.1), PCA(3).fit(X)):
        codes = estimator.transform(X)
        codes = codes.toarray() if sparse.issparse(codes) else codes
        table = top_activations(estimator, lazy, n_top=1)
        j, rows = np.asarray(table["latent"]), np.asarray(table["row"])
        assert_array_equal(rows, np.abs(codes).argmax(axis=0)[j])
        assert_allclose(np.asarray(table["code"]), codes[rows, j], rtol=1e-5)


def test_sparse_rows_reach_the_estimator_sparse():
    X = sparse.csr_array(np.maximum(np.random.default_rng(0).normal(size=(60, 9)), 0))
    seen = []

    class Spy(TruncatedSVD):
        def transform(self, X):
            seen.append(sparse.issparse(X))
            return super().transform(X)

    top_activations(Spy(2, random_state=0).fit(X), X)
    assert seen
    assert all(seen)


def test_frames_keep_their_names():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=["a", "b", "c"])
    table = top_activations(PCA(2).fit(X), X, n_top=2)
    assert list(table.columns) == ["latent", "bin", "row", "code"]
    with pytest.raises(ValueError, match="feature names should match"):
        top_activations(PCA(2).fit(X), X[["b", "a", "c"]])


def test_bad_input(tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 3))
    pca = PCA(2).fit(X)
    with pytest.raises(NotFittedError):
        top_activations(TopKSAE(2), X)
    with pytest.raises(ValueError, match=r"latents must be from 0 to 1, got 2\."):
        top_activations(pca, X, latents=[1, 2])
    with pytest.raises(TypeError, match="latents must be integers"):
        top_activations(pca, X, latents=[0.5])
    with pytest.raises(ValueError, match="n_top must be >= 0"):
        top_activations(pca, X, n_top=-1)
    X[17, 1] = np.nan
    np.save(tmp_path / "X.npy", X)
    for bad in (X, np.load(tmp_path / "X.npy", mmap_mode="r")):
        with pytest.raises(ValueError, match="PCA: row 17 of the data contains NaN"):
            top_activations(pca, bad)
