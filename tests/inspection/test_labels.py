from itertools import combinations

import numpy as np
import pytest

from skamort.inspection._labels import _overlap, label_points

plt = pytest.importorskip("matplotlib.pyplot")
Text = pytest.importorskip("matplotlib.text").Text


def boxes(axes, names, points, steps=None):
    """Where the names stand, in pixels."""
    steps = np.zeros((0, 2)) if steps is None else np.asarray(steps, dtype=float)
    label_points(axes, names, np.asarray(points, dtype=float), steps)
    return [Text.get_window_extent(text).get_points() for text in axes.texts]


def panel():
    axes = plt.figure(figsize=(6, 4)).add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    return axes


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.2])
def test_names_in_a_crowd_neither_overlap_nor_leave(spread):
    axes = panel()
    points = 0.5 + spread * np.random.default_rng(0).uniform(-1, 1, size=(6, 2))
    found = boxes(axes, [f"encoder {i}" for i in range(len(points))], points)
    assert all(_overlap(a, b) == 0 for a, b in combinations(found, 2))
    room = axes.bbox.get_points()
    assert all(_overlap(box, room) == pytest.approx(np.prod(box[1] - box[0])) for box in found)


def test_a_lone_name_stands_beside_its_point():
    axes = panel()
    (box,) = boxes(axes, ["alone"], [[0.5, 0.5]])
    center = axes.transData.transform([0.5, 0.5])
    assert box[0, 0] - center[0] == pytest.approx(5 * axes.figure.dpi / 72)
    assert not axes.texts[0].arrow_patch.get_visible()


def test_at_the_right_edge_it_stands_on_the_left():
    axes = panel()
    (box,) = boxes(axes, ["a rather long name"], [[0.99, 0.5]])
    assert box[1, 0] < axes.transData.transform([0.99, 0.5])[0]


def test_it_avoids_the_line():
    axes = panel()
    (box,) = boxes(axes, ["name"], [[0.5, 0.5]], [[0, 0.5], [1, 0.5]])
    height = axes.transData.transform([0.5, 0.5])[1]
    assert box[0, 1] > height or box[1, 1] < height


def test_names_leave_the_layout_alone():
    figure, axes = plt.subplots(layout="constrained")
    figure.draw_without_rendering()
    before = axes.get_position().bounds
    boxes(axes, ["a name far too long for the axes " * 4], [[0.5, 0.5]])
    figure.draw_without_rendering()
    assert axes.get_position().bounds == before
