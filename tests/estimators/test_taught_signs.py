"""A teacher's codes of either sign, and a teacher whose fit is interrupted."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA, DictionaryLearning, SparseCoder
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from skamort import AmortizedCoder, GradSparseCoder, ITOCoder, LISTAEncoder, SAEEncoder, TopKSAE
from skamort.metrics import amortization_gap

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
ATOMS = np.linalg.qr(RNG.standard_normal((10, 10)))[0][:8]
CODES = np.where(RNG.random((400, 8)).argsort(axis=1) < 2, RNG.standard_normal((400, 8)), 0)
X = CODES @ ATOMS
SIGNED = {
    "ITOCoder": lambda: ITOCoder(dictionary=ATOMS, n_nonzero_coefs=2),
    "GradSparseCoder": lambda: GradSparseCoder(
        dictionary=ATOMS, n_nonzero_coefs=2, positive_code=False
    ),
    "in transform": lambda: GradSparseCoder(
        dictionary=ATOMS, transform_n_nonzero_coefs=2, positive_code=False
    ),
    "of scikit-learn": lambda: SparseCoder(ATOMS, transform_n_nonzero_coefs=2),
    "halves": lambda: ITOCoder(dictionary=ATOMS, n_nonzero_coefs=2, split_sign=True),
}


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("encoder", [None, TopKSAE(positive_code=False, max_iter=60)])
def test_a_k_sparse_teacher_passes_on_its_signs(name, encoder):
    coder = AmortizedCoder(teacher=SIGNED[name](), encoder=encoder, max_iter=60, random_state=0)
    codes = coder.fit(X).transform(X)
    assert codes.shape == CODES.shape
    assert coder.encoder_.k == np.count_nonzero(codes, axis=1).max() == 2
    assert not coder.encoder_.positive_code
    assert coder.score(X) > 0.9
    assert np.corrcoef(codes.ravel(), CODES.ravel())[0, 1] > 0.95


def test_augmented_samples_have_signs_too():
    teacher = SIGNED["ITOCoder"]().fit(X)
    coder = AmortizedCoder(teacher=teacher, n_augmented=300, max_iter=40, random_state=0)
    assert coder.fit(X).score(X) > 0.9
    assert amortization_gap(coder, X[:20], n_nonzero_coefs=2).fvu_gap < 0.1


def test_the_center_of_scikit_learns_teacher_is_taken_off():
    teacher = PCA(3).fit(X + 5)
    student = TopKSAE(k=3, positive_code=False, max_iter=100)
    coder = AmortizedCoder(teacher=teacher, encoder=student, random_state=0).fit(X + 5)
    assert_array_equal(coder.intercept_, teacher.mean_)
    assert_allclose(coder.score(X + 5), teacher.explained_variance_ratio_.sum(), atol=0.05)


@pytest.mark.parametrize(
    ("teacher", "encoder"),
    [
        (GradSparseCoder(8, positive_code=False, max_iter=2), None),
        (GradSparseCoder(8, positive_code=False, max_iter=2), LISTAEncoder(max_iter=1)),
        (SIGNED["ITOCoder"](), SAEEncoder(max_iter=1)),
        (SIGNED["halves"](), TopKSAE(max_iter=1)),
        (DictionaryLearning(8, max_iter=2, transform_algorithm="lasso_cd"), None),
    ],
)
def test_who_learns_no_signs_says_who_does(teacher, encoder):
    coder = AmortizedCoder(teacher=teacher, encoder=encoder)
    with pytest.raises(ValueError, match=r"gives negative codes, .*TopKSAE\(positive_code=False\)"):
        coder.fit(X)


class Impatient(GradSparseCoder):
    """Its user presses the keys in the third iteration."""

    def _advance(self, bar, task, learned, objective):
        if len(learned.loss_curve) == 3:
            raise KeyboardInterrupt
        super()._advance(bar, task, learned, objective)


@pytest.mark.parametrize(
    "whole", [lambda teacher: teacher, lambda teacher: ITOCoder(estimator=teacher)]
)
def test_where_the_teacher_is_stopped_so_is_all(whole):
    coder = AmortizedCoder(teacher=whole(Impatient(8, random_state=0)))
    with (
        pytest.warns(UserWarning, match="interrupted in iteration"),
        pytest.raises(KeyboardInterrupt, match="go on with AmortizedCoder"),
    ):
        coder.fit(X)
    assert not hasattr(coder, "encoder_")
    with pytest.raises(NotFittedError):
        coder.transform(X)
    again = AmortizedCoder(teacher=coder.teacher_, encoder=SAEEncoder(max_iter=2)).fit(X)
    assert_array_equal(again.components_, coder.teacher_.components_)
    student = SAEEncoder(max_iter=2)
    coder = clone(coder).set_params(teacher=GradSparseCoder(8, max_iter=2), encoder=student)
    assert coder.fit(X).transform(X).shape == (400, 8)


def test_where_the_encoder_is_stopped_what_it_has_learned_is_kept():
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    teacher = GradSparseCoder(8, max_iter=2, random_state=0).fit(X)
    coder = AmortizedCoder(teacher=teacher, encoder=SAEEncoder(max_iter=9, callbacks=[Stop()]))
    with pytest.warns(UserWarning, match="SAEEncoder: the fit was interrupted in epoch"):
        coder.fit(X)
    assert coder.n_iter_ < 9
    assert make_pipeline(coder).transform(X).shape == (400, 8)
