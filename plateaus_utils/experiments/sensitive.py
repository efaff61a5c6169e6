"""The report's second experiment: which directions leave the plateau sooner, and the controls of what that means."""

from collections.abc import Sequence

import torch
import xarray as xr

from ..activations import generator
from ..directions import directions
from ..effects import measure
from ..kinds import DIRECTIONS, MAIN_DIRECTIONS, measured
from ..patching import Suffix
from ..paths import MODES, linear_pair
from .measuring import CURVE_EFFECTS, CURVE_SIZES, curves, in_chunks, path_sizes, threshold_sizes, way_to_target
from .plateaus import pair_paths
from .setting import Setting


def direction_curves(setting: Setting, mode: str) -> xr.Dataset:
    """Effects along all kinds of direction from real bases :cite:p:`heimersheim2024plateaus`, both ways of KL once."""
    effects = (*CURVE_EFFECTS, "kl_reverse") if mode == "sphere" else CURVE_EFFECTS
    result = curves(
        setting, f"direction_curves_{mode}", kinds=MAIN_DIRECTIONS, mode=mode, sizes=CURVE_SIZES[mode], effects=effects
    )
    return result.isel(base=0, drop=True)


def direction_thresholds(setting: Setting, mode: str) -> xr.Dataset:
    """Threshold sizes of all kinds; on the sphere also of their negatives, where t − b and t name the same meridian."""
    signs = ("", "-") if mode == "sphere" else ("",)
    kinds = tuple(sign + kind for kind in measured(mode) for sign in signs)
    result = threshold_sizes(setting, f"direction_thresholds_{mode}", kinds=kinds, mode=mode)
    return result.isel(base=0, drop=True)


SEPARATED = ("random", "real-other")
"""The report's own two kinds of direction, which decide whether directions are told apart."""
N_MANY = 16
"""Directions of each kind, where kinds are compared within a prompt."""


def many_directions(setting: Setting) -> xr.Dataset:
    """Threshold angles of N_MANY random and as many real-other directions, for comparisons within a prompt."""
    found = threshold_sizes(setting, "many_directions", kinds=SEPARATED, n_directions=N_MANY)
    return found.isel(base=0, drop=True)


def isotropic_distances(setting: Setting) -> xr.Dataset:
    """Threshold distances of two random and two isotropic directions, in straight mode."""
    return threshold_sizes(setting, "isotropic_distances", kinds=("random", "naive"), mode="straight").isel(
        base=0, drop=True
    )


MIXTURES = ("random mixture", "real mixture", "naive")
N_MIXTURES = 8
"""Directions of each of these kinds; one step costs a single run, and single steps differ widely."""


def mixture_steps(setting: Setting) -> xr.Dataset:
    """KL of steps of half the base's norm along N_MIXTURES mixtures of either kind and as many isotropic directions.

    Returns:
        `kl` [prompt, kind, direction].
    """
    options = {"mode": "straight", "sizes": [0.5], "n_directions": N_MIXTURES, "effects": ("kl",)}
    found = curves(setting, "mixture_steps", kinds=MIXTURES, **options)
    return found.isel(base=0, path_size=0, drop=True)


N_STEPS = 26
"""Points of a walk, both ends included: steps of 4 % of the way."""


def walks_to_targets(setting: Setting) -> xr.Dataset:
    """KL and L2 along equal steps from the base to a real and to a Gaussian target :cite:p:`giglemiani2024synthetic`.

    Returns:
        `kl` and `l2` [prompt, kind, path_size], with `path_size` the share of the way.
    """
    draws = setting.draws(1, "walks")
    share = torch.linspace(0, 1, N_STEPS)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        base = setting.base_activations[chunk, None].expand(-1, 2, -1)
        points = linear_pair(base, torch.cat([draws.real[chunk], draws.gaussian[chunk]], 1), share)
        effect = measure(suffix, points.flatten(1, 2), names=("kl", "l2"))
        return xr.Dataset(
            {name: (("prompt", "kind", "path_size"), values.view(points.shape[:-1])) for name, values in effect.items()}
        )

    coords = {"kind": ["real-other", "random"], "path_size": way_to_target(share.numpy())}
    return in_chunks(setting, "walks_to_targets", {"n_steps": N_STEPS}, compute, coords)


