"""Devices: by name, what they hold, what goes to them, and what is said where that is too much."""

from __future__ import annotations

import gc
import math
import multiprocessing
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._validation import as_tensor

OutOfMemory = torch.cuda.OutOfMemoryError
_GIB = 1 << 30
_MOST_UNUSED = 1 / 16  # of a GPU's memory, when a graph is recorded
_MOST_PINNED = 1 << 27  # bytes; the allocator rounds them up to a power of two


def is_missing(device: torch.device | str) -> bool:
    """Whether torch does not see a CUDA device here."""
    device = torch.device(device)
    return device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()


def numbered(device: torch.device) -> torch.device:
    """Return the device with its number, the current one's where it has none."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())


def resolve_device(device: str, owner: Any) -> torch.device:
    """Return the torch device that the parameter `device` of the estimator `owner` asks for."""
    if device == "auto":
        return _watched(numbered(torch.device("cuda" if torch.cuda.is_available() else "cpu")))
    name = type(owner).__name__
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{name}: device must be 'auto', 'cpu', 'cuda' or 'cuda:<index>', got {device!r}."
        ) from error
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(
            f"{name}: device must be 'auto', 'cpu', 'cuda' or 'cuda:<index>', got {device!r}, on "
            "which nothing was tried."
        )
    if is_missing(resolved):
        raise ValueError(
            f"{name}: device={device!r} is not there, torch sees {torch.cuda.device_count()} CUDA "
            "device(s); choose device='auto' or 'cpu', or install a CUDA build of torch."
        )
    return _watched(numbered(resolved))


def _watched(device: torch.device) -> torch.device:
    """Return a device; warn where it is a GPU for which the workers of `n_jobs` compete."""
    process = multiprocessing.current_process().name
    is_worker = process != "MainProcess" and not (
        torch.distributed.is_available() and torch.distributed.is_initialized()
    )
    if device.type == "cuda" and is_worker:
        _warn_of_workers(device)
    return device


@cache
def _warn_of_workers(device: torch.device) -> None:
    warnings.warn(
        f"Several processes may compute on {device}: each holds some hundred MB of it, and they "
        "take turns. Set n_jobs=1, train models of one shape together by fit_many, or set "
        "device='cpu'.",
        UserWarning,
        stacklevel=3,
    )


# -- What they hold --------------------------------------------------------------------------------


def memory_of(device: torch.device) -> int:
    """Return the memory of a GPU in bytes."""
    return torch.cuda.get_device_properties(device).total_memory


def blocks_larger_by(device: torch.device) -> int:
    """Return how many times larger than on a CPU blocks of samples are: on a GPU once for each GiB
    that it has, so that a block's largest matrix of 2^20 float32 takes 1/256 of it."""
    return 1 if device.type == "cpu" else max(1, memory_of(device) // _GIB)


@contextmanager
def telling_out_of_memory(owner: str, tell: Callable[[], tuple[str, str]]) -> Iterator[None]:
    """Say of a GPU that is out of memory what it was out of memory for, and what to do, which
    `tell` returns.

    Raises
    ------
    MemoryError
        In place of torch's error. The memory of all that was being computed is free by then.
    """
    try:
        yield
    except OutOfMemory as error:
        traceback.clear_frames(error.__traceback__)  # or they would hold what they computed
        (what, advice), said = tell(), str(error).partition(". ")[0]
        raise MemoryError(
            f"{owner}: the GPU is out of memory for {what}; {advice}. Torch says: {said}."
        ) from error


# -- How they multiply -----------------------------------------------------------------------------


class _Tf32Setting:
    """Torch's setting of the products of a process, which the first user turns on, and the last one
    back: of two threads the first to end may not be the first that began."""

    def __init__(self) -> None:
        self._lock, self._n_users = threading.Lock(), 0
        # Since torch 2.9, which refuses to tell by the old name what was set by the new one.
        is_new = hasattr(torch.backends.cuda.matmul, "fp32_precision")
        self._name = "fp32_precision" if is_new else "allow_tf32"
        self._on = "tf32" if is_new else True

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_users:
                self._before = getattr(torch.backends.cuda.matmul, self._name)
                setattr(torch.backends.cuda.matmul, self._name, self._on)
            self._n_users += 1

    def __exit__(self, *_: Any) -> None:
        with self._lock:
            self._n_users -= 1
            if not self._n_users:
                setattr(torch.backends.cuda.matmul, self._name, self._before)


_tf32_setting = _Tf32Setting()


def tf32_products() -> AbstractContextManager[None]:
    """Return a context in which GPUs since Ampere multiply float32 matrices with factors of eleven
    bits."""
    return _tf32_setting


# -- What they are asked for at once ---------------------------------------------------------------


_one_records = threading.Lock()  # torch lets one thread of a process record at a time


def recorded(run: Callable[[], Any], device: torch.device) -> tuple[Callable[[], None], Any]:
    """Record a CUDA graph of what a function launches on a GPU, which is not computed yet.

    Returns
    -------
    replay : callable
        Launches all of it. Inputs are read from, and results written to, the memory of the tensors
        that were there when it was recorded.
    outcome : object
        What the function returned, whose tensors `replay` fills.
    """
    with _one_records:
        _make_room(device)
        return _recorded(run, device)


def _recorded(run: Callable[[], Any], device: torch.device) -> tuple[Callable[[], None], Any]:
    graph, stream = torch.cuda.CUDAGraph(), _recording_stream(device)
    current = torch.cuda.current_stream(device)
    stream.wait_stream(current)
    with _no_garbage_collection(), torch.cuda.stream(stream):
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            outcome = run()
        except BaseException:
            with suppress(RuntimeError):  # which would hide the error
                graph.capture_end()
            raise
        graph.capture_end()
    current.wait_stream(stream)
    return graph.replay, outcome


def _make_room(device: torch.device) -> None:
    """Give back what torch keeps unused, if that is much: the memory of graphs that are gone serves
    nobody else, and while one is recorded none is given back for it."""
    of = torch.cuda
    if of.memory_reserved(device) - of.memory_allocated(device) > _MOST_UNUSED * memory_of(device):
        of.empty_cache()


def _recording_stream(device: torch.device) -> Any:
    """Return the one stream on which a thread records graphs, for which cuBLAS has its memory, in
    autograd's thread too: what it gets while a graph is recorded would never be free again."""
    what = f"graphs of thread {threading.get_ident()}"
    is_new = (what, device) not in _streams
    stream = _stream_of(what, device)
    if is_new:
        with torch.cuda.stream(stream), torch.enable_grad():
            weight = torch.ones(2, 2, device=device).requires_grad_()
            torch.addmm(weight[0], weight, weight).sum().backward()
    return stream


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Let nobody free the memory of other graphs while one is recorded."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# -- What goes to them -----------------------------------------------------------------------------


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device.

    From the host to a GPU it is copied while the GPU computes what it was asked before, and the
    host goes on at once: piece by piece, since what is pinned for that is never given back.
    """
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    stream = _stream_of("copies", device)
    with torch.cuda.stream(stream):
        there = torch.empty_like(tensor, device=device)
        for place, part in zip(_pieces(there), _pieces(tensor), strict=True):
            place.copy_(part.pin_memory(), non_blocking=True)
    current = torch.cuda.current_stream(device)
    current.wait_stream(stream)
    there.record_stream(current)
    return there


def _pieces(tensor: Tensor) -> Sequence[Tensor]:
    """Split a tensor of one dimension or more in rows that are pinned together."""
    row = max(1, math.prod(tensor.shape[1:]) * tensor.itemsize)
    return tensor.split(max(1, _MOST_PINNED // row))


_streams: dict[tuple[str, torch.device], Any] = {}


def _stream_of(what: str, device: torch.device) -> Any:
    """Return the stream on which something is done on a device."""
    if (what, device) not in _streams:
        _streams[what, device] = torch.cuda.Stream(device)
    return _streams[what, device]


_held: ContextVar[dict | None] = ContextVar("held", default=None)


@contextmanager
def holding_uploads() -> Iterator[None]:
    """Let `as_held` upload an array no more than once within this block."""
    token = _held.set({}) if _held.get() is None else None
    try:
        yield
    finally:
        if token is not None:
            _held.reset(token)


def as_held(values: np.ndarray, name: str, like: Any) -> Tensor:
    """Return an array as a tensor like another, or like rows; within `holding_uploads` it stays on
    a GPU."""
    held = _held.get()
    if held is None or like.device.type == "cpu":
        return as_tensor(values, name, like=like, check=False)
    key = id(values), like.device, like.dtype
    if key not in held:  # with the array, or another might come to have its id
        held[key] = values, as_tensor(values, name, like=like, check=False)
    return held[key][1]
