"""What is learned on one device goes on on another."""

import pickle
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from device import emulated_cuda
from numpy.testing import assert_allclose
from sklearn.base import clone

from skamort import GradSparseCoder, SAEEncoder, TopKSAE, load
from skamort.training import TeachDead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
both_ways = pytest.mark.parametrize(("here", "there"), [("cpu", "cuda"), ("cuda", "cpu")])
DEVICES = {"cpu": "cpu", "cuda": "cuda:0"}


@pytest.fixture(params=["plain", "busy"])
def model(request):
    """Return an encoder; a busy one has moments, buffers and callbacks to carry along."""
    if request.param == "plain":
        return SAEEncoder(12, max_iter=3, random_state=0)
    remedy = TeachDead(window=40)
    return TopKSAE(12, k=2, max_iter=3, batch_size=16, dead_latents=remedy, random_state=0)


def by_set_params(model, there):
    return model.set_params(device=there)


def by_pickle(model, there):
    return pickle.loads(pickle.dumps(model)).set_params(device=there)


def by_folder(model, there):
    with TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        return load(f"{folder}/model").set_params(device=there)


def go_on(model, X, how):
    if how == "partial_fit":
        return model.partial_fit(X)
    return model.set_params(warm_start=True).fit(X) if how == "warm_start" else model


@both_ways
@pytest.mark.parametrize("carry", [by_set_params, by_pickle, by_folder])
@pytest.mark.parametrize("how", ["transform", "partial_fit", "warm_start"])
def test_a_fit_goes_on_elsewhere(model, X, here, there, carry, how):
    stayed = go_on(clone(model).set_params(device=here).fit(X), X, how)
    moved = go_on(carry(model.set_params(device=here).fit(X), there), X, how)
    assert_allclose(moved.transform(X), stayed.transform(X), atol=1e-6)
    assert_allclose(moved.components_, stayed.components_, atol=1e-6)
    assert str(moved._dictionary.device) == DEVICES[there]
    learned = {p.device for group in moved.net_.optimizer_.param_groups for p in group["params"]}
    assert learned == {moved._dictionary.device}


@both_ways
def test_a_killed_run_goes_on_elsewhere(model, X, here, there, tmp_path):
    whole = clone(model.set_params(schedule=None)).set_params(device="cpu").fit(X)
    model.set_params(checkpoint=str(tmp_path), device=here, max_iter=2).fit(X)
    resumed = model.set_params(device=there, max_iter=3).fit(X, resume=True)
    assert_allclose(resumed.components_, whole.components_, atol=1e-6)


def test_coders_follow_their_device(X):
    coder = GradSparseCoder(
        12, alpha=0.2, max_iter=3, random_state=0, transform_tol=1e-9, device="cpu"
    ).fit(X)
    codes = coder.transform(X)
    assert_allclose(coder.set_params(device="cuda").transform(X), codes, atol=1e-6)


@pytest.mark.parametrize("model", [SAEEncoder(12, max_iter=2), GradSparseCoder(12, max_iter=2)])
@pytest.mark.parametrize("n_devices", [0, 1])
def test_a_pickle_of_a_device_that_is_not_there(model, X, n_devices):
    if torch.version.cuda:
        pytest.skip("the devices are real here")
    with emulated_cuda(n_devices=2):
        model = clone(model).set_params(device="cuda:1", random_state=0).fit(X)
        stored, codes = pickle.dumps(model), model.transform(X)
    with emulated_cuda(n_devices=n_devices):
        with pytest.warns(UserWarning, match=r"device='cuda:1', which torch does not see.*'auto'"):
            loaded = pickle.loads(stored)
        assert loaded.device == "auto"
        assert_allclose(loaded.transform(X), codes, atol=1e-2)
        if hasattr(loaded, "net_"):
            loaded.partial_fit(X)


def test_a_net_is_loaded_where_it_was(model, X):
    net = model.set_params(device="cuda").fit(X).net_
    loaded = pickle.loads(pickle.dumps(net))
    moments = [m for state in loaded.optimizer_.state.values() for m in state.values()]
    kept = [*loaded.module_.state_dict().values(), *moments, loaded.callback("activity").silence_]
    assert {str(tensor.device) for tensor in kept} == {loaded.device} == {"cuda:0"}


def test_auto_follows_what_is_there(X):
    if torch.version.cuda:
        pytest.skip("the devices are real here")
    with emulated_cuda(n_devices=0):
        model = SAEEncoder(12, max_iter=2, random_state=0).fit(X)
        assert str(model._dictionary.device) == "cpu"
    with emulated_cuda(n_devices=1):
        model.partial_fit(np.array(X))
        assert str(model._dictionary.device) == "cuda:0"
