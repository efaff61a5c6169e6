"""Training of sparse autoencoders by SAELens, on activations that are collected once: `make sae`.

Every SAE of `RECIPES` is trained on the same tokens in the same order and stored under `saes/` in SAELens' own format, with
what it was trained on and how well it does on held-out text in its metadata and, for readers, in its model card. A run that
was stopped goes on from its last checkpoint; what is trained already is left alone.
"""

import argparse
import csv
import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported, which torch does: logs stay free of bars

import torch
from sae_lens import SAE, BatchTopKTrainingSAEConfig, TopKTrainingSAEConfig, TrainingSAE, TrainingSAEConfig
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer

from .activations import collect_hooks
from .embedded import EMBEDDED
from .errors import ActivationError, PlateausError
from .files import cache_folder, replacing
from .models import LanguageModel, initializer_ranges, load_model, untrained
from .prompts import contexts
from .sae_assessment import HELD_OUT, assess, card
from .saes import SEED, SHIPPED

CORPORA = (
    "wikipedia",
    "lee",
    "nltk/abc",
    "nltk/inaugural",
    "nltk/movie_reviews",
    "nltk/state_union",
    "nltk/webtext",
)
CONTEXT = 128
"""Tokens of a context; the first position of each is left out, because it is an attention sink of unusual norm."""

D_SAE = 3584
"""Latents of every SAE: six of this width in float16 stay below 50 MB."""
BATCH = 2048
N_LOGGED = 40
"""Lines of the training log, and checkpoints, of a run."""


@dataclass(frozen=True)
class Recipe:
    """How one SAE is trained."""

    architecture: str
    """`topk` :cite:p:`gao2024scaling`, or `batchtopk` :cite:p:`bussmann2024batchtopk`, whose SAE is a JumpReLU one
    :cite:p:`rajamanoharan2024jumping` with one threshold."""
    l0: int
    """Active latents for each activation: exact for `topk`, on average for `batchtopk`."""
    untrained: bool = False
    """Whether the network has fresh weights: a control for what an SAE finds where nothing was learned."""

    def config(self, d_in: int, d_sae: int) -> TrainingSAEConfig:
        """SAELens' configuration for activations whose mean norm is scaled to sqrt(d_in)."""
        shape = {"d_in": d_in, "d_sae": d_sae, "normalize_activations": "expected_average_only_in"}
        return {"topk": TopKTrainingSAEConfig, "batchtopk": BatchTopKTrainingSAEConfig}[self.architecture](
            **shape, k=self.l0
        )


RECIPES = {
    "jumprelu-32": Recipe("batchtopk", 32),
    "topk-8": Recipe("topk", 8),
    "topk-16": Recipe("topk", 16),
    "topk-32": Recipe("topk", 32),
    "topk-128": Recipe("topk", 128),
    "untrained-topk-32": Recipe("topk", 32, untrained=True),
}


# Text and activations ------------------------------------------------------------------------------------------------


