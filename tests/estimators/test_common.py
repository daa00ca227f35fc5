"""scikit-learn's own checks, run on every public estimator that discovery finds."""

import pytest
from discovery import fast_estimators
from sklearn.utils.estimator_checks import check_estimator

# Unused atoms are drawn anew from the rows: then weights equal repetition in expectation alone, and
# the check of it would compare draws. So atoms are few, or there is no iteration after the draw.
ALL_ATOMS_USED = {
    "GradSparseCoder": {"n_components": 4, "positive_code": False},
    "AmortizedCoder": {"teacher__max_iter": 1},
}


@pytest.mark.parametrize("estimator", fast_estimators(), ids=lambda e: type(e).__name__)
@pytest.mark.usefixtures("quick_inner_encoder")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_check_estimator(estimator):
    estimator.set_params(**ALL_ATOMS_USED.get(type(estimator).__name__, {}))
    check_estimator(estimator, on_skip=None)
