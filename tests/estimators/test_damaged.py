"""A saved estimator that was damaged, by chance or by intent, is refused: a ValueError, nothing is
run, nothing large allocated."""

import tracemalloc

import numpy as np
import pytest
from damage import DAMAGES, EVIL, damaged, forged
from numpy.testing import assert_array_equal

import skamort
from skamort import AmortizedCoder, GradSparseCoder, SAEEncoder

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with all kinds of parts in it: nested estimators, a net, statistics."""
    teacher, encoder = GradSparseCoder(6, max_iter=2), SAEEncoder(max_iter=2)
    coder = AmortizedCoder(teacher=teacher, encoder=encoder, random_state=0).fit(X)
    path = tmp_path_factory.mktemp("whole") / "saved"
    coder.save(path)
    return path, coder


def assert_refused(path):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"skamort\.load: .*(is corrupt \(|has no estim)"):
            skamort.load(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    assert not EVIL.exists()


def test_damage_by_chance_is_noticed(whole, tmp_path):
    for seed in range(100):
        damaged(whole[0], tmp_path / str(seed), np.random.default_rng(seed))
        assert_refused(tmp_path / str(seed))


def test_forged_files_with_the_right_digests_run_nothing(whole, tmp_path):
    """What still loads is an estimator with other numbers; the rest is refused."""
    shape, n_refused = whole[1].components_.shape, 0
    for seed in range(100):
        forged(whole[0], tmp_path / str(seed), np.random.default_rng(seed))
        try:
            loaded = skamort.load(tmp_path / str(seed))
        except ValueError:
            n_refused += 1
        else:
            assert loaded.components_.shape == shape
        assert not EVIL.exists()
    assert n_refused > 30


@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_damage_by_intent_is_refused(whole, name, tmp_path):
    DAMAGES[name](whole[0], tmp_path / "copy")
    assert_refused(tmp_path / "copy")


def test_what_was_not_damaged_is_loaded(whole):
    assert_array_equal(skamort.load(whole[0]).transform(X), whole[1].transform(X))
