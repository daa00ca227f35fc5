"""Frames of pandas, polars and pyarrow: names kept, swapped columns and texts refused."""

from decimal import Decimal

import numpy as np
import pytest
from discovery import fast_estimators
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skamort import AmortizedCoder, GradSparseCoder, ITOCoder, SAEEncoder, TopKSAE, _rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("quick_inner_encoder"),
]

NAMES = ["height", "width", "depth", "hue"]


@pytest.fixture(scope="module")
def X():
    return np.random.RandomState(3).randn(40, 4)


def pandas_frame(X, dtype):
    return pytest.importorskip("pandas").DataFrame(X, columns=NAMES).astype(dtype)


def in_arrow(X):
    pytest.importorskip("pyarrow")
    return pandas_frame(X, "double[pyarrow]" if X.dtype == np.float64 else "float[pyarrow]")


def in_polars(X):
    return pytest.importorskip("polars").DataFrame(X, schema=NAMES)


def in_table(X):
    return pytest.importorskip("pyarrow").table(dict(zip(NAMES, X.T, strict=True)))


def nullable(X):
    return pandas_frame(X, "Float64" if X.dtype == np.float64 else "Float32")


FRAMES = {
    "pandas": lambda X: pandas_frame(X, X.dtype),
    "nullable": nullable,
    "pandas on arrow": in_arrow,
    "polars": in_polars,
    "pyarrow": in_table,
}


@pytest.fixture(params=FRAMES)
def frame_of(request):
    return FRAMES[request.param]


@pytest.fixture(params=fast_estimators(), ids=lambda e: type(e).__name__)
def estimator(request):
    return clone(request.param).set_params(n_components=6, random_state=0)


def swapped(frame):
    order = [1, 0, 2, 3]
    names = [NAMES[i] for i in order]
    return frame.select(names) if hasattr(frame, "select") else frame[names]


@pytest.mark.parametrize("make", [in_polars, in_table, nullable, in_arrow])
def test_every_estimator_keeps_names_and_refuses_swapped_columns(estimator, make, X):
    frame = make(X)
    codes = clone(estimator).fit_transform(X)
    assert_array_equal(estimator.fit(frame).transform(frame), codes)
    assert list(estimator.feature_names_in_) == NAMES
    for use in (estimator.transform, estimator.score):
        with pytest.raises(ValueError, match="same order as they were in fit"):
            use(swapped(frame))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_frames_are_the_array_of_their_values(frame_of, X, dtype):
    X = X.astype(dtype)
    sae = SAEEncoder(6, max_iter=2, random_state=0)
    codes = clone(sae).fit(X).transform(X)
    frame = frame_of(X)
    assert not _rows.is_lazy(frame)
    assert sae.fit(frame).transform(frame).dtype == dtype
    assert_array_equal(sae.transform(frame), codes)
    assert list(sae.feature_names_in_) == NAMES
    assert_array_equal(sae.partial_fit(frame).transform(frame).shape, codes.shape)


def test_a_pipeline_hands_polars_on_and_out(estimator, X):
    polars = pytest.importorskip("polars")
    pipeline = make_pipeline(StandardScaler(), estimator).set_output(transform="polars")
    codes = pipeline.fit(in_polars(X)).transform(in_polars(X))
    assert isinstance(codes, polars.DataFrame)
    assert codes.columns == list(pipeline.get_feature_names_out())
    assert list(estimator.feature_names_in_) == NAMES
    expected = clone(pipeline).set_output(transform="default").fit(X).transform(X)
    assert_allclose(codes.to_numpy(), expected, atol=1e-6)  # another memory order of the scaler


def test_codes_come_in_frames(X):
    sae = SAEEncoder(4, max_iter=2, random_state=0)
    codes = np.abs(X)
    expected = clone(sae).fit(X, codes=codes).components_
    assert_array_equal(sae.fit(X, codes=in_polars(codes)).components_, expected)
    assert_array_equal(sae.inverse_transform(in_polars(codes)), sae.inverse_transform(codes))


@pytest.mark.parametrize("name", ["width", "hue"])
def test_texts_are_refused_by_the_name_of_their_column(frame_of, X, name):
    frame = frame_of(X)
    texts = ["12"] * len(X)
    if hasattr(frame, "with_columns"):
        frame = frame.with_columns(pytest.importorskip("polars").Series(name, texts))
    elif hasattr(frame, "assign"):
        frame = frame.assign(**{name: texts})
    else:
        frame = frame.set_column(
            NAMES.index(name), name, pytest.importorskip("pyarrow").array(texts)
        )
    message = rf"SAEEncoder: column '{name}' of the data must hold numbers, got texts; encode or"
    with pytest.raises(ValueError, match=message):
        SAEEncoder(6, max_iter=2).fit(frame)


@pytest.mark.parametrize("kind", ["U3", object, "S3"])
def test_texts_in_arrays_are_refused_though_they_spell_numbers(X, kind):
    texts = np.full(X.shape, "2.5").astype(kind)
    with pytest.raises(ValueError, match="ITOCoder: the data must hold numbers, got texts"):
        ITOCoder(dictionary=X[:5]).fit(texts)


