"""What comes to a GPU from users: data that lie there, and more than it can hold."""

import numpy as np
import pytest
import torch
from device import emulated_cuda
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.decomposition import PCA

from skamort import AmortizedCoder, GradSparseCoder, ITOCoder, SAEEncoder
from skamort._device import OutOfMemory
from skamort.solvers import FISTA, sparse_encode
from skamort.training import SparseNet
from skamort.training._adam import FusedAdam

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SAE = SAEEncoder(12, max_iter=2, batch_size=20, random_state=0, device="cuda")
CODER = GradSparseCoder(12, max_iter=1, random_state=0, device="cuda", transform_max_iter=5)
ITO = ITOCoder(estimator=SAE, transform_max_iter=5)


@pytest.mark.parametrize(
    ("model", "dtype"),
    [(SAE, torch.float16), (CODER, torch.float64), (ITO, torch.float64), (SAE, torch.int64)],
)
def test_data_are_used_where_they_lie(gpu, model, dtype, X):
    there = torch.tensor(X, dtype=dtype).cuda()
    here = there.cpu().numpy()
    theirs = clone(model).fit(here)
    codes, score = theirs.transform(here), theirs.score(here)
    ours = clone(model)
    if gpu is not None:
        gpu.clear()
    ours.fit(there)
    assert_allclose(ours.transform(there), codes, atol=1e-6)
    assert ours.score(there) == pytest.approx(score)
    assert gpu is None or "_rows.py" not in str(gpu.uploads)


def test_known_codes_may_lie_there(X):
    codes = np.maximum(X @ np.random.default_rng(0).standard_normal((6, 12)), 0)
    ours = clone(SAE).fit(torch.tensor(X).cuda(), codes=torch.tensor(codes).cuda())
    assert_allclose(ours.transform(X), clone(SAE).fit(X, codes=codes).transform(X))


def test_estimators_that_know_no_devices_get_arrays(X):
    coder = ITOCoder(estimator=PCA(4), alpha=0.1)
    assert coder.fit(torch.tensor(X[:20]).cuda()).components_.shape == (4, 6)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda X: torch.where(X[3, 2] == X, torch.nan, X), "row 3 of the data contains NaN"),
        (lambda X: X[:, :4], "4 features"),
        (lambda X: X[0], "must be a matrix"),
        (lambda X: X.to(torch.complex64), "Complex data not supported"),
    ],
)
def test_bad_data_are_refused_there_too(broken, said, X):
    model = clone(SAE).fit(X)
    with pytest.raises(ValueError, match=said):
        model.transform(broken(torch.tensor(X).cuda()))


def test_a_generator_is_one_of_the_cpu(X):
    net = clone(SAE).fit(X).net_
    other = torch.Generator()
    generator = type("GeneratorThere", (), {"device": torch.device("cuda:0")})()
    SparseNet(net.module_, net.criterion_, generator=other)
    with pytest.raises(ValueError, match=r"generator must be on the CPU.*cuda:0"):
        SparseNet(net.module_, net.criterion_, generator=generator)


def out_of_memory(*args, **kwargs):
    raise OutOfMemory("CUDA out of memory. Tried to allocate 5 GiB. GPU 0 has 4 GiB.")


def never_fitted(model):
    return not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize("model", [SAE, CODER, AmortizedCoder(12, max_iter=1)])
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_out_of_memory_leaves_nothing_half_fitted(model, how, X, monkeypatch):
    model = clone(model).set_params(device="cuda")
    if isinstance(model, AmortizedCoder):
        model.set_params(teacher=clone(CODER))
    if not hasattr(model, how):
        return
    for owner in (FusedAdam, FISTA):  # somewhere on the way
        monkeypatch.setattr(owner, "step" if owner is not FISTA else "solve", out_of_memory)
    with pytest.raises(MemoryError, match=r"n_components=12; lower .*n_components.*CUDA out of"):
        getattr(model, how)(X)
    assert never_fitted(model)
    monkeypatch.undo()
    assert getattr(model, how)(X).components_.shape == (12, 6)


def test_out_of_memory_does_not_undo_what_was_learned(X, monkeypatch):
    model = clone(SAE).fit(X)
    codes = model.transform(X)
    monkeypatch.setattr(FusedAdam, "step", out_of_memory)
    with pytest.raises(MemoryError, match="batch_size=20, n_components=12; lower batch_size or"):
        model.partial_fit(X)
    assert_allclose(model.transform(X), codes)


@pytest.mark.parametrize("use", ["transform", "score", "score_samples"])
def test_out_of_memory_in_use(use, X, monkeypatch):
    model = clone(SAE).fit(X)
    monkeypatch.setattr(type(model), "_encode_block", out_of_memory)
    with pytest.raises(MemoryError, match=r"n_components=12; free .* set_params"):
        getattr(model, use)(X)


def test_out_of_memory_of_a_solver(X, monkeypatch):
    monkeypatch.setattr(FISTA, "solve", out_of_memory)
    with pytest.raises(MemoryError, match="6 atoms; free what else"):
        sparse_encode(torch.tensor(X).cuda(), np.eye(6), algorithm="fista")


def test_more_rows_than_a_gpu_holds_come_by_chunks(gpu, X, monkeypatch):
    if gpu is None:
        pytest.skip("a real GPU is larger")
    monkeypatch.setattr("skamort._rows.BLOCK_ELEMENTS", 20 * 12)
    uploads = []
    for share in (1, 4):
        with emulated_cuda(memory=share * X.nbytes) as counts:
            clone(SAE).fit(X.copy())
            uploads.append(sum(n for place, n in counts.uploads.items() if "_device" in place[1]))
    assert uploads[0] > 2 * uploads[1]
