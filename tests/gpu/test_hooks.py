"""Models on a GPU: batches go there, rows come back."""

import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from skamort.hooks import collect_activations, loss_recovered, steer


def test_a_model_elsewhere_does_as_one_here():
    texts = [torch.arange(5).repeat(4, 1).T, torch.arange(3).repeat(3, 1).T]
    repeats = torch.nn.Embedding.from_pretrained(3 * torch.eye(5))  # expects the same token
    model = torch.nn.Sequential(repeats, torch.nn.Identity())
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
