"""The published training of the amortization-gap paper: full batches, Adam, random weights.

Several runs, which differ in their initial weights, and may differ in data and penalty too, are
trained at once by batched products. With R runs, n samples, M features and N latents:

    autoencoders:   Z = relu(... relu(X W_1 + b_1) ... W_L + b_L),  weights W_l (R, width, width)
    sparse coding:  Z = exp(U),  U (R, n, N) from -10 on
    loss = mean (X - Z D)^2 + lam * mean |Z|,                       or minus the cosine with known Z
"""

from itertools import pairwise

import torch
from torch import nn

COMPILED = None  # the module of compiled gradients, where they are asked for


class PublishedAutoencoders:
    """Runs of one autoencoder, trained side by side.

    Parameters
    ----------
    widths : sequence of int
        Number of features, widths of hidden layers, number of latents.
    dictionary : Tensor of shape (n_latents, n_features), optional
        Known atoms; otherwise they are learned, on the unit sphere.
    bias : bool
        Whether the layers have biases.
    n_runs : int
        Number of runs.
    seed : int
        Seed of all initial weights.
    device : str
        Where weights are, and data have to be; initial weights are the same everywhere.
    """

    def __init__(self, widths, *, dictionary=None, bias=True, n_runs=5, seed=0, device="cpu"):
        generator = torch.Generator().manual_seed(seed)

        def uniform(n_in, *shape):  # the default initialization of nn.Linear
            values = torch.empty(n_runs, *shape).uniform_(-1, 1, generator=generator)
            return (values / n_in**0.5).to(device).requires_grad_()

        self.layers = [(uniform(a, a, b), uniform(a, 1, b)) for a, b in pairwise(widths)]
        self.bias = bias
        self.n_runs = n_runs
        self.parameters = [p for layer in self.layers for p in layer[: 1 + bias]]
        self.dictionary = dictionary
        if dictionary is None:
            atoms = uniform(widths[-1], widths[-1], widths[0]).detach()
            self.dictionary = nn.functional.normalize(atoms, dim=2).requires_grad_()
            self.parameters.append(self.dictionary)

    def encode(self, X):
        """Return the codes of all runs, (n_runs, n_samples, n_latents)."""
        X = X.expand(self.n_runs, -1, -1)
        for weight, bias in self.layers:
            X = torch.baddbmm(bias, X, weight) if self.bias else torch.bmm(X, weight)
            X = X.relu_()
        return X

    def fit(
        self,
        X,
        *,
        codes=None,
        lam=0.01,
        learning_rate=1e-3,
        n_steps=20_000,
        batch_size=None,
        callback=None,
    ):
        """Train; return the runs themselves.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features) or (n_runs, n_samples, n_features)
            Data.
        codes : Tensor of shape (n_samples, n_latents), optional
            Known codes.
        lam : float or Tensor of shape (n_runs,)
            Weight of the penalty.
        learning_rate : float
            Step size of Adam.
        n_steps : int
            Number of steps.
        batch_size : int, optional
            Samples that each step draws; otherwise it takes all.
        callback : callable, optional
            Called with the number of steps done, before each step and after the last.
        """
        optimizer = make_adam(self.parameters, learning_rate)
        lam = torch.as_tensor(lam, device=X.device)
        generator = torch.Generator().manual_seed(0)
        rows = slice(None)
        if batch_size is not None:
            rows = torch.zeros(batch_size, dtype=torch.long, device=X.device)

        def before(done):
            if callback is not None:
                callback(done)
            if batch_size is not None:
                drawn = torch.randint(X.shape[-2], (batch_size,), generator=generator)
                rows.copy_(drawn, non_blocking=True)

        def find_gradients():
            x = X[..., rows, :]
            Z = self.encode(x)
            if codes is not None:
                losses = -nn.functional.cosine_similarity(Z, codes[None, rows], dim=1).mean(1)
            else:
                losses = (x - Z @ self.dictionary).square().mean((1, 2)) + lam * Z.mean((1, 2))
            optimizer.zero_grad()
            losses.sum().backward()  # the runs share nothing: each gets its own gradient

        if COMPILED and batch_size is None:
            find_gradients = COMPILED.of_autoencoders(self, X, codes, lam)

        def step():
            find_gradients()
            optimizer.step()
            if self.dictionary.requires_grad:
                with torch.no_grad():
                    self.dictionary.div_(self.dictionary.norm(dim=2, keepdim=True))

        repeat(step, n_steps, before, record=X.is_cuda)
        return self


