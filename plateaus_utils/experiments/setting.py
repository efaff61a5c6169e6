"""What is studied: a model, a hook, and the prompts and activations that every experiment of a chapter shares."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from ..activations import Gaussian, collect_hooks, generator
from ..arguments import check
from ..directions import draw
from ..errors import CorpusError, ParameterError
from ..kinds import BASES, Draws, find
from ..models import LanguageModel, describe, load_model
from ..prompts import Prompts, elsewhere, load_prompts
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
    def description(self) -> str:
        """The model and the hook, as pages name them."""
        return f"{self.model.description}, perturbed at {self.hook_name}"

    @functools.cached_property
    def content(self) -> str:
        """SHA-256 of what experiments are computed from: tokens and activations of bases and others."""
        digest = hashlib.sha256()
        for part in (self.bases.tokens, self.others.tokens, self.base_activations, self.other_activations):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode() + part.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def made_by(self) -> dict:
        """Everything that a result computed from this setting depends on, apart from an experiment's own options."""
        return self.determined_by | {"seed": self.seed, "content_sha256": self.content}

    @property
    def layer(self) -> int:
        """The block whose input is perturbed."""
        return self.model.layer_of(self.hook_name)

    @property
    def n_prompts(self) -> int:
        return len(self.bases)

    @property
    def documents(self) -> np.ndarray:
        """[n_prompts] the document of each base, for resampling."""
        return self.bases.documents

    def first(self, n: int) -> "Setting":
        """The same setting with only its first n bases.

        Raises:
            ParameterError: n is no number from 1 up.
        """
        if type(n) is not int or n < 1:
            raise ParameterError(f"{n!r} prompts were asked for; ask for at least 1.")
        return dataclasses.replace(
            self,
            bases=self.bases[:n],
            base_activations=self.base_activations[:n],
            determined_by=self.determined_by | {"n_used": n},
        )

    def draws(self, k: int, purpose: str = "directions") -> Draws:
        """Draw k targets of each sort for every base; the same for every experiment that asks for the same purpose and k."""
        return draw(
            self.base_activations,
            self.other_activations,
            self.gaussian,
            k,
            generator(self.seed, f"{purpose}/{k}"),
            self.documents,
            self.others.documents,
        )

    @functools.cached_property
    def elsewhere(self) -> torch.Tensor:
        """[n_prompts, n_others] whether an other comes from another document than a base; only such others meet it."""
        return elsewhere(self.documents, self.others.documents)

    @functools.cached_property
    def ends_alike(self) -> torch.Tensor:
        """[n_prompts, n_others] whether an other is from another document and ends in the same token as the base's prompt."""
        return self.elsewhere & (self.bases.tokens[:, -1:] == self.others.tokens[:, -1])

    def same_token_index(self, rng: torch.Generator) -> torch.Tensor:
        """[n_prompts] one of the others that end alike, drawn at random for each base; -1 where there is none."""
        found = [torch.nonzero(alike).flatten() for alike in self.ends_alike]
        picks = torch.rand(len(found), generator=rng)
        return torch.tensor([int(f[int(p * len(f))]) if len(f) else -1 for f, p in zip(found, picks, strict=True)])

    def some_others(self, n: int, rng: torch.Generator, replacement: bool = False) -> torch.Tensor:
        """[n_prompts, n] indices of others from other documents, drawn at random for each base."""
        return torch.multinomial(self.elsewhere.float(), n, replacement, generator=rng)


def prepare(
    model: str,
    results_dir: str,
    *,
    corpus: str = "wikipedia+lee",
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
        ParameterError: an argument is of the wrong type or outside its range; nothing was loaded.
        ModelError, CorpusError, ActivationError: see `load_model`, `load_prompts` and `Gaussian.fit`.

    Example:
        >>> import tempfile
        >>> import plateaus_utils as pu
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     setting = pu.prepare("tiny-random-gpt2", folder, corpus="lee", n_prompts=4, n_others=100, device="cpu")
        >>> setting.base_activations.shape, setting.other_activations.shape
        (torch.Size([4, 32]), torch.Size([100, 32]))
    """
    check(
        model=model,
        results_dir=results_dir,
        corpus=corpus,
        layer=layer,
        seq_len=seq_len,
        n_prompts=n_prompts,
        n_others=n_others,
        seed=seed,
        prepend_bos=prepend_bos,
        shrinkage=shrinkage,
        device=device,
        dtype=dtype,
    )
    results_folder(results_dir)
    return prepare_layers(
        load_model(model, device, dtype),
        results_dir,
        [layer],
        corpus=corpus,
        seq_len=seq_len,
        n_prompts=n_prompts,
        n_others=n_others,
        seed=seed,
        prepend_bos=prepend_bos,
        shrinkage=shrinkage,
    )[layer]


def prepare_layers(
    model: LanguageModel,
    results_dir: str,
    layers: Sequence[int],
    *,
    corpus: str,
    seq_len: int,
    n_prompts: int,
    n_others: int,
    seed: int,
    prepend_bos: bool,
    shrinkage: bool,
) -> dict[int, Setting]:
    """`prepare` for a model that is loaded already: settings at the inputs of several blocks, on the same prompts."""
    hooks = {layer: f"blocks.{layer}.hook_resid_pre" for layer in layers}
    for hook in hooks.values():
        model.layer_of(hook)
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
    if (fewest := int(elsewhere(pools.bases.documents, pools.others.documents).sum(1).min())) < 2:
        raise CorpusError(
            f"A base has {fewest} other sequences from other documents; ask for more others, or use a corpus of more documents."
        )
    folder = results_folder(results_dir)
    shared = describe(model) | {
        "corpus": corpus,
        "seq_len": seq_len,
        "seed": seed,
        "prepend_bos": prepend_bos,
        "n_others": n_others,
    }

    def at_hooks(_: slice) -> xr.Dataset:
        found = collect_hooks(model, pools.others.tokens, [*hooks.values()])
        return xr.Dataset({hook: (("other", "d_model"), values) for hook, values in found.items()})

    name = "_".join(["activations", *["bos"] * prepend_bos, *map(str, layers)])
    tokens = hashlib.sha256(pools.others.tokens.numpy().tobytes()).hexdigest()
    made_by = shared | {"hook_name": list(hooks.values()), "tokens_sha256": tokens}
    stored = resumed(folder, name, made_by, n_others, n_others, at_hooks)
    bases = collect_hooks(model, pools.bases.tokens, [*hooks.values()])
    settings = {}
    for layer, hook in hooks.items():
        others = torch.from_numpy(stored[hook].values)
        settings[layer] = Setting(
            model,
            hook,
            pools.bases,
            pools.others,
            bases[hook],
            others,
            Gaussian.fit(others, shrinkage),
            seed,
            folder,
            shared | {"hook_name": hook, "n_prompts": n_prompts, "shrinkage": shrinkage},
        )
    return settings


def base_points(setting: Setting, kind: str) -> torch.Tensor:
    """Base activations [n_prompts, d_model] of one kind (see `kinds.BASES`), each to be inserted into its prompt.

    Raises:
        ParameterError: there is no such kind.
    """
    return find(BASES, kind).recipe(setting, generator(setting.seed, f"base/{kind}"))
