"""What is lost: nothing by the identity, all by the mean, and within an interval that covers."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from torch.nn.functional import cross_entropy

from skamort.hooks import collect_activations, loss_recovered
from skamort.hooks._loss_recovered import _ratio


class Constant:
    """Reconstructs every row as the same."""

    def __init__(self, row):
        self.row = row

    def transform(self, X):
        return X

    def inverse_transform(self, X):
        return np.broadcast_to(self.row, X.shape)


@pytest.fixture
def texts(model, texts):
    """Texts that the model itself would write, so that it loses by what is done to it."""
    with torch.no_grad():
        model.unembed.weight *= 5
        model.eval()
        written = []
        for ids in texts:
            for position in range(1, ids.shape[1]):
                ids[:, position] = model(ids)[:, position - 1].argmax(1)
            written.append(ids)
    return written


@pytest.fixture
def rows(model, texts):
    return collect_activations(model, "blocks.0", texts, dtype="float32").rows


def test_the_clean_loss_is_the_models(model, texts, rows):
    losses = loss_recovered(model, "blocks.0", PCA(2).fit(rows), texts)
    model.eval()
    ids = torch.cat(texts)
    expected = cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert losses.clean.mean == pytest.approx(float(expected.detach()), rel=1e-5)
    assert losses.n_losses == 12 * 6


def test_a_perfect_reconstruction_recovers_all(model, texts, rows):
    losses = loss_recovered(model, "blocks.0", PCA().fit(rows), texts)
    assert_allclose(losses.recovered, 1, atol=1e-2)
    assert_allclose(losses.recovered_from_zero, 1, atol=1e-2)
    assert_allclose(losses.kl, 0, atol=1e-5)


def test_the_mean_recovers_nothing(model, texts, rows):
    losses = loss_recovered(model, "blocks.0", Constant(rows.mean(0)), texts)
    assert_allclose(losses.recovered, 0, atol=1e-2)
    assert losses.mean_ablated == pytest.approx(losses.spliced, abs=1e-3)
    assert losses.kl.mean > 0


def test_zero_is_worth_zero(model, texts):
    losses = loss_recovered(model, "blocks.0", Constant(np.zeros(8)), texts)
    assert losses.zero_ablated == losses.spliced
    assert losses.recovered_from_zero.mean == 0


def test_padding_counts_for_nothing(model, texts, rows):
    """Texts of seven tokens are the same padded to ten."""
    pca = PCA(3).fit(rows)
    plain = loss_recovered(model, "blocks.0", pca, texts)
    padding = torch.zeros(4, 3, dtype=torch.long)
    attended = torch.cat([torch.ones(4, 7, dtype=torch.long), padding], 1)
    padded = [
        {"input_ids": torch.cat([ids, padding], 1), "attention_mask": attended} for ids in texts
    ]
    losses = loss_recovered(model, "blocks.0", pca, padded)
    assert losses.n_losses == plain.n_losses
    for name in ("clean", "spliced", "mean_ablated", "zero_ablated", "recovered", "kl"):
        assert_allclose(getattr(losses, name), getattr(plain, name), rtol=1e-3, atol=1e-4)


def test_the_batches_do_not_matter(model, texts, rows):
    pca, ids = PCA(3).fit(rows), torch.cat(texts)
    one, three = (loss_recovered(model, "blocks.0", pca, each) for each in ([ids], texts))
    assert_allclose(one.recovered, three.recovered, rtol=1e-4)
    assert_allclose(one.spliced, three.spliced, rtol=1e-5)


def test_a_loss_of_ones_own_on_rows_without_positions():
    X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).double()
    model = torch.nn.Identity()
    losses = loss_recovered(
        model, "", PCA(2).fit(X.numpy()), [X[:25], X[25:]], lambda y, x: (y - x).square().sum(1)
    )
    explained = PCA(2).fit(X.numpy()).explained_variance_ratio_.sum()
    assert losses.clean.mean == 0
    assert losses.kl is None
    assert losses.recovered.mean == pytest.approx(explained, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_that_of_the_jackknife(seed):
    """Leaving out a text at a time gives the same spread, but for terms of higher order."""
    rng = np.random.default_rng(seed)
    below = rng.uniform(5, 6, 300)
    above = below * 0.7 + rng.standard_normal(300)
    left_out = (above.sum() - above) / (below.sum() - below)
    spread = np.sqrt(299 / 300 * ((left_out - left_out.mean()) ** 2).sum())
    mean, low, high = _ratio(above, below, z=2.0)
    assert mean == above.sum() / below.sum()
    assert (high - low) / 4 == pytest.approx(spread, rel=0.02)


def test_more_confidence_is_a_wider_interval(model, texts, rows):
    pca = PCA(2).fit(rows)
    narrow, wide = (
        loss_recovered(model, "blocks.0", pca, texts, confidence=c).recovered for c in (0.5, 0.99)
    )
    assert wide.low < narrow.low < narrow.mean == wide.mean < narrow.high < wide.high


def test_the_losses_of_each_text(model, texts, rows):

    def loss(output, batch):
        """A text that begins with an odd token has nothing to predict."""
        each = cross_entropy(output[:, :-1].transpose(1, 2), batch[:, 1:], reduction="none")
        return each.where(batch[:, :1] % 2 == 0, torch.nan)

    losses = loss_recovered(model, "blocks.0", PCA(2).fit(rows), texts, loss)
    odd = np.flatnonzero(torch.cat(texts)[:, 0] % 2)
    assert 0 < len(odd) < 12
    for name, each in losses.by_text.items():
        assert each.shape == (12,)
        assert_array_equal(np.flatnonzero(np.isnan(each)), odd)
        assert np.nanmean(each) == pytest.approx(getattr(losses, name).mean, rel=1e-6)
    with torch.no_grad():
        alone = loss(model.eval()(texts[1]), texts[1]).mean(1)
    assert_allclose(losses.by_text["clean"][4:8], alone, rtol=1e-5)


def test_what_was_measured_is_shown(model, texts, rows):
    shown = str(loss_recovered(model, "blocks.0", PCA(2).fit(rows), texts))
    assert "recovered from zero" in shown
    assert len(shown.splitlines()) == 8


def nan_when_replaced(output, batch):
    return torch.where(output.sum(-1) == batch.float().sum(-1), 0.0, torch.nan)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda _output, _batch: torch.tensor(1.0), r"a row for each of 4 texts, got shape \(\)"),
        (lambda _output, _batch: torch.ones(3), r"got shape \(3,\)"),
        (lambda _output, batch: batch[:, 0] * torch.inf, "with infinity"),
        (nan_when_replaced, "NaN with layer '' replaced where it was not before"),
    ],
)
def test_losses_that_cannot_be(loss, said):
    batches = [torch.rand(4, 3, 2)[..., 0] + 1]
    with pytest.raises(ValueError, match=said):
        loss_recovered(torch.nn.Identity(), "", Constant(np.zeros(3)), batches, loss)


def test_bad_requests(model, texts, rows):
    pca = PCA(2).fit(rows)
    with pytest.raises(ValueError, match="two texts at least"):
        loss_recovered(model, "blocks.0", pca, [texts[0][:1]])
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        loss_recovered(model, "blocks.0", pca, texts, confidence=95)
    with pytest.raises(ValueError, match=r"no row of layer 'blocks.0' is replaced"):
        loss_recovered(model, "blocks.0", pca, texts, skip=7)
    with pytest.raises(TypeError, match=r"output must be logits .* got Tensor; give `loss`"):
        loss_recovered(torch.nn.Identity(), "", Constant(np.zeros(3)), [torch.ones(4, 3)])


def test_a_layer_that_does_nothing_for_the_loss(rows):
    X = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="does not lose by (mean|zero) ablation"):
        losses = loss_recovered(
            torch.nn.Identity(), "", Constant(np.ones(3)), [X], lambda _y, x: np.ones(len(x))
        )
    assert np.isnan(losses.recovered).all()
    assert losses.spliced.mean == 1
