"""The loop of the solvers that descend on a whole batch."""

import pytest
import torch

from skamort.solvers._descent import Descent, descend, drop_silent


class Countdown(Descent):
    """Codes that fall by one a step, and are their own gaps."""

    _by_sample = ("value",)

    def __init__(self, value):
        self.value, self.n_steps = value, 0

    def codes(self):
        return self.value[:, None]

    def gap(self):
        return self.value

    def step(self):
        self.value = self.value - 1
        self.n_steps += 1


@pytest.mark.parametrize(
    ("max_iter", "check_every", "n_iter", "n_steps"),
    [
        (5, 2, [0, 0, 4, 5], 5),  # looked at after 0, 2, 4 and 5 steps
        (20, 3, [0, 0, 3, 9], 9),
        (20, 1, [0, 0, 3, 7], 7),
        (0, 2, [0, 0, 0, 0], 0),
    ],
)
def test_samples_leave_when_their_gap_is_seen_to_be_small(max_iter, check_every, n_iter, n_steps):
    left, target = torch.tensor([1, 2, 3]), torch.tensor([9.0, 0.0, 0.5, 1.0])
    codes, start = torch.full((4, 1), 50.0), torch.tensor([0.0, 3.0, 8.0])
    state = Countdown(start)
    found = descend(state, codes, left, target, max_iter, check_every)
    assert found.tolist() == n_iter
    assert state.n_steps == n_steps
    expected = start - torch.tensor(n_iter[1:])
    assert codes[:, 0].tolist() == [50.0, *expected.tolist()]


def test_nothing_is_done_where_nothing_is_left():
    codes, state = torch.full((2, 1), 5.0), Countdown(torch.empty(0))
    none = torch.empty(0, dtype=torch.int64)
    assert descend(state, codes, none, torch.zeros(2), 10, 2).tolist() == [0, 0]
    assert state.n_steps == 0
    assert (codes == 5).all()


@pytest.mark.parametrize("positive", [False, True])
def test_what_no_atom_correlates_with_is_zero_at_once(positive):
    cov = torch.tensor([[0.5, -2.0], [0.5, 1.1], [1.0, -0.2], [-1.0, 0.0], [0.0, 0.0]])
    codes, alpha = torch.ones(5, 2), torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])
    left = drop_silent(cov, alpha, positive, codes)
    assert left.tolist() == ([1] if positive else [0, 1])
    assert (codes.any(dim=1).nonzero()[:, 0] == left).all()
