"""The emulated device refuses, computes and counts as a GPU does."""

import copy
import pickle

import numpy as np
import pytest
import torch
from device import emulated_cuda
from device_graph import build
from torch import nn

from skamort.modules import constant


@pytest.fixture(autouse=True)
def counts():
    with emulated_cuda(n_devices=2) as counts:
        yield counts


@pytest.fixture
def x():
    return torch.arange(6.0).reshape(2, 3).cuda()


def test_says_where_it_is(x):
    assert str(x.device) == "cuda:0"
    assert x.is_cuda
    assert not x.is_cpu
    assert str((x @ x.T).sum().device) == "cuda:0"
    assert str(torch.zeros(2, device="cuda:1").device) == "cuda:1"
    assert not x.cpu().is_cuda


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.ones(3) * x,
        lambda x: x @ torch.ones(3, 1),
        lambda x: x + torch.ones(3, device="cuda:1"),
        lambda x: torch.cat([x, torch.ones(1, 3)]),
        lambda x: torch.where(x > 1, x, torch.ones(2, 3)),
        lambda x: x.add_(torch.ones(2, 3)),
        lambda x: torch.ones(6)[x.long()],
        lambda x: nn.Linear(3, 1)(x),
    ],
)
def test_two_devices_do_not_mix(x, mix):
    with pytest.raises(RuntimeError, match="same device"):
        mix(x)


def test_numbers_of_the_cpu_may_come(x):
    assert (x + torch.tensor(1.0)).sum().item() == 21
    assert torch.where(x > 2, x, 0.0).sum().item() == 12
    x[x > 2] = 0
    assert x.sum().item() == 3


def test_a_generator_of_the_cpu_is_refused(x):
    generator = torch.Generator()
    with pytest.raises(RuntimeError, match="'cuda' device type for generator"):
        torch.randn(3, generator=generator, device="cuda")
    with pytest.raises(RuntimeError, match="'cuda' device type for generator"):
        x.normal_(generator=generator)


def test_what_has_no_numbers_is_no_gpus(counts):
    layer = torch.nn.Linear(2, 3, device="meta")
    assert layer.weight.is_meta
    assert str(layer.weight.device) == "meta"
    assert counts.totals() == (0, 0, 0)


@pytest.mark.parametrize("product", [lambda x: x @ x.T, lambda x: x[0] @ x[1], lambda x: x @ x[0]])
def test_products_of_integers_are_refused(x, product):
    product(x)
    with pytest.raises(NotImplementedError, match="int64"):
        product(x.long())


def test_memory_is_not_the_hosts(x):
    for read in (x.numpy, x.data_ptr, lambda: np.asarray(x)):
        with pytest.raises((TypeError, RuntimeError)):
            read()


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(RuntimeError, match="cuda:2"):
        torch.ones(2).to("cuda:2")
    with emulated_cuda(n_devices=0), pytest.raises(RuntimeError, match="sees 0"):
        torch.ones(2).cuda()
    assert torch.cuda.device_count() == 2


@pytest.mark.parametrize(
    ("ask", "waits"),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: bool(x.any()), 1),
        (lambda x: x.tolist(), 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x[x > 1], 1),
        (lambda x: x.long().flatten().bincount(), 2),
        (lambda x: x.masked_fill(x > 1, 0), 0),
        (lambda x: x.__setitem__(x > 1, 0), 0),
        (lambda x: x @ x.T, 0),
    ],
)
def test_counts_waits(x, counts, ask, waits):
    counts.clear()
    ask(x)
    assert counts.totals()[0] == waits


@pytest.mark.parametrize(
    ("ask", "uploads"),
    [
        (lambda x: torch.ones(2).cuda(), 1),
        (lambda x: x[torch.tensor([0])], 1),
        (lambda x: x[[0, 1]], 1),
        (lambda x: torch.tensor([1.0], device="cuda"), 1),
        (lambda x: torch.zeros(3, device="cuda"), 0),
        (lambda x: x[0:1], 0),
    ],
)
def test_counts_uploads(x, counts, ask, uploads):
    counts.clear()
    ask(x)
    assert counts.totals()[1] == uploads


def test_gradients_are_those_of_the_cpu():
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), torch.randn(5, 3)
    ours = copy.deepcopy(model).to("cuda")
    model(data).square().mean().backward()
    ours(data.cuda()).square().mean().backward()
    for our, their in zip(ours.parameters(), model.parameters(), strict=True):
        assert our.grad.is_cuda
        assert torch.equal(our.grad.cpu(), their.grad)


def test_pickles_go_where_they_are_asked(x, tmp_path):
    assert str(pickle.loads(pickle.dumps(x)).device) == "cuda:0"
    torch.save(x, tmp_path / "x")
    loaded = torch.load(tmp_path / "x", map_location="cpu", weights_only=False)
    assert loaded.is_cpu
    with emulated_cuda(n_devices=0), pytest.raises(RuntimeError, match="sees 0"):
        torch.load(tmp_path / "x", weights_only=False)


def test_no_constant_outlives_the_device(x):
    ours = constant(1.0, (3,), x)
    assert constant(1.0, (3,), x) is ours
    with emulated_cuda():
        assert constant(1.0, (3,), x) is not ours
    assert constant(1.0, (3,), x) is ours


@pytest.mark.skipif(not torch.distributed.is_available(), reason="there are no processes")
def test_processes_exchange_what_lies_on_the_device(x):
    with pytest.raises(RuntimeError, match="device type cpu"):
        torch.distributed.all_reduce(torch.ones(3))
    with pytest.raises(ValueError, match="contiguous"):
        torch.distributed.broadcast(x.T, src=0)


# -- Graphs ----------------------------------------------------------------------------------------


def recorded(run):
    graph = torch.cuda.CUDAGraph()
    graph.capture_begin()
    try:
        outcome = run()
    finally:
        graph.capture_end()
    return graph, outcome


def test_what_is_recorded_is_computed_where_it_was_when_it_is_replayed(x, counts):
    total, places, factor = torch.zeros(3).cuda(), torch.tensor([2, 2, 0]).cuda(), 2

    def run():
        total.add_(x.sum(0))
        total[0] = 7
        return factor * torch.zeros(3, device="cuda").add_(total[places])

    graph, outcome = recorded(run)
    assert total.tolist() == [0, 0, 0]
    factor = 100  # known as it was
    counts.clear()
    graph.replay()
    assert counts.totals() == (0, 0, 1)
    assert total.tolist() == [7, 5, 7]
    assert outcome.tolist() == [14, 14, 14]
    x.mul_(2)
    graph.replay()
    assert total.tolist() == [7, 15, 21]
    assert outcome.tolist() == [42, 42, 14]


@pytest.mark.parametrize(
    "look", [lambda x: x.sum().item(), lambda x: x[x > 1], lambda x: torch.ones(3).cuda() + x]
)
def test_a_graph_holds_no_looks_and_no_uploads(x, look):
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        recorded(lambda: look(x))
    assert not torch.cuda.is_current_stream_capturing()


def test_a_graph_holds_kernels_that_were_built_before():
    def kernel():
        """Only its name is looked at."""

    numbers = torch.arange(8.0)
    build(kernel, (numbers, 32, 1.5), {})
    recorded(lambda: build(kernel, (numbers.clone(), 64, 0.1), {}))
    for others in [(numbers[1:], 32, 1.5), (numbers, 31, 1.5), (numbers.double(), 32, 1.5)]:
        with pytest.raises(RuntimeError, match="not built"):
            recorded(lambda others=others: build(kernel, others, {}))
