"""What is studied: a model, a hook, and the prompts and activations that every experiment of a chapter shares."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from ..activations import Gaussian, collect, generator, isotropic
from ..directions import Draws, draw
from ..models import LanguageModel, describe, load_model
from ..prompts import Prompts, load_prompts
from ..results import results_folder, resumed


@dataclass(frozen=True, eq=False)
class Setting:
    """A model, a hook, and the prompts and activations that every experiment of a chapter shares."""

    model: LanguageModel
    hook_name: str
    bases: Prompts
    others: Prompts
    base_activations: torch.Tensor
    """[n_prompts, d_model]"""
    other_activations: torch.Tensor
    """[n_others, d_model]"""
    gaussian: Gaussian
    seed: int
    folder: Path
    """Where results are stored."""
    determined_by: dict
    """Everything that determines the numbers, apart from an experiment's own options."""

    @property
    def n_prompts(self) -> int:
        return len(self.bases)

    @property
    def documents(self) -> np.ndarray:
        """[n_prompts] the document of each base, for resampling."""
        return self.bases.documents

    def draws(self, k: int, purpose: str = "directions") -> Draws:
        """K targets of each sort for every base; the same for every experiment that asks for the same purpose and k."""
        return draw(
            self.base_activations, self.other_activations, self.gaussian, k, generator(self.seed, f"{purpose}/{k}")
        )


def prepare(
    model: str,
    results_dir: str,
    *,
    corpus: str = "wikipedia",
    layer: int = 1,
    seq_len: int = 10,
    n_prompts: int = 120,
    n_others: int = 20_000,
    seed: int = 0,
    prepend_bos: bool = False,
    shrinkage: bool = False,
    device: str = "auto",
    dtype: str = "float32",
) -> Setting:
    """Load the model and the corpus, collect activations at `blocks.{layer}.hook_resid_pre`, fit the Gaussian.

    Raises:
        ModelError, CorpusError, ActivationError: see `load_model`, `load_prompts` and `Gaussian.fit`.
    """
    return prepare_at(
        load_model(model, device, dtype),
        results_dir,
        corpus=corpus,
        hook_name=f"blocks.{layer}.hook_resid_pre",
        seq_len=seq_len,
        n_prompts=n_prompts,
        n_others=n_others,
        seed=seed,
        prepend_bos=prepend_bos,
        shrinkage=shrinkage,
    )


def prepare_at(
    model: LanguageModel,
    results_dir: str,
    *,
    corpus: str,
    hook_name: str,
    seq_len: int,
    n_prompts: int,
    n_others: int,
    seed: int,
    prepend_bos: bool,
    shrinkage: bool,
) -> Setting:
    """`prepare` for a model that is loaded already."""
    model.layer_of(hook_name)
    pools = load_prompts(
        corpus,
        model.tokenizer,
        n_prompts,
        n_others,
        seq_len=seq_len,
        seed=seed,
        prepend_bos=prepend_bos,
        n_ctx=model.n_ctx,
    )
    folder = results_folder(results_dir)
    shared = describe(model) | {
        "corpus": corpus,
        "hook_name": hook_name,
        "seq_len": seq_len,
        "seed": seed,
        "prepend_bos": prepend_bos,
        "n_others": n_others,
    }
    stored = resumed(
        folder,
        "activations" + ("_bos" if prepend_bos else "") + hook_name.removeprefix("blocks").split(".hook")[0],
        shared,
        n_others,
        n_others,
        lambda _: xr.Dataset(
            {
                "activation": (("other", "d_model"), collect(model, pools.others.tokens, hook_name)),
                "document": ("other", pools.others.documents),
            }
        ),
    )
    others = torch.from_numpy(stored.activation.values)
    return Setting(
        model,
        hook_name,
        pools.bases,
        pools.others,
        collect(model, pools.bases.tokens, hook_name),
        others,
        Gaussian.fit(others, shrinkage),
        seed,
        folder,
        shared | {"n_prompts": n_prompts, "shrinkage": shrinkage},
    )


def base_points(setting: Setting, kind: str) -> torch.Tensor:
    """Base activations [n_prompts, d_model] of one kind, each to be inserted into its prompt.

    `real`: the prompt's own. `random`: a Gaussian sample with the mean and covariance of real activations. `naive`: an
    isotropic Gaussian vector with the real one's norm.
    """
    rng = generator(setting.seed, f"base/{kind}")
    return _BASES[kind](setting, rng)


_BASES: dict[str, Callable[[Setting, torch.Generator], torch.Tensor]] = {
    "real": lambda setting, _: setting.base_activations,
    "random": lambda setting, rng: setting.gaussian.sample(setting.n_prompts, rng),
    "naive": lambda setting, rng: isotropic(setting.base_activations, rng),
}
