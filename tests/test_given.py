"""The wrong thing in place of an estimator or of numbers: an error that says what came, for all
that is public."""

import importlib
import inspect
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA, SparseCoder
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn, tensor

from skamort import SAEEncoder, inspection
from skamort.inspection import DictionaryDisplay, match_dictionaries
from skamort.metrics import dictionary_mcc, mutual_coherence, stability

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
rng = np.random.default_rng(0)
X, D = rng.normal(size=(12, 4)), rng.normal(size=(5, 4))
Z = np.abs(rng.normal(size=(12, 5)))
CODER = SAEEncoder(dictionary=D, max_iter=1, tol=0.5, random_state=0)
PIPELINE = make_pipeline(StandardScaler(), PCA(3)).fit(X)

# What stands for each argument without a default, by its name.
ARGUMENTS = {
    "X": X, "X_train": X, "X_test": X, "X_reconstructed": X[::-1],
    "codes": Z, "codes_true": Z, "dictionary": D, "dictionary_true": D,
    "dictionary_small": D, "dictionary_large": D, "dictionaries": [D, D],
    "gram_codes": Z.T @ Z, "cross": Z.T @ X,
    "alpha": 0.1, "l0": 2.0, "y": np.arange(12) % 2, "sources": np.arange(12) % 3,
    "n_samples": 3, "n_components": 4, "n_features": 4, "n_nonzero_coefs": 2, "n_atoms": 5,
    "param_name": "alpha", "param_range": [0.1, 0.2], "param_grid": {"alpha": [0.1, 0.2]},
    "tokens": [["a"] * 6] * 2, "text": [0] * 6 + [1] * 6, "position": [*range(6)] * 2,
    "model": nn.Sequential(nn.Identity()), "layer": "0", "batch": tensor(X), "batches": [tensor(X)],
    "latent": 0, "strength": 1.0, "padding": 0, "path": "nowhere",
}  # fmt: skip
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    CODER.fit(X)
ROOMS = ("estimators", "hooks", "inspection", "interop", "metrics", "solvers")
ESTIMATORS = {"estimator", "estimators"}
MATRICES = {name for name, value in ARGUMENTS.items() if np.ndim(value) == 2} - {"batch", "tokens"}
# By what an error says of them.
WRONG = {
    "None": None, "PCA": PCA, "LinearRegression": LinearRegression().fit(X, X[:, 0]),
    "ndarray of shape": D, "'sae'": "sae", "3": 3,
}  # fmt: skip
MASKED = np.ma.masked_array(X, X > 0)
NO_MATRICES = {
    "none": None, "class": PCA, "fitted": PCA().fit(X), "unfitted": PCA(), "dict": {"a": X},
    "list of estimators": [PCA()], "text": "sae", "row": X[0], "empty": X[:0],
    "path": Path("X.npy"), "masked": MASKED, "masked rows": [*MASKED], "dates": X.astype("M8[s]"),
    "ragged": [[1.0, 2.0], [3.0]], "values": {"a": X}.values(), "records": X.view("f8,f8"),
    "sparse tensor": tensor(X).to_sparse(),
}  # fmt: skip
RAW = ("has no attribute", "float() argument", "missing 1 required", "Cannot clone", "not iterable")


def public_calls():
    """Every public function, alternative constructor and report that takes one of them, by name."""
    for room in map(importlib.import_module, [f"skamort.{name}" for name in ROOMS]):
        for name in sorted({*room.__all__} - {"assembled"}):  # which is for who knows its parts
            thing = getattr(room, name)
            if inspect.isfunction(thing):
                yield name, thing
            elif inspect.isclass(thing):
                for method in ("from_estimator", "from_estimators", "from_dictionary"):
                    if hasattr(thing, method):
                        yield f"{name}.{method}", getattr(thing, method)
                is_report = room is inspection and hasattr(thing, "save")
                if is_report and "estimator" in inspect.signature(thing).parameters:
                    yield name, lambda estimator, X, cls=thing: cls(estimator, X).save("nowhere")


# These fit what they are given, or take few classes.
FIT_OR_KNOW_FEW = ("fit_many", "SweepDisplay.from_estimator", "to_saelens")


