"""skorch's own callbacks in a fit: they do what they say, or are refused by name."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from skorch.callbacks import (
    BatchScoring,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    InputShapeSetter,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    Unfreezer,
)
from torch.optim.lr_scheduler import StepLR

from skamort import JumpReLUSAE, MLPEncoder, SAEEncoder, TopKSAE
from skamort.training import TeachDead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).normal(size=(120, 6))
QUICK = {"max_iter": 4, "batch_size": 32, "random_state": 0}
FROZEN = [SAEEncoder(9, **QUICK), JumpReLUSAE(9, **QUICK), MLPEncoder(9, **QUICK)]
FROZEN += [TopKSAE(30, k=1, dead_latents=TeachDead(window=30), fit_intercept=True, **QUICK)]


def mean_l0(net, X, y=None):
    return float((net.predict(X) > 0).sum(axis=1).mean())


def fit(*callbacks, **settings):
    return TopKSAE(9, k=2, callbacks=list(callbacks), **QUICK | settings).fit(X)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("on_train", [False, True])
@pytest.mark.parametrize("use_caching", [False, True])
def test_epochs_are_scored(early_stopping, on_train, use_caching):
    score = EpochScoring(mean_l0, name="l0", on_train=on_train, use_caching=use_caching)
    sae = fit(score, early_stopping=early_stopping)
    if not (early_stopping or on_train):  # then there is nothing to score
        assert "l0" not in sae.net_.history[-1]
        return
    scores = sae.net_.history[:, "l0"]
    assert len(scores) == 4
    assert 0 < min(scores) <= max(scores) <= 2
    if on_train and not early_stopping:
        assert scores[-1] == (sae.transform(X) > 0).sum(axis=1).mean()


def test_a_checkpoint_of_the_best_epoch_brings_it_back(tmp_path):
    best = Checkpoint(monitor="train_loss_best", dirname=tmp_path, load_best=True)
    plain = {"schedule": None, "dict_init": None, "fit_intercept": False}
    sae = fit(best, learning_rate=0.7, max_iter=12, **plain)
    losses = np.array(sae.loss_curve_)
    assert losses.argmin() < 11
    lowest = np.minimum.accumulate(losses)
    assert sae.net_.history[:, "train_loss_best"] == [True, *(lowest[1:] < lowest[:-1])]
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert_array_equal(sae.components_, saved["decoder.dictionary"].numpy())
    short = fit(learning_rate=0.7, max_iter=int(losses.argmin()) + 1, **plain)
    assert_array_equal(sae.components_, short.components_)


def test_early_stopping_stops():
    assert fit(EarlyStopping("train_loss", patience=2, threshold=1e9), max_iter=9).n_iter_ == 3


@pytest.mark.parametrize("part", ["encoder", "decoder", "activation"])
@pytest.mark.parametrize("estimator", FROZEN, ids=lambda e: type(e).__name__)
def test_frozen_weights_stay(estimator, part):
    seen = []

    def weights(parameter):
        seen.append(parameter.detach().clone())
        return parameter

    watch = [ParamMapper(f"{part}*", at=epoch, fn=weights) for epoch in (2, 4)]
    frozen = estimator.set_params(callbacks=[Freezer(f"{part}*", at=2), *watch]).fit(X)
    names = [n for n, _ in frozen.net_.module_.named_parameters() if n.startswith(part)]
    for before, after in zip(seen[: len(names)], seen[len(names) :], strict=True):
        assert_array_equal(before, after)
    state, n_steps = frozen.net_.optimizer_.state, {True: 0, False: 0}
    for name, parameter in frozen.net_.module_.named_parameters():
        is_frozen, steps = name.startswith(part), int(state[parameter].get("step", 0))
        n_steps[is_frozen] = max(n_steps[is_frozen], steps)
    assert n_steps[False] > n_steps[True]


def test_frozen_weights_thaw():
    atoms = []
    watch = ParamMapper("decoder.dictionary", at=3, fn=lambda p: atoms.append(p.clone()) or p)
    sae = fit(Freezer("decoder*"), watch, Unfreezer("decoder*", at=3))
    assert np.abs(sae.components_ - atoms[0].detach().numpy()).max() > 1e-4


def test_others_do_their_part(capsys):
    plain = fit()
    assert capsys.readouterr() == ("", "")
    steps = LRScheduler(StepLR, step_size=1, gamma=1e-30)
    slow = fit(steps, PrintLog(), ProgressBar(), GradientNormClipping(1e9))
    assert not np.array_equal(plain.components_, slow.components_)
    assert_array_equal(fit(GradientNormClipping(1e9)).components_, plain.components_)
    assert "train_loss" in capsys.readouterr().out
    assert slow.net_.history[-1]["event_lr"] < 1e-80


@pytest.mark.parametrize(
    ("callback", "error", "message"),
    [
        (BatchScoring(mean_l0), TypeError, "TopKSAE: BatchScoring cannot work, .* EpochScoring"),
        (("one", PassthroughScoring("x")), TypeError, "PassthroughScoring cannot work"),
        (InputShapeSetter, TypeError, "InputShapeSetter cannot work, .* leave it out"),
        (EarlyStopping(), ValueError, "EarlyStopping monitors valid_loss, .* early_stopping=True"),
        (Checkpoint(), ValueError, "Checkpoint monitors valid_loss_best, .* 'train_loss'"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(callback, error, message):
    with pytest.raises(error, match=message):
        fit(callback)
