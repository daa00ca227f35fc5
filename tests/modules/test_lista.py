import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from skamort.modules import LISTA


def random_problem(seed, n_components, n_features):
    generator = torch.Generator().manual_seed(seed)
    D = torch.randn(n_components, n_features, generator=generator, dtype=torch.float64)
    D /= torch.linalg.vector_norm(D, dim=1, keepdim=True)
    return torch.randn(20, n_features, generator=generator, dtype=torch.float64), D


def ista(X, D, alpha, n_steps):
    lipschitz = torch.linalg.matrix_norm(D, ord=2) ** 2
    codes = X.new_zeros(len(X), len(D))
    for _ in range(n_steps):
        codes = (codes - ((codes @ D - X) @ D.T + alpha) / lipschitz).relu()
    return codes


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 100),
    n_components=st.integers(1, 9),
    n_features=st.integers(1, 9),
    n_layers=st.integers(1, 6),
    alpha=st.floats(0, 2),
)
def test_layers_start_as_proximal_steps(seed, n_components, n_features, n_layers, alpha):
    X, D = random_problem(seed, n_components, n_features)
    codes = LISTA(D, alpha, n_layers)(X).relu()
    assert_close(codes, ista(X, D, alpha, n_layers))


def test_rescaling_multiplies_the_latents():
    X, D = random_problem(0, 7, 4)
    scale = torch.arange(1.0, 8.0, dtype=torch.float64)
    for n_layers in (1, 3):
        encoder = LISTA(D, 0.1, n_layers)
        before = encoder(X).detach()
        encoder.rescale(scale)
        assert_close(encoder(X).detach(), before * scale)


def test_every_parameter_learns():
    X, D = random_problem(0, 7, 4)
    encoder = LISTA(D, 0.1, 3)
    encoder(X).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())
