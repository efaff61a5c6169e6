"""The report's first experiment and what belongs to it: plateaus around bases, planes and paths between activations."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from ..activations import collect
from ..effects import measure
from ..kinds import MAIN_BASES
from ..models import LanguageModel
from ..patching import Suffix
from ..paths import linear_pair, slerp_pair
from ..results import resumed
from .measuring import CURVE_SIZES, curves, in_chunks, labelled, threshold_sizes
from .setting import Setting


def activation_plateaus(setting: Setting, mode: str, n_directions: int = 2) -> xr.Dataset:
    """The report's first experiment :cite:p:`heimersheim2024plateaus`: random targets from three kinds of base.

    Returns:
        Curves and `threshold` with a dimension `pairing`: `targets` (the same for every base of a prompt) and
        `directions` (the same vectors for every base), so that bases are paired within a prompt either way.
    """
    found = []
    for pairing, bases in (("targets", MAIN_BASES), ("directions", MAIN_BASES[1:])):
        options = {"bases": bases, "mode": mode, "n_directions": n_directions, "pairing": pairing}
        curve = curves(setting, f"plateau_curves_{mode}_{pairing}", sizes=CURVE_SIZES[mode], **options)
        size = threshold_sizes(setting, f"plateau_thresholds_{mode}_{pairing}", **options)
        found.append(curve.merge(size, compat="equals"))
    targets, directions = found
    # From the real base the two are the same.
    directions = xr.concat([targets.sel(base=["real"]), directions], "base")
    return xr.concat([targets, directions], xr.Variable("pairing", ["targets", "directions"])).isel(kind=0, drop=True)


def final_distances(setting: Setting) -> np.ndarray:
    """L2 distances at the last block's output between the last positions of bases from different documents."""
    final = collect(setting.model, setting.bases.tokens, setting.model.read_offs["resid_post"])
    i, j = np.triu_indices(setting.n_prompts, 1)
    different = setting.documents[i] != setting.documents[j]
    return torch.cdist(final, final).numpy()[i[different], j[different]]


ABSOLUTE_STEP = 0.5
ABSOLUTE_STEPS = 100


def plateau_lengths(setting: Setting, n_directions: int = 2) -> xr.Dataset:
    """Plateau lengths in absolute steps of 0.5, as in :cite:t:`giglemiani2024synthetic`.

    The length is where the L2 distance at the last block's output first reaches half the median distance between
    unrelated prompts, up to 100 steps; `steps` counts them, NaN where censored.
    """
    level = float(np.median(final_distances(setting))) / 2
    result = threshold_sizes(
        setting,
        "plateau_lengths",
        bases=("real", "random"),
        mode="absolute",
        n_directions=n_directions,
        effect="l2",
        level=level,
        tolerance=ABSOLUTE_STEP / 2,
        grid=np.arange(5, ABSOLUTE_STEPS + 1, 5) * ABSOLUTE_STEP,
    )
    result = result.assign(steps=result.threshold / ABSOLUTE_STEP).isel(kind=0, drop=True)
    return result.assign_attrs(max_steps=ABSOLUTE_STEPS)


SMALL_SIZES = tuple(2.0**-k for k in range(10, 1, -1))


def small_perturbations(setting: Setting) -> xr.Dataset:
    """KL and L2 at small sizes in straight mode, for the exponents of their growth."""
    return curves(
        setting, "small_perturbations", mode="straight", sizes=SMALL_SIZES, n_directions=1, effects=("kl", "l2")
    ).isel(base=0, kind=0, direction=0, drop=True)


PLANE_COORDINATES = np.linspace(-0.25, 1.25, 31)
PLANE_COORDS = {
    "u": ("u", PLANE_COORDINATES, {"description": "share of the way from A to B", "unit": ""}),
    "v": ("v", PLANE_COORDINATES, {"description": "share of the way from A to C", "unit": ""}),
    "corner": ["A", "B", "C"],
    "xy": ["along A to B", "across"],
}
PLANE_LABELS = {"corner_xy": {"description": "orthonormal coordinates of the corners", "unit": "activation units"}}
N_PLANES = 3


