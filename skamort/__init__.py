"""Sparse autoencoders, sparse coding and the hybrids between, as scikit-learn estimators."""

__version__ = "0.1.0"
