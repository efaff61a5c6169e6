"""The two measurements that most experiments are made of: curves along paths, and threshold sizes."""

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
import xarray as xr

from ..directions import directions
from ..effects import EFFECTS, measure
from ..kinds import Draws
from ..models import LanguageModel, describe
from ..patching import Suffix
from ..paths import MODES, UNITS
from ..results import resumed
from ..sensitivity import KL_THRESHOLD, Thresholds, find_thresholds
from .setting import Setting, base_points

PROMPTS_PER_SUFFIX = 32
"""Prompts that share a stream."""
PROMPTS_PER_SEARCH = 64
"""The same for a threshold search, which asks for few points of each prompt at a time."""

CURVE_SIZES = {
    "sphere": np.concatenate([np.arange(0, 90, 7.5), np.arange(90, 181, 15)]),
    "straight": np.linspace(0, 2, 13),
}
"""Sizes of the curves of several effects: degrees, and norms of the base."""

GRIDS = {"sphere": np.arange(15, 180.1, 7.5), "straight": np.arange(0.2, 2.01, 0.1)}
"""Sizes at which the threshold search looks for its bracket; the last is the limit beyond which a size is censored."""

TOLERANCES = {"sphere": 0.5, "straight": 0.01}

CURVE_EFFECTS = ("kl", "l2", "l2_normalized", "cosine", "cosine_normalized", "top_changed")


def curves(
    setting: Setting,
    name: str,
    *,
    bases: Sequence[str] = ("real",),
    kinds: Sequence[str] = ("random",),
    mode: str = "sphere",
    sizes: Sequence[float],
    n_directions: int = 2,
    effects: Sequence[str] = CURVE_EFFECTS,
    pairing: str = "targets",
) -> xr.Dataset:
    """Effects along paths, for base kinds × direction kinds × directions × sizes.

    Args:
        mode: `straight` (sizes in units of the base's norm), `sphere` (degrees) or `absolute` (activation units).
        pairing: `targets`: a direction leads from each base to the same targets; `directions`: every base of a prompt
            gets the very direction vectors of the real base.

    Returns:
        One variable for each effect [prompt, base, kind, direction, path_size]. A base that is not real is inserted into its
        prompt, and its effects are relative to the model run on that inserted base.
    """
    draws = setting.draws(n_directions)
    grid = torch.tensor(np.asarray(sizes), dtype=torch.float32)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        found = []
        for base in bases:
            at, vectors = _at_base(setting, base, kinds, draws, chunk, pairing)
            points = MODES[mode](at[:, None, None].expand_as(vectors), vectors, grid)
            effect = measure(suffix, points.flatten(1, -2), at[:, None], effects)
            found.append(
                xr.Dataset(
                    {
                        key: (("prompt", "kind", "direction", "path_size"), value[:, 0].view(points.shape[:-1]))
                        for key, value in effect.items()
                    }
                )
            )
        return xr.concat(found, "base").transpose("prompt", "base", "kind", "direction", "path_size")

    options = {
        "bases": bases,
        "kinds": kinds,
        "mode": mode,
        "sizes": list(map(float, sizes)),
        "effects": effects,
        "n_directions": n_directions,
        "pairing": pairing,
    }
    coords = {"base": list(bases), "kind": list(kinds), "path_size": path_sizes(mode, sizes)}
    return in_chunks(setting, name, options, compute, coords)


def threshold_sizes(
    setting: Setting,
    name: str,
    *,
    bases: Sequence[str] = ("real",),
    kinds: Sequence[str] = ("random",),
    mode: str = "sphere",
    n_directions: int = 2,
    effect: str = "kl",
    level: float = KL_THRESHOLD,
    grid: Sequence[float] | None = None,
    tolerance: float | None = None,
    pairing: str = "targets",
) -> xr.Dataset:
    """Threshold sizes by adaptive search, for base kinds × direction kinds × directions; arguments as for `curves`.

    Returns:
        `threshold` [prompt, base, kind, direction], NaN where censored at the attribute `limit`; and `evaluations`, how
        many perturbed runs each took.
    """
    draws = setting.draws(n_directions)
    grid = GRIDS[mode] if grid is None else grid
    tolerance = TOLERANCES[mode] if tolerance is None else tolerance

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        found = [_at_base(setting, base, kinds, draws, chunk, pairing) for base in bases]
        at, vectors = (torch.stack(parts, 1) for parts in zip(*found, strict=True))
        search = thresholds_along(suffix, at, vectors, mode, effect, level, grid, tolerance)
        dims = ("prompt", "base", "kind", "direction")
        return xr.Dataset({"threshold": (dims, search.size), "evaluations": (dims, search.evaluations)})

    options = {
        "bases": bases,
        "kinds": kinds,
        "mode": mode,
        "n_directions": n_directions,
        "effect": effect,
        "level": float(level),
        "grid": list(map(float, grid)),
        "tolerance": tolerance,
        "pairing": pairing,
    }
    coords = {"base": list(bases), "kind": list(kinds)}
    labels = {"threshold": threshold_labels(mode, effect, level, grid), "evaluations": EVALUATIONS}
    return in_chunks(setting, name, options, compute, coords, labels, together=PROMPTS_PER_SEARCH)


