"""Damping or dilution: where in the network a perturbation of a real activation loses its effect.

Three experiments. Tangents follow an infinitely small perturbation through the blocks. Transplants hold parts of a run at
one base to their values at another. Frozen pairs walk between two activations with all MLPs, or all attention, held still.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from ..activations import generator
from ..anatomy import COEFFICIENTS, Values, anatomy
from ..directions import directions
from ..effects import kl_divergence, measure
from ..patching import Suffix
from ..paths import slerp_pair
from .measuring import PROMPTS_PER_SEARCH, in_chunks, threshold_labels, thresholds_along
from .plateaus import PAIR_LABELS, PAIR_T
from .setting import Setting, base_points

MATCHED = "matched"
"""A Gaussian base scaled to the norm of the real one, of N_CANDIDATES the one with the nearest output entropy."""
N_CANDIDATES = 16

TANGENT_BASES = ("real", "random", "midpoint", "mean", "permuted scores", MATCHED)
TWO_BASES = ("real", "random")


def depths(setting: Setting) -> list[int]:
    """The blocks whose inputs are perturbed: the setting's own, and those at a third and at two thirds of the depth."""
    n_layers = setting.model.n_layers
    return sorted({setting.layer, n_layers // 3, 2 * n_layers // 3})


def matched_points(setting: Setting, suffix: Suffix, chunk: slice) -> torch.Tensor:
    """The MATCHED bases [n, d_model] of a chunk of prompts."""
    rng = generator(setting.seed, f"base/{MATCHED}")
    drawn = setting.gaussian.sample(setting.n_prompts * N_CANDIDATES, rng).unflatten(0, (-1, N_CANDIDATES))[chunk]
    real = setting.base_activations[chunk, None]
    drawn = drawn * real.norm(dim=-1, keepdim=True) / drawn.norm(dim=-1, keepdim=True)
    entropy = measure(suffix, torch.cat([real, drawn], 1), names=("entropy",))["entropy"]
    nearest = (entropy[:, 1:] - entropy[:, :1]).abs().argmin(1)
    return drawn[torch.arange(len(drawn)), nearest]


def _points(setting: Setting, base: str, suffix: Suffix, chunk: slice) -> torch.Tensor:
    found = matched_points(setting, suffix, chunk) if base == MATCHED else base_points(setting, base)[chunk]
    return found.to(suffix.base).contiguous()  # the mean base is one vector seen n times


def _across(setting: Setting, at: torch.Tensor, chunk: slice) -> torch.Tensor:
    """‖b‖u⊥ [n, 1, d_model] towards one Gaussian target of each prompt: the path's tangent at the base, per radian."""
    vectors = directions("random", at.cpu(), setting.draws(1)[chunk]).to(at)
    radial = (at / at.norm(dim=-1, keepdim=True))[:, None]
    tangent = vectors - (vectors * radial).sum(-1, keepdim=True) * radial
    return tangent * at.norm(dim=-1)[:, None, None] / tangent.norm(dim=-1, keepdim=True)


def _variance(logits: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    """δᵀFδ [...]: the variance of the logits' derivatives [..., d_vocab] under the output distribution."""
    p = logits.softmax(-1)
    return (p * (slopes - (p * slopes).sum(-1, keepdim=True)).square()).sum(-1)


# Tangents -----------------------------------------------------------------------------------------------------------

TANGENT_LABELS = {
    "tangent": {"description": "log norm of the tangent, per radian at the base", "unit": ""},
    "stream": {"description": "log norm of the stream", "unit": ""},
    "read": {"description": "log Fisher norm of the tangent, put straight into the final norm", "unit": ""},
    "entropy": {"description": "entropy of the output at the base", "unit": "nats"},
}


def tangents(setting: Setting) -> xr.Dataset:
    """An infinitely small step towards a Gaussian target, followed through the blocks from each kind of base.

    Returns:
        `tangent`, `stream` and `read` [prompt, base, stage]: logarithms of the norm of the tangent δ, of the stream x, and of
        the part of δ that the output would read if it went straight to the end, √(δᵀFδ) with F at the final stream. At the
        last stage that is half the log curvature. Stages have the coordinates `block` and `part`: `start`, then `attention`
        and `MLP` of each block; `entropy` [prompt, base].
    """

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        found = []
        for base in TANGENT_BASES:
            at = _points(setting, base, suffix, chunk)
            parts = _followed(suffix, at, _across(setting, at, chunk))
            dims = {name: ("prompt", "stage")[: value.dim()] for name, value in parts.items()}
            found.append(xr.Dataset({name: (dims[name], value.cpu()) for name, value in parts.items()}))
        return xr.concat(found, "base").transpose("prompt", "base", ...)

    blocks = np.arange(setting.layer, setting.model.n_layers)
    coords = {
        "base": list(TANGENT_BASES),
        "block": ("stage", np.concatenate([[setting.layer - 1], np.repeat(blocks, 2)])),
        "part": ("stage", ["start", *["attention", "MLP"] * len(blocks)]),
    }
    options = {"bases": TANGENT_BASES, "n_candidates": N_CANDIDATES}
    return in_chunks(setting, f"tangents_{setting.layer}", options, compute, coords, TANGENT_LABELS)


def _followed(suffix: Suffix, at: torch.Tensor, across: torch.Tensor) -> dict[str, torch.Tensor]:
    """`tangent`, `stream` and `read` [n, stage], and `entropy` [n], of bases [n, d_model]."""
    with torch.no_grad():
        (logits, streams), (_, steps) = suffix.traced_derivative(at[:, None], across)
        logits, streams, steps = logits[:, 0], streams[:, 0], steps[:, 0]
        read = [  # prompt by prompt, as a row of the vocabulary for each stage is large
            _variance(row, suffix.read_derivative(stream[None, -1], step[:, None])[:, 0])
            for row, stream, step in zip(logits, streams, steps, strict=True)
        ]
    return {
        "tangent": steps.norm(dim=-1).log(),
        "stream": streams.norm(dim=-1).log(),
        "read": torch.stack(read).log() / 2,
        "entropy": torch.distributions.Categorical(logits=logits).entropy(),
    }


# Transplants --------------------------------------------------------------------------------------------------------

BOUNDED = ("gates", "patterns")
"""Parts of which foreign values leave the norms alive; with scales held nothing bounds the stream, and it overflows."""

RANGES = ("early", "middle", "late", "all")
TRANSPLANT_LABELS = {
    "curvature": {"description": "second derivative of KL along the sphere at the base", "unit": "nats/rad²"},
    "output_change": {"description": "KL(free ‖ held) at the base itself", "unit": "nats"},
    "threshold": threshold_labels("sphere"),
}


def block_ranges(setting: Setting) -> dict[str, Sequence[int]]:
    """Name of RANGES -> blocks: thirds of those after the hook, and all of them; the final norm belongs to the last third."""
    n_layers = setting.model.n_layers
    early, middle, late = ([*map(int, third)] for third in np.array_split(np.arange(setting.layer, n_layers), 3))
    late.append(n_layers)
    return dict(zip(RANGES, (early, middle, late, early + middle + late), strict=True))


def transplants(setting: Setting) -> xr.Dataset:
    """Curvature and edge at real and Gaussian bases, one part of the network held to its values at either.

    Parts are `anatomy.COEFFICIENTS`: the gates of the MLPs, the attention patterns, and the scales of the norms. Held to its
    own values at the base, a part leaves the output there as it is and no longer moves with the perturbation; that is done for
    all blocks alone. Thresholds are those of BOUNDED parts held to foreign values. What is not measured is NaN, and so is the
    curvature where foreign scales let the stream overflow.

    Returns:
        `curvature` (δᵀFδ), `threshold` (degrees, NaN where censored) and `output_change` [prompt, base, donor, part, range];
        and the first two with nothing held, `free_curvature` and `free_threshold` [prompt, base].
    """
    sites = anatomy(setting.model)
    ranges = block_ranges(setting)
    shape = (len(TWO_BASES), len(COEFFICIENTS), len(RANGES))

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        at = {base: _points(setting, base, suffix, chunk) for base in TWO_BASES}
        dims = ("prompt", "base", "donor", "part", "range")
        found = {name: torch.full((len(at["real"]), 2, *shape), torch.nan) for name in TRANSPLANT_LABELS}
        free = {name: torch.empty(len(at["real"]), 2) for name in ("curvature", "threshold")}
        for i, base in enumerate(TWO_BASES):
            across = _across(setting, at[base], chunk)
            free["curvature"][:, i] = _local(suffix, suffix, at[base], across)[0]
            free["threshold"][:, i] = thresholds_along(suffix, at[base].cpu(), across.cpu()).size[:, 0]
            for j, k, m in np.ndindex(shape):
                own = TWO_BASES[j] == base
                if own and RANGES[m] != "all":
                    continue
                chosen = sites.select((COEFFICIENTS[k],), ranges[RANGES[m]])
                held = suffix.holding(suffix.record(at[TWO_BASES[j]][:, None], chosen))
                local = _local(held, suffix, at[base], across)
                found["curvature"][:, i, j, k, m], found["output_change"][:, i, j, k, m] = local
                if not own and COEFFICIENTS[k] in BOUNDED:
                    found["threshold"][:, i, j, k, m] = thresholds_along(held, at[base].cpu(), across.cpu()).size[:, 0]
        variables = {name: (dims, value) for name, value in found.items()}
        return xr.Dataset(variables | {f"free_{name}": (dims[:2], value) for name, value in free.items()})

    coords = {"base": list(TWO_BASES), "donor": list(TWO_BASES), "part": list(COEFFICIENTS), "range": list(RANGES)}
    labels = TRANSPLANT_LABELS | {f"free_{name}": TRANSPLANT_LABELS[name] for name in ("curvature", "threshold")}
    return in_chunks(setting, "transplants", {}, compute, coords, labels, together=PROMPTS_PER_SEARCH)


def _local(held: Suffix, free: Suffix, at: torch.Tensor, across: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Curvature, and how far holding moves the output at the base itself (nats), both [n]; NaN where the run overflows."""
    with torch.no_grad():
        logits, slopes = held.derivative(at[:, None], across)
        change = kl_divergence(free(at[:, None]).logits, logits)
    curvature, change = _variance(logits, slopes)[:, 0].cpu(), change[:, 0].cpu()
    known = curvature.isfinite() & change.isfinite() & (curvature > 0)
    return curvature.where(known, torch.nan), change.where(known, torch.nan)


SHARES = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Of the elements of all coefficients, to hold at random."""


def random_parts(setting: Setting) -> xr.Dataset:
    """The control of transplants from real into Gaussian bases: random elements, held to values of an unrelated base.

    For each part of all blocks, of SHARES the one is taken at which holding random elements of all coefficients to their
    values at another Gaussian base moves the output as nearly as much as the transplant does.

    Returns:
        `curvature` and `output_change` [prompt, part]; NaN where the transplant or every share overflows.
    """
    sites = anatomy(setting.model)
    blocks = block_ranges(setting)["all"]
    strangers = setting.gaussian.sample(setting.n_prompts, generator(setting.seed, "base/stranger"))

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        at = _points(setting, "random", suffix, chunk)
        across = _across(setting, at, chunk)
        values = suffix.record(strangers[chunk, None].to(at), sites.select(COEFFICIENTS, blocks))
        rng = generator(setting.seed, f"random parts/{chunk.start}")
        candidates = [_local(suffix.holding(_thinned(values, share, rng)), suffix, at, across) for share in SHARES]
        curvature, change = (torch.stack(parts, 1) for parts in zip(*candidates, strict=True))
        found = {"curvature": [], "output_change": []}
        for part in COEFFICIENTS:
            donor = suffix.record(_points(setting, "real", suffix, chunk)[:, None], sites.select((part,), blocks))
            wanted = _local(suffix.holding(donor), suffix, at, across)[1]
            distance = (change.log() - wanted.log()[:, None]).abs()
            nearest = distance.nan_to_num(nan=torch.inf).argmin(1, keepdim=True)
            for name, values in (("curvature", curvature), ("output_change", change)):
                found[name].append(values.gather(1, nearest)[:, 0].where(wanted.isfinite(), torch.nan))
        return xr.Dataset({name: (("prompt", "part"), torch.stack(v, 1)) for name, v in found.items()})

    labels = {name: TRANSPLANT_LABELS[name] for name in ("curvature", "output_change")}
    return in_chunks(setting, "random_parts", {"shares": SHARES}, compute, {"part": list(COEFFICIENTS)}, labels)


def _thinned(values: Values, share: float, rng: torch.Generator) -> Values:
    """A random share of the elements of values; the others are free."""
    return {
        site: torch.where(torch.rand(value.shape, generator=rng).to(value) < share, value, torch.nan)
        for site, value in values.items()
    }


# Frozen pairs -------------------------------------------------------------------------------------------------------

FROZEN = ("nothing", "MLPs", "attention")


def frozen_pairs(setting: Setting) -> xr.Dataset:
    """Great-circle paths from each base to a real activation, with the outputs of all MLPs or all attention held still.

    They are held to their means over the free path, as in :cite:t:`shinkle2025plateaus`; the path's own prompt is kept.

    Returns:
        `from_start` and `from_end` [prompt, frozen, t]: L2 distances of the last block's output from its values at the ends.
    """
    sites = anatomy(setting.model)
    targets = setting.draws(1, "pairs").real[:, 0]
    blocks = range(setting.layer, setting.model.n_layers)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        points = slerp_pair(suffix.base.cpu(), targets[chunk], torch.as_tensor(PAIR_T[1], dtype=torch.float32))
        found = [_from_ends(suffix, points)]
        path = _recorded(suffix, points, sites.select(FROZEN[1:], blocks))
        for part in FROZEN[1:]:
            held = {site: value for site, value in path.items() if site.part == part}
            found.append(_from_ends(suffix.holding(held), points))
        return xr.concat(found, "frozen").transpose("prompt", "frozen", "t")

    coords = {"frozen": list(FROZEN), "t": PAIR_T}
    return in_chunks(setting, "frozen_pairs", {}, compute, coords, PAIR_LABELS)


def _recorded(suffix: Suffix, points: torch.Tensor, sites: list) -> Values:
    """Means [n, 1, ...] over points [n, n_points, d_model] of the values of sites."""
    total: Values = {}
    for part in suffix.batches(points.shape[1]):
        for site, value in suffix.record(points[:, part].to(suffix.base), sites).items():
            total[site] = total.get(site, 0) + value.sum(1, keepdim=True)
    return {site: value / points.shape[1] for site, value in total.items()}


def _from_ends(suffix: Suffix, points: torch.Tensor) -> xr.Dataset:
    distances = measure(suffix, points, points[:, [0, -1]], ("l2",))["l2"]
    return xr.Dataset({f"from_{end}": (("prompt", "t"), distances[:, i]) for i, end in enumerate(("start", "end"))})
