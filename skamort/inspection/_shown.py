"""A row as a reader sees it: a text, an image, or HTML that its maker vouches for."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._numbers import as_array

_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # of the PNG format, by the number of channels


@dataclass(frozen=True)
class SafeHTML:
    """HTML that a report shows as it is.

    Whoever makes one vouches for it: what comes from outside must have been escaped. Its scripts
    are not run. Any other object with ``__html__``, as templates and notebooks have them, is shown
    in the same way.

    Parameters
    ----------
    html : str
        What is shown.

    See Also
    --------
    FeatureReport : Shows it.

    Examples
    --------
    >>> from skamort.inspection import SafeHTML
    >>> SafeHTML("<b>bold</b>").__html__()
    '<b>bold</b>'
    """

    html: str

    def __html__(self) -> str:
        """Return what is shown."""
        return self.html


def shown_by(show: Callable[[Any], Any], of: Any, name: str) -> dict[str, Any]:
    """Return what a user's callable shows of something, ready for JSON.

    Raises
    ------
    ValueError
        If the callable raises, or an image has no pixels or NaN.
    TypeError
        If it returns what cannot be shown.
    """
    try:
        value = show(of)
    except Exception as error:
        raise ValueError(
            f"FeatureReport: {name} raised {type(error).__name__}: {error}; it must return a text, "
            "an image or SafeHTML for each."
        ) from error
    return as_shown(value, name)


def as_shown(value: Any, name: str) -> dict[str, Any]:
    """Return a text, an image or HTML, ready for JSON."""
    if hasattr(value, "__html__"):
        return {"html": str(value.__html__())}
    if isinstance(value, str):
        return {"text": value}
    if not hasattr(value, "shape"):
        raise TypeError(
            f"FeatureReport: {name} returned a {type(value).__name__}; return a text, an image as "
            "an array, or SafeHTML."
        )
    pixels = _pixels(as_array(value), name)
    source = f"data:image/png;base64,{b64encode(_png(pixels)).decode()}"
    return {"image": source, "size": list(pixels.shape[1::-1])}


def _pixels(image: np.ndarray, name: str) -> np.ndarray:
    """Return an image as bytes (height, width, channels)."""
    pixels = image[..., None] if image.ndim == 2 else image
    if pixels.ndim != 3 or pixels.shape[2] not in _COLOUR_TYPES or not pixels.size:
        raise TypeError(
            f"FeatureReport: {name} returned an array of shape {image.shape}; an image has shape "
            "(height, width), or (height, width, 3) in colour."
        )
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind not in "biuf" or not np.isfinite(pixels).all():
        raise ValueError(f"FeatureReport: {name} returned an image of no finite numbers.")
    peak = np.abs(pixels).max() or 1
    share = pixels / peak
    return np.rint(255 * (share if pixels.min() >= 0 else (1 + share) / 2)).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    """Return pixels (height, width, channels) as a PNG file."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def short(number: float) -> float:
    """Return a number in three digits, which is what a reader sees of it."""
    return float(f"{number:.3g}")
