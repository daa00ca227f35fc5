import html
import re
import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA, TruncatedSVD

import skamort
from skamort import ITOCoder, SAEEncoder
from skamort.inspection import ComparisonDisplay, ComparisonReport
from skamort.inspection._table import Table

X = np.random.default_rng(0).normal(size=(60, 6))
ROWS = {
    "plain": {"objective": 2.0, "gap": 0.5, "gap_upper": 0.5011, "kind": "amortized"},
    "<script>alert('x')</script> & co": {
        "objective": 1.0,
        "gap": 0.0,
        "gap_upper": 1e-9,
        "kind": "iterative",
    },
}


@pytest.fixture(params=["pandas", "without pandas"])
def table(request):
    if request.param == "without pandas":
        return Table(ROWS)
    return pytest.importorskip("pandas").DataFrame.from_dict(ROWS, orient="index")


def saved(report, tmp_path):
    path = tmp_path / "report.html"
    report.save(path)
    return path.read_text(encoding="utf-8")


def cells(page, table=0):
    """The texts of a table, row by row."""
    body = re.findall("<tbody>(.*?)</tbody>", page, flags=re.DOTALL)[table]
    rows = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body.splitlines())
    return [[html.unescape(text) for text in row] for row in rows]


def test_tables(table, tmp_path):
    page = saved(ComparisonReport(table, title="A title"), tmp_path)
    name = "<script>alert('x')</script> & co"
    assert cells(page) == [
        ["plain", "2", "0.5", "0.5011", "amortized"],
        [name, "1", "0", "1e-09", "iterative"],
    ]
    # Rounded so that both statements stay true.
    assert cells(page, 1) == [["plain", "25.00 %", "25.06 %"], [name, "0.00 %", "0.01 %"]]
    assert "<h1>A title</h1>" in page
    assert f"<dt>skamort</dt><dd>{skamort.__version__}</dd>" in page
    assert f"<dt>numpy</dt><dd>{np.__version__}</dd>" in page


def test_without_gaps_nothing_is_said_of_them(tmp_path):
    page = saved(ComparisonReport(Table({"a": {"fvu": np.nan}})), tmp_path)
    assert cells(page) == [["a", "–"]]
    assert "better inference" not in page


def test_what_comes_from_outside_is_escaped(tmp_path):
    bad = '"><script>alert(1)</script>'
    report = ComparisonReport(
        Table({bad: {bad: 1.0, "text": bad}}),
        title=bad,
        figures={bad: ComparisonDisplay(Table({bad: {"fvu": 0.1}})).plot()},
        estimators={bad: PCA(svd_solver=bad)},
        settings={bad: bad},
    )
    page = saved(report, tmp_path)
    assert page.count("<script>") == 1
    assert "alert" not in re.sub("&lt;script&gt;alert", "", page)


def test_nothing_is_loaded_from_elsewhere(table, tmp_path):
    figures = {"bars": ComparisonDisplay(Table({"a": {"fvu": 0.1}})).plot()}
    page = saved(ComparisonReport(table, figures=figures), tmp_path)
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "default-src 'none'" in page


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_from_estimators(tmp_path):
    estimators = {
        "sae": SAEEncoder(8, max_iter=1, random_state=7),
        "ito": ITOCoder(estimator=SAEEncoder(8, max_iter=1, random_state=3), random_state=5),
        "fixed": ITOCoder(dictionary=np.eye(6)),
        "pca": PCA(2),
        "svd": TruncatedSVD(2, random_state=np.random.RandomState(0)),
    }
    report = ComparisonReport.from_estimators(estimators, X[:40], X[40:], alpha=0.25)
    assert list(report.estimators) == list(estimators)
    page = saved(report, tmp_path)
    assert page.count("<img src") == 1
    assert "<dt>alpha</dt><dd>0.25</dd>" in page
    assert "<dt>training data</dt><dd>40 samples of 6 features</dd>" in page
    rows = {row[0]: row[1:] for row in cells(page, 2)}
    assert rows["sae"][0] == "SAEEncoder"
    assert rows["sae"][1].startswith("max_iter=1, n_components=8, random_state=7<details>")
    assert [row[2].partition(" at 0x")[0] for row in rows.values()] == [
        "7",
        "estimator__random_state=3, random_state=5",
        "None",
        "None",
        "RandomState(MT19937)",
    ]
    assert "estimator=SAEEncoder(max_iter=1, n_components=8, random_state=3)" in rows["ito"][1]
    assert "dictionary=array of shape (6, 6), float64" in rows["fixed"][1]


def test_bad_input(tmp_path):
    with pytest.raises(TypeError, match=r"table must be a DataFrame with named rows.*got"):
        ComparisonReport([1]).save(tmp_path / "report.html")
    report = ComparisonReport(Table(ROWS), figures={"bars": "bars.png"})
    with pytest.raises(TypeError, match="the figure 'bars' is a str; pass a matplotlib figure"):
        report.save(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    page = saved(ComparisonReport.from_estimators([PCA(2)], X[:40], X[40:], alpha=0.1), tmp_path)
    assert "none, as matplotlib is not installed" in page
    assert "<img" not in page
