"""Compile every Triton kernel for a card that need not be there; print the name of each that was.

Interpreted kernels are told nothing of types: one that reads well may not compile. To be run as a
script with a compute capability, 90 for Hopper, in a process that does not interpret kernels.
"""

import sys
from functools import partial
from types import SimpleNamespace

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import JITFunction, driver

from skamort.modules import _codes_triton, _dense_triton, _topk_triton
from skamort.solvers import _fista_triton, _working_set_triton
from skamort.training import _adam_triton, _firing_triton

N_SAMPLES, N_FEATURES, N_COMPONENTS = 4, 24, 48


def numbers(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype)


def places(*shape):
    return numbers(*shape, dtype=torch.int64)


def compile_only(kernel, grid, *arguments, **settings):
    compiled = kernel.run(*arguments, grid=grid, warmup=True, **settings)
    assert compiled.asm["cubin"]
    print(kernel.fn.__module__.rpartition(".")[2], kernel.fn.__name__)


def products_of_codes(dtype):
    """With a matrix in the products' precision, codes in that of weights."""
    n_terms, given = 2 * N_SAMPLES, numbers(N_SAMPLES, N_FEATURES, dtype=dtype)
    matrix = numbers(N_COMPONENTS, N_FEATURES, dtype=dtype)
    weights = numbers(n_terms, dtype=torch.promote_types(dtype, torch.float32))
    rows, offsets, bias = places(n_terms), places(N_SAMPLES + 1), weights.new_zeros(N_COMPONENTS)
    _codes_triton.sum_rows(weights, rows, offsets, matrix, given.to(weights.dtype), 0.5)
    _codes_triton.multiply_rows(given, matrix, rows, offsets, bias, weights)
    _codes_triton.sum_by_latent(weights, rows, rows, rows, places(N_COMPONENTS + 1), given)


def adam(rate):
    shapes = (N_COMPONENTS, N_FEATURES), (N_COMPONENTS,)
    parts = [(*(numbers(*s) for _ in range(4)), numbers(), rate, 1e-8) for s in shapes]
    _adam_triton.step(parts, parts[0][0], (0.9, 0.999))


def fista(dtype):
    codes, image = ([numbers(N_SAMPLES, n, dtype=dtype) for _ in range(3)] for n in (48, 24))
    of_rows = [numbers(N_SAMPLES, dtype=dtype) for _ in range(2)]
    _fista_triton.propose(*codes, *of_rows, False)
    sums = numbers(N_SAMPLES, 3, dtype=dtype)
    _fista_triton.advance(*codes, *image, *of_rows, sums, 1e-6, 0.5, False)


def small_problems(width, dtype):
    gram = numbers(N_SAMPLES, width, width, dtype=dtype)
    of_rows = [numbers(N_SAMPLES, dtype=dtype) for _ in range(4)]
    _working_set_triton.minimize(gram, *gram.unbind(1)[:2], *of_rows, True, 100, 10, 1e-6, 0.5)


def everything():
    for dtype in torch.float32, torch.float64:
        _dense_triton.mask(*(numbers(N_SAMPLES, N_COMPONENTS, dtype=dtype) for _ in range(2)))
        fista(dtype)
    small_problems(16, torch.float64)  # held in registers
    small_problems(256, torch.float32)  # not held
    for dtype in torch.float32, torch.bfloat16, torch.float64:
        products_of_codes(dtype)
    for dtype in torch.float32, torch.bfloat16:
        _topk_triton.select_rows(numbers(N_SAMPLES, N_COMPONENTS, dtype=dtype), 3)
    for rate in 1e-3, numbers():
        adam(rate)
    counts = places(N_COMPONENTS)
    for fired in counts, counts > 0:
        _firing_triton.count_firing(counts, counts, fired, N_SAMPLES)


if __name__ == "__main__":
    JITFunction.__getitem__ = lambda kernel, grid: partial(compile_only, kernel, grid)
    driver.set_active(
        SimpleNamespace(
            get_current_target=lambda: GPUTarget("cuda", int(sys.argv[1]), 32),
            get_current_device=lambda: 0,
            get_current_stream=lambda device: 0,
        )
    )
    everything()
