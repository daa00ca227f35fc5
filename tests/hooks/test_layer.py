"""Layers are found by name, models are left as they were."""

import pytest
import torch
from torch import nn

from skamort.hooks import collect_activations, loss_recovered, splice, steer


class Same:
    components_ = torch.eye(8).numpy()

    def transform(self, X):
        return X

    inverse_transform = transform


class Broken(Same):
    def transform(self, X):
        raise RuntimeError("broken")


USES = {
    "collect": lambda model, layer, texts: collect_activations(model, layer, texts),
    "splice": lambda model, layer, texts: _within(splice(model, layer, Same()), model, texts),
    "steer": lambda model, layer, texts: _within(steer(model, layer, Same(), 0, 1), model, texts),
    "lose": lambda model, layer, texts: loss_recovered(model, layer, Same(), texts),
}


def _within(context, model, texts):
    with context:
        model(texts[0])


@pytest.fixture(params=USES)
def use(request):
    return USES[request.param]


def test_a_missing_layer_is_told_with_those_near_it(use, model, texts):
    with pytest.raises(ValueError, match=r"LanguageModel has no layer 'block.1'; .*'blocks.1'"):
        use(model, "block.1", texts)


def test_a_layer_must_return_rows(use, model, texts):
    model.blocks[1].attention.register_forward_hook(lambda *_: "words")
    with pytest.raises(TypeError, match=r"layer 'blocks.1.attention' must return .* got str"):
        use(model, "blocks.1.attention", texts)
    model.embed.register_forward_hook(lambda *_: torch.ones(8))
    with pytest.raises(TypeError, match=r"got a tensor of shape \(8,\)"):
        use(model, "embed", texts)


@pytest.mark.filterwarnings("ignore:loss_recovered")
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(use, model, texts, training):
    model.train(training)
    model.blocks[0].train(not training)
    modes = [module.training for module in model.modules()]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    use(model, "blocks.0", texts)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_hooks_go_when_something_breaks(model, texts):
    with pytest.raises(RuntimeError, match="broken"):
        loss_recovered(model, "blocks.0", Broken(), texts)
    with pytest.raises(RuntimeError, match="broken"), splice(model, "blocks.0", Broken()):
        model(texts[0])
    assert not any(module._forward_hooks for module in model.modules())


def test_dropout_is_off(model, texts):
    model.train()
    first, second = (collect_activations(model, "blocks.0", texts).rows for _ in range(2))
    assert (first == second).all()


def test_no_layer_after_it_is_computed(model, texts):
    collect_activations(model, "blocks.0", texts)
    assert model.blocks[0].n_calls == len(texts)
    assert model.blocks[1].n_calls == 0


def test_a_layer_that_is_not_called(texts):
    model = nn.ModuleDict({"used": nn.Embedding(30, 4), "idle": nn.Linear(4, 4)})
    model.forward = lambda x: model["used"](x)
    with pytest.raises(ValueError, match="did not call its layer 'idle'"):
        collect_activations(model, "idle", texts)


def test_a_module_in_place_of_its_name(use, model, texts):
    with pytest.raises(TypeError, match=r"layer must be the name of a submodule, .* got a Block"):
        use(model, model.blocks[0], texts)


@pytest.mark.parametrize("one", [torch.ones(2, 3), {"input_ids": torch.ones(2, 3)}])
def test_one_batch_in_place_of_several(model, one):
    for call in (collect_activations, lambda *a: loss_recovered(a[0], a[1], Same(), a[2])):
        with pytest.raises(TypeError, match=r"batches must be several, .* got one"):
            call(model, "embed", one)


def test_a_layer_is_looked_for_at_once(model):
    for context in (splice, lambda *a: steer(*a, 0, 1.0)):
        with pytest.raises(ValueError, match="no layer 'none'"):
            context(model, "none", Same())
