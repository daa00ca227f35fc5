"""What is tested on a GPU: on an emulated one everywhere, and on a real one where there is one."""

import numpy as np
import pytest
import torch
from device import emulated_cuda
from discovery import fast_estimators
from sklearn.base import clone

from skamort import AmortizedCoder, ITOCoder, SAEEncoder

KINDS = ["emulated", "real"] if torch.cuda.is_available() else ["emulated"]


@pytest.fixture(params=KINDS, autouse=True)
def gpu(request):
    """Let torch see a GPU; give the counts of an emulated one, None for a real one."""
    if request.param == "real":
        yield None
        return
    with emulated_cuda() as counts:
        yield counts


def pytest_generate_tests(metafunc):
    """Give `estimator` and `encoder`: one of every kind, with what makes the devices agree."""
    every = fast_estimators()
    kinds = {"estimator": every, "encoder": [e for e in every if hasattr(e, "early_stopping")]}
    for name in kinds.keys() & set(metafunc.fixturenames):
        ids = [type(e).__name__ for e in kinds[name]]
        metafunc.parametrize(name, [_settled(e) for e in kinds[name]], ids=ids)


def _settled(estimator):
    """Return a copy of it, and of its parts, with one algorithm on both devices, little to do."""
    estimator = clone(estimator)
    exact = {"transform_tol": 1e-7, "algorithm": "fista", "transform_algorithm": "fista"}
    wanted = {**exact, "n_components": 12, "random_state": 0, "device": "cuda"}
    if isinstance(estimator, ITOCoder):
        estimator.set_params(estimator=SAEEncoder(max_iter=3))
    if isinstance(estimator, AmortizedCoder):
        estimator.set_params(teacher__max_iter=3, encoder__max_iter=3)
    names = [name for name in estimator.get_params() if name.split("__")[-1] in wanted]
    return estimator.set_params(**{name: wanted[name.split("__")[-1]] for name in names})


@pytest.fixture(scope="session")
def X():
    return np.random.default_rng(0).standard_normal((60, 6))
