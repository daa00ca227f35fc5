from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from skamort.modules import LISTA, Decoder, make_encoder


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


def standing_alone():
    """Modules of 5 features and 7 latents, by what they are called with."""
    atoms = nn.functional.normalize(torch.randn(7, 5, generator=torch.Generator().manual_seed(0)))
    make = partial(make_encoder, 5, 7, generator=torch.Generator().manual_seed(0))
    yield "LinearEncoder", make(), 5
    yield "LinearEncoder", make((4,)), 5  # the first layer of an MLP
    yield "LISTA", LISTA(atoms, 0.1, 3), 5
    yield "Decoder", Decoder(atoms), 7


@pytest.mark.parametrize(("name", "module", "width"), list(standing_alone()))
def test_modules_say_for_which_width_they_were_made(name, module, width):
    for shape in ((3, width + 1), (3, 1), (width - 1,), ()):
        with pytest.raises(ValueError, match=rf"{name}: \w+ must have {width} columns, .*got"):
            module(torch.zeros(shape))
    with pytest.raises(TypeError, match=f"{name}: .* must be a tensor, got ndarray of shape"):
        module(np.zeros((3, width)))
    assert module(torch.zeros(3, width)).shape[1] == 12 - width


@pytest.mark.parametrize("module", [module for _, module, _ in standing_alone()][:3])
def test_a_scale_is_one_or_one_a_latent(module):
    before = module(torch.ones(2, 5)).detach()
    for wrong in (torch.ones(5), torch.ones(8), torch.ones(0)):
        with pytest.raises(ValueError, match=r"one for each of 7 latents, got shape \("):
            module.rescale(wrong)
    module.rescale(torch.full((7,), 2.0))
    module.rescale(torch.full((1,), 0.5))
    torch.testing.assert_close(module(torch.ones(2, 5)).detach(), before)


@pytest.mark.parametrize("module", [module for _, module, _ in standing_alone()][:2])
@pytest.mark.parametrize("shape", [(6, 5), (1, 5), (7, 4)])
def test_encoders_are_tied_to_an_atom_a_latent(module, shape):
    with pytest.raises(ValueError, match=r"tied to a dictionary .* of shape \(7, 5\), got"):
        module.tie(torch.randn(20, 5), torch.randn(shape))


def test_lista_has_a_layer():
    with pytest.raises(ValueError, match="LISTA: n_layers must be >= 1, got 0"):
        LISTA(torch.eye(3), 0.1, 0)
