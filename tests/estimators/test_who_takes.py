import re

import numpy as np
import pytest
from discovery import public_estimators
from sklearn.utils._param_validation import InvalidParameterError

from skamort import GradSparseCoder, SAEEncoder
from skamort.training import TeachDead

X = np.random.default_rng(0).normal(size=(12, 4))


def refusal(estimator):
    """What is said of parameters; None where they are taken."""
    try:
        estimator._validate_params()
    except InvalidParameterError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dead_latents", "auxk"),
        ("dead_latents", TeachDead()),
        ("max_iter", "auto"),
        ("positive_code", "auto"),
        ("algorithm", "published"),
    ],
    ids=str,
)
def test_a_value_that_others_take_is_refused_with_their_names(name, value):
    knowing = [kind for kind in public_estimators() if name in kind().get_params()]
    told = {kind.__name__: refusal(kind(**{name: value})) for kind in knowing}
    takers = sorted(kind for kind, message in told.items() if message is None)
    refusals = [message for message in told.values() if message]
    assert refusals
    for message in refusals:
        named = re.search("Got .* instead. These estimators take it: (.*); choose one", message)
        assert (sorted(named[1].split(", ")) if named else []) == takers


@pytest.mark.parametrize("wrong", [{"alpha": -1}, {"dict_init": "first"}, {"max_iter": 0.5}])
def test_what_none_takes_is_refused_as_scikit_learn_does(wrong):
    for kind in (SAEEncoder, GradSparseCoder):
        assert refusal(kind(**wrong)).endswith(f"Got {next(iter(wrong.values()))!r} instead.")


def test_a_fit_says_so():
    with pytest.raises(InvalidParameterError, match=r"'dead_latents' .* take it: .*TopKSAE; c"):
        SAEEncoder(4, dead_latents="auxk").fit(X)
