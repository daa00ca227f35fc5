"""One row of figures an encoder, under one objective and on the same data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import FitFailedWarning

from .._decoder import decoder_of, dictionary_of, limits_number, n_parameters_of
from .._explained_variance import fraction_unexplained
from .._fitted import fitted
from .._matrices import Codes, check_dense_or_csr, check_same_length
from .._pipeline import as_one_coder, atoms_of
from .._progress import progress_bar
from .._validation import check_real
from ..metrics import amortization_gap, dead_fraction, dictionary_mcc, latent_mcc, mean_l0
from ._named import named_estimators
from ._table import make_table

# A fast transform is repeated until it has run for so long in all, or so often; the fastest counts.
_SECONDS_TO_TIME = 0.2
_REPEATS = 10


def compare_encoders(
    estimators: Any,
    X_train: Any,
    X_test: Any,
    *,
    alpha: float,
    codes: Any = None,
    dictionary: Any = None,
    return_estimators: bool = False,
    verbose: int | bool = False,
) -> Any:
    """Fit encoders and compare them on the same data, under the same objective.

    Parameters
    ----------
    estimators : dict, list of (str, estimator) tuples, list of estimators, or an estimator
        Transformers with `components_` (or `dictionary`), of this package or any other, by name;
        without names they take those of their classes. What is fitted already is taken as it is;
        the others are cloned and fitted on `X_train`. A :class:`sklearn.pipeline.Pipeline` is
        compared in the space of X, to which its steps before the last must map back linearly, as a
        StandardScaler or PCA does; its atoms are scaled to unit norm there, and its codes with
        them, so that rows of the table compare.
    X_train : {array-like, sparse matrix} of shape (n_train_samples, n_features)
        Data to fit on.
    X_test : {array-like, sparse matrix} of shape (n_samples, n_features)
        Data to encode; every figure but `fit_seconds` and `n_parameters` is measured on it.
    alpha : float
        Weight of the L1 norm in the objective that judges all encoders, whatever each was
        fitted with.
    codes : {array-like, sparse matrix} of shape (n_samples, n_components_true), default=None
        True codes of `X_test`, where they are known.
    dictionary : array-like of shape (n_components_true, n_features) or fitted estimator, \
            default=None
        True dictionary, where it is known.
    return_estimators : bool, default=False
        Whether to return the fitted estimators as well.
    verbose : int or bool, default=False
        Whether to draw a bar of the estimators that are done, with a line for each that stays.

    Returns
    -------
    table : DataFrame
        One row an estimator, with the columns below. Where pandas is not installed, a dict of
        columns with the names of the rows in ``table.index``.

        - `fvu`: fraction of variance unexplained;
        - `l0`: mean number of non-zero codes of a sample;
        - `dead_fraction`: share of atoms that no sample uses;
        - `objective`: mean sparse coding objective at `alpha`;
        - `gap`, `gap_upper`: the amortization gap at `alpha` lies between these;
        - `fvu_gap`, `fvu_gap_upper`: better codes with as many non-zeros leave less of the
          variance, by a share between these, as `amortization_gap` has it; of encoders that limit
          the number of codes, NaN for others, and only if there is one;
        - `latent_mcc`: mean correlation with the true codes, if `codes` is given;
        - `dictionary_mcc`: mean correlation with the true atoms, if `dictionary` is given;
        - `fit_seconds`: time to fit, NaN where it was fitted already;
        - `samples_per_second`: speed of `transform` on the whole of `X_test`;
        - `n_parameters`: numbers learned;
        - `sign`: ">= 0" where the best codes for the gap were sought among those that are not
          negative, as the encoder's are by rule or as found; else "any".

        An estimator that cannot be fitted or measured has NaN in its row, and "" as its sign.
    estimators : dict
        The fitted estimators by name, without those. Only if `return_estimators`.

    Raises
    ------
    ValueError
        No estimators, a name that comes twice, data that do not fit each other, NaN or infinity, a
        negative `alpha`.
    TypeError
        Something without `transform`. All that can be told before any fit is.
    Exception
        That of the first estimator, where none can be fitted and measured.

    Warns
    -----
    sklearn.exceptions.FitFailedWarning
        Some cannot, with the error of each; the others are compared none the less.

    See Also
    --------
    ComparisonDisplay : Draws the table.
    skamort.metrics.amortization_gap : The gap of one estimator, by sample.

    Examples
    --------
    >>> from sklearn.decomposition import PCA, DictionaryLearning
    >>> from skamort.datasets import make_sparse_coded_signal
    >>> from skamort.inspection import compare_encoders
    >>> X, dictionary, codes = make_sparse_coded_signal(
    ...     200, n_components=10, n_features=6, n_nonzero_coefs=2, random_state=0)
    >>> learner = DictionaryLearning(10, alpha=0.1, fit_algorithm="cd",
    ...     transform_algorithm="lasso_cd", transform_max_iter=10_000, random_state=0)
    >>> table = compare_encoders([learner, PCA(6)], X[:100], X[100:], alpha=0.1,
    ...     codes=codes[100:], dictionary=dictionary)
    >>> bool(table["gap"]["DictionaryLearning"] < 1e-4 < table["gap"]["PCA"])
    True
    """
    named = named_estimators(estimators, "compare_encoders", "transform")
    task = _check(X_train, X_test, alpha, codes, dictionary)
    rows: dict[str, dict[str, Any]] = {}
    models: dict[str, Any] = {}
    errors: dict[str, Exception] = {}
    for name, estimator in _shown(named, bool(verbose)):
        try:
            model, seconds = _fit(estimator, X_train)
            rows[name] = _measure(as_one_coder(model), task, seconds)
            models[name] = model
        except Exception as error:
            error.add_note(f"compare_encoders: this came from the estimator {name!r}.")
            errors[name] = error
    _tell_failed(errors, len(named))
    _drop_unknown(rows)
    _warn_of_zero_codes(rows)
    table = make_table({name: rows.get(name, _without_figures(rows)) for name in named})
    return (table, models) if return_estimators else table


def _tell_failed(errors: Mapping[str, Exception], n_estimators: int) -> None:
    """Warn of what could not be compared; of the first where nothing could, raise its error."""
    if len(errors) == n_estimators:
        raise next(iter(errors.values()))
    if errors:
        told = "; ".join(f"{name!r}: {type(e).__name__}: {e}" for name, e in errors.items())
        warnings.warn(
            f"compare_encoders: {len(errors)} of {n_estimators} estimators could not be compared, "
            f"their figures are NaN. {told}",
            FitFailedWarning,
            stacklevel=3,
        )


def _without_figures(rows: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A row with the columns of the others, of what could not be compared."""
    return {**dict.fromkeys(next(iter(rows.values())), float("nan")), "sign": ""}


