import pytest
import torch

from skamort.modules import make_encoder


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_tied_linear_encoder_is_the_decoders_transpose():
    atoms = torch.randn(5, 3, generator=generator())
    X = torch.randn(4, 3, generator=generator(1))
    encoder = make_encoder(3, 5, generator=generator())
    encoder.tie(X, atoms)
    torch.testing.assert_close(encoder(X), X @ atoms.T)


def test_tied_mlp_comes_close_to_the_decoders_transpose():
    atoms = torch.randn(5, 3, generator=generator())
    X, X_new = torch.randn(2, 500, 3, generator=generator(1))
    encoder = make_encoder(3, 5, (32, 32), generator=generator())
    encoder.tie(X, atoms)
    target = X_new @ atoms.T
    error = (encoder(X_new) - target).square().mean() / target.square().mean()
    assert error.item() < 0.05


def test_tying_survives_data_of_zeros():
    encoder = make_encoder(3, 5, (4,), generator=generator())
    encoder.tie(torch.zeros(2, 3), torch.eye(5, 3))
    assert all(p.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("hidden", [(), (7,)])
@pytest.mark.parametrize("bias", [True, False])
def test_output_is_scaled_by_latent(hidden, bias):
    encoder = make_encoder(3, 5, hidden, bias=bias, generator=generator())
    X, scale = torch.randn(4, 3, generator=generator(1)), torch.arange(1.0, 6.0)
    if bias:
        torch.nn.init.ones_(encoder.output_layer.bias)
    before = encoder(X)
    encoder.rescale(scale)
    torch.testing.assert_close(encoder(X), before * scale)
    encoder.rescale(0.5)
    torch.testing.assert_close(encoder(X), before * scale * 0.5)


@pytest.mark.parametrize("hidden", [(), (64,)])
def test_some_latents_are_tied_again(hidden):
    atoms = torch.nn.functional.normalize(torch.randn(5, 3, generator=generator()))
    X, latents = torch.randn(200, 3, generator=generator(1)), torch.tensor([1, 3])
    encoder = make_encoder(3, 5, hidden, generator=generator())
    before = encoder(X)
    encoder.retie(X, atoms, latents, 0.5, 20)
    after, target = encoder(X), X @ atoms.T
    assert ((after[:, latents] > 0).sum(0) == 20).all()
    for latent in range(5):
        if latent in latents:
            output = after[:, latent] - encoder.output_layer.bias[latent]
            cosine = torch.cosine_similarity(output, target[:, latent], dim=0)
            assert cosine > 0.95
        else:
            assert torch.equal(after[:, latent], before[:, latent])


@pytest.mark.parametrize("bias", [True, False])
def test_latents_are_tied_again_without_bias_where_rows_are_few_or_there_is_none(bias):
    X, latents = torch.randn(4, 3, generator=generator(1)), torch.tensor([1, 3])
    encoder = make_encoder(3, 5, bias=bias, generator=generator())
    atoms = torch.nn.functional.normalize(torch.randn(5, 3, generator=generator()))
    encoder.retie(X, atoms, latents, 0.5, 4 if bias else 2)
    tied = X @ encoder.weight.T
    torch.testing.assert_close(encoder(X)[:, latents], tied[:, latents])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("hidden", [(), (7,), (7, 4)])
def test_widths_and_biases(hidden, bias):
    encoder = make_encoder(3, 5, hidden, bias=bias, generator=generator())
    layers = [m for m in encoder.modules() if isinstance(m, torch.nn.Linear)]
    widths = [layers[0].in_features, *(layer.out_features for layer in layers)]
    assert widths == [3, *hidden, 5]
    assert all((layer.bias is not None) == bias for layer in layers)
    assert encoder.output_layer is layers[-1]


def test_pre_activations_are_not_clipped():
    encoder = make_encoder(3, 50, (20,), generator=generator())
    assert (encoder(torch.randn(10, 3, generator=generator(1))) < 0).any()


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = make_encoder(3, 5, (4,), generator=generator(1))
    torch.manual_seed(1)
    second = make_encoder(3, 5, (4,), generator=generator(1))
    torch.manual_seed(0)
    assert torch.equal(torch.random.get_rng_state(), before)
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q)


def test_he_initialization_keeps_the_second_moment():
    encoder = make_encoder(200, 4000, (3000,), generator=generator())
    X = torch.randn(100, 200, generator=generator(1))
    hidden = torch.relu(encoder[0](X))
    assert hidden.square().mean().item() == pytest.approx(1.0, rel=0.05)
