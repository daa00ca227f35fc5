"""What parts of a user's own remember outlasts a kill."""

import numpy as np
import pytest
import torch
from power_failure import PowerFailure, assert_same_bits
from sklearn.base import clone
from skorch.callbacks import Callback, LRScheduler

from skamort import SAEEncoder
from skamort.training import SparseCodingLoss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((100, 6))


class Counting(SparseCodingLoss):
    """A loss with a memory of its own, on which its gradients depend."""

    def __init__(self, alpha):
        super().__init__(alpha)
        self.register_buffer("n_steps", torch.tensor(0.0))

    def code_gradient(self, *step):
        self.n_steps += 1
        self.alpha_factor = 1 / self.n_steps.item()
        return super().code_gradient(*step)


class CountingSAE(SAEEncoder):
    """Has that loss."""

    def _make_loss(self, feature_weights):
        return Counting(self.alpha_)


@pytest.mark.parametrize(
    ("cls", "callbacks"),
    [
        (CountingSAE, []),
        (SAEEncoder, [LRScheduler("StepLR", step_size=2, gamma=0.5)]),
        (SAEEncoder, [LRScheduler("CosineAnnealingLR", T_max=8)]),
    ],
    ids=["loss", "StepLR", "CosineAnnealingLR"],
)
def test_states_of_losses_and_of_torchs_schedulers_last(cls, callbacks, X, tmp_path):
    encoder = cls(8, max_iter=8, batch_size=25, tol=0, random_state=0, callbacks=callbacks)
    undisturbed = clone(encoder).fit(X)
    encoder.set_params(checkpoint=tmp_path)
    with pytest.raises(MemoryError):
        clone(encoder).set_params(callbacks=[*callbacks, PowerFailure(3)]).fit(X)
    assert_same_bits(encoder.fit(X, resume=True), undisturbed)


class Odd(Callback):
    """Has a state by numbers."""

    def state_dict(self):
        return {1: 2.0}

    def load_state_dict(self, state):
        pass

    def on_batch_begin(self, net, **kwargs):
        raise AssertionError("work has begun")


def test_a_state_by_numbers_is_refused_before_any_work(X, tmp_path):
    with pytest.raises(TypeError, match="dicts of these by texts"):
        SAEEncoder(8, checkpoint=tmp_path, callbacks=[Odd()]).fit(X)
    assert not list(tmp_path.iterdir())
