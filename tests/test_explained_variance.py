"""The share of the variance that is explained has no unit."""

import numpy as np
import pytest

from skamort._explained_variance import ExplainedVariance
from skamort.metrics import fraction_variance_unexplained

RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 4)) + 2
X_HAT = X + 0.3 * RNG.standard_normal((30, 4))


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-560, 2.0**300, 2.0**700, 2.0**1000])
def test_data_of_any_size_have_the_share_of_those_of_size_one(unit):
    expected = fraction_variance_unexplained(X, X_HAT)
    assert fraction_variance_unexplained(unit * X, unit * X_HAT) == pytest.approx(expected)


def test_a_first_block_of_zeros_has_no_unit():
    variance, plain = ExplainedVariance(), ExplainedVariance()
    for values, reconstructed in ((0 * X, 0 * X), (X, X_HAT)):
        variance.add(2.0**700 * values, 2.0**700 * reconstructed)
        plain.add(values, reconstructed)
    assert variance.fraction() == pytest.approx(plain.fraction())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [2.0**-100, 1.0, 2.0**100])
def test_rounding_is_no_variance_and_no_error(dtype, unit):
    """As r2_score has it: rows that are all alike are explained or they are not."""
    row = np.array([0.1, -3.0, 1e-3, 0.7])
    equal = (unit * np.tile(row, (50, 1))).astype(dtype)
    off = equal * (1 + 8 * np.finfo(dtype).eps * RNG.choice([-1, 1], equal.shape).astype(dtype))
    weights = RNG.random(50)
    for given in ({}, {"sample_weight": weights}):
        assert fraction_variance_unexplained(equal, off, **given) == 0
        assert fraction_variance_unexplained(equal, equal * dtype(1.001), **given) == 1
    varied = equal + dtype(unit) * (RNG.random(equal.shape) < 0.5) * 100 * np.finfo(float).eps
    if dtype is np.float64:
        assert fraction_variance_unexplained(varied, varied) == 0
        assert fraction_variance_unexplained(varied, equal) > 0.5
