"""A module of another package is an estimator, as it is."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from skamort import ITOCoder, SAEEncoder
from skamort.inspection import DictionaryDisplay, compare_encoders
from skamort.interop import WrappedModule, wrap
from skamort.metrics import amortization_gap, flops, fraction_variance_unexplained

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)


class Theirs(nn.Module):
    """As SAELens's: centered, a ReLU, a linear decoder."""

    def __init__(self, n_features=6, n_components=10, dtype=torch.float32):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(n_components, n_features, generator=generator).to(dtype)
        self.W_enc, self.W_dec = nn.Parameter(weights.T / 2), nn.Parameter(weights)
        self.b_dec = nn.Parameter(torch.linspace(0, 1, n_features).to(dtype))

    def encode(self, x):
        return ((x - self.b_dec) @ self.W_enc).relu()

    def decode(self, z):
        return z @ self.W_dec + self.b_dec


class Pair(Theirs):
    """As overcomplete's: pre-codes come too."""

    def encode(self, x):
        return x @ self.W_enc, super().encode(x)


class Noisy(Theirs):
    """With dropout before and after the encoder, as while it is trained."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Dropout(0.5), nn.Dropout(0.5)

    def encode(self, x):
        return super().encode(self.before(x))

    def decode(self, z):
        return super().decode(self.after(z))


@pytest.mark.parametrize("kind", [Theirs, Pair])
@pytest.mark.parametrize("shape", [(6, 10), (6, 6), (6, 3)])
def test_it_encodes_and_decodes_as_the_module_does(kind, shape):
    module = kind(*shape)
    estimator = wrap(module)
    with torch.no_grad():
        codes = Theirs.encode(module, torch.tensor(X))
        reconstruction = module.decode(codes)
    assert estimator.n_features_in_ == 6
    assert_allclose(estimator.transform(X), codes)
    assert_allclose(estimator.inverse_transform(codes), reconstruction, atol=1e-6)
    assert_allclose(estimator.components_, module.W_dec.detach(), atol=1e-6)
    assert_allclose(estimator.intercept_, module.b_dec.detach(), atol=1e-6)
    linear = codes.numpy() @ estimator.components_ + estimator.intercept_
    assert_allclose(linear, reconstruction, atol=1e-5)


def test_a_module_in_training_is_evaluated_and_goes_on_in_training():
    module = Noisy()
    module.after.eval()
    estimator = wrap(module)
    expected = wrap(Theirs())
    assert_allclose(estimator.components_, expected.components_)
    codes = estimator.transform(X)
    assert_allclose(codes, expected.transform(X))
    assert_allclose(estimator.inverse_transform(codes), expected.inverse_transform(codes))
    with pytest.raises(RuntimeError, match="of theirs"):
        broken_encode(module, estimator)
    assert module.training
    assert module.before.training
    assert not module.after.training


def broken_encode(module, estimator):
    def encode(x):
        raise RuntimeError("of theirs")

    module.encode = encode
    estimator.transform(X)


def test_it_has_names_of_features_and_other_outputs():
    pandas = pytest.importorskip("pandas")
    estimator = wrap(Theirs(6, 3)).set_output(transform="pandas")
    names = ["wrappedmodule0", "wrappedmodule1", "wrappedmodule2"]
    assert list(estimator.get_feature_names_out()) == names
    codes = estimator.transform(pandas.DataFrame(X))
    assert list(codes.columns) == names
    assert_allclose(estimator.inverse_transform(codes), estimator.inverse_transform(codes.values))


def test_the_class_fits_as_wrap_does():
    estimator, expected = WrappedModule(Theirs()), wrap(Theirs())
    with pytest.raises(NotFittedError):
        estimator.transform(X)
    with pytest.raises(NotFittedError):
        estimator.inverse_transform(X)
    assert_allclose(estimator.fit(X).components_, expected.components_)
    assert_allclose(clone(estimator).fit_transform(X), expected.transform(X))
    with pytest.raises(TypeError, match="Linear has no encode"):
        WrappedModule(nn.Linear(2, 3)).fit(X)


def test_data_are_checked_as_everywhere():
    estimator = wrap(Theirs())
    for width in (1, 5, 10):
        with pytest.raises(ValueError, match=rf"X has {width} features, .* expecting 6 features"):
            estimator.transform(np.ones((2, width)))
    with pytest.raises(ValueError, match=r"X has 6 features, .* expecting 10 features"):
        estimator.inverse_transform(X)
    for call in (estimator.transform, estimator.inverse_transform):
        with pytest.raises(TypeError, match="Sparse data was passed for X"):
            call(csr_array(X))
        with pytest.raises(ValueError, match="contains NaN"):
            call(np.full((2, 6), np.nan))
        with pytest.raises(ValueError, match="Expected 2D array"):
            call(X[0])


def test_half_precision_comes_as_float32():
    estimator = wrap(Theirs(dtype=torch.bfloat16))
    assert estimator.transform(X).dtype == estimator.components_.dtype == np.float32


def test_it_is_judged_beside_others():
    theirs = wrap(Theirs())
    gap = amortization_gap(theirs, X, alpha=0.1)
    assert 0 < gap.gap <= gap.gap_upper
    ours = SAEEncoder(10, max_iter=3, random_state=0)
    table = compare_encoders({"theirs": theirs, "ours": ours}, X, X, alpha=0.1)
    assert table["fvu"]["theirs"] == pytest.approx(
        fraction_variance_unexplained(X, theirs.inverse_transform(theirs.transform(X))), rel=1e-4
    )
    best = ITOCoder(estimator=theirs, alpha=0.1).fit(X)
    assert amortization_gap(best, X).gap < 1e-3 * gap.gap
    pytest.importorskip("matplotlib")
    DictionaryDisplay.from_estimator(theirs, image_shape=(2, 3))


def test_its_operations_are_counted_as_torch_counts_them():
    theirs = wrap(Theirs())
    ours = SAEEncoder(10, max_iter=2, random_state=0).fit(X)
    assert flops(theirs, 7) == flops(ours, 7) == 7 * 2 * 60
    with pytest.raises(ValueError, match="trained by another package"):
        flops(theirs, 7, mode="training")


def test_what_is_no_autoencoder_is_refused():
    with pytest.raises(TypeError, match="Linear has no encode"):
        wrap(nn.Linear(2, 3))
    module = Theirs()
    module.decode = lambda z: z
    with pytest.raises(ValueError, match=r"no rows of width \[6, 10\]; pass the width"):
        wrap(module)
    with pytest.raises(ValueError, match="encodes and decodes no rows of width 7"):
        wrap(Theirs(), n_features=7)
    module = Theirs()
    module.decode = lambda z: (z @ module.W_dec).tanh()
    with pytest.raises(ValueError, match="does not decode linearly"):
        wrap(module)
