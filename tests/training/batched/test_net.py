import numpy as np
import pytest
import torch
from engines import needs_numba
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skamort.modules import Decoder, LinearEncoder, ReLU, SparseAutoencoder, TopK
from skamort.training import SparseCodingLoss, SparseNet
from skamort.training.batched import BatchedNet


def make_net(
    n_features,
    n_components,
    ks=(None, None),
    *,
    dtype=torch.float64,
    bias=True,
    intercept=True,
    trainable=True,
    weighted=False,
    copies=1,
):
    """A batched net of random models, the latents in groups of equal copies."""
    random = torch.Generator().manual_seed(n_features * n_components)

    def draw(*shape):
        return torch.randn(*shape, generator=random, dtype=dtype)

    nets = []
    for k in ks:
        encoder = LinearEncoder(n_features, n_components, bias=bias, dtype=dtype)
        with torch.no_grad():
            encoder.weight.copy_(draw(-(-n_components // copies), n_features).repeat(copies, 1))
            if bias:
                encoder.bias.fill_(draw(1).item())
        atoms = nn.functional.normalize(draw(-(-n_components // copies), n_features))
        center = draw(n_features) if intercept else None
        decoder = Decoder(atoms.repeat(copies, 1), center, trainable)
        activation = ReLU() if k is None else TopK(k)
        loss = SparseCodingLoss(draw(1).abs().item(), draw(n_features) if weighted else None)
        module = SparseAutoencoder(encoder, activation, decoder)
        nets.append(SparseNet(module, loss, generator=random).initialize())
    return BatchedNet(nets, torch.device("cpu"))


def make_batch(net, n, shared=False):
    width = net.values["decoder.dictionary"].shape[2]
    shape = (1 if shared else len(net), width, n)
    X = torch.randn(shape, generator=torch.Generator().manual_seed(n), dtype=net.learned.dtype)
    return X.expand(len(net), -1, -1)


def outcome(net, X, compiled):
    """Losses, firing counts, gradients, and the losses of `evaluate`."""
    net.is_compiled = compiled
    net.grad.fill_(float("nan"))
    loss, fired = net.backward(X)
    return loss, fired, net.grad.clone(), net.evaluate(X)


@needs_numba
@settings(deadline=None, max_examples=60)
@given(
    n_features=st.integers(1, 9),
    n_components=st.integers(1, 13),
    n=st.sampled_from([1, 7, 127, 128, 129, 300]),
    with_k=st.booleans(),
    shared=st.booleans(),
    options=st.fixed_dictionaries(
        {name: st.booleans() for name in ("bias", "intercept", "trainable", "weighted")}
        | {"dtype": st.sampled_from([torch.float32, torch.float64])}
    ),
    data=st.data(),
)
def test_compiled_step_equals_torch(n_features, n_components, n, with_k, shared, options, data):
    k = st.integers(1, n_components) if with_k else st.none()
    ks = data.draw(st.lists(k, min_size=1, max_size=3))
    ks.sort(key=lambda k: -(k or 0))
    net = make_net(n_features, n_components, ks, **options)
    assert net.is_compiled
    X = make_batch(net, n, shared)
    close = {"rtol": 1e-3, "atol": 1e-3} if options["dtype"] == torch.float32 else {}
    expected = outcome(net, X, compiled=False)
    for ours, theirs in zip(outcome(net, X, compiled=True), expected, strict=True):
        torch.testing.assert_close(ours, theirs, **close)


@needs_numba
@settings(deadline=None, max_examples=30)
@given(
    n_groups=st.integers(1, 4),
    copies=st.integers(1, 4),
    n=st.sampled_from([1, 130]),
    data=st.data(),
)
def test_of_equal_codes_the_compiled_step_keeps_k(n_groups, copies, n, data):
    """Whichever of equal latents are kept, the loss and their gradients' sum are the same."""
    n_components = n_groups * copies
    ks = sorted(data.draw(st.lists(st.integers(1, n_components), min_size=1, max_size=3)))[::-1]
    net = make_net(5, n_components, ks, copies=copies)
    X = make_batch(net, n)
    ours, theirs = (outcome(net, X, compiled) for compiled in (True, False))
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[3], theirs[3])
    by_group = (-1, copies, n_groups)
    torch.testing.assert_close(ours[1].view(by_group).sum(1), theirs[1].view(by_group).sum(1))
    for name, (start, stop, shape) in net.layout.items():
        grads = [grad[:, start:stop].unflatten(1, shape) for grad in (ours[2], theirs[2])]
        if name != "decoder.intercept":
            grads = [grad.unflatten(1, (copies, n_groups)).sum(1) for grad in grads]
        torch.testing.assert_close(*grads)


@needs_numba
def test_models_that_diverge_leave_the_others_alone():
    net = make_net(5, 6, (2, 2, 2))
    X = make_batch(net, 100)
    expected = outcome(net, X, compiled=True)
    for bad in (float("nan"), float("inf"), 1e300):
        net.learned[1] = bad
        loss, fired, grad, _ = outcome(net, X, compiled=True)
        assert not loss[1].isfinite()
        for ours, theirs in zip((loss, fired, grad), expected[:3], strict=True):
            assert torch.equal(ours[[0, 2]], theirs[[0, 2]])


@needs_numba
def test_threads_share_the_models(monkeypatch):
    net = make_net(5, 6, (3, 2, 1))
    X = make_batch(net, 300)
    expected = outcome(net, X, compiled=True)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    for ours, theirs in zip(outcome(net, X, compiled=True), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_torch_takes_what_the_compiled_step_does_not(monkeypatch):
    assert not make_net(4, 40, (33, 1)).is_compiled
    monkeypatch.setattr("skamort.training.batched._net.has_numba", lambda: False)
    assert not make_net(4, 40).is_compiled


@pytest.mark.parametrize("k", [None, 2])
def test_gradients_are_those_of_autograd(k):
    net = make_net(5, 7, (k, k), weighted=True)
    X = make_batch(net, 30)
    loss, fired = net.backward(X)
    for m in range(len(net)):
        values = {name: value[m].clone().requires_grad_() for name, value in net.values.items()}
        centered = X[m].T - values["decoder.intercept"]
        A = centered @ values["encoder.weight"].T + values["encoder.bias"]
        Z = A.relu() if k is None else TopK(k)(A)
        R = Z @ values["decoder.dictionary"] - centered
        squared_weights, alpha = (net.settings[s][m] for s in ("squared_weights", "alpha"))
        expected = ((R.square() * squared_weights).sum() / 2 + alpha * Z.sum()) / len(R)
        expected.backward()
        torch.testing.assert_close(loss[m], expected.detach())
        np.testing.assert_array_equal(fired[m], (Z > 0).sum(0))
        for name, value in values.items():
            torch.testing.assert_close(net.grads[name][m], value.grad)


def test_denormal_moments_are_cleared_and_others_kept():
    net = make_net(3, 4)
    for moment in (net.mean, net.square):
        moment.fill_(0.5)
        moment[:, ::2] = 1e-310
    net.clear_denormals()
    for moment in (net.mean, net.square):
        assert not moment[:, ::2].any()
        assert (moment[:, 1::2] == 0.5).all()
