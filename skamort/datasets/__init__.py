"""Data to measure encoders on: signals with known sources, and patches of real photographs."""

from ._image_patches import load_image_patches
from ._published import make_published_signal
from ._sparse_coded_signal import make_sparse_coded_signal
from ._superposition import make_superposition
from ._zipf import zipf_weights

__all__ = [
    "load_image_patches",
    "make_published_signal",
    "make_sparse_coded_signal",
    "make_superposition",
    "zipf_weights",
]
