"""Names beside points, each where it covers least."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from ._matplotlib import on_one_line

_DISTANCES = (5, 14, 26, 40, 56)  # points; from the second on a line leads to the name
_SHIFTS = (0, 1, 0.5, 0.25, 0.75)  # of a name above or below, in widths to the left
_RADIUS = 4  # of a point, in points
_MARGIN = np.array([[-5, 0], [5, 0]])  # to the left and right of a name, in points
_COST_OF_DISTANCE = 5  # pixels that may be covered rather than standing a point further off


def label_points(axes: Any, names: Iterable[str], points: np.ndarray, steps: np.ndarray) -> None:
    """Write a name beside each point, as near as leaves everything readable.

    One after the other takes the place, among some around its point, that covers least of the
    points, shape (n_points, 2), of the names before it and of a line along the axes with corners
    `steps`, shape (n_corners, 2), within the axes.
    """
    from matplotlib.text import Text  # whoever has axes has matplotlib

    labels = [_write(axes, name, point) for name, point in zip(names, points, strict=True)]
    figure = axes.figure.canvas.figure
    figure.draw_without_rendering()  # sizes and positions are known only now
    unit = figure.dpi / 72
    room = axes.bbox.get_points()
    centers, corners = axes.transData.transform(points), axes.transData.transform(steps)
    taken = [np.array([center - _RADIUS * unit, center + _RADIUS * unit]) for center in centers]
    taken += [
        np.array([np.minimum(a, b) - unit, np.maximum(a, b) + unit]) for a, b in pairwise(corners)
    ]
    for label, center in zip(labels, centers, strict=True):
        size = Text.get_window_extent(label).size  # without the line
        distance, box = min(
            _places(center, size, unit),
            key=lambda place: _COST_OF_DISTANCE * place[0] + _covered(place[1], taken, room),
        )
        taken.append(box + unit * _MARGIN)
        label.set_position((box[0] - center) / unit)
        label.arrow_patch.set_visible(distance > _DISTANCES[0])


def _write(axes: Any, name: str, point: np.ndarray) -> Any:
    label = axes.annotate(
        on_one_line(name),
        point,
        parse_math=False,
        xytext=(0, 0),
        textcoords="offset points",
        fontsize="small",
        color="0.25",
        arrowprops={"arrowstyle": "-", "color": "0.6", "shrinkA": 0, "shrinkB": 3},
    )
    label.set_in_layout(False)  # it is in the axes, and must not make them smaller
    return label


def _places(
    center: np.ndarray, size: tuple[float, float], unit: float
) -> Iterator[tuple[float, np.ndarray]]:
    """Distances, and lower left and upper right corners, of places around a point."""
    width, height = size
    for distance in _DISTANCES:
        off = distance * unit
        corners = [(off, -height / 2), (-off - width, -height / 2)]
        for shift in _SHIFTS:
            left = off * (1 - 2 * shift) - shift * width
            corners += [(left, off), (left, -off - height)]
        for corner in corners:
            yield distance, np.array([center + corner, center + corner + size])


def _covered(box: np.ndarray, taken: list[np.ndarray], room: np.ndarray) -> float:
    """Pixels that are taken; half of those out of the room, which may well be free."""
    outside = np.prod(box[1] - box[0]) - _overlap(box, room)
    return outside / 2 + sum(_overlap(box, other) for other in taken)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.prod(np.clip(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0, None)))
