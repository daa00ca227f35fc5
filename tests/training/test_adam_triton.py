"""Adam's step on the sphere, by a kernel of Triton, and when it is taken."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from device import emulated_cuda
from skorch.callbacks import Callback

from skamort import TopKSAE, _triton
from skamort.training._adam import FusedAdam
from skamort.training._rules import normalize_atoms, project_on_sphere

# Those of before 3.9 cannot be interpreted with NumPy 2.5.
pytest.importorskip("triton", "3.6" if torch.cuda.is_available() else "3.9")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def steps(n_steps, rate, shape, by_kernel, has_failed=False):
    """Atoms and moments after some steps."""
    generator = torch.Generator().manual_seed(0)
    atoms, *gradients = (torch.randn(shape, generator=generator) for _ in range(n_steps + 1))
    normalize_atoms(atoms)
    atoms = torch.nn.Parameter(atoms.to(DEVICE))
    adam = FusedAdam([{"params": [atoms], "lr": rate, "eps": 1e-3}])
    adam.on_sphere = atoms if by_kernel else None
    launch = {"side_effect": RuntimeError} if has_failed else {"wraps": _triton.launch}
    for gradient in gradients:
        atoms.grad = gradient.to(DEVICE)
        if not by_kernel:
            project_on_sphere(atoms.grad, atoms.detach())
        with patch.object(_triton, "launch", **launch), patch.object(_triton, "_broken", set()):
            adam.step()
        if not by_kernel:
            normalize_atoms(atoms.detach())
    state = adam.state[atoms]
    return torch.stack([atoms.detach(), state["exp_avg"], state["exp_avg_sq"]])


@pytest.mark.parametrize("shape", [(3, 1), (2, 37)])
@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)], ids=["number", "tensor"])
@pytest.mark.parametrize("has_failed", [False, True])
def test_a_step_on_the_sphere_is_projection_adam_and_normalization(shape, rate, has_failed):
    if isinstance(rate, torch.Tensor):
        rate = rate.to(DEVICE)
    found = steps(3, rate, shape, by_kernel=True, has_failed=has_failed)
    torch.testing.assert_close(found, steps(3, rate, shape, by_kernel=False), rtol=1e-5, atol=1e-6)


class Looks(Callback):
    """Might want to see the gradient as it is to be."""

    def on_grad_computed(self, net, named_parameters, **kwargs):
        """Look."""


@pytest.mark.skipif(DEVICE == "cuda", reason="a process compiles kernels or interprets them")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("callbacks", [[], [Looks()]], ids=["alone", "with a look"])
def test_the_kernel_is_taken_where_nobody_looks_between(callbacks):
    X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with emulated_cuda(capability=8) as counts:
        model = TopKSAE(6, k=1, max_iter=1, batch_size=2, random_state=0, callbacks=callbacks)
        model.fit(X.cuda())
        taken = sum(n for (name, _), n in counts.operators.items() if name == "_step_rows")
        assert taken == (0 if callbacks else 2)
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1, rtol=1e-6)
