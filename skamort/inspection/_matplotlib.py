"""matplotlib where it is needed, and a clear word where it is missing."""

from __future__ import annotations

from typing import Any


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
