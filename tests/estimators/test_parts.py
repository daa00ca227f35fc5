"""What a part of an estimator says, a user of the whole can act on."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone

from skamort import AmortizedCoder, GradSparseCoder, ITOCoder, LISTAEncoder, SAEEncoder, TopKSAE
from skamort.training import Schedule

X = np.random.default_rng(4).normal(size=(40, 5))
QUICK = GradSparseCoder(6, alpha=0.3, max_iter=1, random_state=0)
STUDENT = LISTAEncoder(max_iter=1, random_state=0)
SAE = SAEEncoder(6, max_iter=1, random_state=0)


def told_by(fit):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("whole", "told"),
    [
        (AmortizedCoder(teacher=QUICK, encoder=STUDENT), ["GradSparseCoder: ", "LISTAEncoder: "]),
        (AmortizedCoder(6, max_iter=1, random_state=0), ["GradSparseCoder: ", "LISTAEncoder: "]),
        (ITOCoder(estimator=SAE), ["SAEEncoder: "]),
        (AmortizedCoder(teacher=ITOCoder(estimator=SAE)), ["SAEEncoder: "]),
    ],
    ids=["parts", "defaults", "estimator", "part of a part"],
)
def test_a_warning_says_whose_part_warns_and_how_it_is_set(whole, told):
    whole = clone(whole).set_params(random_state=0)
    messages = [m for m in told_by(lambda: whole.fit(X)) if "raise max_iter" in m]
    for start in told:
        (message,) = [m for m in messages if m.startswith(start)]
        kind, kinds = start.partition(":")[0], type(whole).__name__
        name = "estimator" if kind == "SAEEncoder" else ("encoder", "teacher")["G" in kind]
        owner = "ITOCoder" if name == "estimator" else kinds
        given = getattr(whole, name, True) is not None
        how = f"{name}__..." if given else f"{name}={kind}(...)"
        assert f"({kind} is the {name} of {owner}: set its parameters by {how}, or" in message
        assert ("(ITOCoder is the teacher of AmortizedCoder: " in message) == (owner != kinds)
    assert not any("is the" in m for m in told_by(lambda: clone_of(told).fit(X)))


def clone_of(told):
    """An estimator of the kind that warned, by itself after it was a part."""
    return clone(SAE if "SAE" in told[0] else QUICK)


def test_a_remedy_is_one_that_the_whole_has():
    encoder = SAEEncoder(max_iter=100, learning_rate=0.1, random_state=0)
    coder = AmortizedCoder(6, alpha=9.0, encoder=encoder, random_state=0)
    useless = [m for m in told_by(lambda: coder.fit(X)) if "SAEEncoder: the fit explains" in m]
    assert "take a teacher whose codes explain X" in useless[0]
    assert "scale the codes" not in useless[0]


@pytest.mark.parametrize(
    "encoder",
    [
        TopKSAE(k=7),
        TopKSAE(k="many"),
        SAEEncoder(schedule=Schedule(warmup=2)),
        SAEEncoder(alpha=-1),
    ],
)
def test_an_error_says_so_too(encoder):
    with pytest.raises((ValueError, TypeError)) as caught:
        AmortizedCoder(6, teacher=QUICK, encoder=encoder).fit(X)
    kind = type(encoder).__name__
    assert caught.value.__notes__ == [
        f"({kind} is the encoder of AmortizedCoder: set its parameters by encoder__..., or on "
        "AmortizedCoder those that both have, which go first.)"
    ]


def test_what_is_said_to_be_set_helps():
    coder = clone(AmortizedCoder(teacher=QUICK, encoder=STUDENT, random_state=0))
    assert len([m for m in told_by(lambda: coder.fit(X)) if "raise max_iter" in m]) == 2
    coder.set_params(teacher__max_iter=500, encoder__tol=0.5, encoder__max_iter=500)
    assert not [m for m in told_by(lambda: coder.fit(X)) if "raise max_iter" in m]
