"""Steps by CUDA graphs are the steps by operators, to the bit."""

import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from skamort import (
    BatchTopKSAE,
    GatedSAE,
    JumpReLUSAE,
    LISTAEncoder,
    MatryoshkaSAE,
    MLPEncoder,
    SAEEncoder,
    TopKSAE,
    _device,
    _triton,
)
from skamort._device import OutOfMemory
from skamort.estimators import fit_many
from skamort.modules import ReLU
from skamort.training import ResampleDead, Schedule, TeachDead, _step_graph

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
BUSY = Schedule(warmup=0.2, decay=0.3, alpha_warmup=0.3)


class Change(Callback):
    """Freeze the encoder after two epochs, and lower the penalty and the learning rate."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            net.module_.encoder.requires_grad_(False)
            net.criterion_.alpha /= 2
            net.optimizer_.param_groups[0]["lr"] /= 2


ENCODERS = {
    "positive_dict": SAEEncoder(12, positive_dict=True, dead_latents=ResampleDead(window=40)),
    "changing": SAEEncoder(12, callbacks=[Change()]),
    "dense": TopKSAE(12, k=2, dead_latents=ResampleDead(window=40)),
    "sparse": TopKSAE(96, k=2, dead_latents=TeachDead(window=150)),
    "batch": BatchTopKSAE(96, k=2),
    "busy": SAEEncoder(12, schedule=BUSY, max_grad_norm=0.1, early_stopping=True),
    "bfloat16": SAEEncoder(12, precision="bfloat16", fit_intercept=False),
    "mlp": MLPEncoder(12, hidden_layer_sizes=(8,)),
    "lista": LISTAEncoder(12),
    "jumprelu": JumpReLUSAE(12),
    "gated": GatedSAE(12),
    "matryoshka": MatryoshkaSAE(64, k=2),
}


@pytest.fixture
def rows(X):
    return X[:58]  # four batches, of which the last has fewer rows


def ready(model):
    return clone(model).set_params(max_iter=4, batch_size=16, random_state=0, device="cuda")


@pytest.fixture
def both(monkeypatch):
    """Return a function that calls another with graphs and without."""

    def call(fit):
        outcomes = []
        for first_steps, most in ((3, 1 << 23), (1 << 30, 0)):
            monkeypatch.setattr(_step_graph, "_FIRST_STEPS", first_steps)
            monkeypatch.setattr(_step_graph, "_MOST_NUMBERS", most)
            outcomes.append(fit())
        return outcomes

    return call


def told(model):
    """Return the losses of all epochs, and their terms."""
    rows = model.net_.history
    return [value for row in rows for name, value in row.items() if name.startswith("train_")]


def assert_same(ours, theirs):
    for name in ("components_", "intercept_", "latent_frequency_"):
        assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert told(ours) == told(theirs)


def n_replays(gpu):
    return sum(n for (what, _), n in gpu.operators.items() if what == "replay")


@pytest.mark.parametrize("model", ENCODERS.values(), ids=ENCODERS)
def test_graphs_take_the_same_steps(gpu, model, both, rows):
    assert_same(*both(lambda: ready(model).fit(rows)))
    assert gpu is None or n_replays(gpu) > 1


def test_known_codes(both, rows):
    codes = np.maximum(rows @ np.random.default_rng(0).standard_normal((6, 12)), 0)
    assert_same(*both(lambda: ready(SAEEncoder(12)).fit(rows, codes=codes)))


@pytest.mark.parametrize(
    ("model", "grid"),
    [
        (TopKSAE(12, dead_latents=ResampleDead(window=40)), {"k": [2, 4]}),
        (SAEEncoder(12, schedule=Schedule(warmup=0.2)), {"alpha": [0.01, 0.2]}),
        (SAEEncoder(12), {"schedule": [None, Schedule(warmup=0.2)]}),
        (SAEEncoder(12, n_iter_no_change=1), {"tol": [0, 10]}),  # one leaves early
    ],
)
def test_many_at_once(gpu, model, grid, both, rows):
    for ours, theirs in zip(*both(lambda: fit_many(ready(model), rows, grid)), strict=True):
        assert_same(ours, theirs)
    alone = ready(model).set_params(device="cpu")
    of_cpu = fit_many(alone, rows, grid)
    for ours, theirs in zip(fit_many(ready(model), rows, grid), of_cpu, strict=True):
        np.testing.assert_allclose(ours.components_, theirs.components_, atol=1e-5)
    assert gpu is None or n_replays(gpu) > 1


def for_one(model, X):
    ready(model).set_params(max_iter=1).fit(X)


def for_many(model, X):
    fit_many(ready(model).set_params(max_iter=1), X, {}, [0, 1])


@pytest.mark.parametrize(
    ("train", "model", "most"),
    [
        (for_one, SAEEncoder(12), 5),
        (for_one, TopKSAE(96, k=2), 5),
        (for_many, TopKSAE(12, k=2), 7),
    ],
)
def test_the_host_launches_few_things_a_step(gpu, train, model, most):
    if gpu is None:
        pytest.skip("a real GPU does not count")
    totals = []
    for n_steps in (8, 16):
        gpu.clear()
        train(model, np.random.default_rng(0).standard_normal((16 * n_steps, 6)))
        totals.append(np.array(gpu.totals()))
    waits, uploads, operators = (totals[1] - totals[0]) / 8
    assert waits < 0.3  # a look for dead latents more or less is no step that waits
    assert uploads < 0.3
    assert operators <= most


@pytest.mark.parametrize("train", [for_one, for_many])
def test_a_gpu_without_memory_for_a_graph_goes_on_without(gpu, train, rows, monkeypatch):
    tried = []

    def no_memory(*args):
        tried.append(args)
        raise OutOfMemory

    monkeypatch.setattr(_step_graph, "recorded", no_memory)
    train(TopKSAE(12, k=2), np.tile(rows, (2, 1)))
    assert len(tried) == 1
    assert gpu is None or n_replays(gpu) == 0


@pytest.mark.parametrize(("unused", "gives"), [(0.05, 0), (0.07, 1)])
def test_memory_of_graphs_that_are_gone_is_given_back(rows, unused, gives, monkeypatch):
    memory, gave = _device.memory_of(torch.device("cuda", 0)), []
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: (0.5 + unused) * memory)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0.5 * memory)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: gave.append(None))
    for_one(SAEEncoder(12), rows[:16].repeat(6, 0))
    assert len(gave) == gives


def test_one_thread_records_at_a_time(gpu, monkeypatch):
    if gpu is None:
        pytest.skip("threads of their own see no emulated GPU, and this one records nothing")
    monkeypatch.setattr(_device, "_recording_stream", lambda device: MagicMock())
    at_once, most = [], []
    # Torch cannot give back memory while another thread records.
    monkeypatch.setattr(_device, "_make_room", lambda device: most.append(1 + len(at_once)))

    def run():
        at_once.append(None)
        time.sleep(0.01)
        most.append(len(at_once))
        at_once.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _device.recorded(run, torch.device("cuda", 0)), range(4)))
    assert most == [1] * 8


class Looks(ReLU):
    """Says that a graph may hold it, and looks."""

    capturable = True

    def forward(self, preactivations):
        return super().forward(preactivations) * bool(preactivations.isfinite().all())


def test_a_step_that_cannot_be_recorded_is_taken_by_operators(gpu, rows):
    if gpu is None:
        pytest.skip("a recording that fails spoils CUDA for the tests after it")

    class Encoder(SAEEncoder):
        def _make_activation(self, unit):
            return Looks()

    rows = rows[:48]  # three batches of a size
    with pytest.warns(UserWarning, match="could not be recorded .* not permitted") as told:
        found = ready(Encoder(12)).fit(rows)
    assert sum("recorded" in str(w.message) for w in told) == 1
    assert n_replays(gpu) == 0
    assert_same(found, ready(SAEEncoder(12, callbacks=[Watch()])).fit(rows))


def test_a_kernel_that_fails_in_a_graph_is_not_given_up(gpu):
    if gpu is None:
        pytest.skip("a recording that fails spoils CUDA for the tests after it")

    def fail():
        raise RuntimeError("not built")

    device = torch.device("cuda", 0)
    with pytest.raises(RuntimeError, match="not built"):
        _device.recorded(lambda: _triton.attempt(fail, device), device)
    assert device not in _triton._broken


class Watch(Callback):
    def on_batch_end(self, net, training=False, **kwargs):
        """Look."""


class OwnTopK(TopKSAE):
    def _make_activation(self, unit):
        activation = super()._make_activation(unit)
        activation.__class__ = type("Other", (type(activation),), {})
        return activation


@pytest.mark.parametrize(
    "model",
    [
        SAEEncoder(12, callbacks=[Watch()]),
        SAEEncoder(12, target_l0=3),
        OwnTopK(12, k=2),
        TopKSAE(12, k=2, n_stages=2),
    ],
)
def test_steps_that_may_change_are_taken_by_operators(gpu, model, rows):
    if gpu is None:
        pytest.skip("a real GPU does not count")
    ready(model).fit(rows)
    assert n_replays(gpu) == 0


def test_weights_of_rows_and_large_models_too(gpu, rows, monkeypatch):
    if gpu is None:
        pytest.skip("a real GPU does not count")
    ready(SAEEncoder(12)).fit(rows, sample_weight=np.ones(len(rows)))
    monkeypatch.setattr(_step_graph, "_MOST_NUMBERS", 16 * 12 - 1)
    ready(SAEEncoder(12)).fit(rows)
    assert n_replays(gpu) == 0
    monkeypatch.setattr(_step_graph, "_MOST_NUMBERS", 16 * 12)
    ready(SAEEncoder(12)).fit(rows)
    assert n_replays(gpu) > 1


def test_the_limit_is_that_of_the_page(rows):
    """1,024 rows of 8,192 latents, or as many of fewer."""
    net = ready(SAEEncoder(16)).fit(rows).net_
    n_rows = 1024 * 8192 // 16
    told = {"device": torch.device("cuda:0"), "is_weighted": False, "__len__": lambda _: 2 * n_rows}
    data = type("Data", (), told)()
    net.batch_size = n_rows
    assert _step_graph.graphs_for(net, data) is not None
    net.batch_size = n_rows + 1
    assert _step_graph.graphs_for(net, data) is None


@pytest.fixture
def alive(monkeypatch):
    """What was recorded and still holds memory: graphs, steps and the batches that they read."""
    found = weakref.WeakSet()

    class Graph(torch.cuda.CUDAGraph):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            found.add(self)

    class Step(_step_graph.RecordedStep):
        def __init__(self, *args):
            super().__init__(*args)
            found.add(self)
            n_recorded.append(len(self.batch))
            weakrefs.extend(map(weakref.ref, self.batch))

    n_recorded, weakrefs = [], []
    monkeypatch.setattr("torch.cuda.CUDAGraph", Graph)
    monkeypatch.setattr(_step_graph, "RecordedStep", Step)
    monkeypatch.setattr("skamort.training.batched._steppers.RecordedStep", Step, raising=False)
    return SimpleNamespace(
        n_recorded=n_recorded,
        now=lambda: [*found, *(t for ref in weakrefs if (t := ref()) is not None)],
    )


@pytest.mark.parametrize(
    "fit",
    [
        lambda X: ready(TopKSAE(96, k=2, dead_latents=ResampleDead(window=40))).fit(X),
        lambda X: ready(JumpReLUSAE(12)).fit(X),
        lambda X: fit_many(ready(SAEEncoder(12)), X, {"alpha": [0.01, 0.2]}),
        lambda X: GridSearchCV(ready(SAEEncoder(12)), {"alpha": [0.01, 0.2]}, cv=2).fit(X),
    ],
    ids=["sparse", "thresholds", "many", "grid"],
)
def test_no_graph_outlives_its_fit(fit, alive, rows):
    """Not even until the garbage collector comes: a GPU would be full by then."""
    gc.collect()
    gc.disable()
    try:
        models = fit(rows)
        assert alive.n_recorded
        assert not alive.now()
    finally:
        gc.enable()
    del models
