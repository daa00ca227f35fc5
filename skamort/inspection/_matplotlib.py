"""matplotlib where it is needed, and a clear word where it is missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._given import check_given

_LONGEST_NAME = 60


def import_pyplot(caller: str) -> Any:
    """`matplotlib.pyplot`, imported only now: the package works without it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} draws with matplotlib, which is not installed; pip install matplotlib, or "
            "skamort[plot]."
        ) from error
    return plt


def on_one_line(name: Any) -> str:
    """A name as it is drawn, with ``parse_math=False``: `$` begins no formula."""
    text = " ".join(str(name).split())
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def check_axes(caller: str, ax: Any) -> None:
    """Refuse what cannot be drawn on."""
    check_given(hasattr(ax, "imshow"), ax, f"{caller}: ax", "matplotlib Axes, or None")


def find_panels(
    caller: str, ax: Any, one: str, n_panels: int, figsize: tuple[float, float], **options: Any
) -> np.ndarray:
    """Axes, one for each panel, in a row of a new figure where `ax` is None."""
    if ax is None:
        plt = import_pyplot(caller)
        _, ax = plt.subplots(1, n_panels, figsize=figsize, layout="constrained", **options)
    axes = np.atleast_1d(ax).ravel()
    for each in axes:
        check_axes(caller, each)
    if len(axes) != n_panels:
        raise ValueError(
            f"{caller}: {n_panels} {one}s need as many axes, got {len(axes)}; pass one a {one}, or "
            "ax=None."
        )
    return axes
