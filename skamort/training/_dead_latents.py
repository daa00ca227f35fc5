"""Which latents fire in training, and what is done about those that do not."""

import torch
from torch import nn

from .._validation import check_integer, check_real
from ._callback import Setting, Stateful
from ._rules import count_firing

_WINDOW_PASSES = 5
_LONGEST_WINDOW = 10_000_000
_LOOKS_PER_WINDOW = 8


class LatentActivity(Stateful):
    """Count on how many samples each latent fires, and since how many it has not.

    Attributes
    ----------
    frequency_ : Tensor of shape (n_components,)
        Share of the samples of the last finished epoch on which each latent fired; where the
        history tells the best epoch by ``valid_loss_best``, of that one.
    silence_ : Tensor of shape (n_components,), int64
        Samples seen since each latent last fired; those of a batch count as one moment.
    """

    state = ("frequency_", "silence_", "counts_", "n_samples_")
    batched = ()
    capturable = ("on_batch_end",)

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Start counting; a net that goes on training goes on counting."""
        if not hasattr(self, "silence_"):
            dictionary = net.module_.decoder.dictionary
            self.silence_ = torch.zeros(len(dictionary), dtype=torch.int64).to(dictionary.device)
        self.on_epoch_begin(net)

    def on_epoch_begin(self, net, **kwargs):  # noqa: ARG002
        """Forget the counts of the epoch before."""
        if not hasattr(self, "counts_"):
            self.counts_ = torch.zeros_like(self.silence_)
        self.counts_.zero_()  # where graphs have it
        self.n_samples_ = 0

    def on_batch_begin(self, net, training=False, **kwargs):  # noqa: ARG002
        """Count the rows of a batch."""
        if training:
            self.n_samples_ += net.processes_.n_rows

    def on_batch_end(self, net, y_pred, training=False, **kwargs):  # noqa: ARG002
        """Count the codes of a batch."""
        if training:
            fired = net.processes_.add(y_pred.firing_counts())
            count_firing(self.counts_, self.silence_, fired, net.processes_.n_rows)

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Turn counts into shares."""
        if net.history[-1].get("valid_loss_best", True):
            self.frequency_ = self.counts_.float() / self.n_samples_

    def take_over(self, silence, frequency, device):
        """Know on a device what was counted elsewhere, see `silence_` and `frequency_`."""
        self.silence_, self.frequency_ = silence.to(device, copy=True), frequency.to(device)

    def on_train_end(self, net, **kwargs):  # noqa: ARG002
        """Make do with what has been counted when the user interrupts the first epoch."""
        if not hasattr(self, "frequency_"):
            self.frequency_ = self.counts_.float() / max(1, self.n_samples_)


class DeadLatents(Setting):
    """Look from time to time for latents that have not fired for a number of samples.

    A subclass says in `revive` what is done about them. It needs `LatentActivity`, as "activity",
    before it.

    Parameters
    ----------
    window : int, default=None
        Samples without firing after which a latent is dead. None: as many as five passes over the
        training data have, at most 10 million; latents that are called dead too early are lost.
    """

    state = ("window_", "n_samples_")

    def __init__(self, window=None):
        self.window = window

    def check(self):
        """Return the callback itself.

        Raises
        ------
        TypeError or ValueError
            If a parameter breaks its rule.
        """
        if self.window is not None:
            check_integer(self.window, f"{type(self).__name__}: window", 1)
        return self

    def on_train_begin(self, net, X, **kwargs):  # noqa: ARG002
        """Find out how long a latent may be silent."""
        self.check()
        self.window_ = self.window or min(_WINDOW_PASSES * len(X), _LONGEST_WINDOW)
        self.n_samples_ = 0

    def on_batch_end(self, net, batch, y_pred, training=False, **kwargs):  # noqa: ARG002
        """Look for the dead a few times a window, since each look makes a GPU wait."""
        if training and self.is_due(net.processes_.n_rows):
            self.look(net, batch[0], y_pred)

    def is_due(self, n_rows):
        """Take note of the rows of a step; tell whether it is time to look."""
        self.n_samples_ += n_rows
        if self.n_samples_ < self.window_ / _LOOKS_PER_WINDOW:
            return False
        self.n_samples_ = 0
        return True

    def look(self, net, X, codes):
        """Do something about those that are dead, seen after a step on X with these codes."""
        silence = net.callback("activity").silence_
        self.revive(net, (silence >= self.window_).nonzero().flatten(), X, codes)

    def revive(self, net, dead, X, codes):
        """Do something about the latents `dead`, seen after a step on X.

        Parameters
        ----------
        net : SparseNet
            The net.
        dead : Tensor of shape (n_dead,), int64
            The dead latents; there may be none.
        X : Tensor of shape (n, n_features)
            The rows of the step.
        codes : DenseCodes or SparseCodes
            Their codes.
        """
        raise NotImplementedError