def activation_plane(setting: Setting) -> xr.Dataset:
    """KL over planes through three real activations, in the context of the first :cite:p:`heimersheim2024plateaus`.

    A point of a plane is A + u·(B − A) + v·(C − A), with A the base of a prompt and B, C real activations of unrelated
    prompts. The KL divergence is taken from the model run on each of the three in turn.

    Returns:
        `kl` [prompt, corner, v, u] and `corner_xy` [prompt, corner, xy]: the corners in orthonormal coordinates of the
        plane, with A at the origin and B on the first axis.
    """
    draws = setting.draws(1, "plane")
    v, u = np.meshgrid(PLANE_COORDINATES, PLANE_COORDINATES, indexing="ij")
    weights = torch.tensor(np.stack([1 - u - v, u, v]).reshape(3, -1), dtype=torch.float32)

    def compute(chunk: slice) -> xr.Dataset:
        corners = torch.stack([setting.base_activations[chunk], draws.real[chunk, 0], draws.real_second[chunk, 0]], 1)
        suffix = Suffix(setting.model, setting.bases.tokens[chunk], setting.hook_name)
        points = torch.einsum("cg,ncd->ngd", weights, corners)
        kl = measure(suffix, points, corners)["kl"]
        found = xr.Dataset(
            {
                "kl": (("prompt", "corner", "v", "u"), kl.view(len(kl), 3, *u.shape)),
                "corner_xy": (("prompt", "corner", "xy"), _in_plane(corners)),
            }
        )
        return labelled(found, PLANE_COORDS | {"document": ("prompt", setting.documents[chunk])}, PLANE_LABELS)

    return resumed(
        setting.folder,
        "activation_plane",
        setting.made_by | {"n_planes": N_PLANES},
        N_PLANES,
        N_PLANES,
        compute,
        setting.provenance,
    )


def _in_plane(corners: torch.Tensor) -> torch.Tensor:
    """Orthonormal coordinates [n, 3, 2] of triangles [n, 3, d_model]."""
    b, c = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    x = b.norm(dim=-1)
    along = (c * b).sum(-1) / x
    height = (c.square().sum(-1) - along.square()).clamp_min(0).sqrt()
    zero = torch.zeros_like(x)
    return torch.stack([torch.stack([zero, zero], -1), torch.stack([x, zero], -1), torch.stack([along, height], -1)], 1)


# From one real activation to another --------------------------------------------------------------------------------


PAIR_PATHS = {"linear": (linear_pair, 50), "slerp": (slerp_pair, 50)}
"""Interpolation -> path and number of points, as published :cite:p:`janiak2024stable,shinkle2025plateaus`."""


PAIR_T = ("t", np.linspace(0, 1, 50), {"description": "share of the way from one activation to the other", "unit": ""})
PAIR_LABELS = {
    f"from_{end}": {
        "description": f"L2 distance of the read-off from its value at the {end} of the path",
        "unit": "units of the read-off",
    }
    for end in ("start", "end")
}


def pair_paths(
    setting: Setting,
    name: str,
    model: LanguageModel | None = None,
    ends: torch.Tensor | None = None,
    interpolations: Sequence[str] = tuple(PAIR_PATHS),
) -> xr.Dataset:
    """Paths from each base to one real activation of an unrelated prompt, everything run in the base's prompt.

    Args:
        model: another model of the same shape and tokenizer, with its own activations; the setting's by default.
        ends: [n_prompts] which of the other prompts' activations the paths lead to; drawn at random by default.
        interpolations: keys of PAIR_PATHS.

    Returns:
        `from_start` and `from_end` [prompt, interpolation, read, t]: L2 distances of the read-off from its values at
        the two ends, at the last block's output (`resid_post`) and in the normalized final stream (`normalized`).
    """
    model = model or setting.model
    chosen = setting.draws(1, "pairs").real_index[:, 0] if ends is None else ends
    targets = collect(model, setting.others.tokens[chosen], setting.hook_name)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        start, end = suffix.base.cpu(), targets[chunk]
        found = []
        for path, n_points in (PAIR_PATHS[name] for name in interpolations):
            points = path(start, end, torch.linspace(0, 1, n_points))
            effect = measure(suffix, points, torch.stack([start, end], 1), ("l2", "l2_normalized"))
            reads = torch.stack([effect["l2"], effect["l2_normalized"]], 1)
            found.append(
                xr.Dataset(
                    {
                        "from_start": (("prompt", "read", "t"), reads[:, :, 0]),
                        "from_end": (("prompt", "read", "t"), reads[:, :, 1]),
                    }
                )
            )
        return xr.concat(found, "interpolation").transpose("prompt", "interpolation", ...)

    options = {"interpolations": list(interpolations), "ends": chosen.tolist()}
    coords = {"interpolation": list(interpolations), "read": ["resid_post", "normalized"], "t": PAIR_T}
    return in_chunks(setting, name, options, compute, coords, PAIR_LABELS, model)
