"""What decides the statement of chapter 6, and the quantities behind its secondary numbers."""

import xarray as xr

from .. import contrasts
from ..experiments import explanations
from ..experiments.setting import Setting


def separation(angles: xr.DataArray) -> xr.DataArray:
    """Within-prompt AUROC of threshold angles [prompt, kind, direction], random above real-other [prompt]."""
    return contrasts.auroc(angles, "kind", "random", "real-other")


def late_separation(setting: Setting) -> xr.DataArray:
    """C7 The same at the input of the last block."""
    return separation(explanations.late_directions(explanations.at_blocks(setting)).threshold)


PRIMARIES = {"C7": late_separation}


def drop(early: xr.DataArray, late: xr.DataArray) -> xr.DataArray:
    """`separation` of angles at one block minus that at a later one, of the same prompts [prompt]."""
    return (separation(early) - separation(late)).assign_attrs(unit="")


def ratio(angles: xr.DataArray) -> xr.DataArray:
    """Logarithms of the ratios of threshold angles, random over real-other [prompt]."""
    return contrasts.log_ratio(angles, "kind", "random", "real-other")
