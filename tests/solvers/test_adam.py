"""Adam on the logarithm of the codes takes the steps of torch's."""

import pytest
import torch

from skamort.solvers import Adam


@pytest.mark.parametrize("positive", [False, True])
def test_steps_are_those_of_torch(positive):
    draw = torch.Generator().manual_seed(0)
    X, dictionary = (torch.randn(n, 6, generator=draw, dtype=torch.float64) for n in (5, 7))
    solver = Adam(max_iter=30, tol=0.0, learning_rate=0.5, is_guarded=False)
    found = solver.solve(X, dictionary, alpha=0.1, positive=positive)
    atoms = dictionary if positive else torch.cat([dictionary, -dictionary])
    u = torch.full((5, len(atoms)), -10.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([u], lr=0.5)
    for _ in range(30):
        optimizer.zero_grad()
        z = u.exp()
        (0.5 * (X - z @ atoms).square().sum() + 0.1 * z.sum()).backward()
        optimizer.step()
    codes = u.detach().clamp(min=-30).exp()
    codes = codes if positive else codes[:, :7] - codes[:, 7:]
    torch.testing.assert_close(found.codes, codes, rtol=1e-6, atol=1e-9)
    assert (found.n_iter == 30).all()
