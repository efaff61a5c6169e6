"""The report's third experiment: is a real-other direction a local optimum of sensitivity?"""

import numpy as np
import torch
import xarray as xr

from ..patching import Suffix
from .measuring import EVALUATIONS, PROMPTS_PER_SEARCH, in_chunks, threshold_labels, thresholds_along
from .setting import Setting

RESOLUTION = 4
"""Steps along an edge of a triangle: 15 directions."""
FINE_RESOLUTION = 8
"""A multiple of RESOLUTION, so that a fine map contains a coarse one."""
TOLERANCE, FINE_TOLERANCE = 0.05, 0.01
"""Degrees; neighbours on a map often differ by less than the half degree that suffices elsewhere."""
N_FINE = 12
SECTIONS = ("real-other", "random")
"""What the first corner of a section is; the other two corners are the same two Gaussian targets in both."""

STEPS = (-0.2, -0.1, 0.0, 0.1, 0.2)
"""Weights of the other target along a line past a corner; negative ones lie outside the triangle."""


def triangle(resolution: int) -> np.ndarray:
    """Barycentric weights [n, 3] of a triangular grid; the first row is the first corner."""
    m = resolution
    return np.array([(i, j, m - i - j) for i in range(m, -1, -1) for j in range(m - i, -1, -1)]) / m


def neighbours(weights: np.ndarray) -> np.ndarray:
    """[n, n] which points of a triangular grid are next to each other."""
    step = np.abs(weights[:, None] - weights[None]).sum(-1)
    return np.isclose(step, step[step > 0].min())


def corner_indices(weights: np.ndarray) -> list[int]:
    """Which points of a triangular grid are its three corners."""
    return [int(weights[:, i].argmax()) for i in range(3)]


def triangle_sections(
    setting: Setting, name: str, n_prompts: int, resolution: int = RESOLUTION, tolerance: float = TOLERANCE
) -> xr.Dataset:
    """Threshold angles over triangles of directions, two for each prompt :cite:p:`heimersheim2024plateaus`.

    The targets are interpolated with the weights of a triangular grid, then directions are formed: one triangle between a
    real-other and two Gaussian targets, one between three Gaussian targets.

    Returns:
        `threshold` [prompt, section, point] with the coordinates `weight` [point, corner].
    """
    draws = setting.draws(3, "triangle")  # for all prompts: the first ones must have the same corners on every map
    setting = setting.first(min(n_prompts, setting.n_prompts))
    weights = triangle(resolution)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        at = setting.base_activations[chunk]
        shared = draws.gaussian[chunk, 1:]
        firsts = torch.stack([draws.real[chunk, 0], draws.gaussian[chunk, 0]], 1)
        corners = torch.cat([firsts[:, :, None], shared[:, None].expand(-1, 2, -1, -1)], 2)
        targets = torch.einsum("pc,nscd->nspd", torch.tensor(weights, dtype=torch.float32), corners)
        search = thresholds_along(suffix, at, targets - at[:, None, None], tolerance=tolerance)
        dims = ("prompt", "section", "point")
        return xr.Dataset({"threshold": (dims, search.size), "evaluations": (dims, search.evaluations)})

    what = {"description": "weight of each of the three targets", "unit": ""}
    coords = {
        "section": list(SECTIONS),
        "weight": (("point", "corner"), weights, what),
        "corner": ["first", "second", "third"],
    }
    labels = {"threshold": threshold_labels("sphere"), "evaluations": EVALUATIONS}
    return in_chunks(setting, name, {"resolution": resolution, "tolerance": tolerance}, compute, coords, labels)


def lines_past_corners(setting: Setting, tolerance: float = FINE_TOLERANCE) -> xr.Dataset:
    """Threshold angles along lines that run past a corner: one through a real-other and one through a random corner.

    A corner of a triangle tests slopes on one side only, and mixing shortens what a target has beyond the mean. Here targets
    are mean-removed and of unit length, mixed with weights 1 − s and s (s may be negative), brought to the length of the
    corner's deviation from the mean, and put back on the mean. Both lines lead to the same Gaussian target.

    Returns:
        `threshold` [prompt, section, s], degrees.
    """
    draws = setting.draws(3, "triangle")
    steps = torch.tensor(STEPS)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        at = setting.base_activations[chunk]
        corner = torch.stack([draws.real[chunk, 0], draws.gaussian[chunk, 0]], 1) - draws.mean
        partner = (draws.gaussian[chunk, 1] - draws.mean)[:, None].expand_as(corner)
        mixed = torch.lerp(_unit(corner)[..., None, :], _unit(partner)[..., None, :], steps[:, None])
        targets = draws.mean + _unit(mixed) * corner.norm(dim=-1)[..., None, None]
        search = thresholds_along(suffix, at, targets - at[:, None, None], tolerance=tolerance)
        return xr.Dataset({"threshold": (("prompt", "section", "s"), search.size)})

    coords = {
        "section": list(SECTIONS),
        "s": ("s", list(STEPS), {"description": "weight of the other target; negative beyond the corner", "unit": ""}),
    }
    options, labels = {"steps": STEPS, "tolerance": tolerance}, {"threshold": threshold_labels("sphere")}
    return in_chunks(setting, "lines_past_corners", options, compute, coords, labels, together=PROMPTS_PER_SEARCH)


def _unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def on_coarse_grid(sections: xr.Dataset) -> xr.Dataset:
    """The points of a fine map that lie on the coarse grid, with their precise angles."""
    steps = sections.weight.values * RESOLUTION
    return sections.isel(point=np.flatnonzero(np.isclose(steps, steps.round()).all(1)))


def corner_statistics(sections: xr.Dataset) -> xr.Dataset:
    """What becomes of the first corner of each section.

    Returns:
        [prompt, section]: `local`, strictly lower than all its neighbours; `global`, strictly lower than every other point;
        `margin`, degrees by which its lowest neighbour exceeds it (negative if it is lower). Censored points are infinite.
        Coordinates of the prompts are kept.
    """
    values = np.nan_to_num(sections.threshold.values, nan=np.inf)
    beside = neighbours(sections.weight.values)[0]
    corner = values[..., 0]
    lowest = values[..., beside].min(-1)
    with np.errstate(invalid="ignore"):
        margin = np.where(np.isinf(lowest) & np.isinf(corner), 0.0, lowest - corner)
    dims = ("prompt", "section")
    return xr.Dataset(
        {
            "local": (dims, corner < lowest),
            "global": (dims, corner < values[..., 1:].min(-1)),
            "margin": (dims, margin, {"description": "margin of the corner", "unit": "degrees"}),
        },
        coords=sections.threshold.isel(point=0).drop_vars("weight", errors="ignore").coords,
    )
