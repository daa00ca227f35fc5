"""What users hold numbers in: taken for what it is, or refused in words."""

from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
from discovery import public_estimators
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from skamort import GradSparseCoder, ITOCoder, SAEEncoder, TopKSAE
from skamort._matrices import check_labels
from skamort._numbers import as_array, check_array_given
from skamort._rows import is_lazy
from skamort.metrics import fraction_variance_unexplained, latent_mcc, mean_l0
from skamort.solvers import (
    alpha_max,
    duality_gap,
    sparse_encode,
    update_dictionary,
    update_dictionary_rows,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(3)
X, D = RNG.normal(size=(30, 5)), RNG.normal(size=(7, 5))
HIDDEN = RNG.random(X.shape) < 0.2
MASKED = np.ma.masked_array(X, HIDDEN)
SAE = SAEEncoder(7, max_iter=1, random_state=0)


FORMS = pytest.mark.parametrize("masked", [MASKED, list(MASKED), deque(MASKED)], ids=type)


@FORMS
@pytest.mark.parametrize(
    "coder",
    [
        GradSparseCoder(7, max_iter=2, random_state=0, missing_values=np.nan),
        ITOCoder(dictionary=D, alpha=0.3, missing_values=np.nan),
    ],
    ids=lambda coder: type(coder).__name__,
)
def test_what_a_mask_hides_is_missing(coder, masked):
    holed = np.where(HIDDEN, np.nan, X)
    expected = clone(coder).fit(holed)
    assert_array_equal(coder.fit(masked).components_, expected.components_)
    assert_array_equal(coder.transform(masked), expected.transform(holed))
    assert coder.score(masked) == expected.score(holed) != coder.score(X)


def test_a_scaler_before_the_coder_passes_on_what_is_filled_with_nan():
    """And drops a mask, which the page on choosing says."""
    hidden = np.ma.masked_array(np.where(HIDDEN, 1e6, X), HIDDEN)
    assert StandardScaler().fit(hidden).mean_.max() > 1e3
    coder = GradSparseCoder(7, max_iter=2, random_state=0, missing_values=np.nan)
    pipeline = make_pipeline(StandardScaler(), coder).fit(hidden.filled(np.nan))
    scaled = (X - np.nanmean(hidden.filled(np.nan), 0)) / np.nanstd(hidden.filled(np.nan), 0)
    expected = clone(coder).fit(np.ma.masked_array(scaled, HIDDEN))
    assert_allclose(pipeline[-1].components_, expected.components_, atol=1e-9)


def test_whole_numbers_may_be_masked():
    whole = np.ma.masked_array(np.arange(6).reshape(2, 3), [[0, 1, 0], [0, 0, 0]])
    assert_array_equal(as_array(whole), [[0, np.nan, 2], [3, 4, 5]])
    assert as_array(whole[:1].astype(np.float32)).dtype == np.float32
    assert as_array([[5, 6, 7], *whole]).tolist()[2] == [3, 4, 5]
    assert np.isnan(as_array(whole.astype(object)).astype(float)).sum() == 1


@FORMS
def test_solvers_that_know_what_is_observed_never_look_behind_a_mask(masked):
    seen, Z = ~HIDDEN, RNG.exponential(size=(30, 7))
    for solve in (
        lambda data, mask: sparse_encode(data, D, alpha=0.2, mask=mask),
        lambda data, mask: duality_gap(data, Z, D, 0.2, mask=mask),
        lambda data, mask: alpha_max(data, D, mask=mask),
    ):
        assert_array_equal(solve(masked, seen), solve(X, seen))
        with pytest.raises(ValueError, match="NaN"):
            solve(masked, np.ones_like(seen))
    with pytest.raises(ValueError, match="mask has masked entries itself; fill them"):
        sparse_encode(X, D, mask=np.ma.masked_array(seen, HIDDEN))


@FORMS
def test_what_is_masked_is_no_data_code_or_start(masked):
    for use in (
        lambda: sparse_encode(masked, D),
        lambda: sparse_encode(X, D, algorithm="lasso_cd", init=[*masked]),
        lambda: fraction_variance_unexplained(X, masked),
    ):
        with pytest.raises(ValueError, match="must be given whole, got masked entries"):
            use()


@pytest.mark.parametrize("labels", [[3, 4], ["a", "b"], [0.5, 1.5]])
def test_a_label_that_is_masked_is_none(labels):
    masked = np.ma.masked_array(labels, [True, False])
    for given in (masked, [*masked]):
        with pytest.raises(ValueError, match="y contains NaN or a mask; leave out the rows"):
            check_labels(given, "y")


def test_masked_rows_of_several_lengths_are_refused():
    with pytest.raises(ValueError, match="X must have rows of one length"):
        sparse_encode([MASKED[0], MASKED[1, :3]], D)


@pytest.mark.parametrize("coder", public_estimators())
def test_every_estimator_refuses_masked_entries_and_takes_a_mask_that_hides_none(coder):
    named = rf"{coder.__name__}: the data must be given whole, got masked entries; .*missing_values"
    for masked in (MASKED, [*MASKED]):
        with pytest.raises(ValueError, match=named):
            coder(7).fit(masked)
    assert_array_equal(as_array(np.ma.masked_array(X)), X)


def test_weights_in_a_sparse_matrix_have_its_shape():
    with pytest.raises(ValueError, match=r"sample_weight must have shape .* got \(1, 30\)"):
        clone(SAE).fit(X, sample_weight=sparse.csr_array(np.ones((1, 30))))


def test_codes_and_weights_that_are_masked_are_refused():
    for given in ({"codes": abs(RNG.normal(size=(30, 7)))}, {"sample_weight": abs(X[:, 0])}):
        name, values = next(iter(given.items()))
        hidden = np.ma.masked_less(values, 0.1)
        told = f"the {name} must be given whole, got masked entries; fill them, as .* does\\.$"
        with pytest.raises(ValueError, match=told):
            clone(SAE).fit(X, **{name: hidden})


CODES = np.abs(RNG.normal(size=(30, 7)))
TAKES_CODES = {
    "fit": lambda codes: clone(SAE).fit(X, codes=codes),
    "partial_fit": lambda codes: clone(SAE).partial_fit(X, codes=codes),
    "inverse_transform": lambda codes: SAE.fit(X).inverse_transform(codes),
    "update": lambda codes: update_dictionary(D.copy(), codes, np.ones((7, 5))),
    "update_rows": lambda codes: update_dictionary_rows(D.copy(), codes, X),
    "duality_gap": lambda codes: duality_gap(X, codes, D, 0.2),
    "init": lambda codes: sparse_encode(X, D, init=codes),
    "mean_l0": mean_l0,
    "latent_mcc": lambda codes: latent_mcc(CODES, codes),
}
COLUMN_OR_ROW = r"got shape \(30,\); .*\[:, None\] where it is a column, \[None\] where a row"


@pytest.mark.parametrize("use", TAKES_CODES.values(), ids=TAKES_CODES)
@pytest.mark.parametrize(
    ("codes", "told"),
    [
        (CODES[:, 0], COLUMN_OR_ROW),
        (torch.tensor(CODES[:, 0]), COLUMN_OR_ROW),
        (CODES[None], r"got shape \(1, 30, 7\); .*two dimensions, by .reshape\(n_rows"),
        (CODES[:0], r"got shape \(0, 7\); pass one that is not empty"),
        (np.ma.masked_less(CODES, 0.1), "got masked entries; fill them, as .* does"),
        (np.where(CODES < 0.1, np.inf, CODES), "contains NaN or infinity; remove or impute"),
    ],
    ids=["column", "tensor", "block", "empty", "masked", "infinite"],
)
def test_codes_that_are_no_matrix_are_told_what_they_must_be(use, codes, told):
    with pytest.raises(ValueError, match=told):
        use(codes)


@pytest.mark.parametrize("name", ["dictionary", "dict_init", "feature_weights"])
@pytest.mark.parametrize("path", ["atoms.npy", Path("atoms")])
def test_a_path_in_place_of_an_array_parameter_is_told_to_be_loaded(name, path):
    with pytest.raises(TypeError, match=rf"TopKSAE: {name} must hold numbers, .*np\.load\(path"):
        TopKSAE(7, **{name: path}).fit(X)


@pytest.mark.parametrize("name", ["dictionary", "dict_init", "feature_weights"])
@pytest.mark.parametrize("wrong", [{"a": D}, {1, 2}])
def test_a_dict_or_a_set_in_place_of_an_array_parameter(name, wrong):
    with pytest.raises(
        TypeError, match=f"TopKSAE: {name} must hold numbers, got .*; pass an array"
    ):
        TopKSAE(7, **{name: wrong}).fit(X)


@pytest.mark.parametrize("weights", [[1, 2, 3, 4, "a"], lambda X, y: np.array(["1"] * 5)])
def test_weights_of_features_are_numbers(weights):
    with pytest.raises(ValueError, match="the feature_weights must hold numbers, got texts"):
        TopKSAE(7, feature_weights=weights).fit(X)


def test_a_name_that_is_no_option_is_answered_with_the_options():
    with pytest.raises(ValueError, match=r"dict_init.*k-means\+\+.*Got 'sampels'"):
        TopKSAE(7, dict_init="sampels").fit(X)


@pytest.mark.parametrize("given", ["X.npy", b"X", Path("X.npy")])
def test_a_path_in_place_of_data_or_codes_is_told_to_be_loaded(given):
    message = (
        r"must hold numbers, got .*; pass an array, of a file np\.load\(path\), with mmap_mode="
    )
    for use in (
        SAE.fit,
        lambda path: clone(SAE).fit(X, codes=path),
        lambda path: sparse_encode(path, D),
        lambda path: sparse_encode(X, path),
    ):
        with pytest.raises(TypeError, match=message):
            use(given)


def rows_in_a_deque():
    return deque(X.tolist())


def in_a_dict_of_keys():
    return sparse.dok_array(X)


@pytest.mark.parametrize("make", [rows_in_a_deque, in_a_dict_of_keys])
def test_rows_that_lie_in_memory_in_other_forms(make):
    assert not is_lazy(make())
    assert_array_equal(clone(SAE).fit(make()).components_, clone(SAE).fit(X).components_)
    assert_array_equal(sparse_encode(make(), D, alpha=0.2), sparse_encode(X, D, alpha=0.2))


def test_tensors_of_few_bits_are_read_as_float32():
    few = torch.tensor(X).to(torch.float8_e4m3fn)
    assert clone(SAE).fit(few).components_.dtype == np.float32


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype:UserWarning")
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta:UserWarning")
@pytest.mark.parametrize("form", ["to_sparse", "to_sparse_csr", "nested", "meta"])
def test_tensors_that_are_not_dense_are_refused(form):
    tensor = torch.tensor(X)
    forms = {
        "nested": lambda: torch.nested.nested_tensor([*tensor]),
        "meta": lambda: tensor.to(form),
    }
    given = forms.get(form, getattr(tensor, form, None))()
    for use in (SAE.fit, lambda data: sparse_encode(data, D)):
        with pytest.raises(TypeError, match="must be a dense tensor, got one of torch"):
            use(given)


@pytest.mark.parametrize(
    ("wrong", "held"),
    [
        (X.astype("M8[s]"), "dates"),
        (X.astype("m8[s]"), "durations"),
        (np.ones((30, 5), dtype="f8,i4"), "records"),
    ],
)
def test_what_numpy_could_cast_is_no_number_to_a_solver_either(wrong, held):
    for use in (SAE.fit, lambda data: sparse_encode(data, D), lambda data: alpha_max(X, data)):
        with pytest.raises(ValueError, match=f"must hold numbers, got {held}; encode or drop"):
            use(wrong)


def test_columns_of_a_frame_are_named_by_solvers_too():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    assert_array_equal(sparse_encode(frame, D, alpha=0.2), sparse_encode(X, D, alpha=0.2))
    for column in (["x"] * 30, pandas.date_range("2020", periods=30), X[:, 0] + 0j):
        with pytest.raises(ValueError, match="column 'c' of X must hold numbers, got"):
            sparse_encode(frame.assign(c=column), D)


@pytest.mark.parametrize(
    "values",
    [
        np.eye(3),
        np.eye(3, dtype=np.float32),
        np.full((2, 2), 1e308),
        np.ones((3, 2), order="F"),
        np.eye(3, dtype=int),
        np.eye(3, dtype=">f8"),
        np.eye(3, dtype=np.float16),
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        np.zeros(3),
        np.zeros((2, 2, 2)),
        np.array([[0.0, np.nan]]),
        np.array([[1.0, np.inf]]),
    ],
    ids=lambda values: f"{values.dtype.str} {values.shape} {values.max(initial=0)}",
)
def test_arrays_are_checked_as_scikit_learn_checks_them(values):
    rules = {"dtype": [np.float64, np.float32], "order": "C"}
    try:
        expected = check_array(values, **rules)
    except ValueError:
        with pytest.raises(ValueError, match="the values"):
            check_array_given(values, "the values", order="C")
        return
    found = check_array_given(values, "the values", order="C")
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    assert found.flags.c_contiguous
    assert (found is values) == (expected is values)
