"""The experiments. Each walks the road once, from prompts to numbers, and returns one labelled Dataset.

Every experiment takes a `Setting` (what is studied) and a name under which its result is stored and resumed. The first
dimension is `prompt`, the unit of replication.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from .activations import Gaussian, collect, generator, isotropic
from .directions import Draws, directions, draw
from .effects import EFFECTS, measure
from .models import LanguageModel, describe, load_model
from .paths import MODES, UNITS, linear_pair, slerp_pair
from .patching import Suffix
from .prompts import Prompts, load_prompts
from .results import results_folder, resumed
from .sensitivity import KL_THRESHOLD, find_thresholds

PROMPTS_PER_SUFFIX = 16
"""Prompts that share a stream; with 32 points of each, a batch is full."""

GRIDS = {"sphere": np.arange(7.5, 180.1, 7.5), "straight": np.arange(0.1, 2.01, 0.1)}
"""Sizes at which the threshold search looks for its bracket; the last is the limit beyond which a size is censored."""

TOLERANCES = {"sphere": 0.5, "straight": 0.01}

CURVE_EFFECTS = ("kl", "l2", "l2_normalized", "cosine", "cosine_normalized", "top_changed")


# What is studied ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Setting:
    """A model, a hook, and the prompts and activations that every experiment of a chapter shares."""

    model: LanguageModel
    hook_name: str
    bases: Prompts
    others: Prompts
    base_activations: torch.Tensor
    """[n_prompts, d_model]"""
    other_activations: torch.Tensor
    """[n_others, d_model]"""
    gaussian: Gaussian
    seed: int
    folder: Path
    """Where results are stored."""
    determined_by: dict
    """Everything that determines the numbers, apart from an experiment's own options."""

    @property
    def n_prompts(self) -> int:
        return len(self.bases)

    @property
    def documents(self) -> np.ndarray:
        """[n_prompts] the document of each base, for resampling."""
        return self.bases.documents

    def draws(self, k: int, purpose: str = "directions") -> Draws:
        """k targets of each sort for every base; the same for every experiment that asks for the same purpose and k."""
        return draw(self.base_activations, self.other_activations, self.gaussian, k, generator(self.seed, f"{purpose}/{k}"))


def prepare(model: str, results_dir: str, *, corpus: str = "wikipedia", layer: int = 1, seq_len: int = 10,
            n_prompts: int = 120, n_others: int = 20_000, seed: int = 0, prepend_bos: bool = False,
            shrinkage: bool = False, device: str = "auto", dtype: str = "float32") -> Setting:
    """Load the model and the corpus, collect activations at `blocks.{layer}.hook_resid_pre`, fit the Gaussian.

    Raises:
        ModelError, CorpusError, ActivationError: see `load_model`, `load_prompts` and `Gaussian.fit`.
    """
    return prepare_at(load_model(model, device, dtype), results_dir, corpus=corpus,
                      hook_name=f"blocks.{layer}.hook_resid_pre", seq_len=seq_len, n_prompts=n_prompts,
                      n_others=n_others, seed=seed, prepend_bos=prepend_bos, shrinkage=shrinkage)


def prepare_at(model: LanguageModel, results_dir: str, *, corpus: str, hook_name: str, seq_len: int, n_prompts: int,
               n_others: int, seed: int, prepend_bos: bool, shrinkage: bool) -> Setting:
    """`prepare` for a model that is loaded already."""
    model.layer_of(hook_name)
    pools = load_prompts(corpus, model.tokenizer, n_prompts, n_others, seq_len=seq_len, seed=seed,
                         prepend_bos=prepend_bos, n_ctx=model.n_ctx)
    folder = results_folder(results_dir)
    shared = describe(model) | {"corpus": corpus, "hook_name": hook_name, "seq_len": seq_len, "seed": seed,
                                "prepend_bos": prepend_bos, "n_others": n_others}
    stored = resumed(folder, "activations" + ("_bos" if prepend_bos else "") + hook_name.removeprefix("blocks").split(".hook")[0],
                     shared, n_others, n_others,
                     lambda _: xr.Dataset({"activation": (("other", "d_model"), collect(model, pools.others.tokens, hook_name)),
                                           "document": ("other", pools.others.documents)}))
    others = torch.from_numpy(stored.activation.values)
    return Setting(model, hook_name, pools.bases, pools.others, collect(model, pools.bases.tokens, hook_name), others,
                   Gaussian.fit(others, shrinkage), seed, folder,
                   shared | {"n_prompts": n_prompts, "shrinkage": shrinkage})


