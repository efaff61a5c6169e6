"""Which SAE is studied, and which of its latents."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr

from ...activations import generator
from ...errors import SAEError
from ...saes import BANDS, Dictionary, load_dictionary, pick_by_band, principal_components, shipped
from ..setting import Setting


def dictionaries(setting: Setting, names: Sequence[str] = ()) -> list[Dictionary]:
    """The named SAEs; by default those that come with the package for this model and hook, sparsest first.

    Where none does, the only dictionary is that of the principal components, which is no SAE.

    Raises:
        SAEError: see `saes.load_dictionary`.
    """
    names = names or shipped(setting.model, setting.hook_name)
    known = setting.other_activations
    if not names:
        return [principal_components(setting.gaussian, known)]
    return [load_dictionary(name, setting.model, setting.hook_name, known) for name in names]


TYPICAL_L0 = 32


def main_dictionary(found: Sequence[Dictionary]) -> Dictionary:
    """Where an experiment takes one SAE: of those with an L0 within a factor of 1.5 of TYPICAL_L0 the one that explains most.

    Where there are none, the one whose L0 is nearest, in ratio.
    """
    off = {dictionary.name: abs(np.log(dictionary.l0 / TYPICAL_L0)) for dictionary in found}
    near = [dictionary for dictionary in found if off[dictionary.name] <= np.log(1.5)]
    if near:
        return max(near, key=lambda dictionary: dictionary.explained_variance)
    return min(found, key=lambda dictionary: off[dictionary.name])


def stream(setting: Setting, dictionary: Dictionary, purpose: str) -> torch.Generator:
    """A random stream of its own for each purpose and dictionary."""
    return generator(setting.seed, f"{purpose}/{dictionary.name}")


def pick_active(dictionary: Dictionary, codes: torch.Tensor, k: int, rng: torch.Generator) -> torch.Tensor:
    """[n, k] k of the latents active in each row of codes [n, d_sae], of different frequency bands where it has them.

    Without bands most of the latents drawn would be dense ones. Latents are repeated from the first where there are fewer.

    Raises:
        SAEError: a row has no active latent.
    """
    # A latent that is active here and nowhere else is no dead one but very rare.
    chosen = pick_by_band(codes > 0, dictionary.band.clamp_min(0), k, rng)
    n_active = (chosen >= 0).sum(1, keepdim=True)
    if (n_active == 0).any():
        raise SAEError(f"The SAE '{dictionary.name}' has no active latent on some prompts; choose a less sparse one.")
    return chosen.gather(1, torch.arange(k) % n_active)


def active_latents(setting: Setting, dictionary: Dictionary, k: int = 2) -> torch.Tensor:
    """[n_prompts, k] latents that are active on each base, see `pick_active`; every experiment takes the same ones."""
    codes = dictionary.encode(setting.base_activations)
    return pick_active(dictionary, codes, k, stream(setting, dictionary, "active latents"))


def by_sae(dictionaries: Sequence[Dictionary], measure: Callable[[Dictionary], xr.DataArray]) -> xr.DataArray:
    """What is measured of each of several SAEs, with the dimension `sae` first."""
    names = xr.Variable("sae", [dictionary.name for dictionary in dictionaries])
    return xr.concat([measure(d) for d in dictionaries], names, join="outer", combine_attrs="override")


def active_bands(setting: Setting, dictionary: Dictionary, k: int = 2) -> xr.DataArray:
    """The frequency bands [prompt, direction] of `active_latents`, by name."""
    chosen = active_latents(setting, dictionary, k)
    names = np.array(list(BANDS))[dictionary.band.clamp_min(0)[chosen].numpy()]
    return xr.DataArray(names, dims=("prompt", "direction"), coords={"document": ("prompt", setting.documents)})
