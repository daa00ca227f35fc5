"""Dunn's test against what it must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kruskal, norm

from skamort.inspection import dunn_test

scores = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


@given(one=scores, other=scores)
def test_of_two_groups_it_is_kruskal_and_walliss(one, other):
    """With two groups H is the square of z, ties included."""
    if len(set(one + other)) == 1:
        return
    table = dunn_test({"a": one, "b": other})
    assert table["z"]["a - b"] ** 2 == pytest.approx(kruskal(one, other).statistic, abs=1e-9)
    assert table["p"]["a - b"] == pytest.approx(kruskal(one, other).pvalue, abs=1e-9)


def test_pairs_are_signed_and_corrected():
    rng = np.random.default_rng(0)
    groups = {
        name: rng.normal(size=50) + shift for name, shift in zip("abc", (0, 0, 2), strict=True)
    }
    groups["a"][:3] = np.nan
    table = dunn_test(groups)
    assert list(table.index) == ["a - b", "a - c", "b - c"]
    assert table["z"]["a - c"] < -5
    assert abs(table["z"]["a - b"]) < 2
    expected = np.minimum(1, 3 * 2 * norm.sf(np.abs(table["z"])))
    assert np.allclose(table["p"], expected)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"a": [1.0, 2.0]}, "two groups"),
        ({"a": [1.0], "b": [np.nan]}, "each with a number"),
        ({"a": [1.0], "b": [1.0, 1.0]}, "all scores are equal"),
        ({"a": [1.0], "b": [np.inf]}, "each with a number"),
        ({k: [float(i)] for i, k in enumerate(["a", "a - b", "b", "b - b"])}, "rename one"),
    ],
)
def test_nothing_to_compare(groups, said):
    with pytest.raises(ValueError, match=said):
        dunn_test(groups)
