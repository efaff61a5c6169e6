"""The live explorer: type a prompt, choose where and which way to walk, and watch the next tokens. Needs a running kernel."""

from dataclasses import dataclass

import ipywidgets as ipw
import numpy as np
import torch
import xarray as xr

from .. import plotting
from ..activations import collect, generator, isotropic
from ..directions import directions, draw
from ..effects import kl_divergence, top_tokens
from ..errors import ActivationError, PlateausError
from ..experiments.setting import Setting
from ..kinds import DIRECTIONS, Draws
from ..patching import Suffix
from ..paths import MODES, UNITS
from ..saes import Dictionary
from ..sensitivity import KL_THRESHOLD, first_crossing

GRID = {"sphere": np.linspace(0, 180, 37), "straight": np.linspace(0, 2, 37)}
KINDS = (*DIRECTIONS, "corpus prompt", "SAE latent")
N_SHOWN = 8


class InputError(PlateausError):
    """Something typed into a field that cannot be used; `field` says which."""

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Walk:
    """One path and what the model does on it."""

    sizes: np.ndarray
    kl: np.ndarray
    logits: torch.Tensor
    """[n_sizes, d_vocab]"""
    threshold: float
    """Where the KL first crosses the threshold, interpolated between sizes; NaN where it does not."""
    unit: str

    @property
    def curve(self) -> xr.DataArray:
        """The KL divergence [size], with its sizes and their unit."""
        return xr.DataArray(
            self.kl, dims="path_size", coords={"path_size": ("path_size", self.sizes, {"unit": self.unit})}
        )


class Walker:
    """Walks from any prompt, at any layer and position, with the activations of a setting as targets."""

    def __init__(self, setting: Setting, dictionary: Dictionary):
        self.setting, self.dictionary = setting, dictionary
        self._suffixes: dict[tuple, Suffix] = {}

    def walk(
        self,
        text: str,
        kind: str,
        mode: str,
        layer: int = 1,
        position: int = -1,
        target: int = 0,
        latent: int = 0,
        seed: int = 0,
    ) -> Walk:
        """Walk from the activation of `text` at a block's input and a position.

        Args:
            text: the prompt; at least two tokens.
            kind: one of KINDS; `corpus prompt` walks towards the activation of corpus prompt number `target`.
            mode: `sphere` or `straight`.
            layer: block whose input is perturbed; Gaussian targets and latents belong to the setting's own layer.
            position: of the token, counted from the end if negative.
            target: which of the setting's other prompts.
            latent: which latent of the SAE.
            seed: of random targets.

        Raises:
            InputError: a field that cannot be used, with the reason.
        """
        suffix = self._suffix(text, layer, position)
        base = suffix.base[0].cpu()
        vector = self._vector(base, kind, suffix.layer, target, latent, generator(seed, f"live/{kind}"))
        try:
            points = MODES[mode](base, vector, torch.tensor(GRID[mode], dtype=torch.float32))
        except ActivationError as error:  # minus the base names no meridian of the sphere
            raise InputError("kind", str(error)) from error
        with torch.no_grad():
            logits = suffix(points[None].to(suffix.base)).logits[0].float().cpu()
        kl = kl_divergence(logits[:1], logits).numpy()
        threshold = float(first_crossing(GRID[mode], kl, KL_THRESHOLD))
        return Walk(GRID[mode], kl, logits, threshold, UNITS[mode])

    def _suffix(self, text: str, layer: int, position: int) -> Suffix:
        key = (text, layer, position)
        if key not in self._suffixes:
            model = self.setting.model
            tokens = model.tokenizer(text, add_special_tokens=False)["input_ids"]
            if not 2 <= len(tokens) <= model.n_ctx:
                raise InputError("text", f"The prompt has {len(tokens)} tokens; it needs 2 to {model.n_ctx}.")
            if not 0 <= layer < model.n_layers:
                raise InputError("layer", f"Layers run from 0 to {model.n_layers - 1}.")
            if not -len(tokens) <= position < len(tokens):
                raise InputError("position", f"Positions run from {-len(tokens)} to {len(tokens) - 1}.")
            suffix = Suffix(model, torch.tensor([tokens]), f"blocks.{layer}.hook_resid_pre", (position,))
            self._suffixes = {key: suffix}
        return self._suffixes[key]

    def _vector(
        self, base: torch.Tensor, kind: str, layer: int, target: int, latent: int, rng: torch.Generator
    ) -> torch.Tensor:
        if kind == "corpus prompt":
            if not 0 <= target < len(self.setting.others):
                raise InputError("target", f"Corpus prompts run from 0 to {len(self.setting.others) - 1}.")
            return self._collected([target], layer)[0] - base
        own = layer == self.setting.layer
        if kind == "SAE latent":
            vector = self._latent(latent) if own else torch.full_like(base, torch.nan)
        else:
            draws = self._draws(base, rng) if own else self._draws_elsewhere(base, layer, rng)
            vector = directions(kind, base[None], draws)[0, 0]
        if not vector.isfinite().all():
            raise InputError(
                "kind", f"This kind of direction is known at {self.setting.hook_name} alone; choose that layer."
            )
        return vector

    def _latent(self, latent: int) -> torch.Tensor:
        if not 0 <= latent < len(self.dictionary.rows):
            raise InputError("latent", f"Latents run from 0 to {len(self.dictionary.rows) - 1}.")
        return self.dictionary.rows[latent]

    def _draws(self, base: torch.Tensor, rng: torch.Generator) -> Draws:
        setting = self.setting
        typed = np.array(["typed"])  # no document of a corpus
        return draw(base[None], setting.other_activations, setting.gaussian, 1, rng, typed, setting.others.documents)

    def _draws_elsewhere(self, base: torch.Tensor, layer: int, rng: torch.Generator) -> Draws:
        """Draws at another layer, where no Gaussian is known: what needs one is not a number."""
        index = torch.randperm(len(self.setting.others), generator=rng)[:2]
        real = self._collected(index.tolist(), layer)[:, None, None]
        unknown = torch.full_like(real[0], torch.nan)
        naive = isotropic(base, rng)[None, None]
        return Draws(unknown, unknown, real[0], real[1], naive, unknown[0, 0], index[None, :1])

    def _collected(self, others: list[int], layer: int) -> torch.Tensor:
        """[n, d_model] activations of some of the setting's other prompts at the input of a block."""
        return collect(self.setting.model, self.setting.others.tokens[others], f"blocks.{layer}.hook_resid_pre")


