"""What the other packages do in their own environments for `check_interop.py`: it imports neither
skamort nor, at the top, any of them.

    python _interop_peers.py make PACKAGE FOLDER    trains small autoencoders and saves each
    python _interop_peers.py encode FOLDER          SAELens encodes and decodes what we saved
"""

import sys
import types
from pathlib import Path

import numpy as np
import torch

N_FEATURES, N_COMPONENTS, K, STEPS, BATCH = 6, 12, 3, 300, 64


def batches(seed=0):
    """Yield batches of sparse sums of fixed directions, around a center."""
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((N_COMPONENTS, N_FEATURES))
    while True:
        codes = rng.exponential(size=(BATCH, N_COMPONENTS))
        codes *= rng.random(codes.shape) < 0.2
        rows = codes @ atoms + 0.1 * rng.standard_normal((BATCH, N_FEATURES)) + 0.5
        yield torch.tensor(rows, dtype=torch.float32)


def note(folder, encode, decode):
    """Save a few rows with their codes and reconstructions."""
    X = next(batches(1))[:12]
    with torch.no_grad():
        codes = encode(X)
        np.savez_compressed(folder / "expected.npz", X=X, codes=codes, reconstruction=decode(codes))


def descend(module, loss_of, lr=1e-2):
    """Train a module by Adam."""
    optimizer = torch.optim.Adam(module.parameters(), lr=lr)
    for _, X in zip(range(STEPS), batches(), strict=False):
        optimizer.zero_grad()
        loss_of(X).backward()
        optimizer.step()


def make_saelens(out):
    """Train by SAELens's own trainer; save what it calls the model for inference."""
    import sae_lens
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    sizes = {"d_in": N_FEATURES, "d_sae": N_COMPONENTS}
    top = {"k": K}
    kinds = {
        "standard": (sae_lens.StandardTrainingSAEConfig, {"l1_coefficient": 0.3}),
        "standard-not-centered": (
            sae_lens.StandardTrainingSAEConfig,
            {"l1_coefficient": 0.3, "apply_b_dec_to_input": False},
        ),
        "topk": (sae_lens.TopKTrainingSAEConfig, {**top, "rescale_acts_by_decoder_norm": False}),
        "topk-rescaled": (
            sae_lens.TopKTrainingSAEConfig,
            {**top, "rescale_acts_by_decoder_norm": True},
        ),
        "batchtopk": (sae_lens.BatchTopKTrainingSAEConfig, {"k": float(K)}),
        "jumprelu": (
            sae_lens.JumpReLUTrainingSAEConfig,
            {"jumprelu_init_threshold": 0.2, "jumprelu_bandwidth": 0.2, "l0_coefficient": 0.1},
        ),
        "gated": (sae_lens.GatedTrainingSAEConfig, {"l1_coefficient": 0.3}),
        "matryoshka": (
            sae_lens.MatryoshkaBatchTopKTrainingSAEConfig,
            {"k": float(K), "matryoshka_widths": [4, N_COMPONENTS]},
        ),
    }
    for name, (config_class, settings) in kinds.items():
        torch.manual_seed(0)
        config = config_class(**sizes, **settings)
        model = sae_lens.TrainingSAE.from_dict(config.to_dict())
        trainer = SAETrainerConfig(
            total_training_samples=STEPS * BATCH,
            train_batch_size_samples=BATCH,
            lr=1e-2,
            lr_end=1e-2,
            n_batches_for_norm_estimate=5,
            logger=LoggingConfig(log_to_wandb=False),
        )
        SAETrainer(cfg=trainer, sae=model, data_provider=batches()).fit()
        folder = out / f"saelens-{name}"
        model.save_inference_model(folder)
        sae = sae_lens.SAE.load_from_disk(folder)
        note(folder, sae.encode, sae.decode)
        (folder / "sparsity.safetensors").unlink(missing_ok=True)


