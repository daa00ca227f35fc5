"""Small steps of torch take one thread, whatever is set, and leave all as it was."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread, get_ident
from time import sleep

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skamort import GradSparseCoder, SAEEncoder, _threads
from skamort._engine import resolve_n_jobs
from skamort._threads import run_in_threads, threads_worth
from skamort.estimators import _dictionary, _dictionary_learning, fit_many
from skamort.solvers import FISTA, update_dictionary
from skamort.training.batched import _loop

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
CPU = torch.device("cpu")
SMALL = 1 << 20


@pytest.fixture
def three_threads():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(n_threads)


def in_a_new_thread(call):
    found = []
    thread = Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(
    ("size", "device", "expected"),
    [
        ((1 << 10) - 1, "cpu", 3),
        (200 * 8 * 8, "cpu", 1),
        (1 << 10, "cpu", 1),
        (SMALL, "cpu", 1),
        (1 << 40, "cpu", 3),
        (SMALL, "cuda", 3),
    ],
)
def test_only_what_torch_would_share_in_vain_has_one_thread(size, device, expected):
    with threads_worth(size, torch.device(device)):
        assert torch.get_num_threads() == expected


@pytest.mark.usefixtures("three_threads")
def test_an_error_leaves_the_threads_as_they_were():
    with pytest.raises(KeyError), threads_worth(SMALL, CPU):
        raise KeyError


@pytest.mark.usefixtures("three_threads")
def test_other_threads_keep_theirs():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(torch.get_num_threads).result()
        with threads_worth(SMALL, CPU):
            assert pool.submit(torch.get_num_threads).result() == 3
            assert in_a_new_thread(torch.get_num_threads) == 3


def test_never_more_than_are_set():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threads_worth(1 << 40, CPU):
        assert torch.get_num_threads() == 1
    torch.set_num_threads(n_threads)


class Watch(Callback):
    """Notes in how many threads each step is taken."""

    seen: list = []  # noqa: RUF012

    def on_batch_begin(self, net, **kwargs):
        self.seen.append(torch.get_num_threads())


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("worth", "expected"), [(1 << 27, 1), (32 * 4 * 8, 3)])
def test_a_fit_takes_what_its_steps_are_worth(monkeypatch, worth, expected):
    """A step's product has 32 rows, 4 features and 8 components."""
    monkeypatch.setattr(_threads, "_TAKES_THREADS", 32 * 4 * 8)
    monkeypatch.setattr(_threads, "_WORTH_THREADS", worth)
    monkeypatch.setattr(Watch, "seen", [])
    X = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    SAEEncoder(8, batch_size=32, max_iter=1, tol=0, callbacks=[Watch()]).fit(X)
    assert Watch.seen == [expected] * 2


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("n_models", "expected"), [(2, 1), (3, 3)])
def test_models_that_are_trained_together_count_together(monkeypatch, n_models, expected):
    monkeypatch.setattr(_threads, "_WORTH_THREADS", 3 * 64 * 4 * 8)
    monkeypatch.setattr(_threads, "_TAKES_THREADS", 1)
    seen = []
    X = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    train = _loop.BatchedTraining.run

    def run(training, bar):
        seen.append(torch.get_num_threads())
        return train(training, bar)

    monkeypatch.setattr(_loop.BatchedTraining, "run", run)
    fit_many(SAEEncoder(8, max_iter=1, tol=0), X, {"alpha": 0.01 * np.arange(n_models)})
    assert seen == [expected]


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("sparse_output", [False, True])
@pytest.mark.parametrize(("n_rows", "expected"), [(20, 1), (40, 3)])
def test_transform_takes_what_its_blocks_are_worth(monkeypatch, sparse_output, n_rows, expected):
    X = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    sae = SAEEncoder(8, max_iter=1, tol=0, sparse_output=sparse_output).fit(X)
    monkeypatch.setattr(_threads, "_WORTH_THREADS", 40 * 4 * 8)
    monkeypatch.setattr(_threads, "_TAKES_THREADS", 20 * 4 * 8)
    seen = []
    sae.net_.module_.encoder.register_forward_pre_hook(
        lambda *_: seen.append(torch.get_num_threads())
    )
    sae.transform(X[:n_rows])
    assert set(seen) == {expected}


@pytest.mark.usefixtures("three_threads")
def test_kernels_keep_the_threads_that_torch_leaves():
    with threads_worth(SMALL, CPU), threads_worth(SMALL, CPU):
        assert torch.get_num_threads() == 1
        assert resolve_n_jobs(None) == 3
    torch.set_num_threads(2)
    assert resolve_n_jobs(None) == 2
    torch.set_num_threads(3)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("n_rows", "expected"), [(20, 1), (40, 3)])
def test_a_solver_takes_what_its_products_are_worth(monkeypatch, n_rows, expected):
    monkeypatch.setattr(_threads, "_WORTH_THREADS", 40 * 4 * 8)
    monkeypatch.setattr(_threads, "_TAKES_THREADS", 20 * 4 * 8)
    seen = []

    class Watched(FISTA):
        def _solve_scaled(self, *given):
            seen.append(torch.get_num_threads())
            return super()._solve_scaled(*given)

    X, D = torch.eye(40, 4), torch.eye(8, 4)
    Watched().solve(X[:n_rows], D, positive=False, alpha=0.1)
    assert seen == [expected]


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_dictionary_learns_in_what_its_products_are_worth(monkeypatch, known, method):
    seen = []

    def watched(*given, **settings):
        seen.append(torch.get_num_threads())
        return update_dictionary(*given, **settings)

    for module in _dictionary_learning, _dictionary:
        monkeypatch.setattr(module, "update_dictionary", watched)
    X = np.random.default_rng(0).standard_normal((40, 4))
    codes = np.abs(np.random.default_rng(1).standard_normal((40, 8))) if known else None
    getattr(GradSparseCoder(8, max_iter=2), method)(X, codes=codes)
    assert set(seen) == {1}


@pytest.mark.parametrize(("n_rows", "n_jobs"), [(1, 4), (3, 8), (10, 1), (11, 3), (600, 500)])
def test_slices_cover_all_rows_in_threads_that_stay(n_rows, n_jobs):
    seen = []
    for _ in range(2):
        done = np.zeros(n_rows, int)

        def kernel(rows, done=done):
            done[rows] += 1
            seen.append(get_ident())

        run_in_threads(kernel, n_rows, n_jobs)
        assert (done == 1).all()
    assert len(seen) == 2 * min(n_rows, n_jobs)
    assert get_ident() in seen
    assert {*seen} - {get_ident()} <= {thread.ident for thread in _threads._pool()._threads}


@pytest.mark.parametrize("failing", [0, 4])
def test_an_error_of_a_slice_comes_when_no_other_works_any_more(failing):
    at_work = []

    def kernel(rows):
        at_work.append(rows.start)
        if rows.start == failing:
            raise KeyError(failing)
        sleep(0.02)
        at_work.remove(rows.start)

    with pytest.raises(KeyError, match=str(failing)):
        run_in_threads(kernel, 6, 3)
    assert at_work == [failing]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    done, all_three = np.zeros(6), Barrier(3)
    run_in_threads(lambda rows: all_three.wait(), 6, 3)
    sleep(0.05)  # until they wait for more
    child = os.fork()
    if not child:
        try:
            run_in_threads(lambda rows: done[rows].fill(2), 6, 3)
        finally:
            os._exit(int(done.sum()))
    for _ in range(100):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        sleep(0.05)
    else:
        os.kill(child, 9)
        pytest.fail("the forked process waits for threads that it has not")
    assert os.waitstatus_to_exitcode(status) == 12
