"""Fits beside each other, in threads and in processes of every kind: no deadlock, the same bits."""

import os
import pickle
import signal
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skamort import SAEEncoder, TopKSAE

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SECONDS = 60  # after which a fit is taken to hang


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((2000, 16)).astype(np.float32)


def encoders():
    common = {"max_iter": 4, "random_state": 0}
    return [SAEEncoder(24, **common), TopKSAE(64, k=3, dead_latents="resample", **common)]


@pytest.fixture(scope="module")
def alone(X):
    return [components(encoder, X) for encoder in encoders()]


def components(encoder, X):
    return encoder.fit(X).components_


def assert_same_bits(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert_array_equal(one, other)


def test_fits_in_threads(X, alone):
    n_threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        fits = [pool.submit(components, encoder, X) for encoder in encoders() + encoders()]
        assert_same_bits([fit.result(timeout=SECONDS) for fit in fits], 2 * alone)
    assert torch.get_num_threads() == n_threads
    assert torch.equal(torch.random.get_rng_state(), state)


def threads_and_components(encoder, X):
    return torch.get_num_threads(), components(encoder, X)


@pytest.fixture(scope="module")
def loky():
    """Two workers of joblib's."""
    with joblib.parallel_config("loky", n_jobs=2):
        yield joblib.Parallel(timeout=SECONDS)


def test_fits_under_loky_share_the_cores(X, alone, loky):
    jobs = [joblib.delayed(threads_and_components)(encoder, X) for encoder in encoders()]
    threads, found = zip(*loky(jobs), strict=True)
    assert max(threads) * 2 <= max(2, os.cpu_count())
    assert_same_bits(found, alone)


@pytest.fixture
def two_threads():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
@pytest.mark.usefixtures("two_threads")
def test_fits_in_a_forked_worker(X, alone, tmp_path):
    torch.ones(1 << 20).exp().sum()  # starts a pool of threads, which the child does not have
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(SECONDS)
            torch.ones(1 << 20).exp().sum()
            found = [components(encoder, X) for encoder in encoders()]
            (tmp_path / "found").write_bytes(pickle.dumps(found))
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert_same_bits(pickle.loads((tmp_path / "found").read_bytes()), alone)


@pytest.fixture(scope="module")
def search():
    grid = {"alpha": [0.05, 0.2], "n_components": [8, 16]}
    return GridSearchCV(SAEEncoder(max_iter=4, random_state=0), grid, cv=2)


def results(search):
    return {k: v for k, v in search.cv_results_.items() if "time" not in k}


def test_a_grid_search_over_a_cluster_is_the_serial_one(X, search):
    """On a cluster of dask's: a scheduler and two workers, which speak over sockets."""
    distributed = pytest.importorskip("distributed")
    serial = clone(search).fit(X)
    settings = {"distributed.worker.daemon": False, "distributed.comm.timeouts.connect": "60s"}
    with (
        distributed.dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        parallel = clone(search).fit(X)
        np.testing.assert_equal(results(parallel), results(serial))
    assert_array_equal(parallel.best_estimator_.components_, serial.best_estimator_.components_)
