"""What goes in and out of sparse_encode and duality_gap, and what is refused."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from engines import each_engine, needs_numba
from sklearn.decomposition import sparse_encode as sklearn_sparse_encode
from sklearn.exceptions import ConvergenceWarning

from skamort import ITOCoder
from skamort.solvers import SOLVERS, duality_gap, sparse_encode

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 8))
DICTIONARY = RNG.standard_normal((12, 8))
K_SPARSE = ["omp", "ormp", "mp", "gradient_pursuit", "iht", "topk_refined", "gomp"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_in_numpy_out(dtype):
    codes, info = sparse_encode(X.astype(dtype), DICTIONARY, alpha=0.2, return_info=True)
    assert isinstance(codes, np.ndarray)
    assert codes.dtype == dtype
    assert codes.shape == (6, 12)
    assert info.gap.shape == info.n_iter.shape == info.converged.shape == (6,)
    assert info.converged.dtype == bool
    assert info.converged.all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_in_torch_out(dtype):
    codes, info = sparse_encode(
        torch.tensor(X, dtype=dtype, requires_grad=True), DICTIONARY, alpha=0.2, return_info=True
    )
    assert isinstance(codes, torch.Tensor)
    assert codes.dtype == dtype
    assert not codes.requires_grad
    assert isinstance(info.gap, torch.Tensor)
    np.testing.assert_allclose(codes, sparse_encode(X, DICTIONARY, alpha=0.2), atol=1e-2)


def test_accepts_lists_frames_integers_and_read_only_memory(tmp_path):
    pd = pytest.importorskip("pandas")
    expected = sparse_encode(X, DICTIONARY, alpha=0.2)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for values in (X.tolist(), pd.DataFrame(X), mapped, np.asfortranarray(X)):
        np.testing.assert_array_equal(sparse_encode(values, DICTIONARY, alpha=0.2), expected)
    integers = np.array([[3, 0], [0, -2]])
    np.testing.assert_allclose(sparse_encode(integers, [[1, 0], [0, 1]]), [[2, 0], [0, -1]])


def test_alpha_defaults_to_one():
    np.testing.assert_array_equal(
        sparse_encode(X, DICTIONARY), sparse_encode(X, DICTIONARY, alpha=1.0)
    )


@pytest.mark.parametrize("algorithm", ["lars", "lasso_cd", "lasso_lars", "threshold"])
def test_scikit_learn_algorithms_are_scikit_learns(algorithm):
    np.testing.assert_array_equal(
        sparse_encode(X, DICTIONARY, algorithm=algorithm),
        sklearn_sparse_encode(X, DICTIONARY, algorithm=algorithm),
    )


def test_scikit_learn_algorithms_take_tensors():
    data, atoms = torch.tensor(X, dtype=torch.float32), torch.tensor(DICTIONARY)
    codes = sparse_encode(data, atoms, algorithm="lasso_lars", alpha=0.1)
    assert codes.dtype == torch.float32
    np.testing.assert_allclose(
        codes, sparse_encode(X, DICTIONARY, algorithm="lasso_lars", alpha=0.1), atol=1e-5
    )


@pytest.mark.parametrize("option", [{"return_info": True}, {"residual_tol": 1.0}])
def test_scikit_learn_algorithms_know_no_certificate_and_no_residual(option):
    with pytest.raises(ValueError, match="is scikit-learn's"):
        sparse_encode(X, DICTIONARY, algorithm="lars", **option)


def test_inputs_are_left_untouched():
    X_before, dictionary_before = X.copy(), DICTIONARY.copy()
    init = np.ones((6, 12))
    sparse_encode(X, DICTIONARY, alpha=0.2, init=init, gram=DICTIONARY @ DICTIONARY.T)
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(DICTIONARY, dictionary_before)
    assert (init == 1).all()


@pytest.mark.parametrize("engine", ["auto", "torch"])
@pytest.mark.parametrize("algorithm", ["cd", "fista", *K_SPARSE])
def test_blocks_change_nothing(monkeypatch, algorithm, engine):
    many = np.random.default_rng(1).standard_normal((300, 8))
    options = {"algorithm": algorithm, "engine": engine, "tol": 1e-10}
    options |= {"n_nonzero_coefs": 3} if algorithm in K_SPARSE else {"alpha": 0.2}
    expected = sparse_encode(many, DICTIONARY, **options)
    monkeypatch.setattr("skamort.solvers._blocks.BLOCK_ELEMENTS", 1)
    in_blocks = sparse_encode(many, DICTIONARY, **options)
    np.testing.assert_allclose(in_blocks, expected, atol=1e-6)


@each_engine
@pytest.mark.parametrize(
    ("options", "algorithm"), [({"alpha": 0.2}, "cd"), ({"n_nonzero_coefs": 2}, "omp")]
)
def test_says_what_ran(capsys, options, algorithm, engine):
    _, info = sparse_encode(X, DICTIONARY, engine=engine, verbose=1, return_info=True, **options)
    assert (info.algorithm, info.engine) == (algorithm, engine)
    said = capsys.readouterr().out
    assert f"algorithm={algorithm!r}, engine={engine!r}; compiled in" in said
    assert "solved 6 samples in" in said


def test_warns_where_it_has_not_converged():
    with pytest.warns(ConvergenceWarning, match=r"FISTA: 6 of 6 samples .* max_iter=2 .* gap is"):
        codes, info = sparse_encode(
            X,
            DICTIONARY,
            algorithm="fista",
            alpha=0.01,
            max_iter=2,
            tol=1e-12,
            return_info=True,
        )
    assert (info.n_iter == 2).all()
    assert not info.converged.any()
    assert np.isfinite(codes).all()


def test_says_how_many_samples_have_not_converged_and_the_worst_gap():
    data = np.vstack([X, 0 * X, 3 * X])
    options = {"alpha": 0.01, "algorithm": "fista", "max_iter": 1, "tol": 1e-6}
    with pytest.warns(ConvergenceWarning, match=r"FISTA: 12 of 18 .* tol=1e-06 in max_iter=1") as w:
        _, info = sparse_encode(data, DICTIONARY, return_info=True, **options)
    assert info.converged.sum() == 6
    failed = ~info.converged
    worst = (info.gap[failed] / (0.5 * (data[failed] ** 2).sum(axis=1))).max()
    assert f"worst relative duality gap is {worst:.1e}" in str(w[0].message)


def test_one_is_enough_of_what_is_counted():
    for algorithm, option in [("exchange", "beam_width"), ("gomp", "n_stages")]:
        sparse_encode(X, DICTIONARY, algorithm=algorithm, n_nonzero_coefs=2, **{option: 1})
        with pytest.raises(ValueError, match=f"{option} must be >= 1"):
            sparse_encode(X, DICTIONARY, algorithm=algorithm, n_nonzero_coefs=2, **{option: 0})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_refuses_values_that_are_not_finite(bad, convert):
    spoilt_X, spoilt_dictionary = X.copy(), DICTIONARY.copy()
    spoilt_X[2, 3] = spoilt_dictionary[1, 1] = bad
    with pytest.raises(ValueError, match="X contains"):
        sparse_encode(convert(spoilt_X), DICTIONARY)
    with pytest.raises(ValueError, match="dictionary contains"):
        sparse_encode(X, convert(spoilt_dictionary))
    with pytest.raises(ValueError, match="codes contains"):
        duality_gap(X, convert(np.full((6, 12), bad)), DICTIONARY, 0.1)


def test_names_zero_atoms():
    dictionary = DICTIONARY.copy()
    dictionary[[3, 7]] = 0
    with pytest.raises(ValueError, match=r"2 zero atom\(s\), at index 3, 7"):
        sparse_encode(X, dictionary)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dictionary": DICTIONARY[:, :5]}, ValueError, "atoms are rows, as wide as X"),
        ({"alpha": -0.1}, ValueError, "alpha must be >= 0, got -0.1"),
        ({"alpha": np.nan}, TypeError, "alpha must be a finite number"),
        ({"alpha": "0.1"}, TypeError, "alpha must be a finite number"),
        ({"tol": -1.0}, ValueError, "tol must be >= 0"),
        ({"alpha": 0.1, "n_nonzero_coefs": 2}, ValueError, "alpha=0.1 and n_nonzero_coefs=2 both"),
        ({"alpha": 0.1, "residual_tol": 2}, ValueError, "alpha=0.1 and residual_tol=2 both say"),
        ({"algorithm": "cd", "n_nonzero_coefs": 2}, ValueError, "'cd' has no n_nonzero_coefs"),
        ({"algorithm": "lasso_lars", "n_nonzero_coefs": 2}, ValueError, "has no n_nonzero_coefs"),
        ({"n_nonzero_coefs": True}, TypeError, "n_nonzero_coefs must be an integer, got True"),
        ({"algorithm": "gomp", "n_stages": True}, TypeError, "n_stages must be an integer"),
        ({"algorithm": "exchange", "beam_width": True}, TypeError, "beam_width must be an integer"),
        ({"algorithm": "exact", "node_limit": True}, TypeError, "node_limit must be an integer"),
        ({"residual_tol": True}, TypeError, "residual_tol must be a finite number"),
        ({"max_iter": -1}, ValueError, "max_iter must be >= 0"),
        ({"max_iter": True}, TypeError, "max_iter must be an integer, got True"),
        ({"max_iter": 1.5}, TypeError, "max_iter must be an integer"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"init": np.zeros((6, 11))}, ValueError, r"init must have shape .* \(6, 12\)"),
        ({"gram": np.eye(3)}, ValueError, "gram must be dictionary @ dictionary.T"),
        ({"algorithm": "magic"}, ValueError, "algorithm='magic' is unknown; choose one of"),
        ({"X": np.zeros((0, 8))}, ValueError, r"got shape \(0, 8\); pass one that is not empty"),
        ({"X": torch.zeros(0, 8)}, ValueError, "at least one row"),
        ({"X": torch.zeros(8)}, ValueError, "must be a matrix"),
        ({"X": torch.zeros(2, 8, dtype=torch.float16)}, TypeError, "float32 or float64"),
        ({"X": np.zeros((2, 8), dtype=complex)}, ValueError, "[Cc]omplex"),
    ],
)
def test_refuses_bad_input(options, error, message):
    options = {"X": X, "dictionary": DICTIONARY} | options
    with pytest.raises(error, match=message):
        sparse_encode(**options)


def test_a_named_pursuit_leaves_alpha_aside_as_scikit_learn_does():
    options = {"algorithm": "omp", "n_nonzero_coefs": 2}
    np.testing.assert_array_equal(
        sparse_encode(X, DICTIONARY, alpha=0.1, **options), sparse_encode(X, DICTIONARY, **options)
    )


def coherent_problem(dtype):
    """Bumps that overlap: codes may be far from the best where the objective is not."""
    rng = np.random.default_rng(0)
    places = 32 * rng.random((64, 1))
    atoms = np.exp(-(((np.arange(32) - places) / 3) ** 2))
    return rng.standard_normal((100, 32)).astype(dtype), atoms.astype(dtype)


@needs_numba
@pytest.mark.parametrize(("dtype", "error", "tol"), [("f8", 1e-5, 1e-8), ("f4", 1e-2, 1e-5)])
def test_codes_of_coherent_atoms_are_near_the_best_by_default(dtype, error, tol):
    data, atoms = coherent_problem(dtype)
    best = sparse_encode(data.astype(float), atoms, alpha=0.1, positive=True, tol=1e-13)
    codes, info = sparse_encode(data, atoms, alpha=0.1, positive=True, return_info=True)
    assert np.abs(codes - best).max() < error
    assert (info.gap <= tol * 0.5 * (data**2).sum(axis=1)).all()
    coder = ITOCoder(dictionary=atoms, alpha=0.1, positive_code=True).fit(data)
    np.testing.assert_array_equal(coder.transform(data), codes)


@pytest.mark.parametrize(("algorithm", "engine"), [("cd", "torch"), ("fista", "auto")])
def test_gradient_steps_stop_earlier_by_default(algorithm, engine):
    options = {"alpha": 0.2, "algorithm": algorithm, "engine": engine}
    codes, explicit = (
        sparse_encode(X, DICTIONARY, **options, **tol) for tol in ({}, {"tol": 1e-4})
    )
    np.testing.assert_array_equal(codes, explicit)


def test_registry_holds_what_sparse_encode_accepts():
    for name in SOLVERS:
        codes = sparse_encode(X, DICTIONARY, algorithm=name, max_iter=20_000, tol=1e-2)
        assert codes.shape == (6, 12)


@pytest.mark.parametrize("solver", SOLVERS.values())
def test_what_solvers_say_of_themselves_is_what_they_take(solver):
    taken = {field.name for field in fields(solver)}
    assert solver.is_k_sparse == ("n_nonzero_coefs" in taken)
    assert solver.has_kernels == ({"engine", "n_jobs"} <= taken)
