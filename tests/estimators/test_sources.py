"""Data as the libraries for what does not fit in memory hold them: read as an array would be."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from on_disk import OnDisk
from sklearn.base import clone

from skamort import SAEEncoder, TopKSAE
from skamort.datasets import load_image_patches
from skamort.estimators import _trained
from skamort.training import _chunks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CHUNKS = (50, 20)  # rows and columns that are stored together


@pytest.fixture(scope="module")
def X():
    return load_image_patches(600, patch_size=(6, 6), random_state=0).astype(np.float32)


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


KINDS = [h5py_dataset, zarr_array, dask_array, torch_column, numpy_column]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def source(request, X, tmp_path):
    return request.param(X, tmp_path)


@pytest.fixture
def small_buffer(monkeypatch):
    """A buffer of 200 rows of 36 features."""
    for module in (_chunks, _trained):
        monkeypatch.setattr(module, "BUFFER_ELEMENTS", 200 * 36)


@pytest.fixture(params=[SAEEncoder(40), TopKSAE(40, k=2)], ids=lambda e: type(e).__name__)
def encoder(request):
    return clone(request.param).set_params(batch_size=64, max_iter=5, random_state=0)


def test_all_can_be_trained_on_and_transformed(encoder, source, X):
    in_memory = clone(encoder).fit(X)
    encoder.fit(source)
    assert encoder.components_.dtype == np.float32
    assert_array_equal(encoder.components_, in_memory.components_)
    assert_array_equal(encoder.transform(source), in_memory.transform(X))
    assert encoder.score(source) == in_memory.score(X)
    again = encoder.partial_fit(source).components_
    assert_array_equal(again, in_memory.partial_fit(X).components_)


@pytest.mark.usefixtures("small_buffer")
def test_all_can_be_larger_than_memory(encoder, source, X):
    stored = CHUNKS if hasattr(source, "chunks") else None
    stand_in = clone(encoder).fit(OnDisk(X, stored)).partial_fit(OnDisk(X, stored))
    encoder.fit(source).partial_fit(source)
    assert_array_equal(encoder.components_, stand_in.components_)


@pytest.mark.usefixtures("small_buffer")
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_row_is_named(kind, X, tmp_path):
    spoilt = X.copy()
    spoilt[433, 5] = np.nan
    source = kind(spoilt, tmp_path)
    with pytest.raises(ValueError, match="SAEEncoder: row 433 of the data contains NaN"):
        SAEEncoder(40, random_state=0).fit(source)
    encoder = SAEEncoder(40, random_state=0).fit(X[:200])
    with pytest.raises(ValueError, match="SAEEncoder: row 433 of the data contains NaN"):
        encoder.transform(source)


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
