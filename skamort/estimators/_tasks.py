"""A fit and its iterations as tasks of scikit-learn's callbacks, from its version 1.9 on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from skorch.callbacks import Callback

from ..training import SparseNet, TrainingConverged
from ._parts import part_of


class FitTask:
    """A fit as a task; nothing happens where no callbacks are set.

    Parameters
    ----------
    estimator : estimator
        What is being fitted.
    X, y, sample_weight : array-like or None
        What it is fitted to.
    n_iterations : int or None
        The most iterations, or fits of parts, that there can be; None: nobody knows.
    """

    def __init__(
        self, estimator: Any, X: Any, y: Any, sample_weight: Any, n_iterations: int | None = 0
    ):
        self._estimator = estimator
        self.is_watched = bool(getattr(estimator, "_skl_callbacks", ()))
        self._iteration: Any = None
        if self.is_watched:
            metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
            self._given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
            self._context = estimator._init_callback_context(max_subtasks=n_iterations)
            self._context.call_on_fit_task_begin(**self._given)

    def begin_iteration(self) -> None:
        """Say that an iteration begins."""
        if self.is_watched:
            self._iteration = self._context.subcontext(task_name="iteration")
            self._iteration.call_on_fit_task_begin(**self._given)

    def end_iteration(self, fitted_attributes: Callable[[], Mapping[str, Any]]) -> bool:
        """Say that it has ended; return whether a callback asks to stop.

        Parameters
        ----------
        fitted_attributes : callable
            Returns the attributes that make the estimator one whose fit ends here.
        """
        if not self.is_watched:
            return False
        if self._iteration is None:
            self.begin_iteration()
        iteration, self._iteration = self._iteration, None
        return iteration.call_on_fit_task_end(
            **self._given, reconstruction_attributes=fitted_attributes
        )

    @contextmanager
    def part(self, name: str, part: Any) -> Iterator[None]:
        """Let the fit of a part of the estimator, which happens inside, be a task in this one; a
        callback that goes on to parts sees it."""
        with part_of(self._estimator, name, part), self._subtask(part):
            yield

    @contextmanager
    def _subtask(self, estimator: Any) -> Iterator[None]:
        if not self.is_watched:
            yield
            return
        context = self._context.subcontext(task_name=f"fit-{type(estimator).__name__}")
        with context.propagate_callback_context(estimator):
            context.call_on_fit_task_begin(**self._given)
            yield
            context.call_on_fit_task_end(**self._given, reconstruction_attributes=dict)

    def end(self) -> None:
        """Say that the fit has ended."""
        if self.is_watched:
            self._context.call_on_fit_task_end(**self._given, reconstruction_attributes=dict)


class EpochTasks(Callback):
    """Tells the epochs of a net as iterations.

    Parameters
    ----------
    task : FitTask
        The fit.
    """

    def __init__(self, task: FitTask):
        self.task = task

    def on_epoch_begin(self, net, **kwargs):  # noqa: ARG002
        """Say so."""
        self.task.begin_iteration()

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Say so; end training where a callback asks to."""
        if self.task.end_iteration(lambda: {"net_": _as_it_is(net)}):
            raise TrainingConverged


def _as_it_is(net: SparseNet) -> SparseNet:
    """Return a net with the weights that this one has now, for use."""
    snapshot = object.__new__(SparseNet)
    snapshot.__dict__.update(net.__dict__)
    module, history = deepcopy(net.module_).eval(), deepcopy(net.history)
    snapshot.__dict__.update(module_=module, history_=history)
    return snapshot
