"""scikit-learn's own tests of dictionary learning and of matching pursuit, run against skamort.

The tests are those of the scikit-learn that is installed, whose wheels carry them:
`decomposition/tests/test_dict_learning.py` and `linear_model/tests/test_omp.py`. What they import
is replaced by adapters that have scikit-learn's names and signatures and hand all work to skamort.
Prints a table of cases passed, and of those that must differ, each kind with its reason. Exits with
1 where a case fails that has no reason here, or passes though it has one.

    python benchmarks/check_sklearn_suite.py
    python benchmarks/check_sklearn_suite.py --tests path/to/scikit-learn/sklearn --cases --quick
"""

import argparse
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn import decomposition, linear_model
from sklearn.decomposition import _dict_learning
from sklearn.exceptions import ConvergenceWarning

from skamort import GradSparseCoder, ITOCoder
from skamort.solvers import sparse_encode, update_dictionary

TESTS = ("decomposition/tests/test_dict_learning.py", "linear_model/tests/test_omp.py")
# Patterns of names of cases, and why they differ.
DIFFERENCES = {
    r"(dict_learning|online)_lars_positive_parameter|unavailable_positivity\[omp\]": (
        "non-negative codes are found where scikit-learn's LARS and OMP refuse them"
    ),
    r"online_partial_fit": (
        "fit goes on with all samples after its online pass, and ends lower than partial_fit"
    ),
    r"online_initialization": "a fit has at least one iteration, and its atoms are of unit norm",
    r"test_dict_learning_reconstruction$": "the error for codes of a wrong width has other words",
    r"unreachable_accuracy|identical_regressors": (
        "a pursuit that dependent atoms end is no RuntimeWarning: codes are least squares on its "
        "support, and info.converged tells whether residual_tol was met"
    ),
}


# Cases about regressors, which skamort leaves to scikit-learn.
NOT_OURS = r"test_omp.*::(test_estimator|test_omp_cv|test_omp_reaches_least_squares)"


# -- Adapters: scikit-learn's signatures, skamort's work -------------------------------------------


def transform_options(coder):
    """Return what scikit-learn's coders say of codes, in GradSparseCoder's words."""
    alpha = coder.transform_alpha
    return {
        "transform_algorithm": coder.transform_algorithm,
        "transform_n_nonzero_coefs": coder.transform_n_nonzero_coefs,
        "transform_alpha": alpha,
        "transform_max_iter": coder.transform_max_iter,
        "positive_code": coder.positive_code,
        "split_sign": coder.split_sign,
    }


class Learner:
    """What both of scikit-learn's dictionary learners share here."""

    def _make(self, **options):
        return GradSparseCoder(
            self.n_components,
            algorithm="cd",  # there is no LARS, and it finds the same codes
            alpha=self.alpha,
            dict_init=self.dict_init,
            positive_dict=self.positive_dict,
            random_state=self.random_state,
            tol=self.tol,
            verbose=bool(self.verbose),
            **options,
            **transform_options(self),
        )

    def _take(self, coder):
        self._coder = coder
        for name in ("components_", "n_features_in_", "n_iter_"):
            setattr(self, name, getattr(coder, name))
        if hasattr(coder, "feature_names_in_"):
            self.feature_names_in_ = coder.feature_names_in_
        return self

    def fit(self, X, y=None):  # noqa: ARG002
        self._validate_params()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return self._take(self._make(**self._learning()).fit(X))

    def fit_transform(self, X, y=None):  # noqa: ARG002
        return self.fit(X).transform(X)

    def transform(self, X):
        return self._coder.set_params(**transform_options(self)).transform(X)

    def inverse_transform(self, X):
        return self._coder.set_params(split_sign=self.split_sign).inverse_transform(X)


class DictionaryLearning(Learner, decomposition.DictionaryLearning):
    """GradSparseCoder with full batches."""

    def _learning(self):
        return {"batch_size": None, "max_iter": self.max_iter}


class MiniBatchDictionaryLearning(Learner, decomposition.MiniBatchDictionaryLearning):
    """GradSparseCoder with mini-batches; a step is a call of partial_fit or a mini-batch."""

    def _learning(self):
        return {"batch_size": self.batch_size, "max_iter": self.max_iter}

    def partial_fit(self, X, y=None):  # noqa: ARG002
        coder = getattr(self, "_coder", None) or self._make(batch_size=len(X))
        return self._take(coder.partial_fit(X))

    @property
    def _A(self):
        return self._coder._statistics.gram_codes.numpy()

    @property
    def _B(self):
        return self._coder._statistics.cross.T.numpy()


class SparseCoder(decomposition.SparseCoder):
    """ITOCoder with a dictionary."""

    def _coder(self):
        options = transform_options(self)
        algorithm = options.pop("transform_algorithm")
        limit, alpha = options.pop("transform_n_nonzero_coefs"), options.pop("transform_alpha")
        if algorithm in ("lars", "omp"):
            options["n_nonzero_coefs"] = limit
        else:
            options["alpha"] = 1.0 if alpha is None else alpha
        return ITOCoder(dictionary=self.dictionary, algorithm=algorithm, **options)

    def transform(self, X, y=None):  # noqa: ARG002
        return self._coder().transform(X)

    def fit_transform(self, X, y=None):  # noqa: ARG002
        return self.fit(X).transform(X)

    def inverse_transform(self, X):
        return self._coder().inverse_transform(X)


