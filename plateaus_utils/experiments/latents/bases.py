"""Activations that an SAE made, as bases and as targets."""

import torch
import xarray as xr

from ...directions import directions
from ...effects import measure
from ...patching import Suffix
from ...paths import linear_pair
from ...saes import Dictionary, built, with_more, without
from ..measuring import in_chunks, way_to_target
from ..sensitive import N_STEPS
from ..setting import Setting, base_points
from .choosing import stream
from .searching import sizes_along

N_ADDED = 8
"""Latents that are added to a base where a statement asks for a few."""
N_BUILT = 8
"""Built and Gaussian bases of a prompt where the two are compared: bases of one prompt differ as much as those of two."""
STRUCTURED, UNSTRUCTURED = "built, structured", "built, random latents"


def sae_bases(setting: Setting, dictionary: Dictionary) -> dict[str, torch.Tensor]:
    """Bases [n_prompts, d_model]: real, Gaussian, and those that an SAE made.

    Made ones are real bases with a few latents removed, or added that are active on another prompt; reconstructed ones; and
    ones built from other latents. `moved as far` stands as far from the real base as the one with N_ADDED more latents does,
    along a Gaussian deviation from the mean.
    """
    base, rng = setting.base_activations, stream(setting, dictionary, "bases")
    donors = setting.draws(1, "donors")
    more = with_more(dictionary, base, donors.real[:, 0], N_ADDED, rng)
    deviation = torch.nn.functional.normalize(donors.gaussian[:, 0] - donors.mean, dim=-1)
    return {
        "real": base,
        "without 2 latents": without(dictionary, base, 2, rng),
        "with 2 more": with_more(dictionary, base, donors.real[:, 0], 2, rng),
        f"with {N_ADDED} more": more,
        "moved as far": base + (more - base).norm(dim=-1, keepdim=True) * deviation,
        "reconstruction": dictionary.decode(dictionary.encode(base)),
        STRUCTURED: built(dictionary, base, True, rng),
        UNSTRUCTURED: built(dictionary, base, False, rng),
        "random": base_points(setting, "random"),
    }


def base_thresholds(setting: Setting, dictionary: Dictionary, mode: str) -> xr.DataArray:
    """Threshold sizes [prompt, kind] around `sae_bases`, all of a prompt towards the same Gaussian target."""
    points, draws = sae_bases(setting, dictionary), setting.draws(1)
    vectors = {kind: directions("random", x, draws) for kind, x in points.items()}
    return sizes_along(setting, dictionary, "sae_bases", vectors, mode, points).isel(direction=0, drop=True)


def built_thresholds(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """Threshold angles [prompt, kind, direction] around N_BUILT structured and N_BUILT Gaussian bases of each prompt.

    Each base has a Gaussian target of its own, the same for both kinds; `direction` counts the bases.
    """
    rng, draws = stream(setting, dictionary, "built bases"), setting.draws(N_BUILT, "built bases")
    shifts = [1 + k % max(1, setting.n_prompts - 1) for k in range(N_BUILT)]
    rounds = [built(dictionary, setting.base_activations, True, rng, shift) for shift in shifts]
    points = {STRUCTURED: torch.stack(rounds, 1), "random": setting.draws(N_BUILT, "Gaussian bases").gaussian}
    vectors = {kind: draws.gaussian - at for kind, at in points.items()}
    return sizes_along(setting, dictionary, "built_bases", vectors, "sphere", points)


def walks_to_built(setting: Setting, dictionary: Dictionary) -> xr.Dataset:
    """KL and L2 [prompt, kind, path_size] on the way to SAE-made targets, as `sensitive.walks_to_targets` to real ones.

    The targets are the reconstruction of the real target there, and an activation built from other latents, structured.
    """
    real, rng = setting.draws(1, "walks").real[:, 0], stream(setting, dictionary, "walks")
    targets = {
        "reconstruction": dictionary.decode(dictionary.encode(real)),
        STRUCTURED: built(dictionary, real, True, rng),
    }
    share, ends = torch.linspace(0, 1, N_STEPS), torch.stack(list(targets.values()), 1)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        points = linear_pair(setting.base_activations[chunk, None].expand_as(ends[chunk]), ends[chunk], share)
        effect = measure(suffix, points.flatten(1, 2), names=("kl", "l2"))
        return xr.Dataset(
            {name: (("prompt", "kind", "path_size"), values.view(points.shape[:-1])) for name, values in effect.items()}
        )

    options = {"sae": dictionary.fingerprint, "n_steps": N_STEPS}
    coords = {"kind": list(targets), "path_size": way_to_target(share.numpy())}
    return in_chunks(setting, "walks_to_built", options, compute, coords)
