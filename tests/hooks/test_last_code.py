"""Codes at the end of texts of any length are those of the texts one by one."""

import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from skamort.hooks import collect_activations, last_code


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_texts_of_any_length(model, texts, batch_size):
    pca = PCA().fit(collect_activations(model, "blocks.1", texts, dtype="float32").rows)
    activate = last_code(model, "blocks.1", pca, 2, padding=0, batch_size=batch_size)
    asked = [[3, 4, 5], [7], [1, 2, 3, 4, 5, 6], [9, 9]]
    model.eval()
    for text, code in zip(asked, activate(asked), strict=True):
        rows = collect_activations(
            model, "blocks.1", [torch.tensor([[0, *text]])], dtype="float32"
        ).rows
        assert_allclose(code, pca.transform(rows)[-1, 2], atol=1e-5)
    assert len(activate([])) == 0


def test_a_missing_layer_is_told_at_once(model):
    with pytest.raises(ValueError, match="no layer"):
        last_code(model, "none", PCA(), 0, padding=0)


def test_bad_requests(model):
    with pytest.raises(ValueError, match="latent must be >= 0"):
        last_code(model, "embed", PCA(), -1, padding=0)
    with pytest.raises(ValueError, match="batch_size must be >= 1"):
        last_code(model, "embed", PCA(), 0, padding=0, batch_size=0)
