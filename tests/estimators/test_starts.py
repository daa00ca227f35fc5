"""Random starts that the data do not see are turned round."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from skamort import SAEEncoder, TopKSAE
from skamort.estimators._dictionary import initial_dictionary

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"learning_rate": 0.01, "tol": 0.01, "max_iter": 300}
ONE_ATOM = [TopKSAE(1, k=1, **QUICK), SAEEncoder(1, alpha=1e-3, **QUICK)]


@pytest.mark.parametrize("estimator", ONE_ATOM, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("row", [[1.0, 1.0, 1.0], [-20.0, 1.0, 3.0]])
def test_one_atom_learns_constant_rows_from_every_seed(estimator, row):
    X = np.tile(row, (40, 1))
    for seed in range(6):
        sae = estimator.set_params(random_state=seed).fit(X)
        error = np.square(X - sae.inverse_transform(sae.transform(X))).sum()
        assert error < 0.1 * np.square(X).sum()


def test_a_start_that_one_row_sees_stays():
    X = torch.tensor([[1.0, 0.0], [1.0, 0.1]])

    def start(X, n_components=1):
        sae = SAEEncoder(n_components, dict_init=None)
        sae.n_features_in_ = 2
        return initial_dictionary(sae, X, torch.Generator().manual_seed(0)).numpy()

    atom = torch.tensor(start(X)[0])
    away = torch.stack([-atom, -2 * atom])
    assert_array_equal(start(away), -start(X))
    seen = torch.stack([-atom, atom])
    assert_array_equal(start(seen), start(X))
    assert_array_equal(start(away, 8), start(X, 8))  # others see these rows
