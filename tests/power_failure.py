"""Fits that are killed, and what is to be the same when they have been resumed."""

from numpy.testing import assert_array_equal
from skorch.callbacks import Callback


class PowerFailure(Callback):
    """Ends a fit as nothing can catch it, after a number of epochs or of steps."""

    def __init__(self, epochs, unit="epochs"):
        self.left = epochs
        self.unit = unit

    def on_batch_end(self, net, training, **kwargs):
        if training and self.unit == "steps":
            self.go_on()

    def on_epoch_end(self, net, **kwargs):
        if self.unit == "epochs":
            self.go_on()

    def go_on(self):
        self.left -= 1
        if self.left < 0:
            raise MemoryError


def assert_same_bits(resumed, undisturbed):
    assert undisturbed.n_iter_ == resumed.n_iter_
    assert undisturbed.loss_curve_ == resumed.loss_curve_
    assert undisturbed.validation_loss_curve_ == resumed.validation_loss_curve_
    assert_array_equal(undisturbed.latent_frequency_, resumed.latent_frequency_)
    ours, theirs = (e.net_.module_.state_dict() for e in (resumed, undisturbed))
    for name, value in ours.items():
        assert_array_equal(value.numpy(), theirs[name].numpy())
