"""What happens around a training step: the decoder's constraint, stopping, progress.

Callbacks that `training.batched` knows say so by `batched`, as `Loss` does. Those with which a CUDA
graph may hold a step name in `capturable` the hooks that are part of it: these do the same at every
step, whatever the numbers, and all in place. What else they do at a step they do after it.
"""

from dataclasses import asdict

import torch
from skorch.callbacks import Callback

from .._progress import advance, expect, progress_bar
from ._adam import steps_on_sphere
from ._callback import Setting, Stateful
from ._forecast import Forecast
from ._plateau import Plateau
from ._rules import (
    clear_denormals,
    clipping_factor,
    is_lowest,
    normalize_atoms,
    project_on_sphere,
    tangent_part,
)

_BLOCK_ELEMENTS = 1 << 18


class TrainingConverged(KeyboardInterrupt):
    """Ends a training run that has converged.

    A `KeyboardInterrupt`, as skorch's own stopping callbacks raise, but one that can be told from
    the user's.
    """


class UnitNormAtoms(Callback):
    """Keep the decoder's atoms on the unit sphere.

    The gradient loses its part along each atom before the step, and each atom is rescaled after it.
    """

    batched = ()
    capturable = ("on_batch_end",)

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Leave it to the optimizer, where that has a kernel and nobody looks at the gradient
        between."""
        dictionary, hook = net.module_.decoder.dictionary, Callback.on_grad_computed
        lookers = [c for _, c in net.callbacks_ if type(c).on_grad_computed is not hook]
        is_alone = lookers == [self]
        net.optimizer_.on_sphere = dictionary if is_alone and steps_on_sphere(dictionary) else None

    def on_grad_computed(self, net, named_parameters, **kwargs):  # noqa: ARG002
        """Project the gradient on the sphere's tangent space."""
        dictionary = net.module_.decoder.dictionary
        if dictionary.grad is None or net.optimizer_.on_sphere is dictionary:
            return  # frozen by another callback, or projected in the step
        if dictionary.is_cuda:
            dictionary.grad = tangent_part(dictionary.grad, dictionary.detach())
            return
        for atoms, grad in zip(_row_blocks(dictionary), _row_blocks(dictionary.grad), strict=True):
            project_on_sphere(grad, atoms)

    def on_batch_end(self, net, training=False, **kwargs):  # noqa: ARG002
        """Rescale the atoms."""
        dictionary = net.module_.decoder.dictionary
        if training and dictionary.requires_grad and net.optimizer_.on_sphere is not dictionary:
            for atoms in _row_blocks(dictionary):
                normalize_atoms(atoms)


class ClipGradient(Setting):
    """Shorten the gradient of a step where it is too long.

    Its length is that of all parameters' gradients as one vector, in the units that data scaled to
    unit mean square would have.

    Parameters
    ----------
    max_norm : float
        The greatest length; longer gradients keep their direction.
    """

    batched = ()
    capturable = ()

    def __init__(self, max_norm):
        self.max_norm = max_norm

    @torch.no_grad()
    def on_grad_computed(self, net, named_parameters, **kwargs):  # noqa: ARG002
        """Measure, and shorten."""
        learned = [p for p in net.module_.parameters() if p.grad is not None]
        lengths = [torch.linalg.vector_norm(p.grad) / net.gradient_unit(p) for p in learned]
        factor = clipping_factor(torch.stack(lengths), self.max_norm)
        if factor.is_cuda or factor < 1:  # to look would make a GPU wait
            for parameter in learned:
                parameter.grad.mul_(factor)


