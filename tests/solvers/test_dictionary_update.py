"""The update of the atoms: each is the best unit vector, the objective never rises."""

import numpy as np
import pytest
import torch
from engines import ENGINES, each_engine
from hypothesis import given, settings
from hypothesis import strategies as st

from skamort.solvers import _dictionary_update, update_dictionary


def problem(seed, n_components, n_features, density=0.5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    dictionary = torch.randn(n_components, n_features, generator=generator, dtype=dtype)
    dictionary /= dictionary.norm(dim=1, keepdim=True)
    codes = torch.randn(50, n_components, generator=generator, dtype=dtype)
    codes *= torch.rand(50, n_components, generator=generator) < density
    X = torch.randn(50, n_features, generator=generator, dtype=dtype)
    return dictionary, codes, X


def one_by_one(dictionary, codes, X, positive=False):
    """The definition: residual without atom j, then the direction that explains most of it."""
    dictionary = dictionary.clone()
    for j, z in enumerate(codes.T):
        if z.any():
            target = z @ (X - codes @ dictionary + torch.outer(z, dictionary[j]))
            target = target.clamp(min=0) if positive else target
            dictionary[j] = target / target.norm() if target.any() else dictionary[j]
    return dictionary


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 12),
    st.integers(1, 8),
    st.floats(0.02, 1),
    st.sampled_from(ENGINES),
    st.booleans(),
)
def test_follows_the_definition(seed, n_components, n_features, density, engine, positive):
    dictionary, codes, X = problem(seed, n_components, n_features, density)
    dictionary = dictionary.abs() if positive else dictionary
    expected = one_by_one(dictionary, codes, X, positive)
    before = (X - codes @ dictionary).square().sum()
    unused = update_dictionary(
        dictionary, codes.T @ codes, codes.T @ X, positive=positive, engine=engine
    )
    assert dictionary.min() >= 0 or not positive
    torch.testing.assert_close(dictionary, expected, atol=1e-6, rtol=0)
    assert (X - codes @ dictionary).square().sum() <= before * (1 + 1e-9)
    assert unused.tolist() == [j for j in range(n_components) if not codes[:, j].any()]


@each_engine
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blocks_change_nothing(dtype, engine):
    dictionary, codes, X = problem(0, 150, 20, dtype=dtype)
    expected = one_by_one(dictionary, codes, X)
    update_dictionary(dictionary, codes.T @ codes, codes.T @ X, engine=engine)
    torch.testing.assert_close(dictionary, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(dictionary.norm(dim=1), torch.ones(150, dtype=dtype))


def test_dictionaries_with_strides_are_updated_in_place():
    dictionary, codes, X = problem(0, 6, 4)
    expected = one_by_one(dictionary, codes, X)
    strided = dictionary.T.contiguous().T
    update_dictionary(strided, codes.T @ codes, codes.T @ X)
    torch.testing.assert_close(strided, expected, atol=1e-6, rtol=0)


def test_leaves_unused_atoms_alone():
    dictionary, codes, X = problem(0, 6, 4)
    codes[:, [1, 4]] = 0
    before = dictionary.clone()
    unused = update_dictionary(dictionary, codes.T @ codes, codes.T @ X)
    assert unused.tolist() == [1, 4]
    assert torch.equal(dictionary[unused], before[unused])


@each_engine
def test_survives_data_without_content(engine):
    dictionary, _, X = problem(0, 6, 4)
    update_dictionary(
        dictionary, torch.eye(6, dtype=X.dtype), torch.zeros_like(dictionary), engine=engine
    )
    assert dictionary.isfinite().all()
    torch.testing.assert_close(dictionary.norm(dim=1), torch.ones(6, dtype=X.dtype))


@each_engine
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_multiple_of_the_products_changes_no_bit(dtype, engine, at_once, monkeypatch):
    """Nor do multiples that differ from atom to atom, as codes of one atom may be far smaller."""
    if at_once:
        monkeypatch.setattr(_dictionary_update, "_update_block", _dictionary_update._update_at_once)
        engine = "torch"
    dictionary, codes, X = problem(3, 70, 6, dtype=dtype)
    gram, cross = codes.T @ codes, codes.T @ X
    atoms = dictionary.clone()
    update_dictionary(atoms, gram, cross, engine=engine)
    most = 80 if dtype == torch.float32 else 1000
    for exponent in (-most, most, torch.linspace(-most, most, 70, dtype=dtype).round()[:, None]):
        factor, found = torch.tensor(2.0, dtype=dtype) ** exponent, dictionary.clone()
        assert not len(update_dictionary(found, factor * gram, factor * cross, engine=engine))
        assert torch.equal(found, atoms)
    assert not torch.equal(atoms, dictionary)


@each_engine
@pytest.mark.parametrize("size", [1e-18, 1e17])
def test_codes_far_from_the_size_of_the_data(size, engine):
    """Their squares in float32 are close to the end of its numbers."""
    dictionary, codes, X = problem(5, 6, 4)
    best = dictionary.clone()
    update_dictionary(best, size**2 * codes.T @ codes, size * codes.T @ (1000 * X))
    found = dictionary.float()
    gram, cross = (size**2 * codes.T @ codes).float(), (size * codes.T @ (1000 * X)).float()
    update_dictionary(found, gram, cross, engine=engine)
    torch.testing.assert_close(found.double(), best, rtol=0, atol=1e-4)


@each_engine
def test_an_atom_that_explains_nothing_yet_follows_those_before_it(engine):
    dictionary = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    gram, cross = torch.tensor([[8.0, 6.0], [6.0, 8.0]]), torch.tensor([[8.0, 1.0], [6.0, 0.0]])
    expected = dictionary.double()
    first = torch.tensor([8.0, 1.0]).double() - 6 * expected[1]
    expected[0] = first / first.norm()
    second = torch.tensor([6.0, 0.0]).double() - 6 * expected[0]
    expected[1] = second / second.norm()
    update_dictionary(dictionary, gram, cross, engine=engine)
    torch.testing.assert_close(dictionary.double(), expected, rtol=0, atol=1e-6)


def test_takes_arrays():
    dictionary, codes, X = problem(0, 6, 4)
    codes[:, 2] = 0
    array = np.asfortranarray(dictionary.numpy())
    unused = update_dictionary(dictionary, codes.T @ codes, codes.T @ X)
    Z, data = codes.numpy(), X.numpy()
    found = update_dictionary(array, (Z.T @ Z).tolist(), (Z.T @ data).astype(np.float64))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == unused.tolist() == [2]
    np.testing.assert_allclose(array, dictionary)


UNCHANGEABLE = [
    np.ones((2, 3))[:, ::-1],
    np.ones((2, 3))[::-1],
    np.ones((1, 2), np.dtype(float).newbyteorder()),
    *([[1.0, 0.0]], np.eye(2, dtype=int), np.ones(3), np.ma.masked_array(np.eye(2), np.eye(2) > 0)),
    *(torch.eye(2).half(), torch.ones(3), torch.eye(2).long()),
]


def test_a_parameter_is_updated_without_a_gradient():
    atoms, parameter = torch.eye(2, 3), torch.nn.Parameter(torch.eye(2, 3))
    products = torch.eye(2), torch.ones(2, 3)
    update_dictionary(atoms, *products)
    update_dictionary(parameter, *products)
    assert torch.equal(parameter.detach(), atoms)
    assert parameter.grad is None


@pytest.mark.parametrize("dictionary", UNCHANGEABLE)
def test_refuses_a_dictionary_that_it_cannot_overwrite(dictionary):
    with pytest.raises(TypeError, match="updated in place"):
        update_dictionary(dictionary, np.eye(1), np.ones((1, 2)))


def test_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"gram_codes must have shape \(2, 2\)"):
        update_dictionary(np.eye(2, 3), np.eye(3), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"cross must have shape \(2, 3\)"):
        update_dictionary(np.eye(2, 3), np.eye(2), np.ones((3, 3)))


