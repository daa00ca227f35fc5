"""What the compiled kernels share."""

import numpy as np
import pytest
from engines import callable_part, needs_numba


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("positive", [False, True])
def test_argmax_is_the_first_largest(dtype, positive):
    from skamort.solvers import _numba_tools

    argmax = callable_part(_numba_tools.argmax)
    rng = np.random.default_rng(0)
    for size in (1, 5, 255, 256, 257, 1000):
        values = rng.integers(-9, 10, size).astype(dtype)
        score = values if positive else np.abs(values)
        assert argmax(values, positive) == (score.argmax() if score.max() > 0 else -1)
    assert argmax(np.zeros(300, dtype), positive) == -1
    assert argmax(-np.ones(300, dtype), True) == -1