class PublishedSparseCoding:
    """Runs of sparse coding by gradient descent on log-codes and dictionary, side by side.

    Parameters
    ----------
    n_latents, n_features : int
        Shape of the dictionary.
    dictionary : Tensor of shape (n_runs, n_latents, n_features), optional
        Atoms to start from; otherwise random directions.
    bias : bool
        Whether a vector is added to the reconstructions.
    n_runs : int
        Number of runs.
    seed : int
        Seed of the initial atoms.
    device : str
        Where atoms are, and data have to be, where no dictionary is given.
    """

    def __init__(
        self,
        n_latents,
        n_features,
        *,
        dictionary=None,
        bias=False,
        n_runs=5,
        seed=0,
        device="cpu",
    ):
        if dictionary is None:
            generator = torch.Generator().manual_seed(seed)
            atoms = torch.randn(n_runs, n_latents, n_features, generator=generator)
            dictionary = nn.functional.normalize(atoms, dim=2).to(device)
        self.dictionary = dictionary
        self.offset = dictionary.new_zeros(len(dictionary), 1, n_features)
        self.bias = bias

    def fit(self, X, *, lam=0.01, learning_rate=1e-3, n_steps=40_000, callback=None):
        """Learn atoms from X as `PublishedAutoencoders.fit` does; return the runs themselves."""
        learned = [self.dictionary, self.offset] if self.bias else [self.dictionary]
        self._descend(X, lam, learning_rate, n_steps, learned, callback=callback)
        return self

    def encode(
        self, X, *, lam=0.01, k=None, start=None, learning_rate=3e-3, n_steps=10_000, callback=None
    ):
        """Find the codes of X by a descent from `start`, or from next to nothing.

        With `k` of the k largest codes alone. The callback gets the number of steps and a function
        that returns the codes.
        """
        return self._descend(X, lam, learning_rate, n_steps, [], k, start, callback)

    @torch.no_grad()
    def _descend(self, X, lam, learning_rate, n_steps, learned, k=None, start=None, callback=None):
        """Return codes, having updated what is to be learned in place."""
        X = X.expand(len(self.dictionary), -1, -1)
        _, n_samples, n_features = X.shape
        n_latents = self.dictionary.shape[1]
        logs = X.new_full((len(X), n_samples, n_latents), -10.0)
        if start is not None:
            logs = start.log().clamp_(min=-10.0)
        lam = torch.as_tensor(lam if k is None else 0.0, device=X.device)
        slope = lam.view(-1, 1, 1) / (n_samples * n_latents)
        scale = 2.0 / (n_samples * n_features)
        optimizer = make_adam([logs, *learned], learning_rate)

        def find():
            return keep_largest(logs.exp(), k)

        def find_gradients():
            codes = find()
            residual = torch.baddbmm(self.offset - X, codes, self.dictionary).mul_(scale)
            logs.grad = (residual @ self.dictionary.mT).add_(slope).mul_(codes)
            if learned:
                self.dictionary.grad = codes.mT @ residual
                self.offset.grad = residual.sum(1, keepdim=True)

        if COMPILED and k is None:
            find_gradients = COMPILED.of_sparse_coding(
                X, logs, self.dictionary, self.offset, lam, bool(learned)
            )

        def step():
            find_gradients()
            optimizer.step()
            if learned:
                self.dictionary.div_(self.dictionary.norm(dim=2, keepdim=True))

        look = callback and (lambda done: callback(done, find))
        repeat(step, n_steps, look, record=X.is_cuda)
        return find()


def make_adam(parameters, learning_rate):
    """Return Adam for parameters of one device; on a GPU its steps can be recorded."""
    on_gpu = parameters[0].is_cuda
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True, capturable=on_gpu)


def repeat(step, n_steps, callback=None, *, record=False):
    """Take steps, with the number of those done to the callback before each and after the last.

    With `record` a GPU replays one step from the twentieth on, which tells it of all its small
    operations at once.
    """
    for done in range(n_steps):
        if callback is not None:
            callback(done)
        if record and done == 20:
            step = recorded(step)
        step()
    if callback is not None:
        callback(n_steps)


def recorded(step):
    """Return a function that replays a step on the GPU, having recorded it without taking it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def keep_largest(codes, k):
    """Zero all but the k largest codes of each sample; None keeps all."""
    if k is None:
        return codes
    values, indices = codes.topk(k)
    return torch.zeros_like(codes).scatter_(-1, indices, values)