class Explorer:
    """The live explorer as a widget: `display(Explorer(setting, dictionary).box)`."""

    def __init__(self, setting: Setting, dictionary: Dictionary, text: str):
        self.walker = Walker(setting, dictionary)
        wide = {"style": {"description_width": "110px"}, "layout": ipw.Layout(width="32em")}
        self.fields = {
            "text": ipw.Text(text, description="prompt", continuous_update=False, **wide),
            "kind": ipw.Dropdown(options=KINDS, description="direction", **wide),
            "mode": ipw.Dropdown(options=list(GRID), description="path", **wide),
            "layer": ipw.IntText(setting.layer, description="layer", **wide),
            "position": ipw.IntText(-1, description="position", **wide),
            "target": ipw.IntText(0, description="corpus prompt", **wide),
            "latent": ipw.IntText(int(dictionary.alive[0]), description="SAE latent", **wide),
            "seed": ipw.IntText(0, description="seed", **wide),
        }
        self.complaints = {name: ipw.HTML() for name in self.fields}
        self.size = ipw.IntSlider(0, 0, len(GRID["sphere"]) - 1, description="size", readout=False, **wide)
        self.reading = ipw.HTML()
        self.picture = ipw.Output()
        rows = [ipw.HBox([field, self.complaints[name]]) for name, field in self.fields.items()]
        self.box = ipw.VBox([*rows, ipw.HBox([self.size, self.reading]), self.picture])
        for field in self.fields.values():
            field.observe(lambda _: self.restart(), "value")
        self.size.observe(lambda _: self.redraw(), "value")
        self.restart()

    def restart(self) -> None:
        """Walk again with what the fields say, or explain next to a field why not."""
        for complaint in self.complaints.values():
            complaint.value = ""
        try:
            self.walk = self.walker.walk(**{name: field.value for name, field in self.fields.items()})
        except PlateausError as error:
            self.complaints[getattr(error, "field", "text")].value = f'<span role="alert">{error}</span>'
            return
        self.redraw()

    def redraw(self) -> None:
        """Show the walk at the slider's size."""
        walk, i = self.walk, self.size.value
        self.reading.value = f"{walk.sizes[i]:.3g} ({walk.unit}), KL <b>{walk.kl[i]:.4f}</b> nats"
        tokens = top_tokens(walk.logits[[i]], self.walker.setting.model.tokenizer, N_SHOWN)[0]
        figure = plotting.walk(walk.curve, i, tokens, walk.threshold)
        with self.picture:
            self.picture.clear_output(wait=True)
            plotting.show(figure, f"KL curve and next tokens at size {walk.sizes[i]:.3g}")