def base_points(setting: Setting, kind: str) -> torch.Tensor:
    """Base activations [n_prompts, d_model] of one kind, each to be inserted into its prompt.

    `real`: the prompt's own. `random`: a Gaussian sample with the mean and covariance of real activations. `naive`: an
    isotropic Gaussian vector with the real one's norm.
    """
    rng = generator(setting.seed, f"base/{kind}")
    return _BASES[kind](setting, rng)


_BASES: dict[str, Callable[[Setting, torch.Generator], torch.Tensor]] = {
    "real": lambda setting, _: setting.base_activations,
    "random": lambda setting, rng: setting.gaussian.sample(setting.n_prompts, rng),
    "naive": lambda setting, rng: isotropic(setting.base_activations, rng),
}


# The two measurements that most experiments are made of ---------------------------------------------------------------


def curves(setting: Setting, name: str, *, bases: Sequence[str] = ("real",), kinds: Sequence[str] = ("random",),
           mode: str = "sphere", sizes: Sequence[float], n_directions: int = 2,
           effects: Sequence[str] = CURVE_EFFECTS, directions_from: str = "own") -> xr.Dataset:
    """Effects along paths, for base kinds × direction kinds × directions × sizes.

    Args:
        mode: `straight` (sizes in units of the base's norm), `sphere` (degrees) or `absolute` (activation units).
        directions_from: `own`: a direction leads from each base to the same targets; `real`: every base of a prompt
            gets the very direction vectors of the real base.

    Returns:
        One variable for each effect [prompt, base, kind, direction, size]. A base that is not real is inserted into its
        prompt, and its effects are relative to the model run on that inserted base.
    """
    draws = setting.draws(n_directions)
    grid = torch.tensor(np.asarray(sizes), dtype=torch.float32)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        found = []
        for base in bases:
            at, vectors = _at_base(setting, base, kinds, draws, chunk, directions_from)
            points = MODES[mode](at[:, None, None].expand_as(vectors), vectors, grid)
            effect = measure(suffix, points.flatten(1, -2), at[:, None], effects)
            found.append(xr.Dataset({key: (("prompt", "kind", "direction", "size"), value[:, 0].view(points.shape[:-1]))
                                     for key, value in effect.items()}))
        return xr.concat(found, "base")

    options = {"bases": bases, "kinds": kinds, "mode": mode, "sizes": list(map(float, sizes)), "effects": effects,
               "n_directions": n_directions, "directions_from": directions_from}
    result = _run(setting, name, options, compute)
    result = result.assign_coords(base=list(bases), kind=list(kinds), size=np.asarray(sizes, float))
    result["size"].attrs = {"unit": UNITS[mode]}
    for key in effects:
        result[key].attrs = {"description": EFFECTS[key]}
    return result.transpose("prompt", "base", "kind", "direction", "size")