def _shown(named: Mapping[str, Any], verbose: bool) -> Iterator[tuple[str, Any]]:
    """Estimators by name, with a bar that shows which one it is, and a line for each when it is
    done."""
    bar = progress_bar(len(named), "compare_encoders", disable=not verbose, unit="estimator")
    with bar:
        for name, estimator in named.items():
            bar.set_postfix_str(name)
            start = monotonic()
            yield name, estimator
            bar.update()
            if verbose:
                bar.write(f"compare_encoders: {name}, {monotonic() - start:.1f} s")


@dataclass(frozen=True)
class _Task:
    """What all are judged by, checked: data as they came and as an array, and what is true."""

    X: Any
    data: Codes
    alpha: float
    codes: Codes | None
    dictionary: np.ndarray | None


def _check(X_train: Any, X_test: Any, alpha: Any, codes: Any, dictionary: Any) -> _Task:
    alpha = check_real(alpha, "alpha")
    data = check_dense_or_csr(X_test, "X_test")
    width = check_dense_or_csr(X_train, "X_train").shape[1]
    if width != data.shape[1]:
        raise ValueError(
            f"X_train has {width} features and X_test {data.shape[1]}; they must have the same."
        )
    if codes is not None:
        codes = check_dense_or_csr(codes)
        check_same_length(codes, data, "codes and X_test")
    if dictionary is not None:
        dictionary = atoms_of(dictionary, "dictionary")
        if dictionary.shape[1] != data.shape[1]:
            raise ValueError(
                f"dictionary has shape {dictionary.shape}, but X_test has {data.shape[1]} "
                "features; atoms are rows, of the width of X_test."
            )
    return _Task(X_test, data, alpha, codes, dictionary)


