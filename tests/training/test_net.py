import pickle

import pytest
import torch
from device import emulated_cuda
from numpy.testing import assert_allclose
from skorch.callbacks import Callback
from torch import nn

from skamort.modules import (
    LISTA,
    BatchTopK,
    Decoder,
    Gated,
    ReLU,
    SparseAutoencoder,
    TopK,
    make_encoder,
)
from skamort.training import (
    ClearDenormals,
    ClipGradient,
    CodeRegressionLoss,
    GatedLoss,
    InMemoryData,
    LatentActivity,
    Progress,
    ResampleDead,
    SparseCodingLoss,
    SparseNet,
    StopOnPlateau,
    TeachDead,
    TrainingConverged,
    UnitNormAtoms,
)


def make_net(callbacks=(), batch_size=16, learning_rate=1e-2, trainable=True):
    generator = torch.Generator().manual_seed(0)
    atoms = nn.functional.normalize(torch.randn(6, 4, generator=generator))
    encoder = make_encoder(4, 6, generator=generator)
    module = SparseAutoencoder(encoder, ReLU(), Decoder(atoms, trainable=trainable))
    net = SparseNet(
        module,
        SparseCodingLoss(0.05),
        learning_rate=learning_rate,
        batch_size=batch_size,
        generator=generator,
        callbacks=callbacks,
        max_epochs=5,
    )
    return net.initialize()


@pytest.fixture
def data():
    return InMemoryData(torch.randn(50, 4, generator=torch.Generator().manual_seed(1)))


