from hypothesis import given
from hypothesis import strategies as st

from skamort.training import Plateau


def test_steady_falls_never_end_and_a_flat_stretch_does():
    plateau = Plateau(tol=0.01, patience=3)
    losses = [0.9**i for i in range(50)]
    assert not any(plateau.reached(loss) for loss in losses)
    assert [plateau.reached(losses[-1]) for _ in range(3)] == [False, False, True]


def test_slow_falls_add_up():
    """A fall of 0.5 % a round is 1 % every other round, which is progress."""
    plateau = Plateau(tol=0.01, patience=4)
    assert not any(plateau.reached(0.995**i) for i in range(100))


def test_works_for_negative_losses():
    plateau = Plateau(tol=0.01, patience=2)
    assert not any(plateau.reached(-1 + 0.5**i) for i in range(6))
    assert [plateau.reached(-0.97) for _ in range(2)] == [False, True]


@given(scale=st.floats(1e-6, 1e6), values=st.lists(st.floats(0.1, 10), min_size=1, max_size=30))
def test_does_not_depend_on_the_units(scale, values):
    plain, scaled = Plateau(0.05, 3), Plateau(0.05, 3)
    powers = [2.0 ** round(v) for v in values]  # exact under a power-of-two scale
    factor = 2.0 ** round(scale).bit_length()
    for value in powers:
        assert plain.reached(value) == scaled.reached(value * factor)


def test_an_equal_loss_is_no_fall():
    plateau = Plateau(tol=0.0, patience=2)
    assert [plateau.reached(1.0) for _ in range(3)] == [False, False, True]
