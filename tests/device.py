"""An emulated CUDA device: on any build of torch, tensors that say they lie on a GPU.

Their numbers are the CPU's. They refuse what CUDA refuses: operands of two devices, a generator of
another device, `numpy()`. And they count, by the line of skamort that asked, what costs time on a
GPU: waits, where the host needs what the device has not yet computed; uploads; and operators, about
as many as the kernels that are launched.

    with emulated_cuda() as counts:
        SAEEncoder(device="cuda").fit(X)
    print(counts.waits)

How it works: below autograd, C++ takes an `EmulatedTensor` for a tensor of the device "meta", which
every build of torch has, while Python sees "cuda:0". `_Frontend` stands where Python calls torch
and puts into other words what C++ would take for a request to the meta device or to a GPU.
`EmulatedTensor.__torch_dispatch__` stands below autograd, checks, counts and computes.

Not emulated: memory, streams, TF32, the order of atomic additions, the kernels' own rounding. What
waits is known from a table (`_WAITS`), which a real GPU can check. Kernels of Triton are
interpreted; which of them a GPU would have built by then is known, for a graph holds no others.
"""

import operator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import lru_cache
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from device_graph import EmulatedGraph, build, recording
from device_tensor import (
    NO_KERNEL,
    STATE,
    Counts,
    EmulatedTensor,
    Scalars,
    call,
    check_generator,
    device_of,
    is_emulated,
    mapped,
    moved,
    place_of,
    tensors_in,
    unwrapped,
    upload,
    wait,
    wrapped,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from skamort import _triton
from skamort.modules import _constants

# What `torch.autocast` computes in half precision, of all that skamort calls.
_AUTOCAST = {
    torch.mm,
    torch.matmul,
    torch.bmm,
    torch.addmm,
    torch.baddbmm,
    torch.nn.functional.linear,
    torch.Tensor.mm,
    torch.Tensor.matmul,
    torch.Tensor.__matmul__,
    torch.Tensor.__rmatmul__,
    torch.Tensor.addmm,
    torch.Tensor.bmm,
}


class _Frontend(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in _HANDLERS:
            return _HANDLERS[func](func, args, kwargs)
        if func in _AUTOCAST and torch.is_autocast_enabled("cuda"):
            args, kwargs = _autocast(args, kwargs)
        goal = kwargs.get("device")
        kind = None if goal is None else device_of(goal).type
        if kind == "cuda":
            return _made_on(device_of(goal), func, args, kwargs)
        if kind == "meta":  # asked for by name, as layers whose numbers come later: no GPU's
            with _disable_current_modes():
                return func(*args, **kwargs)
        return func(*args, **kwargs)


def _made_on(device, func, args, kwargs):
    """Make a new tensor on the device."""
    check_generator(kwargs.get("generator"))
    if STATE.recording is None and func.__name__ not in NO_KERNEL:
        STATE.counts.operators[place_of(func.__name__)] += 1
    kwargs = {**kwargs, "device": "cpu"}
    with torch._C.DisableTorchFunction():
        return wrapped(call(func, unwrapped(args), unwrapped(kwargs)), device)


def _autocast(args, kwargs):
    half = torch.get_autocast_dtype("cuda")

    def cast(value):
        is_single = isinstance(value, torch.Tensor) and value.dtype == torch.float32
        return value.to(half) if is_single else value

    return mapped(cast, (args, kwargs))


def _to(func, args, kwargs):
    """Take a tensor to another device or dtype."""
    tensor, *asked = args
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    for value in asked:
        if isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, torch.Tensor):
            device, dtype = value.device, value.dtype
        elif isinstance(value, str | torch.device) or type(value) is int:
            device = value
    goal = tensor.device if device is None else device_of(device)
    if kwargs.get("copy") or (dtype is not None and dtype != tensor.dtype):
        tensor = torch.ops.aten._to_copy(tensor, dtype=dtype or tensor.dtype)
    return tensor if goal == tensor.device else _copied(tensor, goal)


def _copied(tensor, goal):
    if torch.is_grad_enabled() and tensor.requires_grad and not tensor.is_leaf:
        raise NotImplementedError("the emulated device has no gradient of a copy between devices")
    if is_emulated(tensor):
        wait("to another device")
        return moved(tensor.inner.clone(), goal)
    upload("to")
    return moved(tensor.detach().clone(), goal).requires_grad_(tensor.requires_grad)


def _to_dtype(dtype):
    return lambda func, args, kwargs: _to(func, (args[0], dtype), kwargs)


def _to_place(place):
    return lambda func, args, kwargs: _to(func, (args[0], place), {})


def _as_tensor(func, args, kwargs):
    """`torch.as_tensor` and its like."""
    source, goal = args[0], kwargs.pop("device", None)
    if is_emulated(source):
        made = func(source.inner, *args[1:], **kwargs)
        place = source.place if goal is None else device_of(goal)
        return source if made is source.inner and place == source.place else _copied_to(made, place)
    if goal is None or device_of(goal).type != "cuda":
        return func(*args, **kwargs) if goal is None else func(*args, device=goal, **kwargs)
    upload(func.__name__)
    return moved(func(*args, **kwargs), device_of(goal))


def _copied_to(made, place):
    if place.type == "cpu":
        wait("as_tensor to the cpu")
    return moved(made, place)


def _new_tensor(func, args, kwargs):
    if not is_emulated(args[0]):
        return func(*args, **kwargs)
    upload("new_tensor")
    return moved(func(args[0].inner, *args[1:], **kwargs), args[0].place)


def _pin(func, args, kwargs):
    STATE.counts.most_pinned = max(STATE.counts.most_pinned, args[0].nbytes)
    return args[0]


def _of_emulated(method):
    """Return the handler of a method that C++ would answer for a device tensor."""
    name = method.__name__

    def handler(func, args, kwargs):
        if is_emulated(args[0]):
            return getattr(EmulatedTensor, name)(*args, **kwargs)
        return func(*args, **kwargs)

    return handler


def _masks(tensor, index):
    """Note what an index costs; return the masks in it."""
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if is_emulated(part) and not is_emulated(tensor):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
            )
        is_from_host = isinstance(part, list) or (
            isinstance(part, torch.Tensor) and part.dim() > 0 and not is_emulated(part)
        )
        if is_from_host and is_emulated(tensor):
            upload("index")
    return [p for p in parts if isinstance(p, torch.Tensor) and p.dtype == torch.bool]