def split_text(model: LanguageModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Contexts [n, CONTEXT] for training and held out, of all corpora."""
    parts = [contexts(corpus, model.tokenizer, CONTEXT) for corpus in CORPORA]
    cuts = [round(len(part) * (1 - HELD_OUT)) for part in parts]
    return (
        torch.cat([part[:cut] for part, cut in zip(parts, cuts, strict=True)]),
        torch.cat([part[cut:] for part, cut in zip(parts, cuts, strict=True)]),
    )


def stored_activations(model: LanguageModel, tokens: torch.Tensor, hook_name: str, path: Path) -> np.ndarray:
    """Activations [n_tokens, d_model], float16, of all positions of contexts but the first, kept in a file."""
    if not path.exists():
        per_context = tokens.shape[1] - 1
        with replacing(path) as temporary:
            shape = (len(tokens) * per_context, model.d_model)
            target = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            for start in range(0, len(tokens), 256):
                found = collect_hooks(model, tokens[start : start + 256], [hook_name], 64, slice(1, None))[hook_name]
                if found.abs().max() > torch.finfo(torch.float16).max:
                    raise ActivationError(f"Activations of {model.name} at {hook_name} are too large for float16.")
                target[start * per_context : (start + len(found)) * per_context] = found.flatten(0, 1).half().numpy()
            target.flush()
    return np.load(path, mmap_mode="r")


def batches(activations: np.ndarray, size: int, seed: int, start: int = 0) -> Iterator[torch.Tensor]:
    """Endless float32 batches [size, d_model], every pass in another order; `start` batches are passed over."""
    per_pass = len(activations) // size
    for number in itertools.count(start // per_pass):
        order = np.random.default_rng([seed, number]).permutation(len(activations))
        for i in range(start % per_pass if number == start // per_pass else 0, per_pass):
            rows = np.sort(order[i * size : (i + 1) * size])  # in the order of the file, which is read faster
            yield torch.from_numpy(activations[rows].astype(np.float32))


# Training ------------------------------------------------------------------------------------------------------------


def train(
    recipe: Recipe,
    activations: np.ndarray,
    held_out: torch.Tensor,
    folder: Path,
    *,
    d_sae: int = D_SAE,
    n_tokens: int | None = None,
    batch_size: int = BATCH,
    lr: float = 3e-3,
    seed: int = SEED,
) -> SAE:
    """Train one SAE with SAELens' trainer; a stopped run goes on from its last checkpoint in `folder`.

    The learning rate falls linearly to zero over the last third. `folder/log.csv` gets a line for each checkpoint: tokens seen,
    and on `held_out` [n, d_model] the mean squared error, explained variance and L0; and how many latents are dead in training.

    Returns:
        The inference SAE, for activations as they are (the scaling is folded into the weights), float32.
    """
    torch.manual_seed(seed)
    steps = (n_tokens or len(activations)) // batch_size
    sample = torch.from_numpy(np.asarray(activations[:: max(1, len(activations) // 50_000)], dtype=np.float32))
    scale = float(sample.shape[1] ** 0.5 / sample.norm(dim=-1).mean())
    sae = TrainingSAE.from_dict(recipe.config(sample.shape[1], d_sae).to_dict())
    sae.b_dec.data.copy_(sample.mean(0) * scale)
    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=steps * batch_size,
            train_batch_size_samples=batch_size,
            lr=lr,
            lr_end=0.0,
            lr_warm_up_steps=steps // 20,
            lr_decay_steps=steps // 3,
            autocast=True,  # bfloat16 products: twice as fast, weights stay float32
            dead_feature_window=max(1, steps // 20),
            feature_sampling_window=max(1, steps // 10),
            n_checkpoints=N_LOGGED,
            checkpoint_path=str(folder),
            logger=LoggingConfig(log_to_wandb=False),
        ),
        sae,
        batches(activations, batch_size, seed),
        save_checkpoint_fn=lambda checkpoint_path: _note_checkpoint(trainer, held_out, folder, checkpoint_path),
    )
    trainer.activation_scaler.scaling_factor = scale
    latest = folder / "latest"
    if latest.exists():
        checkpoint = folder / latest.read_text().strip()
        sae.load_weights_from_checkpoint(checkpoint)
        trainer.load_trainer_state(checkpoint)
        trainer.n_training_steps += 1  # SAELens saves a checkpoint before it counts the step
        trainer.checkpoint_thresholds = [t for t in trainer.checkpoint_thresholds if t > trainer.n_training_samples]
        trainer.data_provider = batches(activations, batch_size, seed, trainer.n_training_steps)
    trainer.fit()
    with replacing(folder / "trained") as temporary:
        sae.save_inference_model(temporary)
    return SAE.load_from_disk(folder / "trained")


def _note_checkpoint(trainer: SAETrainer, held_out: torch.Tensor, folder: Path, checkpoint: Path) -> None:
    """Write a line of the log, then name the checkpoint as the one to go on from and remove the one before."""
    with torch.no_grad():
        scaled = trainer.activation_scaler(held_out)
        codes = trainer.sae.encode(scaled)
        error = (trainer.sae.decode(codes) - scaled).square().sum(-1).mean()
    line = {
        "tokens": trainer.n_training_samples,
        "mse": f"{float(error):.4f}",
        "explained_variance": f"{1 - float(error / scaled.var(0, correction=0).sum()):.4f}",
        "l0": f"{float((codes > 0).sum(-1).float().mean()):.2f}",
        "dead": int(trainer.dead_neurons.sum()),
    }
    log, latest = folder / "log.csv", folder / "latest"
    rows = list(csv.DictReader(log.open())) if log.exists() else []
    with replacing(log) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(line), lineterminator="\n")
        writer.writeheader()
        writer.writerows([row for row in rows if int(row["tokens"]) < line["tokens"]] + [line])
    before = latest.read_text().strip() if latest.exists() else None
    with replacing(latest) as temporary:
        temporary.write_text(checkpoint.name)
    if before and before != checkpoint.name:
        for file in (folder / before).iterdir():
            file.unlink()
        (folder / before).rmdir()
    print(f"{folder.name}: " + ", ".join(f"{key} {value}" for key, value in line.items()), flush=True)


# Command line --------------------------------------------------------------------------------------------------------


def make(name: str, hook_name: str | None = None, root: Path = SHIPPED) -> None:
    """Train one SAE of the embedded model, unless it is there, and store it with its card and log under `root/name`."""
    if (root / name).exists():
        print(f"{name}: trained already", flush=True)
        return
    recipe, model = RECIPES[name], load_model(EMBEDDED)
    weights = model.revision
    if recipe.untrained:
        model = untrained(model, initializer_ranges(model)["published"], SEED)
        weights = "fresh weights"
    hook_name = hook_name or model.default_hook
    text, held_out = split_text(model)
    work = cache_folder() / "sae"
    path = work / f"{'untrained' if recipe.untrained else 'trained'}.{hook_name}.npy"
    stored = stored_activations(model, text, hook_name, path)
    sample = collect_hooks(model, held_out[:: max(1, len(held_out) // 64)], [hook_name], 64, slice(1, None))[hook_name]
    sae = train(recipe, stored, sample.flatten(0, 1), work / name)
    half = sae.to(dtype=torch.float16)
    facts = {
        "model_name": model.name, "weights": weights, "hook_name": hook_name, "weight_processing": model.processing,
        "corpora": list(CORPORA), "context_size": CONTEXT, "prepend_bos": False, "seed": SEED, "batch_size": BATCH,
        "steps": len(stored) // BATCH, "tokens": len(stored) // BATCH * BATCH,
        **assess(half.to(dtype=torch.float32), model, hook_name, stored, held_out),
    }  # fmt: skip
    with replacing(root / name) as temporary:
        for key, value in facts.items():
            half.cfg.metadata[key] = value
        half.to(dtype=torch.float16).save_model(temporary)
        described = facts | {"architecture": half.cfg.architecture(), "d_sae": half.cfg.d_sae}
        (temporary / "README.md").write_text(card(name, described), encoding="utf-8")
        (temporary / "log.csv").write_bytes((work / name / "log.csv").read_bytes())
    print(f"{name}: {json.dumps(facts, default=str)}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m plateaus_utils.sae_training", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=list(RECIPES), metavar="NAME", help=f"of {', '.join(RECIPES)}")
    names = parser.parse_args(arguments).names
    try:
        for name in names:
            if name not in RECIPES:
                parser.error(f"There is no recipe {name!r}; known are {', '.join(RECIPES)}.")
            make(name)
    except PlateausError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
