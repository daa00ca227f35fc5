"""Algorithms of scikit-learn at the scales at which its tolerances would be too coarse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import sparse_encode as sklearn_sparse_encode

from skamort import GradSparseCoder, ITOCoder
from skamort.solvers import SKLEARN_ALGORITHMS, sparse_encode

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
D = RNG.standard_normal((12, 8))
D /= np.linalg.norm(D, axis=1, keepdims=True)
X = RNG.standard_normal((7, 8))
any_algorithm = st.sampled_from(SKLEARN_ALGORITHMS)
any_dtype = st.sampled_from([np.float32, np.float64])


def asked(algorithm, alpha=0.3):
    limit = {"n_nonzero_coefs": 3} if algorithm == "lars" else {"alpha": alpha}
    return {"algorithm": algorithm, **limit}


@settings(max_examples=60, deadline=None)
@given(any_algorithm, any_dtype, st.integers(-30, 30), st.floats(0.1, 2), st.booleans())
def test_codes_are_those_of_data_of_size_one(algorithm, dtype, power, alpha, positive):
    positive &= algorithm != "lars"  # which has no sign
    unit = 10.0**power
    expected = sklearn_sparse_encode(X, D, **asked(algorithm, alpha), positive=positive)
    data = (X * unit).astype(dtype)
    codes = sparse_encode(
        data, D.astype(dtype), **asked(algorithm, alpha * unit), positive=positive
    )
    assert codes.dtype == dtype
    atol = 1e-9 if dtype == np.float64 else 3e-4
    atol = 1e-2 if algorithm == "lasso_cd" and dtype == np.float32 else atol  # as it converges
    np.testing.assert_allclose(codes / unit, expected, atol=atol)


@pytest.mark.parametrize("algorithm", ["lars", "lasso_lars"])
def test_rows_of_all_sizes_stand_beside_each_other(algorithm):
    units = 10.0 ** np.array([-30, -12, -5, 0, 3, 12, 30])
    together = sparse_encode(X * units[:, None], D, **asked(algorithm, 0.0))
    alone = sklearn_sparse_encode(X, D, **asked(algorithm, 0.0))
    np.testing.assert_allclose(together / units[:, None], alone, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(any_algorithm, st.integers(-15, 15), st.integers(-15, 15))
def test_atoms_have_any_size_too(algorithm, power, power_of_atoms):
    unit, length = 10.0**power, 10.0**power_of_atoms
    codes = sparse_encode(X * unit, D * length, **asked(algorithm, 0.3 * unit * length))
    expected = sklearn_sparse_encode(X, D, **asked(algorithm))
    back = unit * length if algorithm == "threshold" else unit / length
    np.testing.assert_allclose(codes / back, expected, atol=1e-9)


@pytest.mark.parametrize("unit", [1.0, 1e-9])
@pytest.mark.parametrize("algorithm", SKLEARN_ALGORITHMS)
def test_what_is_known_is_used_in_its_units(algorithm, unit):
    data, atoms = unit * X, 3e4 * D
    wanted = asked(algorithm, 9e3 * unit)
    known = {"cov": atoms @ data.T, "gram": atoms @ atoms.T, "init": np.full((7, 12), unit / 3e4)}
    before = {name: value.copy() for name, value in known.items()}
    codes = sparse_encode(data, atoms, **wanted, **known)
    expected = sparse_encode(data, atoms, **wanted)
    share = 1e-2 if algorithm == "lasso_cd" else 1e-8  # as it converges
    np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=share * np.abs(expected).max())
    for name, value in known.items():
        np.testing.assert_array_equal(value, before[name])


def test_codes_that_no_float_holds_are_refused():
    data, atoms = (X * 1e30).astype(np.float32), (D * 1e-20).astype(np.float32)
    with pytest.raises(ValueError, match="codes by 'lasso_lars' of 7 of 7 samples are beyond what"):
        sparse_encode(data, atoms, algorithm="lasso_lars", alpha=0.0)


@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1e12])
@pytest.mark.parametrize("algorithm", SKLEARN_ALGORITHMS)
def test_estimators_have_them_at_any_scale(algorithm, unit):
    wanted = asked(algorithm, 0.3)
    name, value = list(wanted.items())[1]
    expected = sklearn_sparse_encode(X, D, **wanted)
    value = value * unit if name == "alpha" else value
    ito = ITOCoder(dictionary=D, algorithm=algorithm, **{name: value}).fit(unit * X)
    transform = {"transform_algorithm": algorithm, f"transform_{name}": value}
    learned = GradSparseCoder(dictionary=D, positive_code=False, **transform).fit(unit * X)
    for coder in (ito, learned):
        np.testing.assert_allclose(coder.transform(unit * X) / unit, expected, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(3, 7))
def test_codes_asked_for_as_positive_are_so_for_equal_atoms_too(seed):
    r = np.random.default_rng(seed)
    D = r.standard_normal((8, 4)).astype(np.float32)
    D[4:] = D[:4]
    x = r.standard_normal((5, 4)).astype(np.float32)
    assert sparse_encode(x, D, algorithm="lasso_lars", alpha=0.05, positive=True).min() >= 0


def test_lars_has_no_sign():
    with pytest.raises(ValueError, match=r"Positive constraint .* positive_code=False"):
        sparse_encode(np.eye(3), np.eye(3), algorithm="lars", positive=True)


@pytest.mark.parametrize("steps", [(0, 0), (-12, -5), (-2, 4)])
def test_correlations_that_differ_by_little_are_told_apart(steps):
    """Of rows and atoms that are small beside the powers of two by which they are divided."""
    data, atoms = (0.02 * 2.0 ** (8 * step) * RNG.standard_normal((300, 8)) for step in steps)
    atoms = atoms[:14]
    alpha = 0.1 * np.abs(atoms @ data.T).max()
    codes = sparse_encode(data, atoms, algorithm="lasso_lars", alpha=alpha)
    exact = sparse_encode(data, atoms, algorithm="cd", alpha=alpha, tol=1e-14, max_iter=100_000)
    np.testing.assert_allclose(codes, exact, atol=1e-7 * np.abs(exact).max())
