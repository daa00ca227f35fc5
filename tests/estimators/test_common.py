"""scikit-learn's own checks, run on every public estimator that discovery finds."""

import pytest
from discovery import fast_estimators
from sklearn.utils.estimator_checks import check_estimator


@pytest.mark.every_case
@pytest.mark.parametrize("estimator", fast_estimators(), ids=lambda e: type(e).__name__)
@pytest.mark.usefixtures("quick_inner_encoder")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_check_estimator(estimator):
    check_estimator(estimator, on_skip=None)
