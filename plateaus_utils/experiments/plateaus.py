"""The report's first experiment and what belongs to it: plateaus around bases, planes and paths between activations."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from ..activations import collect
from ..directions import directions
from ..effects import measure
from ..kinds import MAIN_BASES
from ..models import LanguageModel, initializer_ranges, untrained
from ..patching import Suffix
from ..paths import absolute, linear_pair, slerp_pair, sphere
from ..results import resumed
from .measuring import (
    CURVE_SIZES,
    EVALUATIONS,
    PROMPTS_PER_SEARCH,
    curves,
    in_chunks,
    labelled,
    threshold_sizes,
    thresholds_along,
)
from .setting import Setting, base_points


def plateau_curves(setting: Setting, mode: str) -> xr.Dataset:
    """Effects along paths from the report's three kinds of base towards two Gaussian targets, the same for each base.

    Returns:
        Effects [prompt, base, direction, path_size], see `measuring.curves` :cite:p:`heimersheim2024plateaus`.
    """
    name, sizes = f"plateau_curves_{mode}", CURVE_SIZES[mode]
    return curves(setting, name, bases=MAIN_BASES, mode=mode, sizes=sizes).isel(kind=0, drop=True)


def plateau_thresholds(setting: Setting, mode: str, pairing: str = "targets") -> xr.Dataset:
    """Threshold sizes [prompt, base, direction] at the report's three kinds of base, along one direction each.

    Args:
        pairing: `targets`: towards one Gaussian target, the same for every base of a prompt; `directions`: along the very
            vector that leads there from the real base.
    """
    options = {"bases": MAIN_BASES, "mode": mode, "pairing": pairing, "n_directions": 1}
    return threshold_sizes(setting, f"plateau_thresholds_{mode}_{pairing}", **options).isel(kind=0, drop=True)


def base_norms(setting: Setting) -> xr.DataArray:
    """Lengths [prompt, base] of the report's three kinds of base: what an angle on the sphere is an arc of."""
    norms = torch.stack([base_points(setting, base).norm(dim=-1) for base in MAIN_BASES], 1).numpy()
    coords = {"base": list(MAIN_BASES), "document": ("prompt", setting.documents)}
    return xr.DataArray(norms, coords, ("prompt", "base"), attrs={"description": "norm", "unit": "activation units"})


# The onset, where a plateau ends --------------------------------------------------------------------------------------

ONSET_SHARE, ONSET_END = 0.1, 90
"""An onset is where KL reaches this share of its own value at this angle."""
ONSET_GRID = np.arange(7.5, ONSET_END + 0.1, 7.5)
TWO_BASES = MAIN_BASES[:2]
"""Real and Gaussian bases."""


def plateau_onsets(setting: Setting) -> xr.Dataset:
    """Where KL reaches a tenth of its value at 90° on the way to one Gaussian target, from real and Gaussian bases.

    A quadratic does so at 25.84°, whatever its size.

    Returns:
        `kl_at_end` [prompt, base], nats; `onset` [prompt, base], degrees; `evaluations`, what the search took.
    """
    draws = setting.draws(1)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        bases = [base_points(setting, base)[chunk] for base in TWO_BASES]
        at = torch.stack(bases, 1)
        vectors = torch.stack([directions("random", base, draws[chunk])[:, 0] for base in bases], 1)
        ends = sphere(at, vectors, torch.tensor([float(ONSET_END)]))[:, :, 0]
        kl = measure(suffix, ends, at)["kl"].diagonal(dim1=1, dim2=2).clamp_min(0)
        search = thresholds_along(suffix, at, vectors, level=ONSET_SHARE * kl, grid=ONSET_GRID)
        dims = ("prompt", "base")
        return xr.Dataset(
            {"kl_at_end": (dims, kl), "onset": (dims, search.size), "evaluations": (dims, search.evaluations)}
        )

    options = {"bases": TWO_BASES, "share": ONSET_SHARE, "grid": ONSET_GRID.tolist()}
    labels = {
        "kl_at_end": {"description": f"KL divergence at {ONSET_END}°", "unit": "nats"},
        "onset": {"description": f"angle at {ONSET_SHARE:.0%} of the KL at {ONSET_END}°", "unit": "degrees"},
        "evaluations": EVALUATIONS,
    }
    coords = {"base": list(TWO_BASES)}
    return in_chunks(setting, "plateau_onsets", options, compute, coords, labels, together=PROMPTS_PER_SEARCH)


# Absolute lengths ---------------------------------------------------------------------------------------------------


def final_distances(setting: Setting) -> np.ndarray:
    """L2 distances at the last block's output between the last positions of bases from different documents."""
    final = collect(setting.model, setting.bases.tokens, setting.model.read_offs["resid_post"])
    i, j = np.triu_indices(setting.n_prompts, 1)
    different = setting.documents[i] != setting.documents[j]
    return torch.cdist(final, final).numpy()[i[different], j[different]]


ABSOLUTE_STEP = 0.5
ABSOLUTE_STEPS = 100
PUBLISHED_SHARE = 0.19
"""Where real bases reach the published level: 7.6 units, 0.19 of the middle of the published distances to the mean."""
LENGTHS = np.geomspace(0.02, 2, 14)
"""Lengths of the search, in `typical_distance`."""
CURVE_LENGTHS = np.concatenate([[0], np.geomspace(0.02, 2, 30)])
"""The same of curves."""


