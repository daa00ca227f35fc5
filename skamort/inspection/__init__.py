"""Encoders side by side and latents one by one: tables, pictures, reports, explanations."""

from ._ask import FolderCache
from ._compare import compare_encoders
from ._comparison_display import ComparisonDisplay
from ._dictionary_display import DictionaryDisplay
from ._examples import Example, LatentExamples, collect_examples
from ._explain import explain, score_by_detection, score_by_simulation
from ._feature_report import FeatureReport
from ._frontier_display import ComputeFrontierDisplay
from ._gram_display import GramDisplay
from ._loss_curve_display import LossCurveDisplay
from ._match import DictionaryMatch, match_dictionaries
from ._ngrams import NGramExplanation, explain_by_ngrams
from ._rank_tests import dunn_test
from ._report import ComparisonReport
from ._shown import SafeHTML
from ._sweep_display import SweepDisplay
from ._token_contexts import TokenContexts
from ._top_activations import top_activations
from ._training_curve_display import TrainingCurveDisplay

__all__ = [
    "ComparisonDisplay",
    "ComparisonReport",
    "ComputeFrontierDisplay",
    "DictionaryDisplay",
    "DictionaryMatch",
    "Example",
    "FeatureReport",
    "FolderCache",
    "GramDisplay",
    "LatentExamples",
    "LossCurveDisplay",
    "NGramExplanation",
    "SafeHTML",
    "SweepDisplay",
    "TokenContexts",
    "TrainingCurveDisplay",
    "collect_examples",
    "compare_encoders",
    "dunn_test",
    "explain",
    "explain_by_ngrams",
    "match_dictionaries",
    "score_by_detection",
    "score_by_simulation",
    "top_activations",
]