def thresholds_along(
    suffix: Suffix,
    at: torch.Tensor,
    vectors: torch.Tensor,
    mode: str = "sphere",
    effect: str = "kl",
    level: float | torch.Tensor = KL_THRESHOLD,
    grid: Sequence[float] | None = None,
    tolerance: float | None = None,
) -> Thresholds:
    """Threshold sizes of directions at bases, all at once, shaped like the directions.

    Args:
        at: [n_prompts, d_model], or [n_prompts, n_bases, d_model] for several bases of each prompt.
        vectors: [n_prompts, ..., d_model], or [n_prompts, n_bases, ..., d_model].
        level: a number, or one for each base, shaped like the bases.
    """
    bases = at.flatten(0, -2)
    prompt_of = torch.arange(len(at)).repeat_interleave(len(bases) // len(at))
    with torch.no_grad():
        reference = suffix(at.reshape(len(at), -1, at.shape[-1]).to(suffix.base)).each_alone()

    def effects(points: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        here = suffix.of_prompts(prompt_of[chosen])
        return measure(here, points, reference.of_prompts(chosen), (effect,))[effect][:, 0]

    search = find_thresholds(
        effects,
        MODES[mode],
        bases,
        vectors.reshape(len(bases), -1, vectors.shape[-1]),
        level=torch.as_tensor(level, dtype=torch.float64).broadcast_to(at.shape[:-1]).flatten(),
        grid=GRIDS[mode] if grid is None else grid,
        tolerance=TOLERANCES[mode] if tolerance is None else tolerance,
    )
    shape = vectors.shape[:-1]
    return Thresholds(search.size.view(shape), search.evaluations.view(shape))


def _at_base(
    setting: Setting, base: str, kinds: Sequence[str], draws: Draws, chunk: slice, pairing: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Base activations [n, d_model] and directions [n, kind, direction, d_model] of a chunk of prompts."""
    at = base_points(setting, base)[chunk]
    origin = at if pairing == "targets" else setting.base_activations[chunk]
    return at, torch.stack([directions(kind, origin, draws[chunk]) for kind in kinds], 1)


# Labels -------------------------------------------------------------------------------------------------------------

WHAT_SIZES_ARE = {
    "sphere": "angle from the base on the sphere",
    "straight": "distance from the base",
    "absolute": "distance from the base",
}

EVALUATIONS = {"description": "perturbed runs that the search took", "unit": "runs"}


def path_sizes(mode: str, sizes: Sequence[float]) -> tuple[str, np.ndarray, dict[str, str]]:
    """The coordinate of the dimension `path_size`: how far along a path of this mode each point lies."""
    labels = {"description": WHAT_SIZES_ARE[mode], "unit": UNITS[mode], "mode": mode}
    return ("path_size", np.asarray(sizes, float), labels)


def way_to_target(shares: np.ndarray) -> tuple[str, np.ndarray, dict[str, str]]:
    """The same on the way from a base to its target."""
    return (
        "path_size",
        np.asarray(shares, float),
        {"description": "share of the way from the base to the target", "unit": ""},
    )


def threshold_labels(
    mode: str, effect: str = "kl", level: float = KL_THRESHOLD, grid: Sequence[float] | None = None
) -> dict[str, str | float]:
    """Attributes of threshold sizes; `limit` is the largest size tried, beyond which they are censored."""
    return {
        "description": f"{WHAT_SIZES_ARE[mode]} at which the effect first reaches the level; NaN beyond the limit",
        "unit": UNITS[mode],
        "mode": mode,
        "effect": effect,
        "level": float(level),
        "limit": float((GRIDS[mode] if grid is None else grid)[-1]),
    }


def labelled(dataset: xr.Dataset, coords: dict, labels: Mapping[str, dict]) -> xr.Dataset:
    """A result with its coordinates, and with description and unit of each variable; those of effects are known."""
    known = {effect.name: {"description": effect.description, "unit": effect.unit} for effect in EFFECTS.values()}
    dataset = dataset.assign_coords(coords)
    for name in dataset.data_vars:
        dataset[name].attrs = (known | dict(labels))[name]
    return dataset


# In chunks ----------------------------------------------------------------------------------------------------------


def in_chunks(
    setting: Setting,
    name: str,
    options: dict,
    compute: Callable[[Suffix, slice], xr.Dataset],
    coords: dict,
    labels: Mapping[str, dict] = MappingProxyType({}),
    model: LanguageModel | None = None,
    positions: Sequence[int] = (-1,),
    together: int | None = None,
) -> xr.Dataset:
    """Compute a result chunk by chunk, each with the suffix of its prompts at the patched positions, unless it is stored.

    Args:
        coords: coordinates of the result, stored with it; `document` is added.
        labels: variable -> attributes, at least `description` and `unit`; effects have their own.
        together: prompts of a chunk.
    """
    model = model or setting.model

    @functools.wraps(compute)  # so that the module that defines `compute` is part of the result's key
    def with_suffix(chunk: slice) -> xr.Dataset:
        tokens = tuple(map(tuple, setting.bases.tokens[chunk].tolist()))
        found = compute(_suffix(model, tokens, setting.hook_name, tuple(positions)), chunk)
        return labelled(found, coords | {"document": ("prompt", setting.documents[chunk])}, labels)

    return resumed(
        setting.folder,
        name,
        setting.made_by | describe(model) | options | {"positions": list(positions)},
        setting.n_prompts,
        together or PROMPTS_PER_SUFFIX,
        with_suffix,
        setting.provenance,
    )


KEPT_TOKENS = 1024
"""Suffixes of more tokens are not kept: memory must not grow with the length of the prompts."""


def _suffix(
    model: LanguageModel, tokens: tuple[tuple[int, ...], ...], hook_name: str, positions: tuple[int, ...]
) -> Suffix:
    if len(tokens) * len(tokens[0]) > KEPT_TOKENS:
        return Suffix(model, torch.tensor(tokens), hook_name, positions)
    return _kept_suffix(model, tokens, hook_name, positions)


@functools.lru_cache(maxsize=12)
def _kept_suffix(model, tokens, hook_name, positions) -> Suffix:
    """Kept, because a chapter continues the same chunks of prompts in one experiment after the other."""
    return Suffix(model, torch.tensor(tokens), hook_name, positions)
