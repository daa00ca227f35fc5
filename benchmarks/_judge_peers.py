"""How the other packages train in their own environments for `bench_judge_peers.py`: it imports
neither skamort nor, at the top, any of them.

    python _judge_peers.py KIND FOLDER SETTINGS    trains, and saves as the package saves

KIND is a key of `KINDS`, SETTINGS are JSON: train (an .npy file of rows), n_components, k,
batch_size, n_epochs, learning_rate, l1_coefficient, seed.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from _interop_peers import import_overcomplete, save_overcomplete


def batches(s):
    """Yield batches of the rows, shuffled anew in every pass."""
    X, generator = torch.from_numpy(np.load(s.train)), torch.Generator().manual_seed(s.seed)
    while True:
        for rows in torch.randperm(len(X), generator=generator).split(s.batch_size):
            if len(rows) == s.batch_size:
                yield X[rows]


def train_saelens(folder, s, config_class, **settings):
    """SAETrainer.fit; saved as its model for inference."""
    import sae_lens
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    config = getattr(sae_lens, config_class)(d_in=s.n_features, d_sae=s.n_components, **settings)
    model = sae_lens.TrainingSAE.from_dict(config.to_dict())
    trainer = SAETrainerConfig(
        total_training_samples=s.n_steps * s.batch_size,
        train_batch_size_samples=s.batch_size,
        lr=s.learning_rate,
        lr_end=s.learning_rate / 10,
        lr_decay_steps=s.n_steps // 5,
        n_batches_for_norm_estimate=5,
        logger=LoggingConfig(log_to_wandb=False),
    )
    SAETrainer(cfg=trainer, sae=model, data_provider=batches(s)).fit()
    model.save_inference_model(folder)


def train_dictionary_learning(folder, s, module, trainer, **settings):
    """trainSAE, which saves."""
    from importlib import import_module

    from dictionary_learning.training import trainSAE

    config = {
        "trainer": getattr(import_module(f"dictionary_learning.trainers.{module}"), trainer),
        "steps": s.n_steps,
        "activation_dim": s.n_features,
        "dict_size": s.n_components,
        "lr": s.learning_rate,
        "warmup_steps": s.n_steps // 20,
        "decay_start": int(0.8 * s.n_steps),
        "threshold_start_step": s.n_steps // 4,
        "k": s.k,
        "layer": 0,
        "lm_name": "none",
        "device": "cpu",
        "seed": s.seed,
        **settings,
    }
    trainSAE(batches(s), [config], s.n_steps, save_dir=str(folder), device="cpu")
    for file in (folder / "trainer_0").iterdir():
        file.rename(folder / file.name)


def train_sparsify(folder, s):
    """The step of its Trainer, which itself wants a language model."""
    from sparsify import SparseCoder, SparseCoderConfig

    model = SparseCoder(s.n_features, SparseCoderConfig(k=s.k, num_latents=s.n_components))
    model.b_dec.data = torch.from_numpy(np.load(s.train).mean(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=s.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=s.n_steps)
    for _, X in zip(range(s.n_steps), batches(s), strict=False):
        model.set_decoder_norm_to_unit_norm()
        model(X).fvu.backward()
        model.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    model.set_decoder_norm_to_unit_norm()
    model.save_to_disk(folder)


def train_overcomplete(folder, s, make):
    """train_sae, with a linear encoder, as that of the others."""
    sae = import_overcomplete()
    encoder = sae.modules.MLPEncoder(s.n_features, s.n_components, norm_layer=torch.nn.Identity)
    model = getattr(sae, make)(
        s.n_features,
        s.n_components,
        top_k=s.k if make == "TopKSAE" else s.k * s.batch_size,
        encoder_module=encoder,
    )
    data = torch.utils.data.TensorDataset(torch.from_numpy(np.load(s.train)))
    loader = torch.utils.data.DataLoader(data, batch_size=s.batch_size, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=s.learning_rate)

    def criterion(x, x_hat, _pre_codes, _codes, _dictionary):
        return (x - x_hat).square().mean()

    sae.train_sae(model, loader, criterion, optimizer, nb_epochs=s.n_epochs, monitoring=0)
    save_overcomplete(model, folder)


KINDS = {
    "saelens-standard": lambda folder, s: train_saelens(
        folder, s, "StandardTrainingSAEConfig", l1_coefficient=s.l1_coefficient
    ),
    "saelens-topk": lambda folder, s: train_saelens(folder, s, "TopKTrainingSAEConfig", k=s.k),
    "saelens-batchtopk": lambda folder, s: train_saelens(
        folder, s, "BatchTopKTrainingSAEConfig", k=float(s.k)
    ),
    "dictionary_learning-topk": lambda folder, s: train_dictionary_learning(
        folder, s, "top_k", "TopKTrainer"
    ),
    "dictionary_learning-batchtopk": lambda folder, s: train_dictionary_learning(
        folder, s, "batch_top_k", "BatchTopKTrainer"
    ),
    "dictionary_learning-matryoshka": lambda folder, s: train_dictionary_learning(
        folder,
        s,
        "matryoshka_batch_top_k",
        "MatryoshkaBatchTopKTrainer",
        group_fractions=[0.125, 0.25, 0.625],
    ),
    "sparsify-topk": train_sparsify,
    "overcomplete-topk": lambda folder, s: train_overcomplete(folder, s, "TopKSAE"),
    "overcomplete-batchtopk": lambda folder, s: train_overcomplete(folder, s, "BatchTopKSAE"),
}


def main():
    """Train one kind."""
    kind, folder, settings = sys.argv[1:]
    s = SimpleNamespace(**json.loads(settings))
    n_rows, s.n_features = np.load(s.train, mmap_mode="r").shape
    s.n_steps = s.n_epochs * (n_rows // s.batch_size)
    torch.set_num_threads(1)
    torch.manual_seed(s.seed)
    Path(folder).mkdir(parents=True)
    KINDS[kind](Path(folder), s)


if __name__ == "__main__":
    main()
