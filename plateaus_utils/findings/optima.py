"""Chapter 4: whether corners of triangles are optima."""

import numpy as np
import xarray as xr

from ..experiments import optima

ORDINALS = ("first", "second", "third")
"""What the corners of a section are called."""


def corners(sections: xr.Dataset) -> xr.Dataset:
    """`optima.corner_statistics` [prompt, section] with the documents of the prompts and labels of the margin."""
    found = optima.corner_statistics(sections).assign_coords(document=sections.document)
    found.margin.attrs = {"description": "margin of the corner", "unit": "degrees"}
    return found


def two_sided(lines: xr.Dataset) -> xr.DataArray:
    """`optima.two_sided` [prompt, section] with the documents of the prompts."""
    return optima.two_sided(lines).assign_coords(document=lines.document)


def minima(corners: xr.Dataset) -> xr.DataArray:
    """Whether the first corner is a local, and the global minimum of its section [prompt, what]."""
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


def first_is_lowest(sections: xr.Dataset) -> xr.DataArray:
    """Whether the first corner of an all-Gaussian section is the lowest of the three [prompt]."""
    return lowest_corner(sections).sel(corner="first", drop=True)


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
    found = [minima(corners(sections)) for sections in maps.values()]
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
