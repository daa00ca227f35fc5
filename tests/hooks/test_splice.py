"""Reconstructions and steps along atoms stand where they should, and nowhere else."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from skamort import TopKSAE
from skamort.hooks import collect_activations, splice, steer

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning"
)


def seen_after(model, layer, batch, context):
    """What the layer hands on within the context."""
    with context, torch.no_grad():
        seen = []
        handle = model.get_submodule(layer).register_forward_hook(
            lambda _m, _i, output: seen.append(output)
        )
        model(batch)
        handle.remove()
    return seen[0][0] if isinstance(seen[0], tuple) else seen[0]


@pytest.mark.parametrize("layer", ["embed", "blocks.0", "blocks.1"])
def test_a_perfect_reconstruction_changes_nothing(model, texts, layer):
    model.eval()
    rows = collect_activations(model, layer, texts, dtype="float32").rows
    pca = PCA().fit(rows)
    before = model(texts[0])
    with splice(model, layer, pca):
        within = model(texts[0])
    assert_allclose(within.detach(), before.detach(), atol=1e-4)
    assert torch.equal(model(texts[0]), before)


@pytest.mark.parametrize("sparse_output", [False, True])
@pytest.mark.parametrize("skip", [0, 1, 2])
def test_rows_are_the_estimators_but_for_the_first(model, texts, skip, sparse_output):
    model.eval()
    rows = collect_activations(model, "blocks.0", texts, dtype="float32").rows
    sae = TopKSAE(6, k=2, max_iter=2, sparse_output=sparse_output, random_state=0).fit(rows)
    clean = seen_after(model, "blocks.0", texts[0], torch.no_grad()).numpy()
    found = seen_after(model, "blocks.0", texts[0], splice(model, "blocks.0", sae, skip=skip))
    flat = clean[:, skip:].reshape(-1, clean.shape[-1])
    expected = clean.copy()
    expected[:, skip:] = sae.inverse_transform(sae.transform(flat)).reshape(4, 7 - skip, -1)
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("strength", [2.5, -1.0])
def test_an_atom_is_added(model, texts, strength):
    model.eval()
    pca = PCA().fit(collect_activations(model, "embed", texts, dtype="float32").rows)
    clean = seen_after(model, "embed", texts[0], torch.no_grad())
    moved = seen_after(model, "embed", texts[0], steer(model, "embed", pca, 3, strength))
    expected = np.zeros(clean.shape)
    expected[:, 1:] = strength * pca.components_[3]
    assert_allclose((moved - clean).numpy(), expected, atol=1e-5)


def test_one_token_at_a_time_as_with_a_cache(model, texts):
    pca = PCA().fit(collect_activations(model, "embed", texts, dtype="float32").rows)
    together, *one_by_one = (
        seen_after(model, "embed", tokens, steer(model, "embed", pca, 2, 3.0, skip=0))
        for tokens in [texts[0], *texts[0].split(1, dim=1)]
    )
    assert_allclose(torch.cat(one_by_one, 1), together, atol=1e-6)


@pytest.mark.parametrize("latent", [-1, 8])
def test_a_latent_that_is_not_there(model, texts, latent):
    pca = PCA().fit(collect_activations(model, "embed", texts, dtype="float32").rows)
    with pytest.raises(ValueError, match=f"latent must be from 0 to 7, got {latent}"):
        steer(model, "embed", pca, latent, 1.0)


def test_texts_of_one_position_have_nothing_to_replace(model):
    model.eval()
    one = torch.tensor([[3], [5]])
    pca = PCA().fit(np.eye(8))
    before = model(one)
    with splice(model, "embed", pca):
        assert torch.equal(model(one), before)


@pytest.mark.parametrize(
    ("latent", "strength", "error"),
    [("0", 1.0, TypeError), (1.5, 1.0, TypeError), (True, 1.0, TypeError), (0, np.nan, TypeError)],
)
def test_what_is_no_latent_and_no_strength(model, latent, strength, error):
    with pytest.raises(error, match=r"latent must be|strength must be"):
        steer(model, "embed", PCA().fit(np.eye(8)), latent, strength)


def test_atoms_of_another_width(model, texts):
    with (
        steer(model, "embed", PCA().fit(np.eye(5)), 0, 1.0),
        pytest.raises(ValueError, match="atoms have 5 features, but layer 'embed' returns 8"),
    ):
        model(texts[0])


def test_an_estimator_that_is_not_fitted(model):
    with pytest.raises(NotFittedError):
        steer(model, "embed", TopKSAE(4), 0, 1.0)
