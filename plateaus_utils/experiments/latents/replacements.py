"""What it costs to replace an activation by what an SAE makes of it, or to take one of its latents away."""

from collections.abc import Sequence

import torch
import xarray as xr

from ...activations import collect_hooks
from ...effects import measure
from ...patching import Suffix
from ...saes import Dictionary
from ..measuring import in_chunks
from ..setting import Setting
from .choosing import active_latents, by_sae, stream

ERROR_KINDS = ("SAE error", "isotropic", "random mixture", "real mixture")
N_DRAWS = 4
"""Steps of each other kind that an error is compared with where that decides a statement."""


def error_effects(
    setting: Setting, dictionary: Dictionary, places: str, name: str = "error_effects", n_draws: int = N_DRAWS
) -> xr.DataArray:
    """KL [prompt, kind, direction] of the SAE's error and of other steps of equal length, stored as `name` and places.

    At several positions each takes the length of the error there; mixtures are drawn for each, with the covariance of the last.

    Args:
        places: `last` position alone, or `all` positions but the first at once.
        n_draws: steps of each other kind; the error itself, of which there is one, is repeated.
    """
    end = setting.bases.tokens.shape[1]
    positions = {"all": tuple(range(1, end)), "last": (end - 1,)}[places]
    clean = collect_hooks(setting.model, setting.bases.tokens, [setting.hook_name], position=slice(positions[0], None))
    clean = clean[setting.hook_name]
    error, rng = dictionary.error(clean), stream(setting, dictionary, f"errors/{places}")
    others = [_steps_like(setting, error, rng) for _ in range(n_draws)]
    points = clean[:, None] + torch.cat([error[:, None], *others], 1)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        kl = measure(suffix, points[chunk] if places == "all" else points[chunk, :, 0], names=("kl",))["kl"]
        drawn = kl[:, 1:].unflatten(1, (n_draws, -1)).mT
        both = torch.cat([kl[:, :1, None].expand(-1, 1, n_draws), drawn], 1)
        return xr.Dataset({"kl": (("prompt", "kind", "direction"), both)})

    options, coords = {"sae": dictionary.fingerprint, "n_draws": n_draws}, {"kind": list(ERROR_KINDS)}
    return in_chunks(setting, f"{name}_{places}", options, compute, coords, positions=positions).kl


def _steps_like(setting: Setting, error: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """One step [n_prompts, kind, n_places, d_model] of each other kind, as long as errors [n_prompts, n_places, d_model]."""
    n_prompts, n_places, d_model = error.shape
    samples = setting.gaussian.sample(2 * n_prompts * n_places, rng).view(2, n_prompts, n_places, d_model)
    pairs = torch.stack(
        [setting.some_others(2, rng) for _ in range(n_places)]
    )  # [place, prompt, 2]: two different ones
    others = setting.other_activations[pairs.permute(2, 1, 0)]
    isotropic = torch.randn(error.shape, generator=rng)
    steps = torch.stack([isotropic, samples[0] - samples[1], others[0] - others[1]], 1)
    return torch.nn.functional.normalize(steps, dim=-1) * error.norm(dim=-1)[:, None, :, None]


def errors_by_sae(setting: Setting, dictionaries: Sequence[Dictionary], places: str) -> xr.DataArray:
    """The same for several SAEs, with one step of each kind [sae, prompt, kind]."""
    found = by_sae(dictionaries, lambda d: error_effects(setting, d, places, f"error_effects_{d.name}", n_draws=1))
    return found.isel(direction=0, drop=True)


ABLATIONS = ("ablate a latent", "double a latent", "towards the reconstruction", "isotropic")


def ablation_effects(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """KL [prompt, kind, direction] of ablating one active latent, and of other steps as long :cite:p:`lindsey2024april`.

    The latents are those of `choosing.active_latents`.
    """
    base, rng = setting.base_activations, stream(setting, dictionary, "ablations")
    chosen = active_latents(setting, dictionary)
    ablated = -dictionary.encode(base).gather(1, chosen)[..., None] * dictionary.sae.W_dec[chosen]
    length = ablated.norm(dim=-1, keepdim=True)
    unit = torch.nn.functional.normalize
    steps = torch.stack(
        [
            ablated,
            -ablated,
            length * unit(dictionary.error(base), dim=-1)[:, None],
            length * unit(torch.randn(ablated.shape, generator=rng), dim=-1),
        ],
        1,
    )

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        points = base[chunk, None, None] + steps[chunk]
        kl = measure(suffix, points.flatten(1, 2), names=("kl",))["kl"]
        return xr.Dataset({"kl": (("prompt", "kind", "direction"), kl.view(points.shape[:-1]))})

    options, coords = {"sae": dictionary.fingerprint}, {"kind": list(ABLATIONS)}
    return in_chunks(setting, "ablation_effects", options, compute, coords).kl
