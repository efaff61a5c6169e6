"""Chapter 4: whether corners of triangles are optima."""

import numpy as np
import xarray as xr

from .. import estimates
from ..experiments import optima
from ..experiments.setting import Setting
from ..primaries import optima as primaries

ORDINALS = ("first", "second", "third")
"""What the corners of a section are called."""

# Triangles ----------------------------------------------------------------------------------------------------------


def minima(corners: xr.Dataset) -> xr.DataArray:
    """Whether the first corner is a local, and the global minimum of its section [prompt, what].

    Args:
        corners: `optima.corner_statistics`.
    """
    found = {
        f"{extent} minimum, {section} corner": corners[extent].sel(section=section, drop=True)
        for extent in ("local", "global")
        for section in corners.section.values.tolist()
    }
    return xr.concat(found.values(), xr.Variable("what", list(found)))


def lowest_corner(sections: xr.Dataset) -> xr.DataArray:
    """Which corner of an all-Gaussian section is the lowest [prompt, corner]; each one in three by chance."""
    places = optima.corner_indices(sections.weight.values)
    sizes = sections.threshold.sel(section="random", drop=True).isel(point=places).fillna(np.inf)
    lowest = sizes.argmin("point")
    return xr.concat([lowest == i for i in range(len(ORDINALS))], xr.Variable("corner", list(ORDINALS)))


def sag(sections: xr.Dataset) -> xr.DataArray:
    """Threshold angle half-way between two Gaussian corners minus the mean of the two [prompt], degrees; mean of three edges.

    Censored angles count as their limit.
    """
    weights = sections.weight.values
    angles = sections.threshold.sel(section="random", drop=True)
    angles = angles.fillna(angles.attrs["limit"]).transpose("prompt", "point")
    middles = np.isclose(np.sort(weights, axis=1), [0, 0.5, 0.5]).all(1)
    corners = np.isclose(weights.max(1), 1)
    found = angles.isel(point=middles).mean("point") - angles.isel(point=corners).mean("point")
    return found.assign_attrs(unit="degrees")


def shortening(setting: Setting) -> xr.DataArray:
    """What is left of the deviation from the mean half-way between two Gaussian targets [prompt], as a share of theirs."""
    draws = setting.draws(3, "triangle")
    deviations = (draws.gaussian[:, :2] - draws.mean).double()
    left = deviations.mean(1).norm(dim=-1) / deviations.norm(dim=-1).mean(1)
    return xr.DataArray(
        left.numpy(), dims="prompt", coords={"document": ("prompt", setting.documents)}, attrs={"unit": ""}
    )


def minima_by_map(coarse: xr.Dataset, fine: xr.Dataset) -> xr.DataArray:
    """`minima` [prompt, what, map] of the same sections as they are, with finer angles, and on a finer map too.

    Args:
        coarse: sections; those of the prompts of `fine` count.
        fine: the same sections on a map of optima.FINE_RESOLUTION, with angles to optima.FINE_TOLERANCE.
    """
    maps = {
        "as above": coarse.isel(prompt=slice(0, fine.sizes["prompt"])),
        "finer angles": optima.on_coarse_grid(fine),
        "finer angles and map": fine,
    }
    found = [minima(optima.corner_statistics(sections)) for sections in maps.values()]
    return xr.concat(found, xr.Variable("map", list(maps))).transpose("prompt", "what", "map")


def agreement(minima: xr.DataArray) -> xr.DataArray:
    """Share of prompts for which a map says the same as the first one [what, map]; the first one is left out."""
    first, others = minima.isel(map=0, drop=True), minima.isel(map=slice(1, None))
    return (others == first).mean("prompt")


SHOWN = 60
"""Degrees; margins beyond are drawn there."""


def shown_margins(corners: xr.Dataset) -> xr.DataArray:
    """Margins as a figure draws them [prompt, section]: within SHOWN, NaN where censored."""
    finite = corners.margin.where(np.isfinite(corners.margin))
    return finite.clip(-SHOWN, SHOWN).assign_attrs(corners.margin.attrs)


# Lines --------------------------------------------------------------------------------------------------------------


def shares_on_lines(lines: xr.Dataset) -> xr.DataArray:
    """Whether a line curves upwards at its corner, and whether the corner is its lowest point [prompt, what, section]."""
    steps = [step for step in optima.STEPS if step > 0]
    found = {f"second difference above zero, step {primaries.STEP}": primaries.second_difference(lines) > 0}
    found |= {f"corner below both sides, step {step}": primaries.lowest(lines, step) for step in steps}
    return xr.concat(found.values(), xr.Variable("what", list(found))).transpose("prompt", "what", "section")


def sizes_on_lines(lines: xr.Dataset) -> xr.DataArray:
    """Second difference, and size of slope times step, at a corner [prompt, quantity, section], degrees."""
    found = {
        "second difference": primaries.second_difference(lines),
        "slope times step, its size": abs(primaries.slope_times_step(lines)),
    }
    labelled = xr.concat(found.values(), xr.Variable("quantity", list(found)), combine_attrs="override")
    return labelled.transpose("prompt", "quantity", "section").assign_attrs(unit="degrees")


def secondary(lines: xr.Dataset, corners: xr.Dataset) -> dict[str, xr.Dataset]:
    """The numbers that stand beside C8, by their keys in the registry: means over documents.

    Args:
        lines: `optima.lines_past_corners`.
        corners: `optima.corner_statistics` of triangles.
    """
    second, slope = primaries.second_difference(lines), abs(primaries.slope_times_step(lines))
    found = {
        "second": second.sel(section="real-other"),
        "slope": slope.sel(section="real-other").assign_attrs(unit="degrees"),
        "convex": second.sel(section="real-other") > 0,
        "convex_random": second.sel(section="random") > 0,
        "local_random": primaries.lowest(lines).sel(section="random"),
        "wider": primaries.lowest(lines, 2 * primaries.STEP).sel(section="real-other"),
        "triangle": corners.local.sel(section="real-other"),
        "triangle_random": corners.local.sel(section="random"),
    }
    return {key: estimates.document_mean(sample) for key, sample in found.items()}
