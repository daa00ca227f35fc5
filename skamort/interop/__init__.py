"""Autoencoders of other packages: their files in and out, their modules as estimators.

What they save is read as numbers, nothing of it is run, and the packages need not be installed.
"""

from ._dictionary_learning import from_dictionary_learning
from ._gemma_scope import from_gemma_scope
from ._openai import from_openai
from ._overcomplete import from_overcomplete
from ._saelens import from_saelens, to_saelens
from ._sparsify import from_sparsify
from ._wrap import WrappedModule, wrap

__all__ = [
    "WrappedModule",
    "from_dictionary_learning",
    "from_gemma_scope",
    "from_openai",
    "from_overcomplete",
    "from_saelens",
    "from_sparsify",
    "to_saelens",
    "wrap",
]