class TeachDead(DeadLatents):
    """Let the loss teach dead latents to reconstruct what the living leave over (AuxK).

    See `SparseCodingLoss`. Where codes are known nothing is reconstructed, and it is refused.

    Parameters
    ----------
    window : int, default=None
        Samples without firing after which a latent is dead. None: as many as five passes over the
        training data have, at most 10 million.
    """

    requires = frozenset({"partial_gradients", "dead"})
    capturable = ()

    def revive(self, net, dead, X, codes):  # noqa: ARG002
        """Tell the loss which latents are dead, if others are than before."""
        before = net.criterion_.dead
        if before is None or not torch.equal(before, dead):
            net.criterion_.dead = dead if len(dead) else None


class ResampleDead(DeadLatents):
    """Start dead latents anew at samples that are badly reconstructed.

    The atom becomes the direction of a sample drawn with a probability proportional to its squared
    error, times its weight where it has one, each sample once. The encoder's row is tied to it,
    with the bias that makes the latent fire on as many samples of the batch as the living do on
    average: without one it would fire on half of all samples, and many such would undo what the
    others have learned. Where latents
    compete, as under top-k, the bias is 0. In the optimizer, the mean of the gradients is cleared,
    and that of their squares set to that of the living: after a zero, Adam would take steps several
    times the learning rate. A known dictionary stays as it is.

    Parameters
    ----------
    window : int, default=None
        Samples without firing after which a latent is dead. None: as many as five passes over the
        training data have, at most 10 million.
    scale : float, default=0.3
        Length of the new rows of the encoder, relative to the mean of the living: as long as these,
        they would displace latents that have learned.
    """

    requires = frozenset({"latent_rows"})
    batched = ()
    capturable = ()

    def __init__(self, window=None, scale=0.3):
        super().__init__(window)
        self.scale = scale

    def check(self):
        """Return the callback itself, or refuse its parameters."""
        check_real(self.scale, "ResampleDead: scale")
        return super().check()

    def revive(self, net, dead, X, codes):
        """Give dead latents new weights."""
        if len(dead):
            self._start_anew(net, dead, X, codes)
            net.processes_.follow_first(net)  # equal but for rounding

    @torch.no_grad()
    def _start_anew(self, net, dead, X, codes):
        module, dictionary = net.module_, net.module_.decoder.dictionary
        part, join = module.center(X), net.processes_.join
        centered = join(part)
        if dictionary.requires_grad:
            errors = codes.residual(dictionary, part).square().sum(1)
            errors = join(net.criterion_.weigh_samples(errors))
            errors = torch.where(centered.any(1), errors, 0).cpu()
            dead = dead[: errors.count_nonzero()]
            if len(dead):
                # In double, or torch 2.4 would draw others for float32 data.
                drawn = torch.multinomial(errors.double(), len(dead), generator=net.generator)
                samples = centered[drawn.to(X.device)]
                dictionary[dead] = nn.functional.normalize(samples, dim=1)
        if not len(dead):
            return
        silence = net.callback("activity").silence_
        living = silence < self.window_
        n_active = None
        if not module.activation.competes:
            counts = net.processes_.add(codes.firing_counts())[living].double()
            n_active = max(1, round(counts.mean().nan_to_num().item()))
        module.encoder.retie(centered, dictionary, dead, self.scale, n_active)
        module.activation.restart(dead)
        layer = module.encoder.output_layer
        for parameter in (dictionary, layer.weight, layer.bias, *module.activation.parameters()):
            if parameter in net.optimizer_.state:
                state = net.optimizer_.state[parameter]
                state["exp_avg"][dead] = 0
                state["exp_avg_sq"][dead] = state["exp_avg_sq"][living].mean(0).nan_to_num()
        silence[dead] = 0