def taking(names, but=()):
    """Pairs of such a call, but for some, and an argument among the names."""
    return [
        pytest.param(call, argument, id=f"{name}-{argument}")
        for name, call in public_calls()
        if name not in but
        for argument in sorted(names & set(inspect.signature(call).parameters))
    ]


def called(call, **given):
    """Call with what the arguments without a default are to be, and what was given."""
    parameters = inspect.signature(call).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind != p.VAR_KEYWORD]
    given = {name: ARGUMENTS[name] for name in needed if name not in given} | given
    return call(**{name: v.copy() if name in MATRICES and isinstance(v, np.ndarray) else v
                   for name, v in given.items()})  # fmt: skip


def test_calls_are_found():
    found = [name for name, _ in public_calls()]
    assert {"FeatureReport", "fit_many", "splice", "latent_mcc", "sparse_encode"} <= set(found)
    assert len(taking(ESTIMATORS)) >= 19
    assert len(taking(MATRICES)) >= 40


@pytest.mark.parametrize(("call", "argument"), taking(ESTIMATORS))
def test_an_error_says_what_came_for_an_estimator(call, argument):
    for told, wrong in WRONG.items():
        with pytest.raises((TypeError, ValueError)) as caught:
            called(call, **{argument: wrong})
        message = str(caught.value)
        assert told in message
        assert not any(raw in message for raw in RAW), message


@pytest.mark.parametrize("unfitted", [PCA(2), make_pipeline(StandardScaler(), PCA(2))])
@pytest.mark.parametrize(("call", "argument"), taking({"estimator"}, but=FIT_OR_KNOW_FEW))
def test_an_estimator_that_is_not_fitted(call, argument, unfitted):
    with pytest.raises(NotFittedError, match=r"is not fitted; call its fit first|not fitted yet"):
        called(call, **{argument: clone(unfitted)})


@pytest.mark.parametrize(("call", "argument"), taking(MATRICES))
def test_an_error_says_what_came_for_a_matrix(call, argument):
    parameters = inspect.signature(call).parameters
    coder = {"estimator": CODER, "estimators": [CODER], "alpha": 0.1}
    others = {name: value for name, value in coder.items() if name in parameters}
    stands_for_atoms = argument.startswith("dictionary") and "solvers" not in call.__module__
    for kind, wrong in NO_MATRICES.items():
        is_default = kind == "none" and parameters[argument].default is None
        if is_default or (kind == "fitted" and stands_for_atoms):
            continue
        with pytest.raises((TypeError, ValueError)) as caught:
            called(call, **others, **{argument: wrong})
        message = str(caught.value)
        names = (argument, "the data", "the codes", "is not fitted")
        # What scikit-learn asks estimators to say.
        is_own = "estimator" in parameters and re.match("Expected 2D|Found array", message)
        assert is_own or any(name in message for name in names), (kind, message)
        assert not any(raw in message for raw in RAW), (kind, message)


@pytest.mark.parametrize("fitted", [PCA(3).fit(X), SparseCoder(D)])
def test_a_fitted_estimator_stands_for_its_dictionary(fitted):
    atoms = getattr(fitted, "components_", D)
    assert dictionary_mcc(fitted, D) == dictionary_mcc(atoms, D)
    assert stability([fitted, D]) == dictionary_mcc(D, fitted)
    assert mutual_coherence(fitted) == mutual_coherence(atoms)
    for small, large in ((fitted, D), (D, fitted), (fitted, fitted)):
        found = match_dictionaries(small, large)
        arrays = [atoms if each is fitted else each for each in (small, large)]
        expected = match_dictionaries(*arrays)
        assert found.cosines.tolist() == expected.cosines.tolist()
    one, other = (DictionaryDisplay.from_dictionary(d, image_shape=(2, 2)) for d in (fitted, atoms))
    assert np.array_equal(one.im_.get_array(), other.im_.get_array(), equal_nan=True)


def test_a_pipeline_stands_for_its_atoms_in_the_space_of_X():
    scaler, pca = PIPELINE[0], PIPELINE[1]
    atoms = pca.components_ * scaler.scale_
    assert match_dictionaries(atoms, PIPELINE).cosines == pytest.approx(1)
    assert match_dictionaries(atoms, PIPELINE).parents.tolist() == [0, 1, 2]