def test_dates_and_lists_in_columns_are_refused(X):
    polars = pytest.importorskip("polars")
    days = polars.Series("hue", np.arange(len(X)).astype("M8[D]"))
    points = polars.Series("hue", X[:, :2])  # rows of two numbers
    for column, held in [(days, "datetime64.* of 1 dim"), (points, "float64 of 2 dim")]:
        with pytest.raises(ValueError, match=f"column 'hue' .* must hold numbers, got {held}"):
            SAEEncoder(6, max_iter=2).fit(in_polars(X).with_columns(column))
    with pytest.raises(ValueError, match="the data must hold numbers, got dates"):
        SAEEncoder(6, max_iter=2).fit(np.arange(8).reshape(4, 2).astype("M8[D]"))


def test_missing_entries_are_named_by_their_row(frame_of, X):
    holed = X.copy()
    holed[7, 2] = np.nan
    frame = frame_of(holed)
    if hasattr(frame, "fill_nan"):
        frame = frame.fill_nan(None)
    with pytest.raises(ValueError, match="row 7 of the data contains NaN"):
        SAEEncoder(6, max_iter=2).fit(frame)


def test_other_numbers_become_double(X):
    whole = np.round(X * 5).astype(int)
    sae = SAEEncoder(6, max_iter=2, random_state=0)
    expected = clone(sae).fit(whole).components_
    decimals = [[Decimal(int(v)) for v in row] for row in whole]
    for frame in (in_polars(whole), pandas_frame(whole, "Int16"), pandas_frame(decimals, object)):
        assert_array_equal(clone(sae).fit(frame).components_, expected)


def test_a_frame_not_yet_computed_is_refused(X):
    with pytest.raises(ValueError, match=r"LazyFrame that has yet to be computed; call \.collect"):
        SAEEncoder(6, max_iter=2).fit(in_polars(X).lazy())


def test_names_that_scikit_learn_cannot_tell_are_not_dropped_in_silence(X):
    pyarrow = pytest.importorskip("pyarrow")
    batch = pyarrow.record_batch([pyarrow.array(column) for column in X.T], names=NAMES)
    with pytest.raises(ValueError, match="cannot tell the names of the columns of a RecordBatch"):
        SAEEncoder(6, max_iter=2).fit(batch)


QUICK = {"max_iter": 2, "random_state": 0}
AROUND = {
    "estimator": lambda part: ITOCoder(estimator=part),
    "teacher": lambda part: AmortizedCoder(teacher=part, encoder=SAEEncoder(**QUICK)),
    "dict_init": lambda part: TopKSAE(dict_init=part, **QUICK),
}
INSIDE = {
    "trained": lambda: SAEEncoder(6, **QUICK),
    "learned": lambda: GradSparseCoder(6, **QUICK),
    "of scikit-learn": lambda: MiniBatchDictionaryLearning(
        6, positive_code=True, fit_algorithm="cd", transform_algorithm="lasso_cd", **QUICK
    ),
    "frozen": lambda: SAEEncoder(6, **QUICK),
}


@pytest.fixture(params=INSIDE)
def part_on(request):
    """Return a function that fits a part on data."""

    def fit(data):
        part = INSIDE[request.param]().fit(data)
        return FrozenEstimator(part) if request.param == "frozen" else part

    return fit


@pytest.mark.parametrize("name", AROUND)
def test_names_of_a_part_are_compared_once_and_not_warned_about(name, part_on, X, frame_of):
    frame = frame_of(X) if name == "estimator" else pandas_frame(X, X.dtype)
    part, plain = part_on(pandas_frame(X, X.dtype)), part_on(X)
    whole = AROUND[name](part).fit(frame)
    codes = whole.transform(frame)  # a warning is an error
    assert np.isfinite(whole.score(frame))
    assert_array_equal(AROUND[name](plain).fit(X).transform(X), codes)
    with pytest.raises(ValueError, match=f"{name}=.* with 'height' as feature 0, got 'width'; the"):
        clone(whole).fit(swapped(frame))
    with pytest.warns(UserWarning, match=f"{name}=.* with feature names, but X does not have"):
        bare = clone(whole).fit(X)
    assert_array_equal(bare.transform(X), codes)


def test_a_part_without_names_leaves_those_of_the_whole_alone(X):
    whole = ITOCoder(estimator=SAEEncoder(6, **QUICK).fit(X)).fit(pandas_frame(X, X.dtype))
    assert list(whole.feature_names_in_) == NAMES


def test_a_part_of_fewer_columns_is_refused_by_name(X):
    frame = pandas_frame(X, X.dtype)
    part = SAEEncoder(6, **QUICK).fit(frame[NAMES[:3]])
    with pytest.raises(ValueError, match="with None as feature 3, got 'hue'"):
        ITOCoder(estimator=part).fit(frame)
