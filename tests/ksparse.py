"""K-sparse problems, the solvers of them, and the pursuits without a Gram matrix."""

import numpy as np
import pytest
from hypothesis import strategies as st

from skamort.solvers import OMP, ORMP, sparse_encode

NAMES = ["omp", "ormp", "mp", "gradient_pursuit", "iht", "topk_refined", "exchange", "gomp"]
SOLVER_CHOICES = [(name, "auto") for name in NAMES]
SOLVER_CHOICES += [(name, "torch") for name in ("omp", "ormp", "exchange", "topk_refined", "gomp")]
each_solver = pytest.mark.parametrize("solver", SOLVER_CHOICES, ids="-".join)
any_solver = st.sampled_from(SOLVER_CHOICES)


@st.composite
def problems(draw):
    """X, a dictionary of unit atoms, k and the sign constraint."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n_features, n_components = draw(st.integers(1, 10)), draw(st.integers(1, 20))
    dictionary = rng.standard_normal((n_components, n_features))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    X = rng.standard_normal((draw(st.integers(1, 4)), n_features))
    return X, dictionary, draw(st.integers(1, n_components)), draw(st.booleans())


class OMPWithoutGram(OMP):
    def _gram_pays(self, n_samples, dictionary):
        return False


class ORMPWithoutGram(ORMP):
    def _gram_pays(self, n_samples, dictionary):
        return False


def encode(X, dictionary, k, positive, solver, **options):
    """Return codes of at most k non-zeros by a solver and an engine, and what is known of them."""
    algorithm, engine = solver
    return sparse_encode(
        X,
        dictionary,
        algorithm=algorithm,
        n_nonzero_coefs=k,
        positive=positive,
        engine=engine,
        return_info=True,
        **options,
    )
