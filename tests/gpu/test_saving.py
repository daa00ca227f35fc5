"""What is saved on a GPU is loaded where there is none."""

import warnings

import numpy as np
import pytest
from device import emulated_cuda
from sklearn.base import clone

import skamort
from skamort import GradSparseCoder, TopKSAE
from skamort.training import TeachDead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
BUSY = TopKSAE(12, k=2, max_iter=3, batch_size=16, dead_latents=TeachDead(window=20))


@pytest.mark.parametrize("kind", [BUSY, GradSparseCoder(8, max_iter=1)])
@pytest.mark.parametrize("n_devices", [0, 1])
def test_what_was_fitted_on_a_gpu_is_loaded_without_one(gpu, X, kind, n_devices, tmp_path):
    if gpu is None:
        pytest.skip("a real GPU cannot be taken away")
    model = clone(kind).set_params(device="cuda", random_state=0).fit(X[:20])
    model.save(tmp_path / "saved")
    codes = model.transform(X[:5])
    with emulated_cuda(n_devices=n_devices), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loaded = skamort.load(tmp_path / "saved")
        assert loaded.device == ("cuda" if n_devices else "auto")
        assert bool(told) == (n_devices == 0)
        np.testing.assert_allclose(loaded.transform(X[:5]), codes, atol=1e-2)
        loaded.partial_fit(X[:20])