def _fit(estimator: Any, X_train: Any) -> tuple[Any, float]:
    """The fitted estimator, and the seconds that took."""
    start = perf_counter()
    model = fitted(estimator, X_train)
    return model, float("nan") if model is estimator else perf_counter() - start


def _measure(estimator: Any, task: _Task, fit_seconds: float) -> dict[str, float | str]:
    """The row of one fitted estimator."""
    codes, seconds = _timed_transform(estimator, task.X)
    dictionary, intercept = decoder_of(estimator, codes)
    found = amortization_gap(estimator, task.X, task.alpha, codes=codes)
    return {
        "fvu": fraction_unexplained(task.data, lambda rows: codes[rows] @ dictionary + intercept),
        "l0": mean_l0(codes),
        "dead_fraction": dead_fraction(codes),
        "objective": found.objective,
        "gap": found.gap,
        "gap_upper": found.gap_upper,
        **_ksparse_gap(estimator, task, codes),
        **_recovery(estimator, codes, task),
        "fit_seconds": fit_seconds,
        "samples_per_second": task.data.shape[0] / seconds,
        "n_parameters": n_parameters_of(estimator),
        "sign": ">= 0" if found.positive else "any",
    }


def _ksparse_gap(estimator: Any, task: _Task, codes: Codes) -> dict[str, float]:
    """The gap among codes with as many non-zeros, where the encoder limits their number."""
    low = high = float("nan")
    if limits_number(estimator):
        found: Any = amortization_gap(estimator, task.X, codes=codes)
        low, high = found.fvu_gap, found.fvu_gap_upper
    return {"fvu_gap": low, "fvu_gap_upper": high}


def _drop_unknown(rows: Mapping[str, dict[str, Any]]) -> None:
    """Leave out the gap among codes with as many non-zeros where no encoder limits them."""
    if all(np.isnan(row["fvu_gap"]) for row in rows.values()):
        for row in rows.values():
            del row["fvu_gap"], row["fvu_gap_upper"]


def _warn_of_zero_codes(rows: Mapping[str, Mapping[str, float | str]]) -> None:
    """Say which encoders give no code: their gap says nothing of how well they find codes."""
    silent = [name for name, row in rows.items() if row["l0"] == 0]
    if silent:
        warnings.warn(
            f"compare_encoders: all codes of {', '.join(silent)} are zero, l0 0, and a gap is that "
            "of zero codes; fit on rows like X_test, with any alpha below their "
            "skamort.solvers.alpha_max.",
            UserWarning,
            stacklevel=3,
        )


def _recovery(estimator: Any, codes: Codes, task: _Task) -> dict[str, float]:
    """Agreement with what is true, where it is known."""
    row = {}
    if task.codes is not None:
        row["latent_mcc"] = latent_mcc(task.codes, codes)
    if task.dictionary is not None:
        row["dictionary_mcc"] = dictionary_mcc(task.dictionary, dictionary_of(estimator))
    return row


def _timed_transform(estimator: Any, X: Any) -> tuple[Codes, float]:
    """Codes, and the seconds of the fastest of a few runs."""
    runs: list[float] = []
    while not runs or (sum(runs) < _SECONDS_TO_TIME and len(runs) < _REPEATS):
        start = perf_counter()
        codes = estimator.transform(X)
        runs.append(perf_counter() - start)
    return check_dense_or_csr(codes), min(runs)
