"""The unit of the data, of the dictionary and of alpha is no matter, up to what a dtype holds."""

import warnings

import numpy as np
import pytest
import torch
from engines import ENGINES
from sklearn.exceptions import ConvergenceWarning

from skamort.solvers import SOLVERS, alpha_max, duality_gap, sparse_encode, sparse_encode_path
from skamort.solvers._scale import check_range, power_of_four, row_norms, times_ratio

CHOICES = [
    (name, engine)
    for name, solver in SOLVERS.items()
    for engine in (ENGINES if solver.has_kernels else ["auto"])
]
# They come as far as max_iter lets them.
IMPRECISE = ("adam", "lca")
each_solver = pytest.mark.parametrize("solver", CHOICES, ids="-".join)


def encode(solver, X, dictionary, alpha, **options):
    name, engine = solver
    options = {"max_iter": 5 if name in IMPRECISE else 1000} | options
    options |= {"n_nonzero_coefs": 3} if SOLVERS[name].is_k_sparse else {"alpha": alpha}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return sparse_encode(
            X, dictionary, algorithm=name, engine=engine, return_info=True, **options
        )


def problem(seed, dtype):
    """X and a dictionary whose rows have a largest entry of 0.99: their own unit is 1."""
    rows = np.random.default_rng(seed).standard_normal((12, 6))
    rows = (0.99 * rows / np.abs(rows).max(axis=1, keepdims=True)).astype(dtype)
    return rows[:3], rows[3:]


@each_solver
@pytest.mark.parametrize(("atoms_by", "data_by"), [(2.0**40, 2.0**-30), (2.0**-40, 1)])
def test_powers_of_two_change_no_codes(solver, atoms_by, data_by):
    for seed, (dtype, share) in enumerate(
        [(np.float32, 0.01), (np.float64, 0.0), (np.float32, 0.2)]
    ):
        positive = seed % 2 == 1
        X, dictionary = problem(seed, dtype)
        alpha = share * float(np.abs(X @ dictionary.T).max())
        # Sums of other rounding, in memory of other alignment, stop elsewhere within the tolerance.
        tol, error = (1e-6, 5e-3) if dtype == np.float32 else (1e-10, 1e-4)
        options = {"positive": positive, "tol": tol}
        codes, info = encode(solver, X, dictionary, alpha, **options)
        data, atoms = (X * data_by).astype(dtype), (dictionary * atoms_by).astype(dtype)
        options["gram"] = atoms @ atoms.T
        scaled, scaled_info = encode(solver, data, atoms, alpha * data_by * atoms_by, **options)
        scaled *= atoms_by / data_by
        if share == 0:  # more atoms than features: the codes are not the only ones
            scaled, codes = scaled @ dictionary, codes @ dictionary
        np.testing.assert_allclose(scaled, codes, rtol=0, atol=error)
        np.testing.assert_array_equal(scaled_info.converged, info.converged)
        known = "residual" if SOLVERS[solver[0]].is_k_sparse else "gap"
        scaled, plain = (getattr(result, known) for result in (scaled_info, info))
        np.testing.assert_allclose(scaled / data_by**2, plain, rtol=0, atol=error)


