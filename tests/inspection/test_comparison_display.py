import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA, TruncatedSVD

from skamort.inspection import ComparisonDisplay
from skamort.inspection._comparison_display import _short
from skamort.inspection._table import Table

plt = pytest.importorskip("matplotlib.pyplot")

ROWS = {
    "a long name of an encoder": {
        "fvu": 0.3,
        "l0": 12.0,
        "dead_fraction": 0.0,
        "objective": 0.5,
        "gap": 0.1,
        "gap_upper": 0.11,
        "fit_seconds": 2.0,
        "samples_per_second": 2e6,
        "n_parameters": 41_616,
    },
    "exact": {
        "fvu": 0.25,
        "l0": 9.0,
        "dead_fraction": 0.0,
        "objective": 0.4,
        "gap": 0.0,
        "gap_upper": 2e-6,
        "fit_seconds": float("nan"),
        "samples_per_second": 700.0,
        "n_parameters": 20_000,
    },
}


@pytest.fixture(params=["pandas", "without pandas"])
def table(request):
    if request.param == "without pandas":
        return Table(ROWS)
    return pytest.importorskip("pandas").DataFrame.from_dict(ROWS, orient="index")


def texts(axes):
    return [annotation.get_text() for annotation in axes.texts]


def test_panels(table):
    display = ComparisonDisplay(table)
    assert display.plot() is display
    assert [axes.get_title("left") for axes in display.ax_] == [
        "Objective",
        "Variance unexplained",
        "L0",
        "Speed of transform",
    ]
    assert [label.get_text() for label in display.ax_[0].get_yticklabels()] == list(ROWS)
    assert display.figure_ is display.ax_[0].figure
    bars = [bar.get_width() for bar in display.ax_[0].patches]
    assert bars == pytest.approx([0.5, 0.4, 0.1, 0.0])
    assert [bar.get_x() for bar in display.ax_[0].patches] == pytest.approx([0, 0, 0.4, 0.4])
    assert texts(display.ax_[0]) == ["0.500 (+25.0 %)", "0.400 (+0.0 %)"]
    assert texts(display.ax_[3]) == ["2.00 M", "700"]


def test_columns_of_choice(table):
    columns = ["gap", "dead_fraction", "fit_seconds", "n_parameters"]
    display = ComparisonDisplay(table).plot(columns=columns)
    assert texts(display.ax_[0]) == ["0.100", "0 to 2e-06"]
    assert texts(display.ax_[2]) == ["2.00", "n/a"]
    assert len(display.ax_) == 4
    assert len(ComparisonDisplay(table).plot(columns="fvu").ax_) == 1


def test_nothing_overlaps_or_leaves_the_figure(table):
    """Every text, drawn, stays inside the figure, and out of the next panel."""
    display = ComparisonDisplay(table).plot()
    display.figure_.canvas.draw()
    width = display.figure_.bbox.width
    rights = [axes.get_window_extent().x0 for axes in display.ax_[1:]] + [width]
    for axes, right in zip(display.ax_, rights, strict=True):
        labels = [*axes.texts, axes.xaxis.label, axes._left_title]
        assert all(text.get_window_extent().x0 >= 0 for text in labels)
        assert all(text.get_window_extent().x1 <= right + 1 for text in labels)


def test_axes_given(table):
    figure, axes = plt.subplots(1, 2)
    display = ComparisonDisplay(table).plot(axes, columns=["fvu", "l0"])
    assert display.figure_ is figure
    assert list(display.ax_) == list(axes)
    single = plt.figure().gca()
    assert ComparisonDisplay(table).plot(single, columns=["l0"]).ax_[0] is single


def test_from_estimators():
    X, codes = np.random.default_rng(0).normal(size=(2, 60, 4))
    display = ComparisonDisplay.from_estimators(
        [PCA(2), TruncatedSVD(2)],
        X[:40],
        X[40:],
        alpha=0.1,
        codes=codes[40:],
        columns=["latent_mcc"],
    )
    assert list(display.table.index) == ["PCA", "TruncatedSVD"]
    assert display.ax_[0].get_title("left") == "Latent MCC"


def test_bad_input(table):
    display = ComparisonDisplay(table)
    with pytest.raises(ValueError, match=r"has no columns \['latent_mcc'\]; choose from \['obj"):
        display.plot(columns=["fvu", "latent_mcc"])
    with pytest.raises(ValueError, match="4 columns need as many axes, got 1"):
        display.plot(plt.figure().gca())


def test_without_matplotlib(monkeypatch, table):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="ComparisonDisplay draws with matplotlib"):
        ComparisonDisplay(table).plot()
    with pytest.raises(ImportError, match="pip install matplotlib"):
        ComparisonDisplay.from_estimators([], None, None, alpha=0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00"),
        (1, "1.00"),
        (0.0123456, "0.0123"),
        (120, "120"),
        (999.4, "999"),
        (999.9, "1.00 k"),
        (41_616, "41.6 k"),
        (2.5e6, "2.50 M"),
        (float("nan"), "n/a"),
    ],
)
def test_short(value, text):
    assert _short(value) == text
