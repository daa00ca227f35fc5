import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from skamort.datasets import make_published_signal


def published_recipe(n_samples, n_components, n_features, n_nonzero_coefs, seed):
    """What the experiments do, word by word, with the global generators."""
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    codes = []
    for _ in range(n_samples):
        magnitudes = abs(np.random.normal(0, 1, n_components))  # noqa: NPY002
        mask = np.zeros(n_components)
        chosen = np.random.choice(n_components, n_nonzero_coefs, replace=False)  # noqa: NPY002
        mask[chosen] = 1
        codes.append(magnitudes * mask)
    dictionary = torch.randn(n_components, n_features)
    dictionary /= torch.linalg.norm(dictionary, dim=1, keepdim=True)
    codes = torch.tensor(np.array(codes), dtype=torch.float32)
    return (codes @ dictionary).numpy(), dictionary.numpy(), codes.numpy()


@pytest.fixture
def global_streams():
    numpy_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    np.random.set_state(numpy_state)  # noqa: NPY002
    torch.set_rng_state(torch_state)


@pytest.mark.usefixtures("global_streams")
@pytest.mark.parametrize(
    ("seed", "sizes"),
    [
        (20240625, (2048, 16, 8, 3)),
        (20240926, (2048, 16, 8, 3)),
        (20240927, (300, 128, 32, 15)),
        (0, (10, 3, 2, 1)),
    ],
)
def test_bit_for_bit(seed, sizes):
    expected = published_recipe(*sizes, seed)
    names = ("n_samples", "n_components", "n_features", "n_nonzero_coefs")
    found = make_published_signal(seed, **dict(zip(names, sizes, strict=True)))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        assert_array_equal(ours, theirs)


def test_global_streams_are_left_alone():
    numpy_before, torch_before = np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    make_published_signal()
    assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_a_longer_signal_goes_on():
    _, dictionary, codes = make_published_signal(1, n_samples=20)
    _, same_dictionary, longer = make_published_signal(1, n_samples=50)
    assert_array_equal(dictionary, same_dictionary)
    assert_array_equal(codes, longer[:20])


def test_bad_parameters():
    with pytest.raises(ValueError, match=r"n_nonzero_coefs=17 exceeds n_components=16"):
        make_published_signal(n_nonzero_coefs=17)
    with pytest.raises(ValueError, match=r"'seed' parameter of make_published_signal"):
        make_published_signal(-1)
