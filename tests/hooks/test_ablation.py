"""Effects of single latents, where they are known."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from skamort.hooks import ablation_effect, collect_activations


class OneLatentAToken:
    """The codes of a token's embedding are the embedding's own entries."""

    components_ = np.eye(6, dtype=np.float32)

    def transform(self, X):
        return X

    inverse_transform = transform


def effects_of(model, texts, **settings):
    return ablation_effect(model, "0", OneLatentAToken(), texts, random_state=0, **settings)


@pytest.fixture
def reader():
    """Tokens are one-hot in six dimensions, and each predicts itself."""
    embed = torch.nn.Embedding.from_pretrained(2 * torch.eye(6))
    return torch.nn.Sequential(embed, torch.nn.Identity())


@pytest.mark.parametrize("n_positions", [1, 3])
def test_a_latent_that_speaks_for_one_token_at_one_position(reader, n_positions):
    texts = torch.tensor([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]])
    effects = effects_of(reader, texts, n_positions=n_positions)
    assert_allclose(effects.density, 1 / (6 * n_positions), rtol=1e-6)
    assert_allclose(effects.size, 2, rtol=1e-6)
    assert_allclose(effects.code, 2)
    assert (texts.numpy()[effects.text, effects.position] == effects.latent).all()
    assert effects.position.min() == 1
    assert effects.position.max() == 6 - n_positions
    assert len(effects.latent) == 2 * (6 - n_positions)
    assert "mean density" in repr(effects)


def test_as_many_as_asked_and_the_same_for_a_seed(model, texts):
    rows = collect_activations(model, "blocks.0", texts, dtype="float32").rows
    first, second = (
        ablation_effect(
            model, "blocks.0", PCA().fit(rows), texts[0], n_effects=9, n_positions=3, random_state=4
        )
        for _ in range(2)
    )
    assert len(first.latent) == 9
    assert_allclose(first.density, second.density)
    assert ((first.density > 1 / (23 * 3)) & (first.density < 1)).all()


def test_batches_of_keywords(model, texts):
    rows = collect_activations(model, "blocks.0", texts, dtype="float32").rows
    pca = PCA().fit(rows)
    plain, keyed = (
        ablation_effect(model, "blocks.0", pca, batch, n_effects=5, n_positions=2, random_state=0)
        for batch in (
            texts[0],
            {"input_ids": texts[0], "attention_mask": torch.ones_like(texts[0])},
        )
    )
    assert_allclose(plain.size, keyed.size, rtol=1e-4)


def test_too_short_texts(reader):
    with pytest.raises(ValueError, match="no latent is active at a position with 7 more after it"):
        effects_of(reader, torch.tensor([[0, 1, 2]]))


@pytest.mark.parametrize("setting", ["n_effects", "n_positions"])
def test_no_effects(reader, setting):
    with pytest.raises(ValueError, match=f"{setting} must be >= 1, got 0"):
        effects_of(reader, torch.tensor([[0, 1, 2]]), **{setting: 0})
