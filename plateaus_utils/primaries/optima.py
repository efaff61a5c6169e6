"""What decides the statement of chapter 4, and the quantities behind its secondary numbers."""

import numpy as np
import xarray as xr

from ..experiments import optima
from ..experiments.setting import Setting

STEP = 0.1
"""Weight of the other target beside a corner at which a line is judged."""


def real_is_lowest(setting: Setting) -> xr.DataArray:
    """C8 Whether the real-other corner is lower than both points a step away on the line past it [prompt]."""
    return lowest(optima.lines_past_corners(setting)).sel(section="real-other", drop=True)


PRIMARIES = {"C8": real_is_lowest}


def second_difference(lines: xr.Dataset, step: float = STEP) -> xr.DataArray:
    """Threshold angles a step away on both sides minus twice the corner's [prompt, section], degrees.

    Args:
        lines: `optima.lines_past_corners`; censored angles count as their limit.
        step: weight of the other target.
    """
    before, corner, after = _around(lines, step)
    return (before + after - 2 * corner).assign_attrs(description="second difference", unit="degrees")


def slope_times_step(lines: xr.Dataset, step: float = STEP) -> xr.DataArray:
    """Half the difference of the threshold angles a step away on both sides [prompt, section], degrees; see above.

    By so much the angle changes over one step if the line is straight.
    """
    before, _, after = _around(lines, step)
    return ((after - before) / 2).assign_attrs(description="slope times step", unit="degrees")


def lowest(lines: xr.Dataset, step: float = STEP) -> xr.DataArray:
    """Whether the corner lies below both sides [prompt, section].

    It does where half the second difference exceeds the size of the slope times the step.
    """
    before, corner, after = _around(lines, step)
    return (corner < before) & (corner < after)


def _around(lines: xr.Dataset, step: float) -> list[xr.DataArray]:
    angles = lines.threshold.fillna(lines.threshold.attrs["limit"])
    places = [int(np.abs(lines.s.values - s).argmin()) for s in (-step, 0, step)]
    return [angles.isel(s=place, drop=True) for place in places]
