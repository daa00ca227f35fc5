"""A fitted Pipeline, taken for one coder of the data that go into it.

Where the steps before the last map back by x = A x' + b, what the last decodes, x' = z D + c, is in
the space of the data z (D A^T) + (A c + b): linear too. Its atoms are scaled to unit norm, and the
codes with them, so that one L1 norm judges all coders alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline

from ._decoder import dictionary_of, limits_number, linear_decoder, n_parameters_of
from ._matrices import Codes, check_dense_or_csr, check_matrix


def as_one_coder(estimator: Any) -> Any:
    """Return the estimator, a Pipeline as a coder with `components_` of its own."""
    return PipelineCoder(estimator) if isinstance(estimator, Pipeline) else estimator


def last_step(estimator: Any) -> Any:
    """Return the last step of a Pipeline, or the estimator."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def atoms_of(source: Any, name: str) -> np.ndarray:
    """Return a dictionary that was given, or that of a fitted estimator; of a Pipeline that in the
    space of the data."""
    is_array = not hasattr(source, "get_params") and not hasattr(source, "components_")
    return check_matrix(source, name) if is_array else dictionary_of(as_one_coder(source))


def seed_name(estimator: Any) -> str:
    """Return the name of the parameter that seeds an estimator; of a Pipeline, its last step's."""
    is_pipeline = isinstance(estimator, Pipeline)
    return f"{estimator.steps[-1][0]}__random_state" if is_pipeline else "random_state"


class PipelineCoder:
    """A fitted Pipeline whose last step codes, in the space of the data that go into it.

    Raises
    ------
    TypeError
        If a step before the last cannot map back.
    ValueError
        If they do not map back linearly.
    """

    def __init__(self, pipeline: Pipeline):
        self.pipeline, self._coder = pipeline, last_step(pipeline)
        coder = self._coder
        self.positive_code = getattr(coder, "positive_code_", getattr(coder, "positive_code", None))
        if getattr(coder, "split_sign", False):
            self.positive_code = None  # both halves are atoms here
        self._limits_number = limits_number(coder)
        dictionary, intercept = linear_decoder(self._coder)
        self.intercept_ = self._back(np.zeros_like(dictionary[:1]) + intercept)[0]
        atoms = self._back(intercept + dictionary) - self.intercept_
        self._check_linear(atoms, self._back(intercept - dictionary) - self.intercept_)
        lengths = np.linalg.norm(atoms, axis=1)
        self._lengths = np.where(lengths > 0, lengths, 1).astype(atoms.dtype)
        self.components_ = atoms / self._lengths[:, None]

    def transform(self, X: Any) -> Codes:
        """Return the codes of atoms of unit norm."""
        codes = check_dense_or_csr(self.pipeline.transform(X))
        if isinstance(codes, np.ndarray):
            return codes * self._lengths
        return sparse.csr_array(codes.multiply(self._lengths))

    def inverse_transform(self, codes: np.ndarray) -> np.ndarray:
        """Return what the steps decode one after the other."""
        return self._back(self._coder.inverse_transform(codes / self._lengths))

    @property
    def n_parameters_(self) -> int:
        """Numbers that the last step has learned."""
        return n_parameters_of(self._coder)

    def _back(self, values: Any) -> np.ndarray:
        """Map back through the steps before the last."""
        for name, step in reversed(self.pipeline.steps[:-1]):
            if step in (None, "passthrough"):
                continue
            if not hasattr(step, "inverse_transform"):
                raise TypeError(
                    f"Pipeline: its step {name!r} has no inverse_transform, so that errors cannot "
                    "be measured in the space of X; transform the data beforehand, for all alike."
                )
            values = step.inverse_transform(values)
        return np.asarray(values)

    def _check_linear(self, forth: np.ndarray, back: np.ndarray) -> None:
        """Refuse steps that map opposite atoms to what is not opposite."""
        if not np.allclose(forth, -back, rtol=1e-3, atol=1e-3 * np.abs(forth).max()):
            raise ValueError(
                "Pipeline: the steps before its last do not map back linearly, so that it has no "
                "dictionary in the space of X; transform the data beforehand, for all alike."
            )
