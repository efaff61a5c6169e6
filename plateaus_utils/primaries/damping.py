"""What decides the statement of chapter 8, and the quantities behind its secondary numbers."""

import xarray as xr

from .. import quantities
from ..experiments import damping
from ..experiments.setting import Setting

N_PAIRS = 150
"""Pairs that decide: the first prompts of a setting."""


def widths(setting: Setting) -> xr.DataArray:
    """10-90 % widths [prompt, frozen] of pairs whose paths have one with anything frozen or nothing; a line gives 0.8."""
    return quantities.width(damping.frozen_pairs(setting.first(N_PAIRS))).dropna("prompt")


def change(found: xr.DataArray, frozen: str) -> xr.DataArray:
    """Change [prompt] of widths [prompt, frozen] on freezing a part."""
    return (found.sel(frozen=frozen, drop=True) - found.sel(frozen="nothing", drop=True)).assign_attrs(unit="")


def wider_without_mlps(setting: Setting) -> xr.DataArray:
    """Widths with all MLPs frozen minus those with all attention frozen [prompt]."""
    found = widths(setting)
    return (change(found, "MLPs") - change(found, "attention")).assign_attrs(unit="")


PRIMARIES = {"C21": wider_without_mlps}
