"""Tensors of the emulated CUDA device, and the rules of its operators: what lies below autograd."""

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import skamort

_PACKAGE = str(Path(skamort.__file__).parent)
# How often the CUDA implementation of an operator waits for the device.
_WAITS = {
    "_local_scalar_dense": 1,
    "nonzero": 1,
    "masked_select": 1,
    "bincount": 2,
    "_unique2": 1,
    "unique_dim": 1,
    "unique_consecutive": 1,
    "equal": 1,
    "repeat_interleave": 1,
    "is_nonzero": 1,
    "_linalg_eigh": 1,
    "_linalg_svd": 1,
    "_linalg_check_errors": 1,
}
# Operators that only look at memory in another way, or reserve it: no kernel.
_VIEWS = """
view _unsafe_view expand slice select t transpose permute unsqueeze squeeze squeeze_
detach alias as_strided split unbind diagonal _reshape_alias unfold split_with_sizes
unflatten empty new_empty empty_like empty_strided new_empty_strided lift_fresh
"""
NO_KERNEL = frozenset(_VIEWS.split())
# Products, of which CUDA has none of integers.
_PRODUCTS = frozenset(
    ["mm", "bmm", "addmm", "addmm_", "addbmm", "baddbmm", "mv", "addmv", "addmv_", "dot", "vdot"]
)
# Operators whose CUDA implementation takes tensors of the CPU beside those of the device.
_INDEXING = frozenset(["index", "index_put", "index_put_", "_index_put_impl_"])
_TAKE_BOTH = _INDEXING | {"copy_", "_to_copy", "set_"}


class Counts:
    """What a program asked of the device.

    Attributes
    ----------
    waits, uploads, operators : Counter
        How often, by (what, line of skamort).
    n_devices : int
        Number of devices that torch sees.
    most_pinned : int
        Bytes of the largest tensor that was pinned.
    built : set
        Kernels of Triton that have been launched, so that a graph may hold them.
    """

    def __init__(self, n_devices=1):
        self.n_devices, self.most_pinned, self.built = n_devices, 0, set()
        self.waits, self.uploads, self.operators = Counter(), Counter(), Counter()

    def clear(self):
        """Forget all that was counted."""
        for counter in (self.waits, self.uploads, self.operators):
            counter.clear()

    def totals(self):
        """Return the numbers of waits, uploads and operators."""
        return self.waits.total(), self.uploads.total(), self.operators.total()


STATE = SimpleNamespace(counts=Counts(0), loading_to=None, recording=None)


def place_of(what):
    """Return what was asked and the innermost line of skamort that asked."""
    frame = sys._getframe(1)
    while frame is not None and not frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    if frame is None:
        return what, "elsewhere"
    return what, f"{frame.f_code.co_filename.removeprefix(_PACKAGE)[1:]}:{frame.f_lineno}"


def _refuse_in_graph(what):
    if STATE.recording is not None:
        raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing ({what})")


def wait(what, times=1):
    _refuse_in_graph(what)
    STATE.counts.waits[place_of(what)] += times


def upload(what):
    _refuse_in_graph(what)
    STATE.counts.uploads[place_of(what)] += 1


class EmulatedTensor(torch.Tensor):
    """A tensor that says it is on a CUDA device, around one on the CPU that holds its numbers."""

    @staticmethod
    def __new__(cls, inner, device):
        outer = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device="meta",
        )
        outer.inner, outer.place = inner.detach(), device
        return outer

    device = property(lambda self: self.place)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    is_meta = property(lambda self: False)

    def get_device(self):
        return self.place.index

    def __repr__(self):
        return f"{self.inner!r} on {self.place}"

    def numpy(self, **_):
        raise TypeError(
            f"can't convert {self.place} device type tensor to numpy. Use Tensor.cpu() to copy the "
            "tensor to host memory first."
        )

    def record_stream(self, _):
        """Nothing is freed too early here."""

    def __array__(self, *_, **__):
        return self.numpy()

    def data_ptr(self):
        raise RuntimeError("the memory of a device is not the host's to read")

    def tolist(self):
        wait("tolist")
        return self.inner.tolist()

    def __reduce_ex__(self, _):
        is_parameter = isinstance(self, torch.nn.Parameter)
        return _rebuild, (self.inner, str(self.place), is_parameter, self.requires_grad)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def _rebuild(inner, place, is_parameter, requires_grad):
    """Load a tensor as `torch.load` does: to where it was, or to where it is asked to go."""
    goal = STATE.loading_to
    if callable(goal):  # it returns the storage, which is the host's, or None
        goal = goal(inner.untyped_storage(), place) and "cpu"
    tensor = moved(inner, device_of(goal or place))
    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_(requires_grad)


def device_of(device):
    """Return a device with its number, or raise if torch would not see it."""
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if device.type != "cuda":
        return device
    device = torch.device("cuda", device.index or 0)
    if device.index >= STATE.counts.n_devices:
        seen = STATE.counts.n_devices
        raise RuntimeError(f"there is no {device}, torch sees {seen} CUDA devices")
    return device


def moved(inner, device):
    """Return a tensor of the CPU as one of a device."""
    return EmulatedTensor(inner, device) if device.type == "cuda" else inner


