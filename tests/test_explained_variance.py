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
