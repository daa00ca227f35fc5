"""Processes that share a GPU say so."""

import multiprocessing

import pytest
import torch

from skamort import SAEEncoder, _device


@pytest.fixture
def worker(monkeypatch):
    """Take this process for a worker of joblib."""
    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_name", "LokyProcess-2")
    _device._warn_of_workers.cache_clear()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_workers_on_a_gpu_warn_once(worker, X):
    sae = SAEEncoder(4, max_iter=1, tol=10, device="cuda")
    with pytest.warns(
        UserWarning, match="Several processes may compute on cuda:0.*n_jobs=1"
    ) as told:
        sae.fit(X).transform(X)
    assert len([w for w in told if "Several" in str(w.message)]) == 1


def test_workers_of_the_cpu_and_of_data_parallel_do_not(worker, X, monkeypatch):
    assert _device.resolve_device("cpu", None).type == "cpu"
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    assert _device.resolve_device("cuda", None).type == "cuda"
