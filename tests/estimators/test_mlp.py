from itertools import pairwise

import numpy as np
import pytest

from skamort import MLPEncoder, SAEEncoder
from skamort.datasets import make_published_signal
from skamort.metrics import sparse_coding_objective

X = np.random.RandomState(0).randn(40, 5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("sizes", [(7, 3), [4], np.array([6]), 5])
def test_hidden_layers_are_as_asked(sizes):
    encoder = MLPEncoder(n_components=8, hidden_layer_sizes=sizes, max_iter=1).fit(X)
    weights = [p.shape for p in encoder.net_.module_.encoder.parameters() if p.ndim == 2]
    widths = [5, *np.atleast_1d(sizes), 8]
    assert weights == [(n_out, n_in) for n_in, n_out in pairwise(widths)]


@pytest.mark.parametrize("sizes", [(0,), (3, -1), (2.5,), ("a",)])
def test_bad_layers_are_refused(sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes must be integers >= 1, got"):
        MLPEncoder(hidden_layer_sizes=sizes).fit(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_hidden_layer_narrows_the_amortization_gap():
    """With the dictionary known, an MLP finds better codes than a linear-nonlinear encoder can."""
    data, dictionary, _ = make_published_signal(20240625, n_samples=1024)
    common = {"dictionary": dictionary, "alpha": 0.03, "max_iter": 400, "random_state": 0}
    objectives = [
        sparse_coding_objective(data, encoder.fit_transform(data), dictionary, 0.03)
        for encoder in (SAEEncoder(**common), MLPEncoder(hidden_layer_sizes=(128,), **common))
    ]
    assert objectives[1] < 0.9 * objectives[0]
