"""EndToEndLoss: what the rest of a model makes of reconstructions."""

import numpy as np
import pytest
import torch
from small_models import gradients, make_problem
from torch.nn.functional import kl_div

from skamort import SAEEncoder, TopKSAE
from skamort.training import EndToEndLoss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
GENERATOR = torch.Generator().manual_seed(3)
WEIGHT = torch.randn(5, 4, generator=GENERATOR).double()


def rest(x):
    return (x @ WEIGHT.to(x)).log_softmax(1)


def test_value_and_gradients_are_those_of_the_divergence():
    module, X = make_problem()
    other, _ = make_problem()
    outcome = EndToEndLoss(rest, 0.3).backward(module, X)
    X_hat, codes = other(X)
    expected = kl_div(rest(X_hat), rest(X), log_target=True, reduction="batchmean")
    expected = expected + 0.3 * codes.sum() / len(X)
    expected.backward()
    torch.testing.assert_close(outcome.loss, expected.detach())
    torch.testing.assert_close(gradients(module), gradients(other))
    assert set(outcome.terms) == {"divergence", "penalty"}


def make(base, **options):
    class EndToEnd(base):
        def _make_loss(self, feature_weights):
            return EndToEndLoss(rest, getattr(self, "alpha_", 0.0))

    return EndToEnd(**options, random_state=0)


def divergence(sae, X):
    X_hat = sae.inverse_transform(sae.transform(X))
    pair = rest(torch.tensor(X_hat)), rest(torch.tensor(X))
    return kl_div(*pair, log_target=True, reduction="batchmean").item()


def test_the_model_loses_less_at_as_many_codes():
    X = np.random.RandomState(0).randn(600, 5) * [1, 1, 1, 4, 4]
    quick = {"n_components": 12, "k": 2, "max_iter": 60, "tol": 0}
    ours = make(TopKSAE, **quick).fit(X)
    plain = TopKSAE(**quick, random_state=0).fit(X)
    assert divergence(ours, X) < 0.8 * divergence(plain, X)


def test_it_works_in_the_unit_of_the_data():
    """Beyond 1e5 data are divided by a unit, which what comes after them does not know."""
    X = 1e6 * np.random.RandomState(0).randn(60, 5)
    values = []
    for unit in (1.0, 2.0**-20):

        def scaled(x, unit=unit):
            return (x @ WEIGHT.to(x) / (1e6 * unit)).log_softmax(1)

        class EndToEnd(SAEEncoder):
            def _make_loss(self, feature_weights, scaled=scaled):
                return EndToEndLoss(scaled, self.alpha_)

        quick = {"max_iter": 4, "random_state": 0, "alpha": 1e-8 / unit}
        values.append(EndToEnd(8, **quick).fit(X * unit).loss_curve_)
    np.testing.assert_allclose(*values, rtol=1e-4)
