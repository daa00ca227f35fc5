"""Which latents fire in training, and what is done about those that do not."""

import torch
from skorch.callbacks import Callback


class LatentActivity(Callback):
    """Count on how many samples each latent fires, and since how many it has not.

    Attributes
    ----------
    frequency_ : Tensor of shape (n_components,)
        Share of the samples of the last finished epoch on which each latent fired; where the
        history tells the best epoch by ``valid_loss_best``, of that one.
    silence_ : Tensor of shape (n_components,), int64
        Samples seen since each latent last fired; those of a batch count as one moment.
    """

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Start counting; a net that goes on training goes on counting."""
        if not hasattr(self, "silence_"):
            dictionary = net.module_.decoder.dictionary
            self.silence_ = torch.zeros(len(dictionary), dtype=torch.int64).to(dictionary.device)
        self.on_epoch_begin(net)

    def on_epoch_begin(self, net, **kwargs):  # noqa: ARG002
        """Forget the counts of the epoch before."""
        self.counts_ = torch.zeros_like(self.silence_)
        self.n_samples_ = 0

    def on_batch_end(self, net, batch, y_pred, training=False, **kwargs):  # noqa: ARG002
        """Count the codes of a batch."""
        if training:
            counts = y_pred.firing_counts()
            self.counts_.add_(counts)
            self.n_samples_ += len(batch[0])
            self.silence_.add_(len(batch[0])).masked_fill_(counts > 0, 0)

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Turn counts into shares."""
        if net.history[-1].get("valid_loss_best", True):
            self.frequency_ = self.counts_ / self.n_samples_

    def on_train_end(self, net, **kwargs):  # noqa: ARG002
        """Make do with what has been counted when the user interrupts the first epoch."""
        if not hasattr(self, "frequency_"):
            self.frequency_ = self.counts_ / self.n_samples_
