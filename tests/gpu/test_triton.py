"""Training with Triton's kernels: interpreted on the emulated GPU, compiled on a real one."""

from contextlib import nullcontext
from unittest import TestCase
from unittest.mock import patch

import numpy as np
import pytest
import torch
from device import emulated_cuda
from sklearn.base import clone
from skorch.callbacks import Callback

from skamort import GatedSAE, SAEEncoder, TopKSAE, WeightedSAE, _triton
from skamort.modules import SparseCodes
from skamort.training import _step_graph

HAS_GPU = torch.cuda.is_available()  # before one is emulated
# Those of before 3.9 cannot be interpreted with NumPy 2.5.
pytest.importorskip("triton", "3.6" if HAS_GPU else "3.9")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def kernels(gpu):
    """Return a context in which the GPU has the capability that Triton asks for."""
    if gpu is not None and HAS_GPU:
        pytest.skip("kernels are compiled or interpreted, and a process does one of the two")
    return lambda: nullcontext() if gpu is None else emulated_cuda(capability=8)


def fitted(n_steps=2, model=TopKSAE(16, k=1), **settings):  # noqa: B008  # cloned
    """A model, by default one whose codes are kept as values and indices, after a few steps on the
    GPU."""
    X = np.random.default_rng(0).standard_normal((3 * n_steps, 4), dtype=np.float32)
    asked = {"max_iter": 1, "batch_size": 3, "random_state": 0, "device": "cuda", **settings}
    return clone(model).set_params(**asked).fit(X)


def flat(tensors):
    return np.concatenate([t.detach().cpu().numpy().ravel() for t in tensors])


class Gradients(Callback):
    """Keep those of the last step, but for the atoms', which one kernel projects and another does
    not. Adam makes a step of the rounding of a gradient that is 0, so that weights are apart."""

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            atoms = net.module_.decoder.dictionary
            self.last = flat(p.grad for p in net.module_.parameters() if p is not atoms)


def step_of(model):
    """Return a model that was fitted by one step, and its gradients."""
    found = Gradients()
    # Samples as atoms would leave no error.
    return fitted(1, model, dict_init=None, callbacks=[found]), found.last


def weights(model):
    return flat(model.net_.module_.parameters())


# Models, and the fewest launches of kernels a step.
MODELS = {
    "sparse codes": (TopKSAE(16, k=1), 8),
    "halves": (TopKSAE(16, k=1, precision="bfloat16"), 9),
    "dense codes": (SAEEncoder(5, alpha=0.1), 3),
    "signed": (TopKSAE(5, k=2, positive_code=False), 3),
    "gates": (GatedSAE(5, alpha=0.1), 3),
    "weights": (WeightedSAE(5, feature_weights=[1, 2, 0.5, 1]), 3),
}


@pytest.mark.parametrize(("model", "n_launches"), MODELS.values(), ids=MODELS)
def test_a_step_is_that_of_torch(kernels, model, n_launches):
    with kernels(), patch.object(_triton, "launch", wraps=_triton.launch) as launch:
        found, gradient = step_of(model)
    assert launch.call_count >= n_launches
    assert not _triton._broken
    with kernels(), patch.object(_triton, "_is_installed", lambda: False):
        expected, exact = step_of(model)
    np.testing.assert_allclose(gradient, exact, atol=1e-6)
    assert expected.loss_curve_[0] > 0.01
    np.testing.assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=1e-5)
    np.testing.assert_array_equal(found.latent_frequency_, expected.latent_frequency_)


class Look(Callback):
    """Note at the end of each step what was asked of the device so far."""

    def __init__(self, counts):
        self.counts, self.totals = counts, []

    def on_batch_end(self, net, training=False, **kwargs):
        self.totals.append(np.array(self.counts.totals()))


def test_what_a_product_finds_in_passing_is_handed_out_once(kernels):
    """Who gets it may change it, as processes do that add their counts up."""
    with kernels(), torch.no_grad():
        codes = SparseCodes(
            torch.tensor([[0.5, 0.0], [2.0, 1.0]]), torch.tensor([[0, 1], [1, 3]]), 4
        )
        codes.values, codes.indices = codes.values.cuda(), codes.indices.cuda()
        codes.transposed_product(torch.ones(2, 3).cuda())
        for _ in range(2):
            counts, sums = codes.firing_counts(), codes.column_sums()
            assert counts.cpu().tolist() == [1, 1, 0, 1]
            assert sums.cpu().tolist() == [0.5, 2.0, 0.0, 1.0]
            counts.add_(7), sums.add_(7)


@pytest.mark.parametrize(("model", "most"), [(TopKSAE(16, k=1), 22), (SAEEncoder(12), 16)])
def test_operators_of_a_step(kernels, model, most):
    """What was reached, to be lowered, not raised; with torch's operators alone, 40 and 26."""
    with kernels() as counts:
        if counts is None:
            pytest.skip("a real GPU does not count")
        look = Look(counts)
        fitted(3, model, callbacks=[look])
    waits, uploads, operators = look.totals[2] - look.totals[1]
    assert (waits, uploads) == (0, 0)
    assert operators <= most


@pytest.mark.parametrize("model", [SAEEncoder(5, alpha=0.1), TopKSAE(16, k=1)])
def test_graphs_hold_kernels(kernels, model, monkeypatch):
    with kernels() as counts:
        by_graphs = weights(fitted(6, model))
        assert counts is None or any(what == "replay" for what, _ in counts.operators)
        monkeypatch.setattr(_step_graph, "_MOST_NUMBERS", 0)
        assert np.array_equal(by_graphs, weights(fitted(6, model)))
    assert not _triton._broken


def test_a_seed_gives_the_same_bits(gpu):
    if gpu is not None:
        pytest.skip("an interpreter adds in one order")
    model = fitted(n_steps=20)
    assert np.array_equal(weights(model), weights(fitted(n_steps=20)))


@pytest.mark.parametrize("capability", [0, 7])
def test_older_cards_are_left_to_torch(gpu, capability):
    if gpu is None:
        pytest.skip("a real GPU is what it is")
    with emulated_cuda(capability=capability), patch.object(_triton, "launch") as launch:
        fitted(n_steps=1)
    assert not launch.called


def test_a_compiler_that_is_not_there_stops_no_training(kernels):
    broken = patch.object(_triton, "_broken", set())
    launch = patch.object(_triton, "launch", side_effect=RuntimeError("no gcc"))
    with kernels(), broken, launch, TestCase().assertLogs("skamort") as told:
        found = weights(fitted())
    assert len(told.output) == 1
    assert "no gcc" in told.output[0]
    with kernels(), patch.object(_triton, "_is_installed", lambda: False):
        assert np.array_equal(found, weights(fitted()))
