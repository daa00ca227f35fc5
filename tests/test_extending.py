"""The page "Parts of your own" runs from top to bottom, and what it builds keeps the rules."""

import re
import sys
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import check_estimator

from skamort.solvers import SOLVERS

PAGE = Path(__file__).parents[1] / "doc" / "extending.rst"
BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", re.MULTILINE)
# Both are check_estimator's: its fits are short, and it skips what needs a variable to be set.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Skipping check check_array_api_input"),
]


@pytest.fixture(scope="module")
def page():
    """The page as a module, so that what it defines can be pickled."""
    module = ModuleType("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "page", module)
        patch.setitem(SOLVERS, "ista", None)  # so that the page's entry is gone afterwards
        for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            exec(dedent(block), vars(module))
        yield module


@pytest.mark.parametrize("name", ["NearTopSAE", "SmoothSAE", "NestedSAE"])
def test_estimators_of_the_page_are_scikit_learns(page, name):
    check_estimator(getattr(page, name)(max_iter=5), on_skip=None)


def test_derivative_of_the_page_is_that_of_the_codes(page):
    activation = page.SmoothReLU(0.5)
    A = torch.linspace(-2, 2, 40, requires_grad=True).reshape(8, 5)
    A.retain_grad()
    codes, code_grad = activation(A), torch.arange(40.0).reshape(8, 5)
    codes.backward(code_grad)
    torch.testing.assert_close(activation.backward(A.detach(), codes, code_grad), A.grad)


@pytest.mark.parametrize("name", ["NearTopSAE", "SmoothSAE", "NestedSAE", "LowRankSAE"])
def test_estimators_of_the_page_do_not_depend_on_the_unit(page, name):
    losses = []
    for unit in (1, 64):
        sae = getattr(page, name)(n_components=32, max_iter=5, random_state=0)
        if name != "NearTopSAE":
            sae.set_params(alpha=0.1 * unit)
        losses.append(np.array(sae.fit(unit * page.X).loss_curve_) / unit**2)
    np.testing.assert_allclose(*losses, rtol=1e-3)
