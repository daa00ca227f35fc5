"""Adam's step by a kernel of Triton, on the sphere too, and when it is taken."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from device import emulated_cuda
from skorch.callbacks import Callback

from skamort import TopKSAE, _triton
from skamort.training import _adam
from skamort.training._adam import FusedAdam
from skamort.training._rules import normalize_atoms

# Those of before 3.9 cannot be interpreted with NumPy 2.5.
pytest.importorskip("triton", "3.6" if torch.cuda.is_available() else "3.9")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def steps(n_steps, rates, shape, is_on_sphere=True, by_kernel=True, has_failed=False):
    """Parameters of several shapes, the second one's rows on the sphere, and their moments, after
    some steps; one has no gradient in the first."""
    generator = torch.Generator().manual_seed(0)
    shapes = shape, shape, shape[:1], (1030,)
    values = [torch.randn(s, generator=generator) for s in shapes]
    normalize_atoms(values[1])
    parameters = [torch.nn.Parameter(v.to(DEVICE)) for v in values]
    groups = parameters[:2], parameters[2:]
    adam = FusedAdam(
        [{"params": p, "lr": r, "eps": 1e-3} for p, r in zip(groups, rates, strict=True)]
    )
    adam.on_sphere = parameters[1] if is_on_sphere else None
    launch = {"side_effect": RuntimeError} if has_failed else {"wraps": _triton.launch}
    for step in range(n_steps):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator).to(DEVICE)
        if step == 0:
            parameters[2].grad = None
        with (
            patch.object(_adam, "has_triton", lambda device: by_kernel),
            patch.object(_triton, "launch", **launch) as taken,
            patch.object(_triton, "_broken", set()),
        ):
            adam.step()
            assert taken.call_count == by_kernel
    moments = [adam.state[p][name] for p in parameters for name in ("exp_avg", "exp_avg_sq")]
    return torch.cat([t.detach().flatten() for t in (*parameters, *moments)])


@pytest.mark.parametrize("shape", [(3, 1), (2, 37), (1, 2100)])
@pytest.mark.parametrize("in_tensors", [False, True])
@pytest.mark.parametrize("is_on_sphere", [False, True])
@pytest.mark.parametrize("has_failed", [False, True])
def test_the_kernel_takes_the_step_of_torch(shape, in_tensors, is_on_sphere, has_failed):
    rates = [torch.tensor(r).to(DEVICE) if in_tensors else r for r in (0.1, 0.02)]
    found = steps(3, rates, shape, is_on_sphere, has_failed=has_failed)
    expected = steps(3, rates, shape, is_on_sphere, by_kernel=False)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "tensor", [torch.ones(3, 2, dtype=torch.float64), torch.ones(2, 3).T], ids=["double", "strided"]
)
def test_other_numbers_and_layouts_are_left_to_torch(tensor):
    with patch.object(_adam, "has_triton", lambda device: True):
        assert not _adam.steps_by_kernel(tensor)
        assert _adam.steps_by_kernel(tensor.float().contiguous())
        assert not _adam.steps_on_sphere(tensor)
        assert not _adam.steps_on_sphere(torch.empty(1, 8193))
        assert _adam.steps_on_sphere(torch.empty(1, 8192))


class Looks(Callback):
    """Might want to see the gradient as it is to be."""

    def on_grad_computed(self, net, named_parameters, **kwargs):
        """Look."""


@pytest.mark.skipif(DEVICE == "cuda", reason="a process compiles kernels or interprets them")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("callbacks", [[], [Looks()]], ids=["alone", "with a look"])
def test_it_projects_where_nobody_looks_between(callbacks):
    X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with emulated_cuda(capability=8) as counts:
        model = TopKSAE(6, k=1, max_iter=1, batch_size=2, random_state=0, callbacks=callbacks)
        model.fit(X.cuda())
        taken = [name for name, _ in counts.operators.elements()]
    assert taken.count("_step") == 2
    assert taken.count("_weight_norm_interface_backward") == (2 if callbacks else 0)
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1, rtol=1e-6)
