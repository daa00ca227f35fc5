"""The autoencoder of the weighted theory: z = relu(W x), x_hat = W^T z, and no penalty."""

import argparse

import torch


def read_command_line():
    """Whether the published sizes are asked for, and which sparsities."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--paper", action="store_true", help="the published sizes, slowly")
    parser.add_argument("--sparsity", type=float, nargs="+", help="only these of the sparsities")
    return parser.parse_known_args()[0]


class TiedAutoencoders:
    """Several tied autoencoders of one shape, trained at once.

    Parameters
    ----------
    n_components : int
        Number of latents.
    n_steps : int
        Steps of Adam, with 256 samples each; its step size falls linearly to 0.
    learning_rate : float
        Its first step size.
    """

    def __init__(self, n_components, n_steps, learning_rate=3e-3):
        self.n_components, self.n_steps = n_components, n_steps
        self.learning_rate = learning_rate

    def fit(self, X, metrics, seeds):
        """Minimize the mean of (x - x_hat) G (x - x_hat)^T.

        X (n_models, n_samples, n_features), metrics G (n_models, n_features, n_features), one seed
        a model, of where it starts.
        """
        starts = [self._start(X.shape[2], seed) for seed in seeds]
        self.weights = torch.stack(starts).to(X).requires_grad_()
        adam = torch.optim.Adam([self.weights], lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LinearLR(adam, 1, 0.0, self.n_steps)
        generator = torch.Generator().manual_seed(0)
        for _ in range(self.n_steps):
            rows = torch.randint(X.shape[1], (256,), generator=generator)
            self.weights.grad = self._gradient(X[:, rows], metrics)
            adam.step()
            schedule.step()
        return self

    def _start(self, n_features, seed):
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randn(self.n_components, n_features, generator=generator)
        return weights / weights.norm(dim=1, keepdim=True)

    @torch.no_grad()
    def _gradient(self, x, metrics):
        codes = torch.relu(x @ self.weights.mT)
        error = (codes @ self.weights - x) @ metrics
        of_codes = (error @ self.weights.mT) * (codes > 0)
        return (codes.mT @ error + of_codes.mT @ x) * (2 / x.shape[1])

    @torch.no_grad()
    def encode(self, X):
        """Codes (n_models, n_samples, n_components)."""
        return torch.relu(X @ self.weights.mT)
