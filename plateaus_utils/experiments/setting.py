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


@dataclass(frozen=True)
class Arguments:
    """What `prepare` was asked for, apart from the model, the layer and the folder; see there."""

    corpus: str
    seq_len: int
    n_prompts: int
    n_others: int
    seed: int
    prepend_bos: bool
    shrinkage: bool

    def replace(self, **changes: object) -> "Arguments":
        """The same with some changed.

        Raises:
            ParameterError: a name is no argument, or a value of the wrong type or outside its range.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise ParameterError(f"A setting has no argument {name!r}; known are {', '.join(known)}.")
        check(**changes)
        return dataclasses.replace(self, **changes)


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
    arguments: Arguments
    folder: Path
    """Where results are stored."""

    @property
    def description(self) -> str:
        """The model and the hook, as pages name them."""
        return f"{self.model.description}, perturbed at {self.hook_name}"

    @property
    def provenance(self) -> dict:
        """What a reader wants to know of this setting: model, device, hook and arguments."""
        return describe(self.model) | {"hook_name": self.hook_name} | dataclasses.asdict(self.arguments)

    @functools.cached_property
    def content(self) -> str:
        """SHA-256 of what experiments are computed from: tokens, documents and activations of bases and others."""
        digest = hashlib.sha256()
        for part in (self.bases.tokens, self.others.tokens, self.base_activations, self.other_activations):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode() + part.contiguous().numpy().tobytes())
        for prompts in (self.bases, self.others):
            digest.update("\0".join(prompts.documents).encode())
        return digest.hexdigest()

    @property
    def made_by(self) -> dict:
        """Everything that a result computed from this setting depends on, apart from an experiment's own options and its code.

        The Gaussian follows from the others' activations and from `shrinkage`.
        """
        return describe(self.model) | {
            "hook_name": self.hook_name,
            "seed": self.seed,
            "shrinkage": self.arguments.shrinkage,
            "content_sha256": self.content,
        }

    @property
    def seed(self) -> int:
        return self.arguments.seed

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

    @property
    def n_documents_available(self) -> int:
        """How many documents bases and others come from together: what the corpora at hand hold."""
        return len(np.union1d(self.documents, self.others.documents))

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
            arguments=dataclasses.replace(self.arguments, n_prompts=min(n, self.n_prompts)),
        )

    def seeded(self, seed: int) -> "Setting":
        """The same prompts with the draws of another seed."""
        return dataclasses.replace(self, arguments=self.arguments.replace(seed=seed))

    def replace(self, **changes: object) -> "Setting":
        """The setting of the same model and layer with other arguments of `prepare`, prepared anew.

        Raises:
            ParameterError: see `Arguments.replace`.
            CorpusError, ActivationError: see `prepare`.
        """
        return self.at_layers([self.layer], **changes)[self.layer]

    def at_layers(self, layers: Sequence[int], **changes: object) -> dict[int, "Setting"]:
        """Settings of the same model at the inputs of several blocks, on the same prompts; changes as of `replace`."""
        return _prepared(self.model, self.folder, layers, self.arguments.replace(**changes))

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
    given = dict(locals())
    check(**given)
    results_folder(results_dir)
    arguments = Arguments(**{field.name: given[field.name] for field in dataclasses.fields(Arguments)})
    return _prepared(load_model(model, device, dtype), results_folder(results_dir), [layer], arguments)[layer]


def _prepared(model: LanguageModel, folder: Path, layers: Sequence[int], arguments: Arguments) -> dict[int, Setting]:
    """Settings of a model that is loaded already, at the inputs of several blocks, on the same prompts."""
    hooks = {layer: f"blocks.{layer}.hook_resid_pre" for layer in layers}
    for hook in hooks.values():
        model.layer_of(hook)
    pools = load_prompts(
        arguments.corpus,
        model.tokenizer,
        arguments.n_prompts,
        arguments.n_others,
        seq_len=arguments.seq_len,
        seed=arguments.seed,
        prepend_bos=arguments.prepend_bos,
        n_ctx=model.n_ctx,
    )
    if (fewest := int(elsewhere(pools.bases.documents, pools.others.documents).sum(1).min())) < 2:
        raise CorpusError(
            f"A base has {fewest} other sequences from other documents; ask for more others, or use a corpus of more documents."
        )
    others = _stored_activations(model, folder, hooks, pools.others, arguments)
    bases = collect_hooks(model, pools.bases.tokens, [*hooks.values()])
    return {
        layer: Setting(
            model=model,
            hook_name=hook,
            bases=pools.bases,
            others=pools.others,
            base_activations=bases[hook],
            other_activations=others[hook],
            gaussian=Gaussian.fit(others[hook], arguments.shrinkage),
            arguments=arguments,
            folder=folder,
        )
        for layer, hook in hooks.items()
    }


def _stored_activations(
    model: LanguageModel, folder: Path, hooks: dict[int, str], others: Prompts, arguments: Arguments
) -> dict[str, torch.Tensor]:
    """Activations [n_others, d_model] of the others at each hook, read if they are stored."""

    def at_hooks(_: slice) -> xr.Dataset:
        found = collect_hooks(model, others.tokens, [*hooks.values()])
        what = {"description": "activations of the last position", "unit": "activation units"}
        coords = {"document": ("other", others.documents)}
        return xr.Dataset({hook: (("other", "d_model"), values, what) for hook, values in found.items()}, coords)

    counts = f"{arguments.n_prompts}_{arguments.n_others}"  # others are what bases leave
    name = "_".join(["activations", *["bos"] * arguments.prepend_bos, counts, *map(str, hooks)])
    content = hashlib.sha256(others.tokens.numpy().tobytes() + "\0".join(others.documents).encode()).hexdigest()
    made_by = describe(model) | {"hook_names": list(hooks.values()), "content_sha256": content}
    n = len(others)
    stored = resumed(folder, name, made_by, n, n, at_hooks, dataclasses.asdict(arguments))
    return {hook: torch.from_numpy(stored[hook].values) for hook in hooks.values()}


def base_points(setting: Setting, kind: str) -> torch.Tensor:
    """Base activations [n_prompts, d_model] of one kind (see `kinds.BASES`), each to be inserted into its prompt.

    Raises:
        ParameterError: there is no such kind.
    """
    return find(BASES, kind).recipe(setting, generator(setting.seed, f"base/{kind}"))
