"""Memory that lasts from step to step."""

import copy
import pickle

import pytest
import torch
from device import emulated_cuda
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skamort import TopKSAE
from skamort.modules import (
    Decoder,
    ReLU,
    SparseAutoencoder,
    TopK,
    Workspace,
    add_gradient_sum,
    constant,
    make_encoder,
)
from skamort.training import SparseCodingLoss


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("has_gradient", [False, True])
def test_sums_of_rows_are_added_to_a_gradient(device, has_gradient):
    rows = torch.arange(12.0).view(4, 3)
    with emulated_cuda():
        frozen, learned = (
            nn.Parameter(torch.zeros(3).to(device), wanted) for wanted in (False, True)
        )
        if has_gradient:
            learned.grad = torch.ones(3).to(device)
        for parameter in (frozen, learned):
            add_gradient_sum(parameter, rows.to(device))
        assert frozen.grad is None
        assert learned.grad.tolist() == (rows.sum(0) + has_gradient).tolist()


def test_a_gpu_keeps_constants_but_for_a_graph(monkeypatch):
    with emulated_cuda():
        like = torch.zeros(1).to("cuda")
        kept = constant(2.5, (3, 1), like)
        assert kept is constant(2.5, (3, 1), like)
        assert kept.tolist() == [[2.5]] * 3
        monkeypatch.setattr("torch.cuda.is_current_stream_capturing", lambda: True)
        assert kept is not constant(2.5, (3, 1), like)
    assert constant(2.5, (2,), torch.zeros(1)) is not constant(2.5, (2,), torch.zeros(1))


def test_the_same_name_gives_the_same_memory():
    workspace, like = Workspace(), torch.zeros(4, 3)
    space = workspace.take("a", like)
    assert space.shape == (4, 3)
    assert workspace.take("a", like).data_ptr() == space.data_ptr()
    assert workspace.take("a", like, (2, 5)).data_ptr() == space.data_ptr()
    assert workspace.take("b", like).data_ptr() != space.data_ptr()


def test_memory_grows_and_takes_the_dtype():
    workspace = Workspace()
    workspace.take("a", torch.zeros(2))
    assert workspace.take("a", torch.zeros(3, 4)).shape == (3, 4)
    assert workspace.take("a", torch.zeros(3, dtype=torch.float64)).dtype == torch.float64


def test_copies_and_what_is_cleared_are_empty():
    workspace, like = Workspace(), torch.zeros(100_000)
    space = workspace.take("a", like)
    assert len(pickle.dumps(workspace)) < 1000
    assert copy.deepcopy(workspace).take("a", like).data_ptr() != space.data_ptr()
    workspace.clear()
    assert workspace.take("a", like).data_ptr() != space.data_ptr()


@pytest.mark.parametrize(
    ("activation", "multi_topk"), [(ReLU(), False), (TopK(2), False), (TopK(2), True)], ids=str
)
def test_what_a_step_left_does_not_enter_the_next(activation, multi_topk):
    """Batches of several sizes, so that memory is taken in part."""
    generator = torch.Generator().manual_seed(0)
    atoms = nn.functional.normalize(torch.randn(40, 5, generator=generator))
    encoder = make_encoder(5, 40, generator=generator)
    module = SparseAutoencoder(encoder, activation, Decoder(atoms, torch.zeros(5)))
    criterion, workspace = SparseCodingLoss(0.1, multi_topk=multi_topk), Workspace()
    for n in (11, 4, 17):
        X, gradients = torch.randn(n, 5, generator=generator), []
        for memory in (workspace, None):
            module.zero_grad()
            criterion.backward(module, X, workspace=memory)
            gradients.append([p.grad.clone() for p in module.parameters()])
        for ours, fresh in zip(*gradients, strict=True):
            assert torch.equal(ours, fresh)


def test_fit_lets_go_of_its_memory():
    X = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)).numpy()
    sae = TopKSAE(n_components=40, k=2, max_iter=2, tol=0, n_iter_no_change=3, random_state=0)
    with pytest.warns(ConvergenceWarning):
        sae.fit(X)
    assert not sae.net_.workspace_
    sae.partial_fit(X)
    assert sae.net_.workspace_
