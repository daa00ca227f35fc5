"""Graphs of the emulated CUDA device: what is recorded is not computed, and replayed in place.

As on a GPU, a replay reads and writes the memory that the tensors had when it was recorded, and
takes numbers of Python as they were then; to wait or to upload while recording is refused.
"""

from contextlib import contextmanager

import torch
from device_tensor import STATE, place_of, tensors_in


class EmulatedGraph:
    """Stands in for `torch.cuda.CUDAGraph`.

    Attributes
    ----------
    calls : list of tuple
        Of each operator that was recorded: what to call, its arguments and what it returned, with
        the tensors of the CPU that hold the numbers.
    """

    def __init__(self):
        self.calls = []
        self.before = {}

    def capture_begin(self, **_):
        STATE.recording = self

    def capture_end(self):
        STATE.recording = None
        for storage, content in self.before.values():
            storage.copy_(content)
        self.before.clear()

    def keep(self, tensors):
        """Keep what is in the memory of tensors that are about to be written to."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.before:
                self.before[storage.data_ptr()] = storage, storage.clone()

    def note(self, func, args, kwargs, outcome):
        self.calls.append((func, args, kwargs, outcome))

    def replay(self):
        STATE.counts.operators[place_of("replay")] += 1
        with torch.no_grad(), torch._C.DisableTorchFunction():
            for func, args, kwargs, outcome in self.calls:
                _put(func(*args, **kwargs), outcome)


def build(kernel, arguments, settings):
    """Note that Triton has built a kernel for such arguments; a GPU refuses to load one while a
    graph is recorded."""
    variant = kernel.__name__, _kind_of(arguments), tuple(settings.items())
    if STATE.recording is not None and variant not in STATE.counts.built:
        raise RuntimeError(f"Triton Error [CUDA]: a graph is recorded, and {variant} is not built")
    STATE.counts.built.add(variant)


def _kind_of(value):
    """Return what of an argument Triton builds a kernel for."""
    if isinstance(value, tuple):
        return tuple(map(_kind_of, value))
    if isinstance(value, torch.Tensor):
        return value.dtype, value.storage_offset() * value.itemsize % 16 == 0
    if type(value) is int:
        return "1" if value == 1 else (value % 16 == 0, value.bit_length() > 31)
    return type(value)


@contextmanager
def recording(graph):
    """Stand in for `torch.cuda.graph`."""
    graph.capture_begin()
    yield
    graph.capture_end()


def _put(values, places):
    """Write what an operator returns to where it was written when it was recorded."""
    for value, place in zip(tensors_in((values,)), tensors_in((places,)), strict=True):
        assert value.shape == place.shape, "the shape of a recorded operator depends on numbers"
        if value.data_ptr() != place.data_ptr():
            place.copy_(value)