@each_solver
def test_init_is_in_the_unit_of_the_codes(solver):
    X, dictionary = problem(0, np.float64)
    init = np.random.default_rng(1).standard_normal((3, 9)) * (np.arange(9) < 3)
    codes, _ = encode(solver, X, dictionary, 0.2, init=init, max_iter=5)
    up, down = 2.0**600, 2.0**-400
    scaled, _ = encode(
        solver, up * X, down * dictionary, 0.2 * up * down, init=init * up / down, max_iter=5
    )
    np.testing.assert_allclose(scaled * down / up, codes, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("solver", [s for s in CHOICES if s[0] != "adam"], ids="-".join)
@pytest.mark.parametrize(("data", "atoms"), [(1e20, 1e-20), (1e-30, 1e15)])
def test_codes_that_float32_cannot_hold_are_refused(solver, data, atoms):
    X, dictionary = problem(0, np.float64)
    expected, _ = encode(solver, X, dictionary, 0.2)
    X, dictionary, alpha = data * X, atoms * dictionary, 0.2 * data * atoms
    with pytest.raises(ValueError, match=r"codes of 3 of 3 samples .* float32 holds, .*float64"):
        encode(solver, X.astype(np.float32), dictionary.astype(np.float32), alpha)
    codes, _ = encode(solver, X, dictionary, alpha)
    if solver[0] not in IMPRECISE:
        np.testing.assert_allclose(codes * atoms / data, expected, atol=1e-2)


@each_solver
@pytest.mark.parametrize(("data", "atoms"), [(1e30, 1e30), (1e-30, 1e-30), (1e30, 1e-6)])
def test_codes_that_float32_holds_are_found_whatever_lies_between(solver, data, atoms):
    X, dictionary = problem(0, np.float64)
    dictionary[-1] = 0.01  # rows that are not used
    X[1] = 0
    expected, _ = encode(solver, X, dictionary, 0.2)
    X, dictionary = (data * X).astype(np.float32), (atoms * dictionary).astype(np.float32)
    codes, info = encode(solver, X, dictionary, 0.2 * data * atoms)
    assert np.isfinite(codes).all()
    assert not codes[1].any()
    if solver[0] not in IMPRECISE:
        assert info.converged.all()
        np.testing.assert_allclose(codes.astype(float) * atoms / data, expected, atol=1e-2)


@pytest.mark.parametrize(("data", "atoms"), [(1e30, 1e20), (1e-30, 1e-20)])
def test_weights_of_a_path_may_be_beyond_float32_and_codes_not(data, atoms):
    X, dictionary = problem(0, np.float64)
    expected = sparse_encode_path(X, dictionary, n_alphas=3)
    X, dictionary = (data * X).astype(np.float32), (atoms * dictionary).astype(np.float32)
    with pytest.raises(ValueError, match="alpha_max: weights of 3 of 3 samples are beyond"):
        alpha_max(X, dictionary)
    path = sparse_encode_path(X, dictionary, alphas=expected.alphas * data * atoms)
    np.testing.assert_allclose(path.codes.astype(float) * atoms / data, expected.codes, atol=1e-3)


def test_alpha_max_in_any_unit():
    X, dictionary = problem(0, np.float32)
    expected = alpha_max(X, dictionary)
    X, dictionary = X * np.float32(2.0**90), dictionary * np.float32(2.0**-90)
    np.testing.assert_allclose(alpha_max(X, dictionary), expected, rtol=1e-6)


def test_scaling_is_exact_to_the_ends_of_the_range():
    for dtype in (torch.float32, torch.float64):
        info = torch.finfo(dtype)
        values = torch.tensor([info.max, 3e30, 1.0, 0.0, 3e-30, info.tiny], dtype=dtype)
        unit = power_of_four(values)
        scaled = values / unit
        assert ((scaled == 0) | ((scaled >= 0.25) & (scaled <= 1)))[1:].all()
        assert 1 < scaled[0] < 4  # the largest power is not enough
        one = torch.ones((), dtype=dtype)
        assert torch.equal(times_ratio(scaled, unit, one), values)
        assert torch.equal(times_ratio(values, one, unit), scaled)
        huge = torch.tensor(2.0 ** (126 if dtype == torch.float32 else 1022), dtype=dtype)
        assert torch.equal(times_ratio(huge, huge, huge), huge)
        # The ratio is beyond the dtype, and so would be that of the inverses.
        assert torch.equal(times_ratio(1 / huge, huge, 1 / huge), huge)
        assert torch.equal(times_ratio(huge, 1 / huge, huge), 1 / huge)


@each_solver
def test_a_start_of_the_wrong_sign_leaves_no_negative_codes(solver):
    X, dictionary = problem(0, np.float64)
    init = np.random.default_rng(1).standard_normal((3, 9)) * (np.arange(9) < 3)
    for max_iter in (0, 5):
        options = {"init": init, "positive": True, "max_iter": max_iter}
        codes, _ = encode(solver, X, dictionary, 0.2, **options)
        assert (codes >= 0).all()


@pytest.mark.parametrize("solver", [("cd", e) for e in ENGINES] + [("fista", "auto")])
@pytest.mark.parametrize("alpha", [1e39, 1e300])
def test_a_weight_that_float32_cannot_hold_leaves_no_codes(solver, alpha):
    X, dictionary = problem(0, np.float32)
    codes, info = encode(solver, X, dictionary, alpha, init=np.ones((3, 9)))
    assert not codes.any()
    assert info.converged.all()
    assert not info.gap.any()


def test_codes_next_to_nothing_of_such_data_are_not_refused():
    X, dictionary = np.array([[1e-39, 1e-30]], np.float32), np.array([[1.0, 0.0]], np.float32)
    for norm in (1, 0.5):
        atoms = np.float32(norm) * dictionary
        codes = sparse_encode(X, atoms, algorithm="mp", n_nonzero_coefs=1)
        np.testing.assert_allclose(codes, X[:, :1] / norm, rtol=1e-5)


@pytest.mark.parametrize("algorithm", ["mp", "omp", "cd"])
def test_one_long_atom_is_enough_to_lose_codes(algorithm):
    X, atoms = np.array([[1e-30, 0.0]], np.float32), np.diag([1e15, 0.5]).astype(np.float32)
    options = {"n_nonzero_coefs": 1} if algorithm != "cd" else {"alpha": 0.0}
    for data in (X, np.vstack([1e30 * X, X]).astype(np.float32)):
        with pytest.raises(ValueError, match=r"codes of 1 of [12] samples are beyond"):
            sparse_encode(data, atoms, algorithm=algorithm, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norms_of_rows_of_any_size(dtype):
    largest, least = torch.finfo(dtype).max, torch.finfo(dtype).tiny
    rows = torch.tensor([[3.0, -4.0]], dtype=dtype)
    sizes = torch.tensor([1.0, 1e18, 1e-18, largest / 8, 4 * least], dtype=dtype)
    torch.testing.assert_close(row_norms(rows * sizes[:, None]), 5 * sizes)
    assert row_norms(torch.zeros(1, 3, dtype=dtype)) == 1
    assert row_norms(torch.full((1, 9), largest, dtype=dtype)) == largest


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_range_ends_where_the_dtype_does(dtype):
    info, one = torch.finfo(dtype), torch.ones(3, 1, dtype=dtype)
    held = torch.tensor([[info.max], [-info.max], [info.tiny]], dtype=dtype)
    check_range("codes", one, held, one[:, 0], True)
    for beyond, underflow in ((torch.inf, False), (torch.nan, False), (info.tiny / 2, True)):
        bad = torch.cat([held[:2], torch.full((1, 1), beyond, dtype=dtype)])
        with pytest.raises(ValueError, match="codes of 1 of 3 samples are beyond"):
            check_range("codes", one, bad, one[:, 0], underflow)
    lost = 0 * one
    check_range("codes", one, lost, one[:, 0], False)  # not by the dictionary
    check_range("codes", lost, lost, one[:, 0], True)  # zero to begin with
    check_range("codes", one, lost, torch.full_like(one[:, 0], info.tiny / info.eps), True)
    advice = "pass float64, or bring" if dtype == torch.float32 else "; bring"
    with pytest.raises(ValueError, match=f"of 3 of 3 .*{advice}"):
        check_range("codes", one, lost, torch.full_like(one[:, 0], 2 * info.tiny / info.eps), True)


@pytest.mark.parametrize("atoms", [1.0, 2.0**400, 2.0**-400])
@pytest.mark.parametrize("positive", [False, True])
def test_gaps_in_any_unit(atoms, positive):
    X, near = np.array([[3.0, 0.5]]), np.array([[2 + 2.0**-30, 0]])
    expected = duality_gap(X, near, np.eye(2), 1.0, positive)
    assert 0 < expected < 1e-16
    for data in (1.0, 2.0**520, 2.0**-300):
        units = {"dictionary": atoms * np.eye(2), "alpha": data * atoms, "positive": positive}
        gap = duality_gap(data * X, near * data / atoms, **units)
        np.testing.assert_array_equal(gap, expected * data * data)
    far = duality_gap(2.0**600 * X, 0 * near, np.eye(2), 2.0**600, positive)
    assert far == np.inf  # it is above 2^1200


def test_gaps_of_samples_and_atoms_of_all_sizes():
    X, near = np.array([[3.0, 0.5]]), np.array([[2.01, 0.0]])
    gap = duality_gap(X, near, np.eye(2), 1.0)
    sizes = np.array([[1.0], [2.0**-100], [2.0**100]])
    together = duality_gap(sizes * X, sizes * near, np.eye(2), 1.0)
    alone = [duality_gap(s * X, s * near, np.eye(2), 1.0)[0] for s in sizes]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together[0], gap)
    for length in (1e-300, 1e-100):  # such an atom is no use
        np.testing.assert_allclose(duality_gap(X, near, np.diag([1.0, length]), 1.0), gap)
    far = [np.array([[value]], np.float32) for value in (1e-30, 1e30, 1e-10)]
    np.testing.assert_allclose(duality_gap(*far, 0.0), 5e39, rtol=1e-5)


def test_zero_codes_and_samples_next_to_nothing_are_not_refused():
    X, dictionary = problem(0, np.float32)
    nothing = np.zeros((2, 6), np.float32)
    nothing[0, 0] = 1e-44
    assert not sparse_encode(nothing, np.float32(1e10) * dictionary, alpha=0.0).any()
    assert not sparse_encode(np.float32(1e30) * X, np.float32(1e-30) * dictionary, alpha=1e3).any()
