import io
import json
import os
import re
from base64 import b64decode

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import NMF, PCA
from sklearn.preprocessing import FunctionTransformer

from skamort import _rows
from skamort.hooks import Activations
from skamort.inspection import FeatureReport, TokenContexts, _feature_report, top_activations
from skamort.inspection._neighbours import logit_effects, nearest
from skamort.inspection._shown import as_shown

RNG = np.random.default_rng(0)
X = np.maximum(RNG.normal(size=(80, 5)) - 0.5, 0).round(2)
X[:, 4] = 0
AS_IT_IS = FunctionTransformer()


def saved(tmp_path, report):
    """What the list tells of each latent, and all else that is told."""
    report.save(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    blocks = dict(re.findall(r'<script type="application/json" id="([^"]*)">(.*?)</script>', page))
    data = {name: json.loads(text) for name, text in blocks.items()}
    chunks = [data[f"chunk-{i}"] for i in range(len(data) - 1)]
    told = [
        dict(zip(data["page"]["fields"], latent, strict=True)) for latent in data["page"]["latents"]
    ]
    return told, [latent for chunk in chunks for latent in chunk]


def test_figures_and_rows_are_those_of_the_codes(tmp_path):
    like = {"n_top": 3, "n_bins": 2, "n_per_bin": 4, "random_state": 3}
    listed, details = saved(tmp_path, FeatureReport(AS_IT_IS, X, **like))
    assert_allclose([t["frequency"] for t in listed], (X > 0).mean(axis=0), rtol=1e-2)
    assert [t["largest"] for t in listed] == pytest.approx([*X[:, :4].max(axis=0), None])
    table = top_activations(AS_IT_IS, X, **like)
    found = [(j, e["bin"], e["row"]) for j, d in enumerate(details) for e in d["examples"]]
    expected = zip(*(np.asarray(table[c]).tolist() for c in ("latent", "bin", "row")), strict=True)
    assert found == list(expected)
    for j, told in enumerate(details[:4]):
        counts = told["histogram"]["counts"]
        assert_array_equal(counts, np.histogram(X[X[:, j] > 0, j], 30, (0, X[:, j].max()))[0])
    assert details[4]["histogram"] is None


def test_tokens_are_shaded_by_the_codes_of_their_rows(tmp_path, monkeypatch):
    """Rows in any order, with gaps in the texts and first positions left out."""
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 35)
    text, position = np.divmod(RNG.permutation(100)[:80], 20)
    tokens = [[f"{t}:{p}" for p in range(21)] for t in range(5)]
    contexts = TokenContexts(tokens, Activations(X, text, position), window=3)
    _, details = saved(tmp_path, FeatureReport(AS_IT_IS, X, show=contexts, n_top=4))
    row_of = {place: row for row, place in enumerate(zip(text, position, strict=True))}
    for j, told in enumerate(details):
        for example in told["examples"]:
            shown, row = example["shown"], example["row"]
            assert shown["tokens"][shown["at"]] == f"{text[row]}:{position[row]}"
            assert len(shown["tokens"]) == min(position[row], 3) + 1 + min(20 - position[row], 3)
            places = [tuple(map(int, token.split(":"))) for token in shown["tokens"]]
            rows = [row_of.get(place) for place in places]
            assert_allclose(shown["codes"], [0 if i is None else X[i, j] for i in rows], rtol=1e-2)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_neighbours_are_those_of_all_cosines(kind, monkeypatch):
    vectors = np.maximum(np.random.default_rng(0).normal(size=(30, 6)), -0.5)
    monkeypatch.setattr("skamort._explained_variance._BLOCK_ELEMENTS", 200)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T - 2 * np.eye(30)
    columns, values = nearest(kind(vectors), 4)
    assert_allclose(values, -np.sort(-cosines, axis=1)[:, :4])
    assert_allclose(np.take_along_axis(cosines, columns, axis=1), values)
    assert nearest(kind(vectors[:3]), 9)[0].shape == (3, 2)
    assert nearest(kind(vectors[:1]), 9)[0].shape == (1, 0)


