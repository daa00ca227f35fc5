"""Encoders side by side: one table of figures, and pictures of them and of their dictionaries."""

from ._compare import compare_encoders
from ._comparison_display import ComparisonDisplay
from ._dictionary_display import DictionaryDisplay
from ._frontier_display import ComputeFrontierDisplay
from ._gram_display import GramDisplay

__all__ = [
    "ComparisonDisplay",
    "ComputeFrontierDisplay",
    "DictionaryDisplay",
    "GramDisplay",
    "compare_encoders",
]
