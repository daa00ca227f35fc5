"""What happens around a training step: the decoder's constraint, stopping, progress."""

import torch
from skorch.callbacks import Callback

from .._progress import progress_bar
from ._plateau import Plateau


class TrainingConverged(KeyboardInterrupt):
    """Ends a training run that has converged.

    A `KeyboardInterrupt`, as skorch's own stopping callbacks raise, but one that can be told from
    the user's.
    """


class UnitNormAtoms(Callback):
    """Keep the decoder's atoms on the unit sphere.

    The gradient loses its part along each atom before the step, and each atom is rescaled after it.
    """

    def on_grad_computed(self, net, named_parameters, **kwargs):  # noqa: ARG002
        """Project the gradient on the sphere's tangent space."""
        dictionary = net.module_.decoder.dictionary
        with torch.no_grad():
            along = torch.linalg.vecdot(dictionary.grad, dictionary).unsqueeze(1)
            dictionary.grad.addcmul_(along, dictionary, value=-1)

    def on_batch_end(self, net, training=False, **kwargs):  # noqa: ARG002
        """Rescale the atoms."""
        if training:
            with torch.no_grad():
                dictionary = net.module_.decoder.dictionary
                dictionary.div_(torch.linalg.vector_norm(dictionary, dim=1, keepdim=True))


class StopOnPlateau(Callback):
    """Stop once the training loss has ceased to fall.

    Parameters
    ----------
    tol : float
        Smallest fall that counts, relative to the magnitude of the loss.
    n_iter_no_change : int
        Epochs without such a fall after which training has converged.
    """

    def __init__(self, tol, n_iter_no_change):
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Start afresh."""
        self.plateau_ = Plateau(self.tol, self.n_iter_no_change)

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Raise `TrainingConverged` at the end of a plateau."""
        if self.plateau_.reached(net.history[-1]["train_loss"]):
            raise TrainingConverged


class Progress(Callback):
    """Draw a bar of epochs with the latest loss.

    Parameters
    ----------
    description : str
        Text in front of the bar.
    """

    def __init__(self, description):
        self.description = description

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Open the bar."""
        self.bar_ = progress_bar(net.max_epochs, self.description)

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Advance the bar."""
        self.bar_.set_postfix(loss=f"{net.history[-1]['train_loss']:.5g}", refresh=False)
        self.bar_.update()

    def on_train_end(self, net, **kwargs):  # noqa: ARG002
        """Close the bar, and drop it: an open stream cannot be pickled."""
        self.bar_.close()
        del self.bar_
