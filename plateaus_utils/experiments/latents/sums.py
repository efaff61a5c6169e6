"""Directions that are spread over many latents."""

import torch
import xarray as xr

from ...saes import Dictionary, pick
from ..setting import Setting
from .choosing import stream
from .searching import sizes_along

SPREAD = (1, 2, 4, 8, 16, 32, 64, 128)
"""Numbers of latents that a direction is spread over."""
SUMS = ("plain", "random signs", "mean removed")


def spread_vectors(setting: Setting, dictionary: Dictionary) -> dict[str, torch.Tensor]:
    """Sums of k random alive latents {"variant/k": [n_prompts, 1, d_model]}; a prompt's sums contain one another.

    `plain` sums drift towards the mean decoder row as k grows, so that there are also sums with random signs, and sums of rows
    with their mean removed. "/all" is the limit: the mean row itself, and all alive latents with random signs.
    """
    rng, rows = stream(setting, dictionary, "spread"), dictionary.rows[dictionary.alive]
    chosen = pick(torch.ones(setting.n_prompts, len(rows), dtype=torch.bool), min(SPREAD[-1], len(rows)), rng)
    signs = torch.randint(0, 2, chosen.shape, generator=rng) * 2.0 - 1
    parts = {
        "plain": rows[chosen],
        "random signs": rows[chosen] * signs[..., None],
        "mean removed": (rows - rows.mean(0))[chosen],
    }
    sums = {f"{variant}/{k}": parts[variant][:, :k].sum(1, keepdim=True) for variant in SUMS for k in SPREAD}
    all_signs = torch.randint(0, 2, (setting.n_prompts, len(rows)), generator=rng) * 2.0 - 1
    sums["plain/all"] = rows.mean(0).expand(setting.n_prompts, 1, -1)
    sums["random signs/all"] = (all_signs @ rows)[:, None]
    return sums


def spread_thresholds(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """Threshold angles [prompt, kind] along one latent and along a sum of SPREAD[-1] that contains it, with random signs."""
    return _angles(setting, dictionary, "spread", [f"random signs/{k}" for k in (SPREAD[0], SPREAD[-1])])


def spread_curves(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """The same [prompt, kind] along all sums of `spread_vectors`."""
    return _angles(setting, dictionary, "spread_shown", [*spread_vectors(setting, dictionary)])


def _angles(setting: Setting, dictionary: Dictionary, name: str, kinds: list[str]) -> xr.DataArray:
    vectors = spread_vectors(setting, dictionary)
    found = sizes_along(setting, dictionary, name, {kind: vectors[kind] for kind in kinds})
    return found.isel(direction=0, drop=True)