def test_tokens_raised_and_lowered_are_those_of_the_logits(monkeypatch):
    monkeypatch.setattr("skamort._explained_variance._BLOCK_ELEMENTS", 50)
    atoms, unembedding = RNG.normal(size=(7, 4)), RNG.normal(size=(20, 4)) + 5
    effects = atoms @ unembedding.T
    effects -= effects.mean(axis=1, keepdims=True)
    most, up, least, down = logit_effects(atoms, unembedding, 3)
    assert_allclose(np.take_along_axis(effects, most, axis=1), up)
    assert_allclose(np.take_along_axis(effects, least, axis=1), down)
    assert_allclose(up, -np.sort(-effects, axis=1)[:, :3])
    assert_allclose(down, np.sort(effects, axis=1)[:, :3])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_known_of_an_estimator_is_told(tmp_path):
    nmf = NMF(6, init="random", max_iter=20, random_state=0).fit(X)
    vocabulary, y = ["a", "b", "c"], np.where(X[:, 0] > 0, "on", "off")
    options = {"unembedding": RNG.normal(size=(3, 5)), "vocabulary": vocabulary, "labels": y}
    given = {"explanations": ["one"] * 6, "scores": {2: 0.5, 3: np.nan}}
    report = FeatureReport(nmf, X, show_atom=lambda atom: f"{atom.sum():.3f}", **options, **given)
    listed, details = saved(tmp_path, report)
    assert [t["score"] for t in listed] == [None, None, 0.5, None, None, None]
    assert {t["explanation"] for t in listed} == {"one"}
    codes = nmf.transform(X)
    for j, told in enumerate(details):
        shares = {name: (y[codes[:, j] > 0] == name).mean() for name in ("on", "off")}
        assert all(
            shares[name] == pytest.approx(share, rel=1e-2) for name, share in told["classes"]
        )
        assert told["atom"] == {"text": f"{nmf.components_[j].sum():.3f}"}
        assert sorted(token for token, _ in told["effects"]["raised"]) == vocabulary
        assert j not in [other for other, _ in told["cosine"] + told["together"]]
        assert all(example["label"] == y[example["row"]] for example in told["examples"])


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[0, 200], [255, 3]], dtype=np.uint8), [[0, 200], [255, 3]]),
        (np.array([[0, 8, 16]]), [[0, 128, 255]]),
        (np.array([[-2.0, 0.0, 1.0]]), [[0, 128, 191]]),
        (np.zeros((1, 2)), [[0, 0]]),
        (np.arange(12).reshape(2, 2, 3) / 11, np.rint(np.arange(12) / 11 * 255).reshape(2, 2, 3)),
    ],
)
def test_images_keep_their_pixels(image, expected):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    shown = as_shown(image, "show(0)")
    pixels = imread(io.BytesIO(b64decode(shown["image"].partition(",")[2])))
    assert shown["size"] == [image.shape[1], image.shape[0]]
    assert_allclose(np.rint(255 * pixels), expected)


def test_without_a_callable_numbers_are_shown_by_name(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "<b>", "c", "d", "e"])
    _, details = saved(tmp_path, FeatureReport(PCA(2).fit(frame), frame))
    example = details[0]["examples"][0]
    values = X[example["row"]]
    names = ["a", "<b>", "c", "d", "e"]
    shown = ", ".join(f"{name} = {value:.4g}" for name, value in zip(names, values, strict=True))
    assert example["shown"] == {"text": shown}


TOKENS = [["a"] * 40, ["b"] * 40]
PLACES = np.divmod(np.arange(80), 40)


def raising(row):
    return {}[row]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"show": raising}, ValueError, r"show\(\d+\) raised KeyError"),
        ({"show": lambda row: row}, TypeError, r"show\(\d+\) returned a int"),
        (
            {"show": lambda row: np.ones(3)},
            TypeError,
            r"show\(\d+\) returned an array of shape \(3,\)",
        ),
        (
            {"show": lambda row: np.full((2, 2), np.nan)},
            ValueError,
            r"show\(\d+\) .* no finite numbers",
        ),
        ({"show": "text"}, TypeError, "show must be a callable"),
        ({"labels": [0, 1]}, ValueError, "one class for each of the 80 rows, got 2"),
        ({"explanations": ["a"]}, ValueError, "explanations must have an entry for each of the 5"),
        ({"scores": {5: 1.0}}, ValueError, "scores tell of latent 5; the latents are 0 to 4"),
        ({"show_atom": str}, ValueError, "show_atom needs atoms, and FunctionTransformer has no"),
        ({"explanations": {"a", "b"}}, TypeError, "explanations must be a dict .* got a set"),
        ({"explanations": "fives"}, TypeError, "explanations must be a dict .* got a str"),
        ({"scores": iter([1.0] * 5)}, TypeError, "scores must be a dict .* got a list_iterator"),
        ({"scores": np.array(1.0)}, TypeError, "scores must be a dict .* got a ndarray"),
        ({"scores": {0: "good"}}, TypeError, "scores must be numbers.* 'good'"),
        ({"scores": np.ones((5, 2))}, TypeError, "scores must be numbers, one for each latent"),
        ({"labels": [None, "a"] * 40}, ValueError, "labels contains NaN or a mask; leave"),
        ({"labels": np.array([1, "a"] * 40, object)}, TypeError, "labels .* one type"),
        ({"title": None}, TypeError, "title must be a str, got a NoneType"),
        ({"settings": ["layer 3"]}, TypeError, "settings must be a dict by name"),
        ({"n_top": 0}, ValueError, "n_top must be >= 1"),
    ],
)
def test_bad_input(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        FeatureReport(AS_IT_IS, X, **options).save(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_bad_atoms_and_rows(tmp_path):
    pca, path = PCA(2).fit(X), tmp_path / "report.html"
    with pytest.raises(ValueError, match=r"unembedding must have shape \(n_tokens, n_features = 5"):
        FeatureReport(pca, X, unembedding=np.ones((5, 9))).save(path)
    for bad in (np.nan, -np.inf):
        unembedding = np.ones((9, 5))
        unembedding[6, 2] = bad
        with pytest.raises(ValueError, match="unembedding must hold finite numbers, row 6"):
            FeatureReport(pca, X, unembedding=unembedding, vocabulary=list("a" * 9)).save(path)
    with pytest.raises(ValueError, match="unembedding must hold numbers, got texts"):
        FeatureReport(pca, X, unembedding=np.full((9, 5), "a")).save(path)
    with pytest.raises(ValueError, match="vocabulary must hold the 9 tokens of the unembedding"):
        FeatureReport(pca, X, unembedding=np.ones((9, 5))).save(path)
    with pytest.raises(ValueError, match="show has 80 rows, X has 70"):
        FeatureReport(pca, X[:70], show=TokenContexts(TOKENS, Activations(X, *PLACES))).save(path)
    missing = X.copy()
    missing[33, 2] = np.nan
    with pytest.raises(ValueError, match="row 33 of the data contains NaN"):
        FeatureReport(pca, missing).save(path)


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([*TOKENS[:1], TOKENS[1][:30]], ValueError, "row 70 is of text 1, position 30, which"),
        (TOKENS[:1], ValueError, "row 40 is of text 1, position 0, which"),
        (["a text", "another"], TypeError, r"tokens\[0\] is a text; pass a list"),
    ],
)
def test_rows_without_a_token(tokens, error, message):
    with pytest.raises(error, match=message):
        TokenContexts(tokens, Activations(X, *PLACES))


