"""Encoders side by side: one table of figures, pictures of it and of the dictionaries, a report."""

from ._compare import compare_encoders
from ._comparison_display import ComparisonDisplay
from ._dictionary_display import DictionaryDisplay
from ._frontier_display import ComputeFrontierDisplay
from ._gram_display import GramDisplay
from ._match import DictionaryMatch, match_dictionaries
from ._report import ComparisonReport

__all__ = [
    "ComparisonDisplay",
    "ComparisonReport",
    "ComputeFrontierDisplay",
    "DictionaryDisplay",
    "DictionaryMatch",
    "GramDisplay",
    "compare_encoders",
    "match_dictionaries",
]