def at_once(dictionary, codes, X, positive=False):
    """Update all atoms as a block of them is updated on a GPU."""
    gram, atoms = codes.T @ codes, dictionary.clone()
    every, usage = slice(0, len(atoms)), gram.diagonal()
    _dictionary_update._update_at_once(atoms, every, gram, codes.T @ X, usage, positive)
    return atoms


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 12),
    st.integers(1, 8),
    st.floats(0.02, 1),
    st.booleans(),
)
def test_many_atoms_at_once_lower_the_objective(seed, n_components, n_features, density, positive):
    dictionary, codes, X = problem(seed, n_components, n_features, density)
    dictionary = dictionary.abs() if positive else dictionary
    updated = at_once(dictionary, codes, X, positive)
    before, after = ((X - codes @ atoms).square().sum() for atoms in (dictionary, updated))
    assert after <= before * (1 + 1e-12)
    assert updated.min() >= 0 or not positive
    torch.testing.assert_close(updated.norm(dim=1), torch.ones(n_components, dtype=torch.float64))
    unused = ~codes.any(dim=0)
    assert torch.equal(updated[unused], dictionary[unused])


def test_many_atoms_at_once_come_to_rest_where_visits_one_by_one_do():
    dictionary, codes, X = problem(3, 40, 8, density=0.05)
    there = dictionary
    for _ in range(100):
        there = at_once(there, codes, X)
    torch.testing.assert_close(one_by_one(there, codes, X), there, atol=1e-6, rtol=0)
    first = [update(dictionary, codes, X) for update in (at_once, one_by_one)]
    fell = [(X - codes @ a).square().sum() for a in (dictionary, *first)]
    assert fell[0] - fell[1] > 0.9 * (fell[0] - fell[2])  # as far in one round


@each_engine
@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-7, 3e4, 1e7, 1e13])
def test_codes_far_larger_than_the_data_cost_no_digits(
    engine, at_once, positive, dtype, size, monkeypatch
):
    """Where a row has one code, an atom is the sum of its rows, whatever the size of the codes."""
    if at_once:
        monkeypatch.setattr(_dictionary_update, "_update_block", _dictionary_update._update_at_once)
        engine = "torch"
    dictionary, _, X = problem(8, 67, 5)
    dictionary, X = (each.abs() if positive else each for each in (dictionary, X))
    codes = torch.zeros(50, 67, dtype=X.dtype)
    codes[torch.arange(50), torch.arange(50) % 67] = 1 + torch.arange(50, dtype=X.dtype) / 50
    expected = dictionary.clone()
    expected[:50] = torch.nn.functional.normalize(codes.T @ X)[:50]
    atoms, codes, X = (each.to(dtype) for each in (dictionary, size * codes, X))
    update_dictionary(atoms, codes.T @ codes, codes.T @ X, positive=positive, engine=engine)
    torch.testing.assert_close(atoms.double(), expected, rtol=0, atol=200 * torch.finfo(dtype).eps)