def threshold_sizes(setting: Setting, name: str, *, bases: Sequence[str] = ("real",), kinds: Sequence[str] = ("random",),
                    mode: str = "sphere", n_directions: int = 2, effect: str = "kl", level: float = KL_THRESHOLD,
                    grid: Sequence[float] | None = None, tolerance: float | None = None,
                    directions_from: str = "own") -> xr.Dataset:
    """Threshold sizes by adaptive search, for base kinds × direction kinds × directions; see `curves` for the arguments.

    Returns:
        `threshold` [prompt, base, kind, direction], NaN where censored at the attribute `limit`; and `evaluations`, how
        many perturbed runs each took.
    """
    draws = setting.draws(n_directions)
    grid = GRIDS[mode] if grid is None else grid
    tolerance = TOLERANCES[mode] if tolerance is None else tolerance

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        found = []
        for base in bases:
            at, vectors = _at_base(setting, base, kinds, draws, chunk, directions_from)

            def effect_at(points: torch.Tensor, at=at) -> torch.Tensor:
                return measure(suffix, points, at[:, None], (effect,))[effect][:, 0]

            search = find_thresholds(effect_at, MODES[mode], at, vectors.flatten(1, 2), level=level, grid=grid,
                                     tolerance=tolerance)
            shape, dims = vectors.shape[:-1], ("prompt", "kind", "direction")
            found.append(xr.Dataset({"threshold": (dims, search.size.view(shape)),
                                     "evaluations": (dims, search.evaluations.view(shape))}))
        return xr.concat(found, "base")

    options = {"bases": bases, "kinds": kinds, "mode": mode, "n_directions": n_directions, "effect": effect,
               "level": float(level), "grid": list(map(float, grid)), "tolerance": tolerance,
               "directions_from": directions_from}
    result = _run(setting, name, options, compute).assign_coords(base=list(bases), kind=list(kinds))
    result["threshold"].attrs = {"unit": UNITS[mode], "effect": effect, "level": float(level), "limit": float(grid[-1])}
    return result.transpose("prompt", "base", "kind", "direction")


