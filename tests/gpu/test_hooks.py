"""Models on a GPU: batches go there, rows come back."""

import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from skamort.hooks import collect_activations, loss_recovered, steer


def test_a_model_elsewhere_does_as_one_here():
    texts = [torch.arange(12).reshape(3, 4) % 5, torch.arange(9).reshape(3, 3) % 5]
    embed = torch.nn.Embedding(5, 6)
    model = torch.nn.Sequential(embed, torch.nn.Linear(6, 5))
    outcomes = []
    for device in ("cpu", "cuda"):
        model.to(device)
        rows = collect_activations(model, "0", texts, dtype="float32").rows
        pca = PCA(2).fit(rows)
        with steer(model, "0", pca, 1, 2.0):
            steered = collect_activations(model, "0", texts, dtype="float32").rows
        losses = loss_recovered(model, "0", pca, texts)
        outcomes.append((rows, steered, *losses.spliced, *losses.recovered, *losses.kl))
    for here, there in zip(*outcomes, strict=True):
        assert_allclose(here, there, rtol=1e-4, atol=1e-5)