def distances_to_mean(setting: Setting) -> torch.Tensor:
    """[n_prompts] distances of the bases to the mean of real activations, in activation units."""
    return (setting.base_activations - setting.gaussian.mean.float()).norm(dim=-1)


def typical_distance(setting: Setting) -> float:
    """Their median to three digits: the scale of lengths in this model, free of rounding that a result's key would show."""
    return float(f"{float(distances_to_mean(setting).median()):.3g}")


def plateau_movements(setting: Setting) -> xr.Dataset:
    """How far real bases have moved at PUBLISHED_SHARE of their distance to the mean, towards one Gaussian target.

    Returns:
        `l2` [prompt], the L2 distance at the last block's output, and `length` [prompt], both in activation units.
    """
    draws, lengths = setting.draws(1), PUBLISHED_SHARE * distances_to_mean(setting)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        vectors = directions("random", setting.base_activations[chunk], draws[chunk])[:, 0]
        points = absolute(setting.base_activations[chunk], vectors, lengths[chunk, None])
        found = measure(suffix, points, names=("l2",))["l2"][:, 0]
        return xr.Dataset({"l2": ("prompt", found), "length": ("prompt", lengths[chunk])})

    labels = {"length": {"description": f"{PUBLISHED_SHARE} of the distance to the mean", "unit": "activation units"}}
    return in_chunks(setting, "plateau_movements", {"share": PUBLISHED_SHARE}, compute, {}, labels)


def plateau_lengths(setting: Setting) -> xr.Dataset:
    """Lengths of plateaus in activation units, as in :cite:t:`giglemiani2024synthetic`.

    The length is where the L2 distance at the last block's output first reaches the published level in relative terms: the
    median of `plateau_movements`.

    Returns:
        `threshold` [prompt, base] for real and Gaussian bases, towards one Gaussian target; its attributes say the `level` and
        the `limit`, beyond which it is NaN.
    """
    scale = typical_distance(setting)
    return threshold_sizes(
        setting,
        "plateau_lengths",
        bases=TWO_BASES,
        mode="absolute",
        n_directions=1,
        effect="l2",
        level=float(plateau_movements(setting).l2.median()),
        tolerance=0.005 * scale,
        grid=LENGTHS * scale,
    ).isel(kind=0, direction=0, drop=True)


def length_curves(setting: Setting) -> xr.Dataset:
    """L2 distances [prompt, base, direction, path_size] from real and Gaussian bases towards two targets, for any level."""
    sizes = CURVE_LENGTHS * typical_distance(setting)
    options = {"bases": TWO_BASES, "mode": "absolute", "sizes": sizes, "effects": ("l2",)}
    return curves(setting, "plateau_curves_absolute", **options).isel(kind=0, drop=True)


# Close to the base --------------------------------------------------------------------------------------------------

SMALL_SIZES = tuple(2.0**-k for k in range(10, 1, -1))


def small_perturbations(setting: Setting) -> xr.Dataset:
    """KL and L2 [prompt, path_size] at small sizes in straight mode, for the exponents of their growth."""
    return curves(
        setting, "small_perturbations", mode="straight", sizes=SMALL_SIZES, n_directions=1, effects=("kl", "l2")
    ).isel(base=0, kind=0, direction=0, drop=True)


# Planes -------------------------------------------------------------------------------------------------------------

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
    draws, n = setting.draws(1, "plane"), min(N_PLANES, setting.n_prompts)
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
        setting.made_by | {"n_planes": n},
        n,
        n,
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
        ends: [n_prompts] which of the other prompts' activations the paths lead to, -1: to none; drawn at random by default.
        interpolations: keys of PAIR_PATHS.

    Returns:
        `from_start` and `from_end` [prompt, interpolation, read, t]: L2 distances of the read-off from its values at
        the two ends, at the last block's output (`resid_post`) and in the normalized final stream (`normalized`). NaN where
        there is no end.
    """
    model = model or setting.model
    chosen = setting.draws(1, "pairs").real_index[:, 0] if ends is None else ends
    targets = collect(model, setting.others.tokens[chosen.clamp_min(0)], setting.hook_name)

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
        known = xr.DataArray((chosen[chunk] >= 0).numpy(), dims="prompt")
        return xr.concat(found, "interpolation").transpose("prompt", "interpolation", ...).where(known)

    options = {"interpolations": list(interpolations), "ends": chosen.tolist()}
    coords = {"interpolation": list(interpolations), "read": ["resid_post", "normalized"], "t": PAIR_T}
    return in_chunks(setting, name, options, compute, coords, PAIR_LABELS, model)


def trained_pairs(setting: Setting) -> xr.Dataset:
    """`pair_paths` through the network itself."""
    return pair_paths(setting, "pairs_trained")


def untrained_pairs(setting: Setting, initialization: str) -> xr.Dataset:
    """The same between the same texts through fresh weights, with activations of their own.

    Args:
        initialization: a key of `models.initializer_ranges`: as `published`, or as `configured`.
    """
    fresh = untrained(setting.model, initializer_ranges(setting.model)[initialization], setting.seed)
    return pair_paths(setting, f"pairs_untrained_{initialization}", fresh)
