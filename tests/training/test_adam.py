"""Our Adam is torch's, in fewer operators."""

import numpy as np
import pytest
import torch
from device import emulated_cuda
from torch import nn

from skamort.training._adam import FusedAdam

SETTINGS = [{"lr": 0.1, "eps": 1e-8}, {"lr": 3e-3, "eps": 1e-5}]


def trained(kind, n_steps, dtype=torch.float32, device="cpu"):
    """Return parameters after steps, of which a group had no gradient in one, and the optimizer."""
    generator = torch.Generator().manual_seed(0)
    groups = [
        {"params": [nn.Parameter(torch.randn(s, generator=generator, dtype=dtype).to(device))]}
        for s in ((3, 4), (5,))
    ]
    groups[0]["params"].append(nn.Parameter(torch.randn(2, generator=generator, dtype=dtype)))
    groups[0]["params"][1] = nn.Parameter(groups[0]["params"][1].detach().to(device))
    optimizer = kind([{**g, **s} for g, s in zip(groups, SETTINGS, strict=True)])
    parameters = [p for group in groups for p in group["params"]]
    for step in range(n_steps):
        for place, parameter in enumerate(parameters):
            gradient = torch.randn(parameter.shape, generator=generator, dtype=dtype)
            parameter.grad = None if place == 2 and step == 1 else gradient.to(device)
        optimizer.step()
    return parameters, optimizer


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_torch(dtype):
    ours, optimizer = trained(FusedAdam, 4, dtype)
    theirs, reference = trained(lambda groups: torch.optim.Adam(groups, fused=True), 4, dtype)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)
        for name, value in reference.state[other].items():
            assert torch.equal(optimizer.state[one][name], value)


def test_a_closure_has_gradients_and_its_loss_returns():
    parameter = nn.Parameter(torch.ones(2))
    optimizer = FusedAdam([{"params": [parameter], "lr": 0.5}])

    def closure():
        loss = parameter.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 2
    assert torch.allclose(parameter, torch.tensor(0.5))
    parameter.grad = None
    assert optimizer.step() is None


def test_a_gpu_counts_all_steps_at_once_and_a_rate_there_makes_no_difference():
    def with_tensors(groups):
        rates = [torch.tensor(s["lr"]).to("cuda") for s in SETTINGS]
        return FusedAdam([{**g, "lr": rate} for g, rate in zip(groups, rates, strict=True)])

    with emulated_cuda() as counts:
        there, _ = trained(FusedAdam, 3, device="cuda")
        assert sum(n for (name, _), n in counts.operators.items() if "foreach" in name) == 3
        as_tensors, _ = trained(with_tensors, 3, device="cuda")
        for one, other in zip(there, as_tensors, strict=True):
            np.testing.assert_array_equal(one.detach().cpu(), other.detach().cpu())