def make_dictionary_learning(out):
    """Train by its trainSAE; load by its own from_pretrained."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer, StandardTrainerAprilUpdate
    from dictionary_learning.trainers.top_k import TopKTrainer
    from dictionary_learning.training import trainSAE
    from dictionary_learning.utils import load_dictionary

    threshold = {"k": K, "threshold_start_step": 50, "threshold_beta": 0.9}
    penalty = {"sparsity_warmup_steps": 50, "lr": 1e-2}
    kinds = {
        "standard": (StandardTrainer, penalty),
        "new": (StandardTrainerAprilUpdate, penalty),
        "topk": (TopKTrainer, threshold),
        "batchtopk": (BatchTopKTrainer, threshold),
        "matryoshka": (MatryoshkaBatchTopKTrainer, {**threshold, "group_fractions": [0.25, 0.75]}),
        "jumprelu": (JumpReluTrainer, {**penalty, "target_l0": K, "bandwidth": 0.2}),
        "gated": (GatedSAETrainer, penalty),
    }
    shared = {"steps": STEPS, "activation_dim": N_FEATURES, "dict_size": N_COMPONENTS}
    shared |= {"layer": 0, "lm_name": "none", "warmup_steps": 10, "device": "cpu", "seed": 0}
    for name, (trainer, settings) in kinds.items():
        folder = out / f"dictionary_learning-{name}"
        config = {"trainer": trainer, **shared, **settings}
        trainSAE(batches(), [config], STEPS, save_dir=str(folder), device="cpu")
        for file in (folder / "trainer_0").iterdir():
            if file.is_file():
                file.rename(folder / file.name)
        model, _ = load_dictionary(str(folder), "cpu")
        note(folder, model.encode, model.decode)


def make_sparsify(out):
    """Train by the coder's own loss; its trainer wants a language model."""
    from sparsify import SparseCoder, SparseCoderConfig

    for name, settings in {"topk": {}, "unnormalized": {"normalize_decoder": False}}.items():
        torch.manual_seed(0)
        config = SparseCoderConfig(k=K, num_latents=N_COMPONENTS, **settings)
        model = SparseCoder(N_FEATURES, config)
        descend(model, lambda X, model=model: model(X).fvu)
        if config.normalize_decoder:
            model.set_decoder_norm_to_unit_norm()
        folder = out / f"sparsify-{name}"
        model.save_to_disk(folder)
        model = SparseCoder.load_from_disk(folder)

        def encode(X, model=model):
            values, indices, _ = model.encode(X)
            return torch.zeros(len(X), N_COMPONENTS).scatter(1, indices, values)

        note(folder, encode, lambda codes, model=model: codes @ model.W_dec + model.b_dec)


def import_overcomplete():
    """Return its autoencoders, whatever torchvision there is."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):  # its pretrained models alone need one that fits torch
        stub = sys.modules["torchvision"] = types.ModuleType("torchvision")
        stub.transforms = types.ModuleType("transforms")
    import overcomplete.sae

    return overcomplete.sae


def save_overcomplete(model, folder):
    """Save the state dict, and beside it what it lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    model.eval()
    torch.save(model.state_dict(), folder / "model.pt")
    threshold = getattr(model, "running_threshold", None)
    beside = {"k": getattr(model, "top_k", None), "threshold": threshold}
    beside = {key: float(value) for key, value in beside.items() if value is not None}
    np.savez(folder / "beside.npz", **beside)


def make_overcomplete(out):
    """Train by its train_sae."""
    sae = import_overcomplete()
    makers = {
        "topk": lambda: sae.TopKSAE(N_FEATURES, N_COMPONENTS, top_k=K),
        "batchtopk": lambda: sae.BatchTopKSAE(N_FEATURES, N_COMPONENTS, top_k=K * BATCH),
        "jumprelu": lambda: sae.JumpSAE(N_FEATURES, N_COMPONENTS, bandwidth=0.2),
        "tied": lambda: sae.TopKSAE(N_FEATURES, N_COMPONENTS, top_k=K).tied(bias=True),
    }
    data = torch.cat([X for _, X in zip(range(50), batches(), strict=False)])
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data), batch_size=BATCH)

    def criterion(x, x_hat, _pre_codes, codes, _dictionary):
        return (x - x_hat).square().mean() + 1e-3 * codes.abs().mean()

    for name, make in makers.items():
        torch.manual_seed(0)
        model = make()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        sae.train_sae(model, loader, criterion, optimizer, nb_epochs=5, monitoring=0)
        folder = out / f"overcomplete-{name}"
        save_overcomplete(model, folder)
        note(folder, lambda X, model=model: model.encode(X)[-1], model.decode)


def encode_by_saelens(folder):
    """Let SAELens load what we saved and note what it finds for the rows that lie there."""
    import sae_lens

    for place in sorted(Path(folder).iterdir()):
        sae = sae_lens.SAE.load_from_disk(place)
        X = torch.tensor(np.load(place / "X.npy"))
        with torch.no_grad():
            codes = sae.encode(X)
            np.savez(place / "found.npz", codes=codes, reconstruction=sae.decode(codes))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "make":
        globals()[f"make_{sys.argv[2]}"](Path(sys.argv[3]))
    else:
        encode_by_saelens(sys.argv[2])