def _at_base(setting: Setting, base: str, kinds: Sequence[str], draws: Draws, chunk: slice,
             directions_from: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Base activations [n, d_model] and directions [n, kind, direction, d_model] of a chunk of prompts."""
    at = base_points(setting, base)[chunk]
    origin = at if directions_from == "own" else setting.base_activations[chunk]
    return at, torch.stack([directions(kind, origin, draws[chunk]) for kind in kinds], 1)


def _run(setting: Setting, name: str, options: dict, compute: Callable[[Suffix, slice], xr.Dataset],
         model: LanguageModel | None = None) -> xr.Dataset:
    """Compute a result chunk by chunk, each with the suffix of its prompts, unless it is stored."""
    model = model or setting.model
    result = resumed(setting.folder, name, setting.determined_by | describe(model) | options, setting.n_prompts, PROMPTS_PER_SUFFIX,
                     lambda chunk: compute(Suffix(model, setting.bases.tokens[chunk], setting.hook_name), chunk))
    return result.assign_coords(document=("prompt", setting.documents))


# Activation plateaus -------------------------------------------------------------------------------------------------


PLATEAU_BASES = ("real", "random", "naive")
PLATEAU_SIZES = {"sphere": np.linspace(0, 180, 25), "straight": np.linspace(0, 2, 25)}


def activation_plateaus(setting: Setting, mode: str, n_directions: int = 2) -> xr.Dataset:
    """The report's first experiment: the same random targets from real, Gaussian and naive bases :cite:p:`heimersheim2024plateaus`.

    Returns:
        Curves and `threshold` with a dimension `directions_from`: `own` (the same targets for every base of a prompt) and
        `real` (the same direction vectors), so that bases are paired within a prompt either way.
    """
    found = []
    for source, bases in (("own", PLATEAU_BASES), ("real", PLATEAU_BASES[1:])):
        options = {"bases": bases, "mode": mode, "n_directions": n_directions, "directions_from": source}
        curve = curves(setting, f"plateau_curves_{mode}_{source}", sizes=PLATEAU_SIZES[mode], **options)
        found.append(curve.merge(threshold_sizes(setting, f"plateau_thresholds_{mode}_{source}", **options)))
    own, real = found
    real = xr.concat([own.sel(base=["real"]), real], "base")  # from the real base both sorts of direction are the same
    return xr.concat([own, real], xr.Variable("directions_from", ["own", "real"])).isel(kind=0, drop=True)


def final_distances(setting: Setting) -> np.ndarray:
    """L2 distances at the last block's output between the last positions of bases from different documents."""
    final = collect(setting.model, setting.bases.tokens, setting.model.read_offs["resid_post"])
    i, j = np.triu_indices(setting.n_prompts, 1)
    different = setting.documents[i] != setting.documents[j]
    return torch.cdist(final, final).numpy()[i[different], j[different]]


ABSOLUTE_STEP = 0.5
ABSOLUTE_STEPS = 100


def plateau_lengths(setting: Setting, n_directions: int = 2) -> xr.Dataset:
    """Plateau lengths in absolute steps of 0.5, as measured for synthetic activations :cite:p:`giglemiani2024synthetic`.

    The length is where the L2 distance at the last block's output first reaches half the median distance between
    unrelated prompts, up to 100 steps; `steps` counts them, NaN where censored.
    """
    level = float(np.median(final_distances(setting))) / 2
    result = threshold_sizes(setting, "plateau_lengths", bases=("real", "random"), mode="absolute",
                             n_directions=n_directions, effect="l2", level=level, tolerance=ABSOLUTE_STEP / 2,
                             grid=np.arange(5, ABSOLUTE_STEPS + 1, 5) * ABSOLUTE_STEP)
    return result.assign(steps=result.threshold / ABSOLUTE_STEP).isel(kind=0, drop=True)


SMALL_SIZES = tuple(2.0**-k for k in range(10, 1, -1))


def small_perturbations(setting: Setting) -> xr.Dataset:
    """KL and L2 at small sizes in straight mode, for the exponents of their growth."""
    return curves(setting, "small_perturbations", mode="straight", sizes=SMALL_SIZES, n_directions=1,
                  effects=("kl", "l2")).isel(base=0, kind=0, direction=0, drop=True)


PLANE_COORDINATES = np.linspace(-0.25, 1.25, 31)
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
        return xr.Dataset({"kl": (("prompt", "corner", "v", "u"), kl.view(len(kl), 3, *u.shape)),
                           "corner_xy": (("prompt", "corner", "xy"), _in_plane(corners))})

    result = resumed(setting.folder, "activation_plane", setting.determined_by | {"n_planes": N_PLANES}, N_PLANES, N_PLANES, compute)
    result["kl"].attrs = {"description": EFFECTS["kl"]}
    return result.assign_coords(u=PLANE_COORDINATES, v=PLANE_COORDINATES, corner=["A", "B", "C"])


def _in_plane(corners: torch.Tensor) -> torch.Tensor:
    """Orthonormal coordinates [n, 3, 2] of triangles [n, 3, d_model]."""
    b, c = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    x = b.norm(dim=-1)
    along = (c * b).sum(-1) / x
    height = (c.square().sum(-1) - along.square()).clamp_min(0).sqrt()
    zero = torch.zeros_like(x)
    return torch.stack([torch.stack([zero, zero], -1), torch.stack([x, zero], -1), torch.stack([along, height], -1)], 1)


# From one real activation to another -----------------------------------------------------------------------------------


PAIR_PATHS = {"linear": (linear_pair, 50), "slerp": (slerp_pair, 50)}
"""Interpolation -> path and number of points, as published :cite:p:`janiak2024stable,shinkle2025plateaus`."""


def pair_paths(setting: Setting, name: str, model: LanguageModel | None = None) -> xr.Dataset:
    """Paths from each base to one real activation of an unrelated prompt, everything run in the base's prompt.

    Args:
        model: another model of the same shape and tokenizer, with its own activations; the setting's by default.

    Returns:
        `from_start` and `from_end` [prompt, interpolation, read, t]: L2 distances of the read-off from its values at the
        two ends, at the last block's output (`resid_post`) and in the normalized final stream (`normalized`).
    """
    model = model or setting.model
    chosen = setting.draws(1, "pairs").real_index[:, 0]
    ends = collect(model, setting.others.tokens[chosen], setting.hook_name)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        start, end = suffix.base.cpu(), ends[chunk]
        found = []
        for path, n_points in PAIR_PATHS.values():
            points = path(start, end, torch.linspace(0, 1, n_points))
            effect = measure(suffix, points, torch.stack([start, end], 1), ("l2", "l2_normalized"))
            reads = torch.stack([effect["l2"], effect["l2_normalized"]], 1)
            found.append(xr.Dataset({"from_start": (("prompt", "read", "t"), reads[:, :, 0]),
                                     "from_end": (("prompt", "read", "t"), reads[:, :, 1])}))
        return xr.concat(found, "interpolation")

    result = _run(setting, name, {"interpolations": list(PAIR_PATHS)}, compute, model)
    return result.assign_coords(interpolation=list(PAIR_PATHS), read=["resid_post", "normalized"], t=np.linspace(0, 1, 50))