class ClearDenormals(Stateful):
    """Set moments of the optimizer that have decayed to denormal numbers to zero.

    The moments of a latent that fires no more shrink at every step and then stay at the smallest
    numbers a float can hold, on which many processors compute several times slower. They are far
    too small to move a weight.

    Parameters
    ----------
    every : int, default=128
        Steps between two passes over the moments; a pass costs about as much as a step of Adam.
    """

    state = ("n_steps_",)
    batched = ("every",)
    capturable = ()

    def __init__(self, every=128):
        self.every = every

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Start counting."""
        self.n_steps_ = 0

    def on_batch_end(self, net, training=False, **kwargs):  # noqa: ARG002
        """Look at the moments every few steps."""
        self.n_steps_ += training
        if training and self.n_steps_ % self.every == 0:
            for state in net.optimizer_.state.values():
                for moment in (state["exp_avg"], state["exp_avg_sq"]):
                    clear_denormals(moment)


def _row_blocks(matrix):
    """Split a matrix in views that stay in the processor's cache through several operations."""
    matrix = matrix.detach()
    if matrix.is_cuda:  # where kernels are what a split would multiply
        return (matrix,)
    return matrix.split(max(1, _BLOCK_ELEMENTS // matrix.shape[1]))


class BestWeights(Stateful):
    """Go back to the weights of the epoch with the lowest validation loss when training ends.

    Without a validation loss it keeps none, nor of an epoch that the history calls ``settling``.
    The history tells by ``train_loss_best`` and ``valid_loss_best`` which epochs were the best so
    far.
    """

    state = ("lowest_", "weights_")
    batched = ()

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Start afresh."""
        self.lowest_ = float("inf")

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Keep the weights of a new best epoch."""
        net.history.record("train_loss_best", is_lowest("train_loss", net.history))
        loss = net.history[-1].get("valid_loss")
        if loss is None or net.history[-1].get("settling"):
            return
        is_best = self.is_best(loss)
        net.history.record("valid_loss_best", is_best)
        if is_best:
            self.weights_ = {
                name: value.clone() for name, value in net.module_.state_dict().items()
            }

    def is_best(self, loss):
        """Take note of the validation loss of one more epoch; tell whether it is the lowest."""
        is_lower = loss < self.lowest_
        if is_lower:
            self.lowest_ = loss
        return is_lower

    def on_train_end(self, net, **kwargs):  # noqa: ARG002
        """Put the best weights back."""
        if self.lowest_ < float("inf"):
            net.module_.load_state_dict(self.__dict__.pop("weights_"))


class StopOnPlateau(Stateful):
    """Stop once the loss, that of the held-out rows where there are any, has ceased to fall.

    Epochs that the history calls ``warming_up`` do not count; after those that it calls
    ``settling``, whose losses do not compare, all begins anew. Where there is a schedule, the step
    size falls before the end, and with its fall training ends.

    Parameters
    ----------
    tol : float
        Smallest fall that counts, relative to the magnitude of the loss.
    n_iter_no_change : int
        Epochs without such a fall after which training has converged.
    """

    batched = ()

    def __init__(self, tol, n_iter_no_change):
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Start afresh."""
        self.plateau_ = Plateau(self.tol, self.n_iter_no_change)

    def state_dict(self):
        """Return how far the plateau has come."""
        return asdict(self.plateau_)

    def load_state_dict(self, state):
        """Take over a plateau."""
        self.plateau_ = Plateau(**state)

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Raise `TrainingConverged` at the end of a plateau."""
        if self.has_converged(net.history[-1], dict(net.callbacks_).get("schedule")):
            raise TrainingConverged

    def has_converged(self, epoch, schedule=None):
        """Take note of one more epoch, a row of the history; tell whether it is the last."""
        if schedule is not None and schedule.is_falling:  # whatever else still moves
            return schedule.has_ended
        if epoch.get("settling"):
            self.plateau_ = Plateau(self.tol, self.n_iter_no_change)
        if epoch.get("warming_up") or epoch.get("settling"):
            return False
        on_plateau = self.plateau_.reached(epoch.get("valid_loss", epoch["train_loss"]))
        return on_plateau and (schedule is None or not schedule.end_early())


class Progress(Callback):
    """Draw a bar of epochs with the latest loss, and where there is a `LatentActivity`, "activity",
    with the number of codes a sample and the share of dead latents; print a line now and then.

    The bar is as long as training will probably take: until the plateau that `StopOnPlateau` waits
    for, as the losses so far foretell it, and the fall of the step size after it.

    Parameters
    ----------
    description : str
        Text in front of the bar.
    """

    batched = ()

    def __init__(self, description):
        self.description = description

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Open the bar."""
        self.bar_ = progress_bar(net.max_epochs, self.description)
        parts = dict(net.callbacks_)
        stop, schedule = parts.get("StopOnPlateau"), parts.get("schedule")
        self.forecast_ = Forecast(net.max_epochs, stop, schedule)

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Advance the bar."""
        figures = {"loss": f"{net.history[-1]['train_loss']:.5g}"}
        if "activity" in dict(net.callbacks_):
            frequency = net.callback("activity").frequency_
            dead = (frequency == 0).double().mean().item()
            figures |= {"L0": f"{frequency.sum().item():.3g}", "dead": f"{dead:.1%}"}
        figures["end"] = expect(self.bar_, *self.forecast_.end(self.bar_.n + 1))
        advance(self.bar_, "epoch", **figures)

    def on_train_end(self, net, **kwargs):  # noqa: ARG002
        """Close the bar, and drop it: an open stream cannot be pickled."""
        self.bar_.close()
        del self.bar_, self.forecast_