def _getitem(func, args, kwargs):
    tensor, index = args
    if not any(map(is_emulated, tensors_in(args))):
        return func(tensor, index)
    masks = _masks(tensor, index)
    if tensor.requires_grad and torch.is_grad_enabled():
        return func(tensor, index)
    if masks:
        wait("index by a mask")
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, torch.Tensor | list) for part in parts):
        STATE.counts.operators[place_of("index")] += STATE.recording is None
    return EmulatedTensor(
        call(operator.getitem, (tensor.inner, unwrapped(index)), {}), tensor.place
    )


def _setitem(func, args, kwargs):
    tensor, index, value = args
    if not is_emulated(tensor):
        return func(tensor, index, value)
    masks = _masks(tensor, index)
    is_tensor = isinstance(value, torch.Tensor)
    if is_tensor and not is_emulated(value) and value.dim() > 0:
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, torch.Tensor) for part in parts):
            raise RuntimeError("Expected all tensors to be on the same device (in index_put_)")
        upload("setitem")
    if masks and (is_tensor or len(masks) > 1):  # a number is written by `masked_fill_`
        wait("write by a mask")
    STATE.counts.operators[place_of("index_put_")] += STATE.recording is None
    if STATE.recording is not None:
        STATE.recording.keep([tensor.inner])
    with torch.no_grad():
        call(operator.setitem, (tensor.inner, unwrapped(index), unwrapped(value)), {})


def _where(func, args, kwargs):
    if len(args) != 3 or not any(map(is_emulated, args)):
        return func(*args, **kwargs)
    condition, *values = args if func is torch.where else (args[1], args[0], args[2])
    like = next((value for value in values if isinstance(value, torch.Tensor)), None)
    place = condition.place if is_emulated(condition) else values[0].place

    def as_tensor(value):
        if isinstance(value, torch.Tensor):
            return value
        number = torch.tensor(value)
        if like is not None and (like.is_floating_point() or not number.is_floating_point()):
            number = number.to(like.dtype)
        return EmulatedTensor(number, place)

    return torch.ops.aten.where.self(condition, *map(as_tensor, values))


def _embedding_bag(func, args, kwargs):
    """C++ makes the offsets of bags of equal size on the meta device."""
    indices, weight, *rest = args
    if not is_emulated(indices) or indices.dim() == 1:
        return func(*args, **kwargs)
    offsets = torch.arange(0, indices.numel(), indices.shape[1])
    scales = kwargs.get("per_sample_weights")
    kwargs["per_sample_weights"] = None if scales is None else scales.reshape(-1)
    kwargs["offsets"] = EmulatedTensor(offsets, indices.place)
    return func(indices.reshape(-1), weight, *rest, **kwargs)


