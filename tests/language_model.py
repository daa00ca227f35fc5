"""A tiny transformer with random weights, whose blocks return tuples as those of libraries do."""

import torch
from torch import nn

N_TOKENS, WIDTH = 23, 8


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, dropout=0.3, batch_first=True)
        self.feed_forward = nn.Sequential(nn.Linear(WIDTH, 16), nn.GELU(), nn.Linear(16, WIDTH))
        self.n_calls = 0

    def forward(self, x, padding):
        self.n_calls += 1
        n = x.shape[1]
        ahead = torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1)
        attended, weights = self.attention(x, x, x, key_padding_mask=padding, attn_mask=ahead)
        x = x + attended
        return x + self.feed_forward(x), weights


class LanguageModel(nn.Module):
    """Token numbers (n_texts, n_positions) to logits (n_texts, n_positions, N_TOKENS)."""

    def __init__(self, n_blocks=2):
        super().__init__()
        self.embed = nn.Embedding(N_TOKENS, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(n_blocks))
        self.unembed = nn.Linear(WIDTH, N_TOKENS)

    def forward(self, input_ids, attention_mask=None):
        x = self.embed(input_ids)
        padding = None if attention_mask is None else attention_mask == 0
        for block in self.blocks:
            x, _ = block(x, padding)
        return self.unembed(x)


def make_model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LanguageModel()


def make_texts(n_batches=3, n_texts=4, n_positions=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randint(N_TOKENS, (n_texts, n_positions), generator=generator)
        for _ in range(n_batches)
    ]
