"""What is sized by a GPU's memory, and what goes there once a call."""

import math

import numpy as np
import pytest
import torch
from device import emulated_cuda

from skamort import GradSparseCoder, ITOCoder, SAEEncoder, TopKSAE
from skamort._device import blocks_larger_by, upload
from skamort._rows import rows_within
from skamort.modules import DenseCodes, SparseCodes
from skamort.solvers import LCA, sparse_encode

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
GIB = 1 << 30


@pytest.mark.parametrize(("memory", "times"), [(0.5, 1), (4, 4), (80, 80)])
def test_blocks_grow_with_the_memory(gpu, memory, times):
    if gpu is None:
        pytest.skip("the memory is real")
    with emulated_cuda(memory=int(memory * GIB)):
        assert blocks_larger_by(torch.device("cuda:0")) == times
        at_once = rows_within(100, torch.device("cuda:0"))
    assert at_once // rows_within(100) == max(1, times // 8)
    assert blocks_larger_by(torch.device("cpu")) == 1


@pytest.mark.parametrize("shape", [(50, 3), (7, 200), (1, 5), (60,)])
def test_what_is_pinned_is_a_piece(gpu, shape, monkeypatch):
    """Torch keeps pinned memory to the end of the process."""
    monkeypatch.setattr("skamort._device._MOST_PINNED", 1000)
    values = torch.randn(shape)
    there = upload(values, torch.device("cuda", 0))
    assert there.is_cuda
    assert torch.equal(there.cpu(), values)
    row = 4 * math.prod(shape[1:])
    assert gpu is None or gpu.most_pinned <= max(1000, row)


def test_a_fit_leaves_no_gradients(X):
    for model in (SAEEncoder(12), TopKSAE(96, k=2)):
        fitted = model.set_params(max_iter=2, device="cuda").fit(X)
        assert all(p.grad is None for p in fitted.net_.module_.parameters())
        fitted.partial_fit(X)
        assert all(p.grad is None for p in fitted.net_.module_.parameters())


@pytest.mark.parametrize("by", [lambda part: part, lambda part: ITOCoder(estimator=part)])
def test_a_dictionary_goes_there_once_a_call(gpu, by, X, monkeypatch):
    if gpu is None:
        pytest.skip("a real GPU does not count")
    quick = {"max_iter": 1, "transform_max_iter": 3, "device": "cuda"}
    coder = by(GradSparseCoder(12, random_state=0, **quick)).set_params(transform_max_iter=3).fit(X)
    uploads = []
    for rows in (60, 10):
        monkeypatch.setattr("skamort._rows.BLOCK_ELEMENTS", rows * 12 // 8)
        gpu.clear()
        coder.transform(X)
        uploads.append(sum(n for place, n in gpu.uploads.items() if "_device.py:" not in place[1]))
    assert uploads[0] == uploads[1]  # as many for six times as many blocks


def test_codes_of_a_part_stay_there(gpu, X):
    if gpu is None:
        pytest.skip("a real GPU does not count")
    coder = ITOCoder(estimator=SAEEncoder(12, max_iter=1), device="cuda", transform_max_iter=1)
    coder.fit(X)
    gpu.clear()
    coder.transform(X)
    assert not [place for place in gpu.waits if "_numbers.py" in place[1] or "_ito" in place[1]]


def test_lca_looks_for_its_step_once(gpu, X, monkeypatch):
    if gpu is None:
        pytest.skip("a real GPU does not count")
    monkeypatch.setattr("skamort.solvers._blocks.BLOCK_ELEMENTS", 1)
    monkeypatch.setattr("skamort.solvers._base._LEAST_ROWS", 10)
    monkeypatch.setattr("skamort.solvers._blocks.blocks_larger_by", lambda device: 1)
    atoms = torch.tensor(np.random.default_rng(0).standard_normal((12, 6))).cuda()
    gpu.clear()
    LCA(max_iter=2).solve(torch.tensor(X).cuda(), atoms, positive=False)
    assert sum(n for place, n in gpu.operators.items() if "_linalg_svd" in place[0]) == 1


def test_sums_of_latents_are_added_in_order(gpu, X):
    if gpu is None:
        pytest.skip("a real GPU does not count")
    TopKSAE(96, k=2, max_iter=1, device="cuda").fit(X.astype(np.float32))
    added = [place for place in gpu.operators if place[0] == "index_add_"]
    assert {place[1].partition(":")[0] for place in added} <= {"modules/_codes.py"}


def test_where_the_device_was_the_reason_it_is_told(X, capsys):
    sparse_encode(torch.tensor(X).cuda(), np.eye(6), verbose=1, max_iter=1)
    sparse_encode(X, np.eye(6), verbose=1, max_iter=1)
    GradSparseCoder(12, max_iter=1, device="cuda", verbose=True).fit(X[:20])
    there, _, learned = capsys.readouterr().out.partition("\nsparse_encode")
    assert "'fista', for X is on a GPU" in there
    assert "for X is on" not in learned.partition("\n")[0]
    assert "algorithm='fista', for X is on cuda:0" in learned


@pytest.mark.parametrize(("device", "layout"), [("cpu", SparseCodes), ("cuda", DenseCodes)])
def test_the_layout_of_codes_goes_by_the_device(X, device, layout, monkeypatch):
    monkeypatch.setattr("skamort.modules._codes._COMPONENTS_PER_CODE", {"cpu": 40, "cuda": 50})
    model = TopKSAE(96, k=2, max_iter=1, device=device).fit(X)
    codes = model.net_.module_.encode_compactly(torch.tensor(X).to(device))
    assert type(codes) is layout