_HANDLERS = {
    torch.Tensor.to: _to,
    torch.Tensor.cpu: _to_place("cpu"),
    torch.Tensor.cuda: _to_place("cuda"),
    torch.Tensor.float: _to_dtype(torch.float32),
    torch.Tensor.double: _to_dtype(torch.float64),
    torch.Tensor.new_tensor: _new_tensor,
    torch.Tensor.__getitem__: _getitem,
    torch.Tensor.__setitem__: _setitem,
    torch.Tensor.numpy: _of_emulated(torch.Tensor.numpy),
    torch.Tensor.__array__: _of_emulated(torch.Tensor.__array__),
    torch.Tensor.tolist: _of_emulated(torch.Tensor.tolist),
    torch.Tensor.pin_memory: _pin,
    torch.Tensor.data_ptr: _of_emulated(torch.Tensor.data_ptr),
    torch.where: _where,
    torch.Tensor.where: _where,
    torch.as_tensor: _as_tensor,
    torch.tensor: _as_tensor,
    torch.asarray: _as_tensor,
    torch.nn.functional.embedding_bag: _embedding_bag,
}


# -- The device ------------------------------------------------------------------------------------


def _load(*args, _real=torch.load, map_location=None, **kwargs):
    STATE.loading_to = map_location
    try:
        return _real(*args, map_location=map_location, **kwargs)
    finally:
        STATE.loading_to = None


def _parse_to(*args, _real=torch._C._nn._parse_to, **kwargs):
    """Say where `Module.to(tensor)` goes, which asks C++ for the device."""
    like = args[0] if args else kwargs.get("tensor")
    return (like.place, like.dtype, False, None) if is_emulated(like) else _real(*args, **kwargs)


def _launch(kernel, grid, *arguments, _real=_triton.launch, **settings):
    """Run a kernel of Triton, interpreted, on what is inside of tensors."""
    inside = (kernel, grid, *unwrapped(arguments))
    build(kernel, inside[2:], settings)
    if STATE.recording is None:
        STATE.counts.operators[place_of(kernel.__name__)] += 1
    else:
        STATE.recording.keep(tensors_in(inside))  # any may be written to
    # A graph is recorded of memory that holds anything.
    anything = nullcontext() if STATE.recording is None else np.errstate(all="ignore")
    with torch._C.DisableTorchFunction(), anything:
        call(_real, inside, settings)


def _exchanges():
    """Let processes exchange what is inside of tensors, and refuse others, as NCCL does."""
    of = torch.distributed
    names = ("all_reduce", "broadcast") if of.is_available() else ()

    def exchanging(real):
        def exchange(tensor, *args, **kwargs):
            if not is_emulated(tensor):
                raise RuntimeError("No backend type associated with device type cpu")
            if not tensor.inner.is_contiguous():
                raise ValueError("Tensors must be contiguous")
            return real(tensor.inner, *args, **kwargs)

        return exchange

    return {f"torch.distributed.{name}": exchanging(getattr(of, name)) for name in names}


@contextmanager
def emulated_cuda(n_devices=1, memory=64 << 30, capability=0):
    """Let torch see CUDA devices that are not there.

    Parameters
    ----------
    n_devices : int, default=1
        How many. 0: none, as where a pickle from a GPU reaches a machine without.
    memory : int, default=64 GiB
        Bytes that each says it has; it takes more.
    capability : int, default=0
        Their compute capability; 8 or more: Triton's kernels run, interpreted, an operator each.

    Yields
    ------
    counts : Counts
        What is asked of them.
    """
    outer, STATE.counts = STATE.counts, Counts(n_devices)
    with ExitStack() as stack:
        for target, replacement in {
            "torch.cuda.is_available": lambda: n_devices > 0,
            "torch.cuda.device_count": lambda: n_devices,
            "torch.cuda.current_device": lambda: 0,
            "torch.cuda.is_current_stream_capturing": lambda: STATE.recording is not None,
            "torch.cuda.CUDAGraph": EmulatedGraph,
            "torch.cuda.graph": recording,
            "torch.cuda.get_device_properties": lambda _: SimpleNamespace(
                total_memory=memory, major=capability
            ),
            "skamort._triton.launch": _launch,
            "torch.cuda.Stream": lambda _: mock.MagicMock(),
            "skamort._device._streams": {},
            "skamort.modules._constants._kept": lru_cache(_constants._kept.__wrapped__),
            "torch.cuda.current_stream": mock.MagicMock(),
            "torch.cuda.stream": lambda _: nullcontext(),
            "torch.cuda.is_bf16_supported": lambda *_, **__: True,
            "torch.amp.autocast_mode.amp_definitely_not_available": lambda: False,
            "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,
            "torch.load": _load,
            **_exchanges(),
            "torch._C._nn._parse_to": _parse_to,
        }.items():
            stack.enter_context(mock.patch(target, replacement, create=True))
        stack.enter_context(_Frontend())
        stack.enter_context(Scalars())
        try:
            yield STATE.counts
        finally:
            STATE.counts = outer
