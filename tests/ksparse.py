"""K-sparse problems, and the pursuits without a Gram matrix."""

import numpy as np
from hypothesis import strategies as st

from skamort.solvers import OMP, ORMP


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