def cosines_with_base(setting: Setting) -> xr.DataArray:
    """Cosine of each direction with its base [prompt, kind, direction]: how much of it only shrinks or grows the base."""
    base, draws = setting.base_activations, setting.draws(2)
    found = [torch.cosine_similarity(directions(kind, base, draws), base[:, None], dim=-1) for kind in DIRECTIONS]
    return _cosines(setting, "base_cosines", found, DIRECTIONS, "cosine with the base")


def cosines_with_mean(setting: Setting) -> xr.DataArray:
    """Cosine of each of `many_directions` with the direction to the mean of real activations [prompt, kind, direction].

    Only the parts orthogonal to the base count, as they name the meridians of the sphere.
    """
    base, draws = setting.base_activations, setting.draws(N_MANY)
    mean = _orthogonal(directions("towards mean", base, draws), base)
    found = [
        torch.cosine_similarity(_orthogonal(directions(kind, base, draws), base), mean, dim=-1) for kind in SEPARATED
    ]
    what = "cosine with the direction to the mean, orthogonal to the base"
    return _cosines(setting, "mean_cosines", found, SEPARATED, what)


def _orthogonal(vectors: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """The part of vectors [n, k, d_model] that is orthogonal to the bases [n, d_model]."""
    unit = torch.nn.functional.normalize(base, dim=-1)[:, None]
    return vectors - (vectors * unit).sum(-1, keepdim=True) * unit


def _cosines(
    setting: Setting, name: str, found: list[torch.Tensor], kinds: Sequence[str], description: str
) -> xr.DataArray:
    """Cosines [n_prompts, n_directions] of each kind, stored with their labels."""
    values = torch.stack(found, 1)

    def compute(_: Suffix, chunk: slice) -> xr.Dataset:
        return xr.Dataset({"cosine": (("prompt", "kind", "direction"), values[chunk])})

    options, coords = {"kinds": list(kinds), "n_directions": values.shape[-1]}, {"kind": list(kinds)}
    return in_chunks(
        setting, name, options, compute, coords, {"cosine": {"description": description, "unit": ""}}
    ).cosine


def nearest_real(setting: Setting, mode: str) -> xr.DataArray:
    """Distance from points of a path to the nearest real activation of another document, in norms of the base.

    One direction of each kind. A real-other path in straight mode comes close to its own target; others stay off.

    Returns:
        [prompt, kind, path_size].
    """
    base, draws = setting.base_activations, setting.draws(2)
    grid = torch.tensor(CURVE_SIZES[mode], dtype=torch.float32)
    found = []
    for kind in MAIN_DIRECTIONS:
        points = MODES[mode](base, directions(kind, base, draws)[:, 0], grid)
        nearest = torch.stack(
            [
                torch.cdist(path, setting.other_activations[allowed]).min(-1).values
                for path, allowed in zip(points, setting.elsewhere, strict=True)
            ]
        )
        found.append(nearest / base.norm(dim=-1, keepdim=True))
    values = torch.stack(found, 1).numpy()
    return xr.DataArray(
        values,
        dims=("prompt", "kind", "path_size"),
        coords={"kind": list(MAIN_DIRECTIONS), "path_size": path_sizes(mode, CURVE_SIZES[mode])},
    )


def arrival_angles(setting: Setting) -> xr.DataArray:
    """Angles between a base and its real-other targets [prompt, direction]: where sphere paths pass nearest to them."""
    draws = setting.draws(2)
    cosine = torch.cosine_similarity(draws.real, setting.base_activations[:, None], dim=-1)
    return xr.DataArray(
        torch.rad2deg(cosine.clamp(-1, 1).acos()).numpy(),
        dims=("prompt", "direction"),
        coords={"document": ("prompt", setting.documents)},
        attrs={"description": "angle between base and target", "unit": "degrees"},
    )


def same_token_pairs(setting: Setting) -> xr.Dataset:
    """Paths to a real activation of another document with the same last token; NaN for prompts that have none."""
    chosen = setting.same_token_index(generator(setting.seed, "same token pairs"))
    return pair_paths(setting, "pairs_same_token", ends=chosen, interpolations=("linear",))


def other_token_pairs(setting: Setting) -> xr.Dataset:
    """Paths to a real activation of another document with another last token."""
    others = (setting.elsewhere & ~setting.ends_alike).float()
    chosen = torch.multinomial(others, 1, generator=generator(setting.seed, "other token pairs"))[:, 0]
    return pair_paths(setting, "pairs_other_token", ends=chosen, interpolations=("linear",))