@pytest.fixture
def split(monkeypatch):
    """Reports whose latents lie beside the page."""
    monkeypatch.setattr(_feature_report, "_MOST_IN_A_PAGE", 4)
    monkeypatch.setattr(_feature_report, "_CHUNK", 2)


def report_of(text):
    return FeatureReport(AS_IT_IS, X, show=lambda row: text)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def read_beside(path):
    """The files that a page reads."""
    (beside,) = re.findall(r'"beside":"([^"]*)"', path.read_text(encoding="utf-8"))
    return {path.parent / f"{beside}{i}.js" for i in range(3)}


@pytest.mark.parametrize("n_replaced", range(4))
def test_an_interrupt_leaves_the_report_that_was_there(split, n_replaced, tmp_path, monkeypatch):
    path, replace, calls = tmp_path / "report.html", os.replace, []
    report_of("old").save(path)
    before = contents(tmp_path)

    def interrupted(*paths):
        calls.append(paths)
        if len(calls) > n_replaced:
            raise KeyboardInterrupt
        replace(*paths)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            report_of("new").save(path)
    after = contents(tmp_path)
    assert before.items() <= after.items()
    assert len(after) == len(before) + n_replaced
    report_of("newer").save(path)
    assert {path, *read_beside(path)} == {p for p in tmp_path.rglob("*") if p.is_file()}


def test_only_scripts_of_the_report_itself_are_removed(split, tmp_path, monkeypatch):
    path, others = tmp_path / "report.html", ["0jquery.js", "3.js", "skamort-notes.js"]
    folder = tmp_path / "report.html_files"
    folder.mkdir()
    for name in others:
        (folder / name).write_text("of another")
    report_of("old").save(path)
    report_of("new").save(path)
    report_of("third").save(path.with_suffix(".htm"))
    for page, word in ((path, b"new"), (path.with_suffix(".htm"), b"third")):
        assert all(word in file.read_bytes() for file in read_beside(page) if file.stem[-1] != "2")
    assert {p.name for p in folder.iterdir()} == {*others, *(f.name for f in read_beside(path))}
    monkeypatch.setattr(_feature_report, "_MOST_IN_A_PAGE", 5)
    report_of("new").save(path)
    assert {p.name for p in folder.iterdir()} == set(others)


@pytest.mark.parametrize("most", [4, 5])
def test_lone_surrogates_are_replaced(split, most, tmp_path, monkeypatch):
    monkeypatch.setattr(_feature_report, "_MOST_IN_A_PAGE", most)
    bad = "a\ud834b\udfff"
    given = {"title": bad, "labels": [bad] * 80, "explanations": [bad] * 5, "settings": {bad: bad}}
    FeatureReport(AS_IT_IS, X, show=lambda row: bad, **given).save(tmp_path / "report.html")
    texts = [content.decode() for content in contents(tmp_path).values()]
    assert "<h1>a\ufffdb\ufffd</h1>" in "".join(texts)
    assert sum('"text":"a\ufffdb\ufffd"' in text for text in texts) == (2 if most == 4 else 1)


def test_a_report_is_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; add a name"):
        report_of("a").save(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere' is not there; make it first"):
        report_of("a").save(tmp_path / "nowhere" / "report.html")
    (tmp_path / "target.html").write_text("old")
    link = tmp_path / "link.html"
    try:
        link.symlink_to("target.html")
    except OSError:
        pytest.skip("this system does not let its users make symbolic links")
    (tmp_path / "target.html").chmod(0o640)
    report_of("a").save(link)
    assert link.is_symlink()
    assert "<h1>Features" in (tmp_path / "target.html").read_text(encoding="utf-8")
    assert os.name == "nt" or (tmp_path / "target.html").stat().st_mode & 0o777 == 0o640
