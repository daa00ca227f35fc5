"""Gradients of the published training from a C compiler, several times as fast as from torch.

The same sums in another order, so that gradients differ by rounding. Samples have to be a multiple
of 64, latents and hidden units of 16, features of 8.
"""

import ctypes
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path

import torch

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-funroll-loops", "-fPIC")
FLOATS = ctypes.POINTER(ctypes.c_float)


@cache
def library():
    """Compile the source, and load it.

    Linked apart and without -ffast-math, which would have the library round subnormal numbers of
    the whole process to zero as soon as it is loaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        compiled, linked = f"{folder}/compiled.o", f"{folder}/compiled.so"
        subprocess.run(["cc", *FLAGS, "-c", "-o", compiled, SOURCE], check=True)
        subprocess.run(["cc", "-shared", "-o", linked, compiled, "-lm"], check=True)
        return ctypes.CDLL(linked)


def pointer(tensor):
    """Return a pointer that keeps what it points to alive; None stays NULL."""
    if tensor is None:
        return FLOATS()
    if tensor.device.type != "cpu" or tensor.dtype != torch.float32 or not tensor.is_contiguous():
        raise ValueError("compiled gradients need dense arrays of float32 on the CPU")
    return tensor.detach().numpy().ctypes.data_as(FLOATS)


def table(tensors):
    """Return an array of pointers that keeps what they point to alive."""
    found = (FLOATS * len(tensors))(*map(pointer, tensors))
    found.kept = tensors
    return found


def of_data(X, n_runs, n_latents, lam):
    """Return sizes, and pointers to data and penalties, as the functions in C take them."""
    *shared, n_samples, n_features = X.shape
    if n_samples % 64 or n_features % 8 or n_latents % 16:
        raise ValueError(
            "compiled gradients need samples that are a multiple of 64, features of 8 and latents "
            f"of 16, got {n_samples}, {n_features} and {n_latents}"
        )
    sizes = map(ctypes.c_int, (n_runs, n_samples, n_features, n_latents))
    to_next = ctypes.c_long(X[0].numel() if shared else 0)
    lam = torch.as_tensor(lam, dtype=torch.float32).expand(n_runs).contiguous()
    return [*sizes], [pointer(X.contiguous()), to_next], pointer(lam)


def of_autoencoders(runs, X, codes, lam):
    """Return a function that sets the gradients of runs with one hidden layer or none."""
    for parameter in runs.parameters:
        parameter.grad = torch.zeros_like(parameter)
    weights = [w for layer in runs.layers for w in (layer if runs.bias else (layer[0], None))]
    weights += [None] * (4 - len(weights))
    slopes = [w if w is None else w.grad for w in weights]
    slopes.append(None if codes is not None else runs.dictionary.grad)
    weights.append(runs.dictionary.detach().expand(runs.n_runs, -1, -1).contiguous())
    sizes, data, lam = of_data(X, runs.n_runs, runs.dictionary.shape[-2], lam)
    hidden = ctypes.c_int(runs.layers[0][0].shape[2] if len(runs.layers) == 2 else 0)
    tables = table(weights), table(slopes)
    return partial(library().autoencoders, *sizes, hidden, *data, pointer(codes), lam, *tables)


def of_sparse_coding(X, logs, dictionary, offset, lam, learn):
    """Return a function that sets the gradients of log-codes and, where they learn, of the rest."""
    for parameter in (logs, dictionary, offset):
        parameter.grad = torch.zeros_like(parameter) if learn or parameter is logs else None
    sizes, data, lam = of_data(X, *logs.shape[::2], lam)
    pointers = map(pointer, (logs, dictionary, offset, logs.grad, dictionary.grad, offset.grad))
    return partial(library().sparse_coding, *sizes, *data, lam, *pointers)
