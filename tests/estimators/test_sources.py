"""Data as the libraries for what does not fit in memory hold them: read as an array would be."""

import numpy as np
import pytest
import torch
from discovery import fast_estimators
from numpy.testing import assert_array_equal
from on_disk import OnDisk
from sklearn.base import clone

from skamort import SAEEncoder, _rows
from skamort.datasets import load_image_patches

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("quick_inner_encoder"),
]

CHUNKS = (50, 20)  # rows and columns that are stored together


@pytest.fixture(scope="module")
def X():
    return load_image_patches(600, patch_size=(6, 6), random_state=0).astype(np.float32)


def plain_object(X, folder):
    return OnDisk(X, most_rows=len(X))


def memory_map(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def h5py_dataset(X, folder):
    h5py = pytest.importorskip("h5py")
    return h5py.File(folder / "X.h5", "w").create_dataset("X", data=X, chunks=CHUNKS)


def zarr_array(X, folder):
    zarr = pytest.importorskip("zarr")
    array = zarr.open(str(folder / "X.zarr"), mode="w", shape=X.shape, chunks=CHUNKS, dtype=X.dtype)
    array[:] = X
    return array


def dask_array(X, folder):
    return pytest.importorskip("dask.array").from_array(X, chunks=CHUNKS)


def column(X, form):
    pytest.importorskip("datasets.arrow_dataset")  # a folder of these tests has the same name
    import datasets

    kind = datasets.Sequence(datasets.Value(str(X.dtype)), length=X.shape[1])
    features = datasets.Features({"activations": kind})
    table = datasets.Dataset.from_dict({"activations": X.tolist()}, features=features)
    return table.with_format(form)["activations"]


def torch_column(X, folder):
    return column(X, "torch")


def numpy_column(X, folder):
    return column(X, "numpy")


KINDS = [
    *(plain_object, memory_map, h5py_dataset, zarr_array, dask_array),
    *(torch_column, numpy_column),
]


@pytest.fixture
def source(request, X, tmp_path):
    return request.param(X, tmp_path)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 200 rows of 36 features."""
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 200 * 36)


@pytest.fixture(params=fast_estimators(), ids=lambda e: type(e).__name__)
def estimator(request):
    estimator = clone(request.param).set_params(n_components=40, random_state=0)
    return estimator


# Every estimator with a third of the sources, every source with a third of the estimators: what
# reads sources is the same code for all.
each_with_some_sources = pytest.mark.parametrize(
    ("estimator", "source"),
    [
        pytest.param(estimator, kind, id=f"{type(estimator).__name__}-{kind.__name__}")
        for i, estimator in enumerate(fast_estimators())
        for j, kind in enumerate(KINDS)
        if (i + j) % 3 == 0
    ],
    indirect=True,
)


def partially_fitted(estimator, X):
    """Fit once more where that can be done; return the dictionary."""
    if hasattr(estimator, "partial_fit"):
        estimator.partial_fit(X)
    return estimator.components_


@each_with_some_sources
def test_every_estimator_reads_every_source_as_an_array(estimator, source, X):
    in_memory = clone(estimator).fit(X)
    estimator.fit(source)
    assert estimator.components_.dtype == np.float32
    assert_array_equal(estimator.components_, in_memory.components_)
    assert_array_equal(estimator.transform(source), in_memory.transform(X))
    assert estimator.score(source) == in_memory.score(X)
    assert_array_equal(partially_fitted(estimator, source), partially_fitted(in_memory, X))


@pytest.mark.usefixtures("small_blocks")
def test_no_estimator_reads_a_source_as_a_whole(estimator, X):
    source = OnDisk(X, (50, 36), most_rows=200)
    as_one = clone(estimator).fit(X).score(X)
    codes = estimator.fit(source).transform(source)
    assert_array_equal(codes, estimator.transform(X))
    assert estimator.score(source) == estimator.score(X) == pytest.approx(as_one, abs=0.1)
    partially_fitted(estimator, source)


@each_with_some_sources
@pytest.mark.usefixtures("small_blocks")
def test_every_source_can_be_larger_than_memory(estimator, source, X):
    stored = CHUNKS if hasattr(source, "chunks") and source.chunks else None
    stand_in = clone(estimator).fit(OnDisk(X, stored, most_rows=200))
    expected = partially_fitted(stand_in, OnDisk(X, stored, most_rows=200))
    assert_array_equal(partially_fitted(estimator.fit(source), source), expected)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_row_is_named(estimator, kind, X, tmp_path):
    name, spoilt = type(estimator).__name__, X.copy()
    spoilt[433, 5] = np.nan
    source = kind(spoilt, tmp_path)
    # What is fitted within reads first.
    with pytest.raises(ValueError, match=r"\w+: row 433 of the data contains NaN"):
        estimator.fit(source)
    estimator.fit(X[:200])
    for method in (estimator.transform, estimator.score):
        with pytest.raises(ValueError, match=f"{name}: row 433 of the data contains NaN"):
            method(source)


def test_a_dask_array_of_unknown_length_is_refused(X):
    rows = dask_array(X, None)
    filtered = rows[rows[:, 0] > 0]
    with pytest.raises(ValueError, match=r"unknown shape \(nan, 36\); call X\.compute_chunk_sizes"):
        SAEEncoder(40).fit(filtered)
    SAEEncoder(40, max_iter=1).fit(filtered.compute_chunk_sizes())


@pytest.mark.parametrize(("stored", "fitted"), [("f2", "f4"), ("f8", "f8"), ("i4", "f8")])
def test_other_types_are_cast_as_arrays_are(X, tmp_path, stored, fitted):
    source = h5py_dataset((100 * X).astype(stored), tmp_path)
    assert SAEEncoder(40, max_iter=1).fit(source).components_.dtype == fitted


@pytest.mark.parametrize("given", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_tensors_keep_their_type(X, given):
    tensor = torch.from_numpy(X).to(given)
    array = tensor.to(torch.promote_types(given, torch.float32)).numpy()
    encoder = SAEEncoder(40, max_iter=1, random_state=0).fit(tensor)
    assert encoder.components_.dtype == array.dtype
    assert_array_equal(encoder.transform(tensor), encoder.fit(array).transform(array))
    assert_array_equal(encoder.fit(OnDisk(tensor)).transform(tensor), encoder.transform(array))
