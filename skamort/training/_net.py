"""The skorch net that trains a sparse autoencoder."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from torch import Tensor, nn

from .._device import is_missing
from .._packing import Packed
from .._threads import threads_worth
from ..modules import SparseAutoencoder, Workspace
from ._adam import FusedAdam
from ._callbacks import TrainingConverged
from ._data import TrainingData
from ._data_parallel import OneProcess
from ._loss import Loss, check_offered
from ._products import products_in
from ._rules import mean_of_batches
from ._states import load_states, progress_of, restore_progress, states_of
from ._step_graph import graphs_for

_EPS = 1e-8  # Adam's default
_SETTINGS = ("learning_rate", "data_scale", "unit", "batch_size", "max_epochs")
_PRODUCT_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "tf32": "tf32"}


@dataclass
class Pass:
    """A pass over data, as far as it has come.

    Attributes
    ----------
    shuffle : Tensor
        State of the random stream from which the order of the batches was drawn.
    losses : list of Tensor
        Loss of each step.
    sizes : list of int
        Rows of each step.
    terms : dict of str to list of Tensor
        Named parts of the losses, where the loss tells them.
    """

    shuffle: Tensor
    losses: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    terms: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, n_rows: int, loss: Tensor, terms: dict[str, Tensor]) -> None:
        """Take note of a step."""
        self.losses.append(loss)
        self.sizes.append(n_rows)
        for name, term in terms.items():
            self.terms.setdefault(name, []).append(term)

    def means(self) -> dict[str, float]:
        """Return the mean a sample of the loss, and of its terms by name."""
        return {
            name: mean_of_batches(torch.stack(values).tolist(), self.sizes)
            for name, values in {"loss": self.losses, **self.terms}.items()
        }


class SparseNet(Packed, NeuralNet):
    """A skorch net whose loss computes its own gradients and whose data are tensors.

    It keeps skorch's callbacks and history and changes three things. A step calls the loss's
    `backward`, which knows faster gradients than autograd. The loss stays on the device until the
    epoch ends, so that a GPU is not made to wait at every batch. An interrupt reaches the caller,
    where skorch swallows it.

    Parameters
    ----------
    module : SparseAutoencoder
        The model, initialized.
    criterion : Loss
        What to minimize, initialized.
    generator : torch.Generator
        Shuffles the batches.
    learning_rate : float, default=1e-3
        Adam's step size for weights and atoms, which have no unit.
    data_scale : float, default=1.0
        Root mean square of the centered data, the unit of the parameters that `module.units` names:
        their step size is ``learning_rate * data_scale``. The weights learned are then those that
        data scaled to unit mean square would give.
    unit : float, default=1.0
        What the data given to `partial_fit` were divided by. The history tells losses in the unit
        that they had before.
    batch_size : int, default=256
        Rows a step.
    device : torch.device or str, default="cpu"
        Where the module lives; the data given to `partial_fit` must live there too.
    product_dtype : torch.dtype or "tf32", optional
        The dtype of the dense matrix products, such as torch.bfloat16, or "tf32", which on a GPU
        takes eleven bits of the factors; None: that of the data.
        Weights and sums keep the data's.
    callbacks : sequence of skorch.callbacks.Callback, default=()
        What happens around a step.

    Attributes
    ----------
    pass_ : Pass or None
        In a pass over data: how far it has come.
    resumed_ : Pass or None
        The pass with which training is to go on.
    processes_ : OneProcess or ManyProcesses
        With whom the rows of a batch are shared.
    workspace_ : Workspace
        Memory that every step uses.
    graphs_ : StepGraphs or None
        In training on a GPU: what takes the steps by CUDA graphs, where these can.
    """

    def __init__(
        self,
        module: SparseAutoencoder,
        criterion: Loss,
        *,
        generator: torch.Generator,
        learning_rate: float = 1e-3,
        data_scale: float = 1.0,
        unit: float = 1.0,
        batch_size: int = 256,
        device: torch.device | str = "cpu",
        product_dtype: torch.dtype | str | None = None,
        callbacks=(),
        **kwargs,
    ):
        if generator.device.type != "cpu":
            raise ValueError(
                f"SparseNet: generator must be on the CPU, so that a seed gives the same order on "
                f"every device, got one on {generator.device}; pass torch.Generator()."
            )
        self.learning_rate = learning_rate
        self.data_scale = data_scale
        self.unit = unit
        self.generator = generator
        self.product_dtype = product_dtype
        self.pass_ = self.resumed_ = self.graphs_ = None
        self.processes_ = OneProcess()
        self.workspace_ = Workspace()
        super().__init__(
            module,
            criterion,
            optimizer=FusedAdam,
            batch_size=batch_size,
            device=str(device),
            callbacks=list(callbacks),
            train_split=None,
            use_caching=False,  # scores ask `predict`
            **kwargs,
        )

    @property
    def _default_callbacks(self):
        return []  # no console table, no epoch timer: the history holds the losses

    def initialize(self):
        """Make all parts ready; refuse those that do not go together."""
        super().initialize()
        self._check_parts(self.criterion_)
        return self

    def renew(self, **settings: Any) -> None:
        """Go on with other settings, parameters of the net by name, but with the weights."""
        for name, value in settings.items():
            setattr(self, name, value)
        for group in self.optimizer_.param_groups:
            power = self.unit_power(group["params"][0])
            group["lr"] = self.learning_rate * self.data_scale**power
        self.initialize_callbacks()

    def move_to(self, device: torch.device) -> None:
        """Go on, on another device, with all that has been learned."""
        if device == next(self.module_.parameters()).device:
            return
        moments = self.optimizer_.state_dict()
        self.device = str(device)
        self.module_.to(device)
        self.criterion_.to(device)
        self.initialize_optimizer()
        self.optimizer_.load_state_dict(moments)
        if hasattr(self, "converged_"):  # else no callback has begun
            load_states(self, states_of(self))
        self.workspace_.clear()

    def minimize(self, loss: Loss) -> None:
        """Minimize another loss from now on; refuse one that does not go with the other parts."""
        self._check_parts(loss)
        self.criterion_ = loss
        for group in self.optimizer_.param_groups:
            group["eps"] = self._eps(group["params"][0])

    def _check_parts(self, loss):
        loss.check_model(self.module_)
        for _, callback in self.callbacks_:
            check_offered(callback, self.module_.offers | loss.offers)

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> SparseNet:  # noqa: ARG002
        """Give Adam the parameters that are to be learned."""
        groups: dict[int, list[nn.Parameter]] = {0: [], 1: []}
        for parameter in self.module_.parameters():
            if parameter.requires_grad:
                groups.setdefault(self.unit_power(parameter), []).append(parameter)
        rate, unit = self.learning_rate, self.data_scale
        self.optimizer_ = FusedAdam(
            [
                {"params": p, "lr": rate * unit**power, "eps": self._eps(p[0])}
                for power, p in groups.items()
                if p
            ]
        )
        return self

    def _eps(self, parameter):
        """Return Adam's eps, in which the gradients of small data must not drown."""
        if self.criterion_.degree == 2:  # below the unit of every gradient is enough
            return _EPS * min(1.0, self.data_scale**2)
        return _EPS * self.gradient_unit(parameter)

    def unit_power(self, parameter):
        """Return the power of the data's unit that a parameter has."""
        return self.module_.units().get(parameter, 0)

    def gradient_unit(self, parameter):
        """Return the unit of a parameter's gradient: 1 if the data had unit mean square."""
        return self.data_scale ** (self.criterion_.degree - self.unit_power(parameter))

    @property
    def loss_unit(self):
        """What a loss of the data as they are given is to be multiplied by for the history."""
        return self.unit**self.criterion_.degree

    def get_iterator(self, dataset: TrainingData, training=False):
        """Return batches of `dataset`, shuffled in training."""
        return dataset.batches(self.batch_size, self.generator if training else None)

    def get_split_datasets(self, X, y=None, **fit_params):  # noqa: ARG002
        """Take the two datasets of `partial_fit` as they are."""
        return X, y

    def train_step_single(self, batch, **fit_params):  # noqa: ARG002
        """Leave the gradients of one batch in the parameters."""
        with products_in(self.product_dtype, batch[0].device):
            outcome = self._backward(batch)
        return self._of_all_processes(outcome, self.module_)

    def _backward(self, batch):
        return self.criterion_.backward(self.module_, *batch, workspace=self.workspace_)

    def validation_step(self, batch, **fit_params):  # noqa: ARG002
        """Return the loss and the codes of a batch that is not trained on."""
        return self._of_all_processes(self.criterion_.evaluate(self.module_, *batch))

    def _of_all_processes(self, outcome, module=None):
        self.processes_.average(outcome.loss, module)
        for term in outcome.terms.values():
            self.processes_.average(term)
        return {"loss": outcome.loss, "y_pred": outcome.codes, "terms": outcome.terms}

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Pass once over the data; record the mean loss a sample."""
        if iterator is None:
            return
        self.module_.train(training)
        self.criterion_.train(training)
        so_far = (self.resumed_ if training else None) or Pass(self.generator.get_state())
        self.pass_, self.resumed_ = so_far, None
        for whole in self._rest_of(iterator, so_far):
            batch = self._weigh(self.processes_.take(whole), iterator)
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            so_far.add(self.processes_.n_rows, step["loss"], step.pop("terms"))
            self._end_batch(batch=batch, training=training, **step)
        means = so_far.means()
        if not math.isfinite(means["loss"]):
            epoch = len(self.history)
            raise self.divergence(f"its loss became {means['loss']} in epoch {epoch}")
        self.pass_ = None
        unit = self.loss_unit / (iterator.mean_weight or 1)
        for name, mean in means.items():
            self.history.record(f"{prefix}_{name}", mean * unit)
        self.history.record(f"{prefix}_batch_count", len(iterator))

    def train_step(self, batch, **fit_params):
        """Take a step on one batch."""
        if self.graphs_ is None:
            return super().train_step(batch, **fit_params)
        return self.graphs_.take(batch)

    def step_by_operators(self, batch):
        """Take a step on one batch, operator by operator."""
        return super().train_step(batch)

    def _end_batch(self, batch, training, **step):
        if training and self.graphs_ is not None:
            self.graphs_.notify_of_end(batch, **step)
        else:
            self.notify("on_batch_end", batch=batch, training=training, **step)

    def _weigh(self, batch, iterator):
        """Return a batch without the weights of its rows, which loss and activation get."""
        if iterator.mean_weight is None:
            return batch
        *batch, weights = batch
        self._take_weights(weights)
        return tuple(batch)

    def _take_weights(self, weights):
        self.criterion_.sample_weight = self.module_.activation.sample_weight = weights

    def _rest_of(self, iterator, so_far):
        """Return the batches that a pass has still to take."""
        if not so_far.losses:
            return iter(iterator)
        now = self.generator.get_state()
        self.generator.set_state(so_far.shuffle)
        batches = iterator.after(len(so_far.losses))
        self.generator.set_state(now)
        return batches

    def partial_fit(self, X, y=None, classes=None, **fit_params):  # noqa: ARG002
        """Train for up to `max_epochs` further epochs.

        Parameters
        ----------
        X : TrainingData
            What to train on.
        y : TrainingData, optional
            Held-out rows; their loss after each epoch is recorded as ``valid_loss``.
        classes : None
            Ignored; skorch's signature.
        **fit_params : dict
            Ignored likewise.

        Raises
        ------
        KeyboardInterrupt
            When the user interrupts; the weights of the last finished step are kept.
        ValueError
            When the loss is no longer finite.
        """
        if not self.initialized_:
            self.initialize()
        self.converged_ = False
        self._check_weights(X)
        self.notify("on_train_begin", X=X, y=y)
        self.graphs_ = graphs_for(self, X)
        try:
            with self.threads_worth(X):
                self.fit_loop(X, y, **fit_params)
        except TrainingConverged:
            self.converged_ = True
        except KeyboardInterrupt:
            if not self._was_stopped_early():
                raise
            self.converged_ = True
        finally:
            self._drop_unfinished_epoch()
            self.pass_ = self.graphs_ = None
            self.optimizer_.zero_grad()  # or they would keep the memory of a graph
            self._take_weights(None)
            self.module_.eval()
            self.notify("on_train_end", X=X, y=y)
        return self

    def threads_worth(self, data, n_models=1):
        """Return a context with the threads that steps of so many such models on data are worth."""
        n_rows = n_models * min(self.batch_size, len(data))
        return threads_worth(n_rows * self.module_.largest_matrix(), torch.device(self.device))

    def _check_weights(self, data):
        loss = self.criterion_
        if data.is_weighted and "sample_weight" not in loss.offers:
            raise ValueError(
                f"{type(loss).__name__} knows no weights of samples, got sample_weight; name "
                '"sample_weight" in its offers once its value uses the attribute, or fit without.'
            )

    def _was_stopped_early(self):
        """Whether skorch's `EarlyStopping`, which raises what an interrupt by the user does, has
        ended training."""
        stops = [c for _, c in self.callbacks_ if isinstance(c, EarlyStopping)]
        return any(stop.misses_ >= stop.patience for stop in stops)

    @torch.no_grad()
    def predict(self, X):
        """Return the codes of data as an ndarray of shape (n_samples, n_components).

        Parameters
        ----------
        X : TrainingData
            What a scoring function of skorch's callbacks gets as its data.
        """
        self.module_.eval()
        codes = [self.module_.encode(batch[0]) for batch in self.get_iterator(X)]
        return torch.cat(codes).cpu().numpy()

    def _drop_unfinished_epoch(self):
        """Leave in the history only the epochs that came to their end."""
        if self.history and (self.pass_ is not None or "train_loss" not in self.history[-1]):
            self.history.pop()

    def callback(self, name):
        """Return the callback of this name."""
        return dict(self.callbacks_)[name]

    def _parts(self):
        is_ready = getattr(self, "initialized_", False)
        dtype = self.product_dtype
        return {
            "settings": {name: getattr(self, name) for name in _SETTINGS},
            "product_dtype": None if dtype is None else str(dtype).removeprefix("torch."),
            "device": str(self.device),
            "module": self.module,
            "criterion": self.criterion_ if is_ready else self.criterion,
            "callbacks": self.callbacks_ if is_ready else self.callbacks,
            "generator": self.generator.get_state(),
            "progress": progress_of(self) if is_ready else None,
            "optimized": self._optimized() if is_ready else [],
            "converged": getattr(self, "converged_", None),
        }

    def _optimized(self):
        """Return the names of the parameters that the optimizer knows, frozen since or not."""
        known = {id(p) for group in self.optimizer_.param_groups for p in group["params"]}
        return [name for name, p in self.module_.named_parameters() if id(p) in known]

    def _take_parts(self, parts):
        dtype = parts["product_dtype"]
        generator = torch.Generator()
        generator.set_state(parts["generator"])
        self.__init__(
            parts["module"],
            parts["criterion"],
            generator=generator,
            product_dtype=None if dtype is None else _PRODUCT_DTYPES[dtype],
            callbacks=parts["callbacks"],
            **{name: parts["settings"][name] for name in _SETTINGS},
        )
        if parts["converged"] is not None:
            self.converged_ = parts["converged"]
        if parts["progress"] is not None:
            self._initialize_with(parts["optimized"])
            restore_progress(self, parts["progress"])
            if parts["device"] != "cpu" and not is_missing(parts["device"]):
                self.move_to(torch.device(parts["device"]))

    def _initialize_with(self, optimized):
        """Make all parts ready, with an optimizer of the parameters of these names."""
        learned = {p: p.requires_grad for p in self.module.parameters()}
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(name in optimized)
        self.initialize()
        for parameter, is_learned in learned.items():
            parameter.requires_grad_(is_learned)

    def divergence(self, told):
        """Return the error that says by what training is seen to have diverged."""
        return ValueError(
            f"Training diverged: {told}. The step size was "
            f"learning_rate={self.learning_rate:g}; lower it."
        )
