"""Names are drawn as they are, whatever stands in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort.inspection import (
    ComparisonDisplay,
    ComparisonReport,
    ComputeFrontierDisplay,
    DictionaryDisplay,
    GramDisplay,
)
from skamort.inspection._matplotlib import on_one_line
from skamort.inspection._table import Table

plt = pytest.importorskip("matplotlib.pyplot")

pytestmark = pytest.mark.filterwarnings("ignore:Glyph")  # fonts need not have all
NAMES = ["$\\nosuch{$", "cost: $5_a", "<b>&amp;_^{}%\\", "two\nlines", "ä ≠ α 🙂", "x" * 5000]
FIGURES = {"objective": 0.5, "gap": 0.1, "gap_upper": 0.2, "fvu": 0.3, "l0": 2.0}
FIGURES |= {"samples_per_second": 9.0, "flops": 100.0, "n_parameters": 20, "$\\nosuch{$": 3.0}
EXPECTED = [*NAMES[:3], "two lines", NAMES[4], "x" * 59 + "…"]


def table():
    steps = enumerate(NAMES, 1)
    return Table({name: {k: n * v for k, v in FIGURES.items()} for n, name in steps})


def drawn(axes):
    axes.figure.canvas.draw()
    return [text.get_text() for text in axes.texts]


def test_names_beside_bars_and_points():
    bars = ComparisonDisplay(table()).plot()
    bars.figure_.canvas.draw()
    assert bars.figure_.get_figwidth() < 40
    assert [label.get_text() for label in bars.ax_[0].get_yticklabels()] == EXPECTED
    points = ComputeFrontierDisplay(table(), quality="$\\nosuch{$").plot()
    assert drawn(points.ax_[0]) == EXPECTED
    assert points.ax_[0].get_ylabel().startswith("$\\nosuch{$, lower")


@pytest.mark.parametrize(("name", "expected"), list(zip(NAMES, EXPECTED, strict=True)))
def test_names_of_dictionaries(name, expected):
    atoms = np.eye(4)
    for display in (DictionaryDisplay, GramDisplay):
        shown = display.from_dictionary(atoms, name=name)
        shown.figure_.canvas.draw()
        assert shown.ax_.get_title().startswith(f"{expected}: ")


def test_names_in_a_report(tmp_path):
    figures = {"$\\nosuch{$": ComparisonDisplay(table()).plot().figure_}
    page = tmp_path / "report.html"
    ComparisonReport(table(), figures=figures).save(page)
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;amp;_^{}%\\" in text
    assert "<b>&amp;_" not in text


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_a_name_is_one_line_of_its_own_words(name):
    line = on_one_line(name)
    assert line.isprintable() or not name.isprintable()
    assert len(line) <= 60
    assert len(line.splitlines()) <= 1
    if len(name) <= 60:
        assert line.split() == name.split()