def mapped(change, values):
    """Return lists, tuples and dicts with all that is in them changed; torch's own does it for more
    kinds, ten times slower."""
    if isinstance(values, list | tuple):
        return type(values)([mapped(change, value) for value in values])
    if isinstance(values, dict):
        return {key: mapped(change, value) for key, value in values.items()}
    return change(values)


def tensors_in(values):
    """Return all tensors in lists, tuples and dicts."""
    found = []
    mapped(lambda value: found.append(value) if isinstance(value, torch.Tensor) else None, values)
    return found


def unwrapped(values):
    return mapped(lambda v: v.inner if isinstance(v, EmulatedTensor) else v, values)


def wrapped(values, device):
    def wrap(value):
        is_plain = isinstance(value, torch.Tensor) and not isinstance(value, EmulatedTensor)
        return EmulatedTensor(value, device) if is_plain else value

    return mapped(wrap, values)


def is_emulated(value):
    return isinstance(value, EmulatedTensor)


# -- Below autograd: one operator ------------------------------------------------------------------


def compute(func, args, kwargs):
    """Run an operator on the tensors inside, by the rules of CUDA."""
    name = func.overloadpacket.__name__
    tensors = tensors_in((args, kwargs))
    device = next((t.place for t in tensors if is_emulated(t)), None) or torch.device("cuda", 0)
    _check_devices(name, tensors, device)
    if name in _PRODUCTS and not tensors[0].is_floating_point():
        raise NotImplementedError(f'"{name}_cuda" not implemented for {tensors[0].dtype}')
    if name in _INDEXING:
        _check_index(name, *args)
    check_generator(kwargs.get("generator"))
    _count(name, args)
    asked = kwargs.get("device")
    inner_kwargs = unwrapped(kwargs) | ({} if asked is None else {"device": torch.device("cpu")})
    out = call(func, unwrapped(args), inner_kwargs, func._schema)
    if name == "_local_scalar_dense":
        return out
    if asked is not None and asked.type == "cpu":
        wait("to cpu")
        return out
    written = _written(func, args, kwargs)
    return wrapped(out, device) if written is None else written


def _written(func, args, kwargs):
    """Return the arguments that an operator gives back after writing to them, or None."""
    schema = func._schema
    if not any(value.alias_info and value.alias_info.is_write for value in schema.returns):
        return None
    results = written_by(schema, args, kwargs)
    return results if len(schema.returns) > 1 else results[0]


def written_by(schema, args, kwargs):
    """Return the arguments that an operator writes to."""
    given = {argument.name: value for argument, value in zip(schema.arguments, args, strict=False)}
    given |= kwargs
    return tuple(
        given[argument.name]
        for argument in schema.arguments
        if argument.alias_info and argument.alias_info.is_write and argument.name in given
    )


def call(func, args, kwargs, schema=None):
    """Call a function of tensors of the CPU; note it where a graph is recorded."""
    graph = STATE.recording
    if graph is None:
        return func(*args, **kwargs)
    if schema is not None:
        graph.keep(tensors_in((written_by(schema, args, kwargs),)))
    outcome = func(*args, **kwargs)
    graph.note(func, args, kwargs, outcome)
    return outcome


def _check_devices(name, tensors, device):
    """Raise where tensors of two devices meet; numbers, of no dimension, may come from the CPU."""
    if not any(map(is_emulated, tensors)):
        return
    for tensor in tensors:
        is_stranger = not is_emulated(tensor) and tensor.dim() > 0 and name not in _TAKE_BOTH
        is_elsewhere = is_emulated(tensor) and tensor.place != device and name != "copy_"
        if is_stranger or is_elsewhere:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{device} and {tensor.device}! (in aten::{name}, shape {tuple(tensor.shape)})"
            )


def _check_index(name, tensor, indices, values=None, *_):
    indices = [index for index in indices if isinstance(index, torch.Tensor)]
    if not is_emulated(tensor):
        if any(map(is_emulated, indices)):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
            )
        return
    for index in indices:
        if not is_emulated(index):
            upload("index")
        if index.dtype in (torch.bool, torch.uint8):
            wait("index by a mask")
    if isinstance(values, torch.Tensor) and not is_emulated(values) and values.dim() > 0:
        raise RuntimeError(f"Expected all tensors to be on the same device (in aten::{name})")


def check_generator(generator):
    if generator is not None and generator.device.type != "cuda":
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")


def _count(name, args):
    goes_there, comes_back = _ways(args) if name == "copy_" else (False, False)
    if goes_there:
        upload(name)
    elif name not in NO_KERNEL and STATE.recording is None:
        STATE.counts.operators[place_of(name)] += 1
    if name in _WAITS:
        wait(name, _WAITS[name])
    if comes_back:
        wait("copy_ to the cpu")


def _ways(args):
    """Whether a copy goes to the device, and whether one comes from there."""
    goal, source = map(is_emulated, args[:2])
    return goal and not source, source and not goal


class Scalars(TorchDispatchMode):
    """Numbers that C++ makes beside a tensor of the device: in composite operators, in
    derivatives."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if any(map(is_emulated, tensors_in((args, kwargs)))):
            return compute(func, args, kwargs)
        device = kwargs.get("device")
        if device is None or torch.device(device).type != "meta":
            return func(*args, **kwargs)
        kwargs["device"] = torch.device("cpu")
        return wrapped(func(*args, **kwargs), torch.device("cuda", 0))