def dict_learning(X, n_components, *, alpha, return_n_iter=False, **options):
    """Return codes, dictionary, objectives and, on request, iterations."""
    options.pop("callback", None)
    method = options.pop("method", "lars")
    learner = DictionaryLearning(
        n_components, alpha=alpha, fit_algorithm=method, transform_algorithm="lasso_cd", **options
    )
    codes = learner.fit_transform(X)
    found = codes, learner.components_, learner._coder.loss_curve_
    return (*found, learner.n_iter_) if return_n_iter else found


def dict_learning_online(X, n_components=2, *, return_code=True, method="lars", **options):
    """Return the dictionary and, on request, codes before it."""
    learner = MiniBatchDictionaryLearning(
        n_components, fit_algorithm=method, transform_algorithm="lasso_cd", **options
    ).fit(X)
    return (learner.transform(X), learner.components_) if return_code else learner.components_


def update_dict(dictionary, Y, code, A=None, B=None, **_):
    """Update the dictionary in place."""
    A, B = (code.T @ code, Y.T @ code) if A is None else (A, B)
    update_dictionary(dictionary, A, B.T)


def orthogonal_mp(X, y, *, n_nonzero_coefs=None, tol=None, return_path=False, **_):
    """Return coefficients of the targets y, shape (n_features,) or (n_features, n_targets)."""
    if return_path:
        steps = range(1, n_nonzero_coefs + 1)
        return np.stack([orthogonal_mp(X, y, n_nonzero_coefs=k) for k in steps], axis=-1)
    targets = y[:, None] if y.ndim == 1 else y
    limits = {"n_nonzero_coefs": n_nonzero_coefs, "residual_tol": tol}
    coefs = sparse_encode(targets.T, X.T, algorithm="omp", **limits).T
    return coefs[:, 0] if y.ndim == 1 else coefs


def orthogonal_mp_gram(Gram, Xy, **options):
    """Return what orthogonal_mp returns for any X and y with these products."""
    options = {k: v for k, v in options.items() if k not in ("copy_Gram", "copy_Xy")}
    scales, vectors = np.linalg.eigh(Gram)
    kept = scales > 1e-6 * scales[-1]
    X = (vectors[:, kept] * np.sqrt(scales[kept])).T.astype(Gram.dtype)
    return orthogonal_mp(X, (X / scales[kept, None]).astype(Xy.dtype) @ Xy, **options)


ADAPTED = {
    decomposition: (
        DictionaryLearning, MiniBatchDictionaryLearning, SparseCoder, dict_learning,
        dict_learning_online,
    ),
    linear_model: (orthogonal_mp, orthogonal_mp_gram),
}  # fmt: skip


# -- The run ---------------------------------------------------------------------------------------


class Record:
    """A pytest plugin: the outcome of every case."""

    def __init__(self):
        self.cases = {}

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.failed:
            self.cases[report.nodeid.rpartition("/")[2]] = report

    @staticmethod
    def pytest_collection_modifyitems(items):
        items[:] = [item for item in items if not re.search(NOT_OURS, item.nodeid)]

    @staticmethod
    def pytest_configure(config):
        config.addinivalue_line("markers", "thread_unsafe: scikit-learn's")


def run(tests, names, verbose):
    """Return the outcome of every case of the test files by name."""
    for module, adapters in ADAPTED.items():
        for adapter in adapters:
            setattr(module, adapter.__name__, adapter)
    decomposition.sparse_encode = sparse_encode
    _dict_learning._update_dict = update_dict
    record = Record()
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if not (tests / name).exists():
                sys.exit(f"{tests / name} is missing; pass --tests, the sklearn/ of a checkout.")
            shutil.copy(tests / name, folder)
        show = ["-q", "--tb=short"] if verbose else ["-q", "--tb=no", "--no-summary"]
        pytest.main(
            [folder, *show, "-p", "no:cacheprovider", "-W", "ignore", f"--rootdir={folder}"],
            plugins=[record],
        )
    return record.cases


def reason_of(case):
    """Return why a case must differ, or None."""
    return next((why for pattern, why in DIFFERENCES.items() if re.search(pattern, case)), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tests", type=Path, default=Path(sklearn.__file__).parent)
    parser.add_argument("--cases", action="store_true", help="show failures of single cases")
    parser.add_argument("--quick", action="store_true", help="only the tests of matching pursuit")
    args = parser.parse_args()
    cases = run(args.tests, TESTS[1:] if args.quick else TESTS, args.cases)
    print(f"\nscikit-learn {sklearn.__version__}, {len(cases)} cases")
    table, wrong = Counter(), []
    for case, report in cases.items():
        why = reason_of(case)
        table["passed" if report.passed else why or "failed"] += 1
        if report.passed == (why is not None):
            wrong.append(case)
    for what, count in table.most_common():
        print(f"{count:5d}  {what}")
    print("\n".join(["not as stated:", *wrong]) if wrong else "all as stated")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
