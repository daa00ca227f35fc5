"""Checkpoints: a run that was killed goes on, to the bit, where its last checkpoint left it.

A checkpoint is a folder. `weights.safetensors` holds the module's parameters by name,
`state.safetensors` the other tensors (the optimizer's moments, the random stream, the counts of the
callbacks), `state.json` the numbers and what the run is. It is written beside its place and moved
there when it is whole, so that a crash while writing leaves the one before.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import warnings
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

from .._folder import CorruptFolder, read_arrays, read_json, write_folder
from .._packing import pack, to_array, unpack
from .._validation import check_integer, check_real
from ._callback import Setting
from ._net import Pass, SparseNet
from ._states import load_states, moved, progress_of, restore_progress, states_of

_FORMAT = 4
_KEPT = 2
_NAME = r"epoch-\d{6,}(-batch-\d{9,})?"
_JSON, _WEIGHTS, _STATE = "state.json", "weights.safetensors", "state.safetensors"
_ADVICE = "Let the state_dict of the callback return such, or none."


class Checkpoint(Setting):
    """Save a run from time to time, so that it can be taken up again.

    Given to an estimator as its parameter `checkpoint`. The newest two checkpoints are kept. A
    directory is for one fit: those of a grid search or of cross-validation are refused the second
    time.

    Parameters
    ----------
    path : str or path
        Directory where the checkpoints of one fit lie, each in a directory of its own.
    every_epochs : int, default=1
        Epochs between two checkpoints.
    every_seconds : float, default=None
        Seconds between two checkpoints, which are then written at the end of a step, within epochs
        too; `every_epochs` does not count.

    Attributes
    ----------
    seed_ : int or None
        Seed of the run that is to go on, once `open` has found one.

    Examples
    --------
    >>> from skamort import TopKSAE
    >>> from skamort.training import Checkpoint
    >>> TopKSAE(4096, k=32, checkpoint=Checkpoint("runs/first", every_seconds=60)).checkpoint
    Checkpoint(path='runs/first', every_epochs=1, every_seconds=60)
    """

    capturable = ()

    def __init__(
        self,
        path: str | os.PathLike,
        every_epochs: int = 1,
        every_seconds: float | None = None,
    ):
        self.path = path
        self.every_epochs = every_epochs
        self.every_seconds = every_seconds

    def open(self, identity: dict[str, Any], resume: bool = False) -> Checkpoint:
        """Make the directory ready; return the checkpoint itself.

        Parameters
        ----------
        identity : dict of str
            What must be the same in a run that takes this one up: names and values.
        resume : bool, default=False
            Whether to begin where the newest checkpoint left off, if there is any.

        Raises
        ------
        OSError
            If nothing can be written to the directory.
        ValueError
            If it holds checkpoints but not `resume`, or the newest is corrupt or of another run.
        """
        check_integer(self.every_epochs, "Checkpoint: every_epochs", 1)
        if self.every_seconds is not None:
            check_real(self.every_seconds, "Checkpoint: every_seconds")
        self.folder_, self.identity_ = Path(self.path), identity
        self._make_folder()
        written = self._written()
        if written and not resume:
            raise ValueError(
                f"checkpoint={str(self.folder_)!r} holds checkpoints of an earlier run; go on "
                "with it by fit(..., resume=True), or choose another directory. The fits of a "
                "grid search or of cross-validation would share it: set checkpoint=None there."
            )
        self.found_, self.seed_ = None, None
        self.newest_ = written[-1] if written else None
        if written:
            self.found_ = self._read(written[-1])
            self.seed_ = self.found_["seed"]
        return self

    def on_train_begin(self, net, **kwargs):  # noqa: ARG002
        """Put the net in the state of the checkpoint that `open` found."""
        pack(
            states_of(net), "Checkpoint", _ADVICE
        )  # what cannot be saved is refused before any work
        self.last_ = time.monotonic()
        newest = None if self.found_ is None else self.found_["name"]
        net.processes_.check_same("the newest checkpoint in checkpoint", newest)
        if self.found_ is not None:
            self._restore(net)
            net.max_epochs = max(0, net.max_epochs - len(net.history))

    def on_epoch_begin(self, net, **kwargs):  # noqa: ARG002
        """Go to where in the epoch the checkpoint was written."""
        if self.found_ is not None:
            self._restore_pass(net)
            self.found_ = None

    def on_batch_end(self, net, training=False, **kwargs):  # noqa: ARG002
        """Save, where it is time to."""
        if not training or self.every_seconds is None:
            return
        if time.monotonic() - self.last_ >= self.every_seconds:
            self._try_to_save(net)

    def on_epoch_end(self, net, **kwargs):  # noqa: ARG002
        """Save, where it is time to."""
        if self.every_seconds is None and len(net.history) % self.every_epochs == 0:
            self._try_to_save(net)

    # -- Writing -----------------------------------------------------------------------------------

    def _make_folder(self):
        try:
            self.folder_.mkdir(parents=True, exist_ok=True)
            for leftover in self._folders("."):  # a crash while writing
                shutil.rmtree(leftover, ignore_errors=True)
            with TemporaryFile(dir=self.folder_):
                pass
        except OSError as error:
            raise OSError(
                f"checkpoint={str(self.folder_)!r} must be a directory that can be written to, "
                f"or made: {error}. Choose another."
            ) from error

    def _try_to_save(self, net):
        if net.processes_.rank > 0:  # one file for all
            return
        try:
            self._save(net)
        except OSError as error:
            warnings.warn(
                f"No checkpoint of epoch {len(net.history)} could be written to {self.folder_}: "
                f"{error}. Training goes on; the checkpoints before it are kept.",
                RuntimeWarning,
                stacklevel=2,
            )
        self.last_ = time.monotonic()

    def _save(self, net: SparseNet) -> None:
        self._check_alone()
        if not all(value.isfinite().all() for value in net.module_.parameters()):
            return  # a run that has diverged is not to be taken up
        weights = {name: to_array(value) for name, value in net.module_.state_dict().items()}
        state = _state_of(net)
        packed, arrays, _ = pack(state, "Checkpoint", _ADVICE)
        name = f"epoch-{len(state['history']):06d}"
        if net.pass_ is not None:
            name += f"-batch-{len(net.pass_.losses):09d}"
        about = {"format": _FORMAT, "identity": self.identity_, "state": packed}
        about["seed"] = net.generator.initial_seed()
        temporary, newest = self.folder_ / f".{name}", self.folder_ / name
        write_folder(temporary, _JSON, about, {_WEIGHTS: weights, _STATE: arrays})
        os.replace(temporary, newest)
        self.newest_ = newest
        for old in self._written()[:-_KEPT]:
            shutil.rmtree(old)

    def _check_alone(self):
        """Refuse to mix checkpoints with those of a fit that runs at the same time."""
        written = self._written()
        if written and written[-1] != self.newest_:
            raise ValueError(
                f"checkpoint={str(self.folder_)!r} holds {written[-1].name} of another fit that "
                "runs at the same time; give each fit a directory of its own, or set "
                "checkpoint=None for those of a grid search or of cross-validation."
            )

    def _written(self):
        return self._folders()

    def _folders(self, prefix=""):
        """Return what lies there under the names of checkpoints, which alone are ours to delete."""
        found = [path for path in self.folder_.iterdir() if path.is_dir()]
        name = re.compile(re.escape(prefix) + _NAME)
        return sorted((path for path in found if name.fullmatch(path.name)), key=_counts)

    # -- Reading -----------------------------------------------------------------------------------

    def _read(self, path):
        """Return the contents of a checkpoint, checked."""
        try:
            found = read_json(path / _JSON)
            self._check_same(path, {"format": found.get("format")}, {"format": _FORMAT})
            files = read_arrays(path, _JSON, found)
            found["weights"] = {n: torch.tensor(array) for n, array in files[_WEIGHTS].items()}
            found["state"] = unpack(found["state"], files[_STATE])
        except (CorruptFolder, LookupError, TypeError) as error:
            before = [other.name for other in self._written() if other != path]
            advice = (
                f"delete it to go on from {before[-1]}" if before else "delete it to start anew"
            )
            raise ValueError(f"The checkpoint {path} is corrupt; {advice}.") from error
        self._check_same(path, found["identity"], self.identity_)
        found["name"] = path.name
        return found

    def _check_same(self, path, theirs, ours):
        names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        if names:
            told = ", ".join(f"{n}: {theirs.get(n)} then, {ours.get(n)} now" for n in names)
            raise ValueError(
                f"The checkpoint {path} is of another run ({told}); resume with the same estimator "
                "and data, or choose another directory."
            )

    def _restore(self, net):
        state = self.found_["state"]
        net.module_.load_state_dict(self.found_["weights"])
        restore_progress(net, state)
        net.criterion_.load_state_dict(moved(state["loss"], net.device))
        if state["dead"] is not None:
            net.criterion_.dead = state["dead"].to(net.device)
        load_states(net, state["callbacks"])

    def _restore_pass(self, net):
        found = self.found_["state"]["pass"]
        if found is None:
            return
        losses = found["losses"].to(net.device).unbind()
        terms = {
            name: list(values.to(net.device).unbind()) for name, values in found["terms"].items()
        }
        net.resumed_ = Pass(found["shuffle"], list(losses), found["sizes"].tolist(), terms)
        # Again: what they forget when an epoch begins.
        load_states(net, self.found_["state"]["callbacks"])


def _counts(path: Path) -> list[int]:
    """Return epochs and batches, by which checkpoints are in order where texts are not."""
    return [int(count) for count in re.findall(r"\d+", path.name)]


def _state_of(net):
    """Everything beside the weights that the rest of a run depends on."""
    return {
        **progress_of(net),
        "pass": None if net.pass_ is None else _state_of_pass(net.pass_),
        "dead": net.criterion_.dead,
        "loss": dict(net.criterion_.state_dict()),
        "callbacks": states_of(net),
    }


def _state_of_pass(so_far):
    return {
        "shuffle": so_far.shuffle,
        "losses": torch.stack(so_far.losses),
        "sizes": torch.tensor(so_far.sizes),
        "terms": {name: torch.stack(values) for name, values in so_far.terms.items()},
    }
