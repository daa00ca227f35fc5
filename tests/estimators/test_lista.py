import numpy as np
import pytest

from skamort import LISTAEncoder
from skamort.datasets import make_published_signal
from skamort.metrics import amortization_gap, latent_mcc

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def signal():
    return make_published_signal(20240625)


@pytest.mark.parametrize(("n_layers", "least"), [(1, 0.79), (3, 0.94), (10, 0.96)])
def test_recovers_codes_of_a_known_dictionary(signal, n_layers, least):
    X, dictionary, codes = signal
    lista = LISTAEncoder(
        n_layers=n_layers, dictionary=dictionary, alpha=0.03, learning_rate=3e-3, random_state=0
    ).fit(X[:1024])
    assert latent_mcc(codes[1024:], lista.transform(X[1024:]), matched=True) > least


def test_training_and_layers_narrow_the_amortization_gap(signal):
    X, dictionary, _ = signal
    gaps = []
    for n_layers, max_iter, learning_rate in [(1, 1, 1e-9), (3, 1, 1e-9), (3, 60, 3e-3)]:
        lista = LISTAEncoder(
            n_layers=n_layers,
            dictionary=dictionary,
            alpha=0.03,
            learning_rate=learning_rate,
            max_iter=max_iter,
            random_state=0,
        ).fit(X)
        gaps.append(amortization_gap(lista, X).gap)
    assert gaps[0] > gaps[1] > 4 * gaps[2]


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_codes_known_and_nothing_known(signal, fit_intercept):
    X, _, codes = signal
    X = X[:512] + 3 * fit_intercept
    lista = LISTAEncoder(16, max_iter=120, fit_intercept=fit_intercept, random_state=0)
    assert latent_mcc(codes[:512], lista.fit(X, codes=codes[:512]).transform(X)) > 0.85
    assert lista.fit(X).score(X) > 0.3
    np.testing.assert_allclose(np.linalg.norm(lista.components_, axis=1), 1, rtol=1e-5)