def test_a_step_is_adam_on_the_sphere(data):
    """One full-batch step equals the same step written out with autograd and torch's Adam."""
    net = make_net([UnitNormAtoms()], batch_size=50)
    W, b, D = (
        p.detach().clone()
        for p in (
            net.module_.encoder.weight,
            net.module_.encoder.bias,
            net.module_.decoder.dictionary,
        )
    )
    for p in (W, b, D):
        p.requires_grad_()
    optimizer = torch.optim.Adam([W, b, D], lr=1e-2)
    X = data.tensors[0]
    for _ in range(3):
        optimizer.zero_grad()
        codes = torch.relu(X @ W.T + b)
        loss = (0.5 * (codes @ D - X).square().sum() + 0.05 * codes.sum()) / len(X)
        loss.backward()
        with torch.no_grad():
            D.grad -= (D.grad * D).sum(1, keepdim=True) * D
            optimizer.step()
            D /= D.norm(dim=1, keepdim=True)
    net.max_epochs = 3
    net.partial_fit(data)
    torch.testing.assert_close(net.module_.decoder.dictionary, D, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(net.module_.encoder.weight, W, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(net.module_.encoder.bias, b, rtol=1e-4, atol=1e-6)


def train_topk(data, callbacks=(), product_dtype=None):
    generator = torch.Generator().manual_seed(0)
    atoms = nn.functional.normalize(torch.randn(64, 4, generator=generator))
    encoder = make_encoder(4, 64, generator=generator)
    encoder.weight.data.copy_(atoms)
    module = SparseAutoencoder(encoder, TopK(2), Decoder(atoms, torch.zeros(4)))
    net = SparseNet(
        module,
        SparseCodingLoss(),
        learning_rate=1e-2,
        batch_size=16,
        generator=generator,
        callbacks=[UnitNormAtoms(), *callbacks],
        product_dtype=product_dtype,
        max_epochs=10,
    )
    return net.initialize().partial_fit(data)


def test_sparse_steps_are_the_dense_ones(data, monkeypatch):
    fast = train_topk(data)
    monkeypatch.setattr("skamort.modules._autoencoder.sparse_pays", lambda *_: False)
    dense = train_topk(data)
    assert fast.history[:, "train_loss"] == pytest.approx(dense.history[:, "train_loss"], rel=1e-4)
    for p, q in zip(fast.module_.parameters(), dense.module_.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)


def test_half_precision_products_train_as_well(data):
    exact, half = train_topk(data), train_topk(data, product_dtype=torch.bfloat16)
    assert half.history[-1, "train_loss"] < 0.2 * half.history[0, "train_loss"]
    assert half.history[-1, "train_loss"] < 1.2 * exact.history[-1, "train_loss"]
    assert {p.dtype for p in half.module_.parameters()} == {torch.float32}


def gradient_norm(net):
    """Length of the gradient that data of unit mean square would give."""
    module, scale = net.module_, net.data_scale
    weights = [module.encoder.weight, module.decoder.dictionary]
    parts = [p.grad / scale**2 for p in weights] + [module.encoder.bias.grad / scale]
    return torch.cat([part.flatten() for part in parts]).norm().item()


@pytest.mark.parametrize("data_scale", [1.0, 1e-3, 50.0])
def test_clipping_bounds_the_gradient_and_keeps_its_direction(data, data_scale):
    net = make_net()
    net.data_scale = data_scale
    net.criterion_.backward(net.module_, data.tensors[0])
    before = {name: p.grad.clone() for name, p in net.module_.named_parameters()}
    norm = gradient_norm(net)
    ClipGradient(2 * norm).on_grad_computed(net, net.get_all_learnable_params())
    for name, p in net.module_.named_parameters():
        assert torch.equal(p.grad, before[name])
    ClipGradient(norm / 4).on_grad_computed(net, net.get_all_learnable_params())
    assert gradient_norm(net) == pytest.approx(norm / 4, rel=1e-5)
    for name, p in net.module_.named_parameters():
        torch.testing.assert_close(4 * p.grad, before[name])


def test_clipping_is_the_same_for_sparse_steps(data, monkeypatch):
    fast = train_topk(data, [ClipGradient(1e-2)])
    monkeypatch.setattr("skamort.modules._autoencoder.sparse_pays", lambda *_: False)
    dense = train_topk(data, [ClipGradient(1e-2)])
    for p, q in zip(fast.module_.parameters(), dense.module_.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)


def test_denormal_moments_are_cleared_and_others_kept(data):
    net = make_net().partial_fit(data)
    moments = net.optimizer_.state[net.module_.encoder.weight]
    before = moments["exp_avg"].clone()
    moments["exp_avg"][0] = 1e-40
    moments["exp_avg_sq"][1] = 1e-42
    callback = ClearDenormals(every=2)
    callback.on_train_begin(net)
    callback.on_batch_end(net, training=True)
    assert moments["exp_avg"][0].count_nonzero() == 4
    callback.on_batch_end(net, training=False)
    callback.on_batch_end(net, training=True)
    assert moments["exp_avg"][0].count_nonzero() == 0
    assert moments["exp_avg_sq"][1].count_nonzero() == 0
    assert torch.equal(moments["exp_avg"][1:], before[1:])


def test_clearing_denormals_changes_no_weight(data):
    plain, cleared = train_topk(data), train_topk(data, [ClearDenormals(every=1)])
    for p, q in zip(plain.module_.parameters(), cleared.module_.parameters(), strict=True):
        assert torch.equal(p, q)


def test_atoms_stay_on_the_sphere(data):
    net = make_net([UnitNormAtoms()]).partial_fit(data)
    norms = net.module_.decoder.dictionary.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(6))


def test_known_dictionary_does_not_move(data):
    net = make_net(trainable=False)
    before = net.module_.decoder.dictionary.clone()
    net.partial_fit(data)
    assert torch.equal(net.module_.decoder.dictionary, before)


def test_history_holds_the_mean_loss_of_the_samples(data):
    """With a vanishing step size the loss of an epoch is the loss of the whole data."""
    net = make_net(batch_size=16, learning_rate=1e-12)
    X_hat, codes = net.module_(data.tensors[0])
    expected = SparseCodingLoss(0.05)(X_hat - data.tensors[0], codes)
    net.partial_fit(data)
    assert net.history[:, "train_loss"] == pytest.approx([expected.item()] * 5, rel=1e-5)
    assert net.history[0, "train_batch_count"] == 4


def test_plateau_ends_training(data):
    net = make_net([StopOnPlateau(tol=10.0, n_iter_no_change=2)])
    net.max_epochs = 100
    net.partial_fit(data)
    assert net.converged_
    assert len(net.history) == 3


def test_without_a_plateau_training_has_not_converged(data):
    net = make_net([StopOnPlateau(tol=0.0, n_iter_no_change=100)]).partial_fit(data)
    assert not net.converged_
    assert len(net.history) == 5


class Interrupt(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


def test_the_users_interrupt_is_not_swallowed(data):
    net = make_net([Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        net.partial_fit(data)
    assert len(net.history) == 2
    assert not net.converged_


def test_convergence_is_an_interrupt_as_in_skorch():
    assert issubclass(TrainingConverged, KeyboardInterrupt)


def test_diverging_loss_is_named(data):
    net = make_net(learning_rate=1e30)
    with pytest.raises(ValueError, match=r"loss became (nan|inf) in epoch .* lower it"):
        net.partial_fit(data)


def test_progress_bar_shows_the_loss_and_leaves_no_trace(data, capsys, monkeypatch):
    from skamort import _progress

    bars = []

    def bar(total, desc, **kwargs):
        bars.append(original(total=total, desc=desc, **{**kwargs, "delay": 0, "mininterval": 0}))
        return bars[-1]

    original = _progress.tqdm
    monkeypatch.setattr(_progress, "tqdm", bar)
    net = make_net([("activity", LatentActivity()), Progress("SAE")])
    net.module_.encoder.bias.data[2] = -100.0
    net.partial_fit(data)
    assert bars[0].n == 5
    assert "dead=16.7%" in bars[0].postfix  # one of six
    assert bars[0].disable  # it is closed
    shown = capsys.readouterr()
    assert "SAE" in shown.err
    assert "end at most 5 in " in shown.out
    pickle.loads(pickle.dumps(net))


def test_pickled_net_goes_on_training(data):
    net = make_net([UnitNormAtoms()]).partial_fit(data)
    copy = pickle.loads(pickle.dumps(net))
    for one in (net, copy):
        one.partial_fit(data)
    for p, q in zip(net.module_.parameters(), copy.module_.parameters(), strict=True):
        assert torch.equal(p, q)


def parts_of_a_net(encoder=None, activation=None, criterion=None, callbacks=()):
    generator = torch.Generator().manual_seed(0)
    atoms = nn.functional.normalize(torch.randn(6, 4, generator=generator))
    encoder = encoder or make_encoder(4, 6, generator=generator)
    module = SparseAutoencoder(encoder, activation or ReLU(), Decoder(atoms))
    criterion = criterion or SparseCodingLoss()
    return SparseNet(module, criterion, generator=generator, callbacks=callbacks)


class NeedsDepth(Callback):
    requires = frozenset({"depth", "latent_rows"})


class DeepEncoder(LISTA):
    offers = frozenset({"depth"})


LACKING = {
    "rows": (
        {"encoder": LISTA(torch.eye(6, 4), 0.1, 2), "callbacks": [ResampleDead()]},
        "Resample",
    ),
    "gradients": (
        {
            "encoder": make_encoder(4, 6, (5,), generator=torch.Generator()),
            "callbacks": [TeachDead()],
        },
        "TeachDead requires partial_gradients of the model and its loss, which offer dead, lat",
    ),
    "n_kept": (
        {"criterion": SparseCodingLoss(multi_topk=True)},
        "SparseCodingLoss requires n_kept of the model",
    ),
    "both": (
        {"encoder": LISTA(torch.eye(6, 4), 0.1, 2), "criterion": SparseCodingLoss(multi_topk=True)},
        "requires n_kept and partial_gradients of the model and its loss, which offer dead",
    ),
    "one of two": (
        {"encoder": DeepEncoder(torch.eye(6, 4), 0.1, 2), "callbacks": [("deep", NeedsDepth())]},
        "NeedsDepth requires latent_rows of the model and its loss, which offer dead, depth",
    ),
}


@pytest.mark.parametrize(("parts", "told"), LACKING.values(), ids=LACKING)
def test_what_requires_more_than_the_model_offers_is_refused_before_training(parts, told):
    with pytest.raises(ValueError, match=told):
        parts_of_a_net(**parts).initialize()


def test_another_loss_must_go_with_the_other_parts():
    net = parts_of_a_net(callbacks=[("activity", LatentActivity()), TeachDead()]).initialize()
    before = net.criterion_
    with pytest.raises(ValueError, match="TeachDead requires dead of the model and its loss"):
        net.minimize(CodeRegressionLoss())
    assert net.criterion_ is before


def test_what_the_parts_offer_together_is_enough(data):
    multi = SparseCodingLoss(multi_topk=True)
    net = parts_of_a_net(activation=TopK(2), criterion=multi)
    assert net.module.offers == {"latent_rows", "partial_gradients", "n_kept"}
    net.max_epochs = 1
    assert len(net.partial_fit(data).history) == 1


def test_module_and_loss_know_whether_they_are_trained(data):
    seen = set()

    class Look(Callback):
        def on_batch_begin(self, net, training, **kwargs):
            seen.add((training, net.module_.training, net.criterion_.training))

    make_net([Look()]).partial_fit(data, data)
    assert seen == {(True, True, True), (False, False, False)}


def test_predict_returns_codes_in_the_order_of_the_data(data):
    net = make_net(batch_size=16)
    expected = net.module_.encode(data.tensors[0]).detach().numpy()
    assert_allclose(net.predict(data), expected, atol=1e-6)


def test_predict_returns_codes_that_do_not_depend_on_the_batch(data):
    """Those of `transform`, though a scoring callback asks in the midst of training."""
    net = parts_of_a_net(activation=BatchTopK(2)).initialize().partial_fit(data)
    expected = net.module_.encode(data.tensors[0]).detach().numpy()
    net.batch_size = 7
    net.module_.train()
    assert_allclose(net.predict(data), expected, atol=1e-6)


def test_history_holds_the_mean_terms_of_the_samples(data):
    net = parts_of_a_net(activation=Gated(6), criterion=GatedLoss(0.3))
    net.learning_rate, net.batch_size, net.max_epochs = 1e-12, 16, 1
    net.partial_fit(data, data)
    terms = GatedLoss(0.3).evaluate(net.module_, data.tensors[0]).terms
    for name, term in terms.items():
        for prefix in ("train", "valid"):
            assert net.history[0, f"{prefix}_{name}"] == pytest.approx(term.item(), rel=1e-5)


@pytest.mark.parametrize("criterion", [SparseCodingLoss(), CodeRegressionLoss()], ids=str)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_no_gradient_drowns_in_adams_eps(criterion, scale):
    net = parts_of_a_net(criterion=criterion)
    net.data_scale = scale
    for group in net.initialize().optimizer_.param_groups:
        unit = net.gradient_unit(group["params"][0])
        assert 0 < group["eps"] <= 1.001e-8 * unit
        assert scale != 1 or group["eps"] == 1e-8


def test_a_net_goes_on_as_it_was_on_another_device_and_with_another_loss(data):
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0])
    net = parts_of_a_net(callbacks=[UnitNormAtoms()]).initialize()
    net.minimize(SparseCodingLoss(0.1, weights))
    net.max_epochs = 2
    copy = pickle.loads(pickle.dumps(net.partial_fit(data)))
    net.partial_fit(data)
    with emulated_cuda():
        copy.move_to(torch.device("cuda"))
        copy.partial_fit(InMemoryData(data.tensors[0].to("cuda")))
        copy.move_to(torch.device("cpu"))
    assert copy.history[:, "train_loss"] == pytest.approx(net.history[:, "train_loss"])
    for p, q in zip(net.module_.parameters(), copy.module_.parameters(), strict=True):
        torch.testing.assert_close(p, q)
