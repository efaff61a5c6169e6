"""Trivial explanations: experiments whose outcome would explain plateaus and sensitive directions away."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from ..activations import Gaussian, collect
from ..directions import directions
from ..effects import measure
from ..kinds import BASES
from ..models import untrained
from ..patching import Suffix
from ..paths import UNITS
from .measuring import curves, in_chunks, threshold_sizes
from .setting import Setting, base_points

N_SHRUNK = 4000
"""Activations behind a Gaussian away from the default layer, whose covariance is shrunk."""

UNTRAINED_SIZES = np.linspace(0, 180, 13)


def sweep_layers(n_layers: int) -> list[int]:
    """The layers of the sweep: the first three, then about every fifth, and the last."""
    return sorted({0, 1, 2, *range(4, n_layers - 1, max(2, n_layers // 5)), n_layers - 1} & set(range(n_layers)))


def at_blocks(setting: Setting) -> dict[int, Setting]:
    """The same prompts at the inputs of the blocks of the sweep, among them the setting's own and the last one.

    Others are fewer here, and the covariance of their Gaussian is shrunk, since each block needs activations of its own.
    """
    layers = sorted({*sweep_layers(setting.model.n_layers), setting.layer})
    return setting.at_layers(layers, n_others=min(N_SHRUNK, setting.arguments.n_others), shrinkage=True)


N_LATE = 32
"""Directions of each kind at the last block, where a run costs little and the kinds differ little."""


def late_directions(blocks: dict[int, Setting]) -> xr.Dataset:
    """Threshold angles of N_LATE random and as many real-other directions at the input of the last of the blocks.

    Returns:
        `threshold` [prompt, kind, direction], degrees; compare with `sensitive.many_directions`.
    """
    kinds = ("random", "real-other")
    found = threshold_sizes(blocks[max(blocks)], "late_directions", kinds=kinds, n_directions=N_LATE)
    return found.isel(base=0, drop=True)


def layer_thresholds(blocks: dict[int, Setting]) -> xr.Dataset:
    """Threshold angles at the inputs of several blocks, for both effects of the report.

    Returns:
        `plateau` [layer, prompt, base, direction]: random directions from real and Gaussian bases; `direction`
        [layer, prompt, kind, direction]: random and real-other directions from real bases.
    """
    found = []
    for layer, setting in blocks.items():
        plateau = threshold_sizes(setting, f"layer_{layer}_plateau", bases=("real", "random"))
        kinds = threshold_sizes(setting, f"layer_{layer}_directions", kinds=("random", "real-other"))
        found.append(
            xr.Dataset(
                {
                    "plateau": plateau.threshold.isel(kind=0, drop=True),
                    "direction": kinds.threshold.isel(base=0, drop=True),
                }
            )
        )
    return xr.concat(found, xr.Variable("layer", list(blocks)))


def base_controls(setting: Setting) -> xr.Dataset:
    """Threshold angles of random directions around every kind of base, its norm, and the entropy of the output there.

    Returns:
        `threshold` [prompt, base, direction], `norm`, `entropy` and `present` [prompt, base]; the last is false for
        `same token` where no other prompt ends in the token of the base: what stands there is the prompt's own activation.
    """
    kinds = tuple(BASES)
    result = threshold_sizes(setting, "base_controls", bases=kinds).isel(kind=0, drop=True)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        points = torch.stack([base_points(setting, kind)[chunk] for kind in kinds], 1)
        values = {"norm": points.norm(dim=-1), "entropy": measure(suffix, points, names=("entropy",))["entropy"]}
        return xr.Dataset({name: (("prompt", "base"), value) for name, value in values.items()})

    labels = {"norm": {"description": "norm of the base", "unit": UNITS["absolute"]}}
    there = in_chunks(setting, "base_properties", {"bases": kinds}, compute, {"base": list(kinds)}, labels)
    result = result.merge(there, compat="equals")
    has_same = setting.ends_alike.any(1)
    absent = (~has_same[:, None]).numpy() & (result.base == "same token").values
    return result.assign(present=(("prompt", "base"), ~absent))


def natural_variation(setting: Setting, n_swaps: int = 4) -> xr.Dataset:
    """What swapping an activation for one of another document does: of the same last token, and of any.

    Returns:
        `angle` (degrees), `distance` (norms of the base) and `kl` [prompt, swap, donor], with `donor` one of `same token` and
        `any`; NaN where the token ends fewer other prompts.
    """
    same = [torch.nonzero(alike).flatten()[:n_swaps] for alike in setting.ends_alike]
    padded = torch.stack([torch.cat([f, f.new_full((n_swaps - len(f),), -1)]) for f in same])
    index = torch.stack([padded, setting.draws(n_swaps, "swaps").real_index], -1)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        base = setting.base_activations[chunk, None, None]
        chosen = index[chunk]
        swapped = torch.where((chosen >= 0)[..., None], setting.other_activations[chosen], base)
        kl = measure(suffix, swapped.flatten(1, 2))["kl"].view(chosen.shape)
        values = {
            "angle": torch.rad2deg(torch.cosine_similarity(swapped, base, dim=-1).clamp(-1, 1).acos()),
            "distance": (swapped - base).norm(dim=-1) / base.norm(dim=-1),
            "kl": kl,
        }
        return xr.Dataset(
            {k: (("prompt", "swap", "donor"), v.where(chosen >= 0, torch.nan)) for k, v in values.items()}
        )

    coords = {"donor": ["same token", "any"]}
    labels = {
        "angle": {"description": "angle between the activation and the one put in its place", "unit": "degrees"},
        "distance": {"description": "distance between the two", "unit": UNITS["straight"]},
    }
    return in_chunks(setting, "natural_variation", {"n_swaps": n_swaps}, compute, coords, labels)


def untrained_setting(setting: Setting, initializer_range: float) -> Setting:
    """The same prompts for a network with fresh weights, with its own activations and Gaussian."""
    model = untrained(setting.model, initializer_range, setting.seed)
    others = setting.others[:N_SHRUNK]
    activations = collect(model, others.tokens, setting.hook_name)
    return dataclasses.replace(
        setting,
        model=model,
        others=others,
        base_activations=collect(model, setting.bases.tokens, setting.hook_name),
        other_activations=activations,
        gaussian=Gaussian.fit(activations, shrinkage=True),
        arguments=setting.arguments.replace(n_others=len(others), shrinkage=True),
    )


def both_effects(setting: Setting, name: str) -> dict[str, xr.Dataset]:
    """Curves in sphere mode for both effects of the report: by base with random directions, by direction from real bases."""
    options = {"sizes": UNTRAINED_SIZES, "n_directions": 1, "effects": ("kl", "l2")}
    return {
        "base": curves(setting, f"{name}_bases", bases=("real", "random"), **options).isel(kind=0, drop=True),
        "kind": curves(setting, f"{name}_kinds", kinds=("random", "real-other"), **options).isel(base=0, drop=True),
    }


def local_quadratic(
    setting: Setting, name: str, bases: Sequence[str], kinds: Sequence[str], n_directions: int = 2
) -> xr.DataArray:
    """The quadratic form of KL at the base along sphere paths, from Jacobian-vector products through the suffix.

    KL(b ‖ b + δ) = ½ δᵀFδ + O(δ³) with F the Fisher information of the next-token distribution, so that δᵀFδ is the variance,
    under that distribution, of the logits' derivative along δ :cite:p:`amari1998natural,martens2020natural`.

    Returns:
        [prompt, base, kind, direction, i, j] Gram matrices of b and ‖b‖u⊥ under F, for `sensitivity.quadratic_kl`.
    """
    draws = setting.draws(n_directions)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        grams = []
        for base in bases:
            at = base_points(setting, base)[chunk].to(suffix.base)
            vectors = torch.stack([directions(kind, at.cpu(), draws[chunk]) for kind in kinds], 1).to(at)
            grams.append(fisher_gram(suffix, at, vectors).cpu())
        return xr.Dataset({"gram": (("prompt", "base", "kind", "direction", "i", "j"), torch.stack(grams, 1))})

    options = {"bases": bases, "kinds": kinds, "n_directions": n_directions}
    vectors = ["base", "across"]
    coords = {"base": list(bases), "kind": list(kinds), "i": vectors, "j": vectors}
    labels = {
        "gram": {"description": "Gram matrix of the base and ‖base‖u⊥ under the Fisher information", "unit": "nats"}
    }
    return in_chunks(setting, name, options, compute, coords, labels).gram


def fisher_gram(suffix: Suffix, at: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Gram matrices [n, kind, direction, 2, 2] of b and ‖b‖u⊥ under the Fisher information, in nats; see `local_quadratic`.

    Args:
        at: bases [n, d_model].
        vectors: directions [n, kind, direction, d_model].
    """
    norm = at.norm(dim=-1, keepdim=True)[:, None, None]
    radial = at[:, None, None] / norm
    tangent = vectors - (vectors * radial).sum(-1, keepdim=True) * radial
    across = norm * tangent / tangent.norm(dim=-1, keepdim=True)
    tangents = torch.cat([at[:, None], across.flatten(1, 2)], 1)
    points = at[:, None].expand_as(tangents).contiguous()
    with torch.no_grad():
        logits, slopes = suffix.derivative(points, tangents)
    p = logits[:, :1].softmax(-1)
    slopes = slopes - (p * slopes).sum(-1, keepdim=True)
    along, across = slopes[:, :1], slopes[:, 1:]
    aa = (p * along * along).sum(-1).expand(-1, across.shape[1])
    ab = (p * along * across).sum(-1)
    bb = (p * across * across).sum(-1)
    gram = torch.stack([torch.stack([aa, ab], -1), torch.stack([ab, bb], -1)], -2)
    return gram.view(*vectors.shape[:-1], 2, 2)


def covariates(setting: Setting) -> dict[str, np.ndarray]:
    """Plain properties of each base [n_prompts] that might explain its threshold."""
    base, mean = setting.base_activations, setting.gaussian.mean.float()
    last = setting.bases.tokens[:, -1]
    frequency = (setting.others.tokens[:, -1][None] == last[:, None]).float().mean(1)
    return {
        "norm of the base": base.norm(dim=-1).numpy(),
        "distance to the mean": (base - mean).norm(dim=-1).numpy(),
        "cosine with the mean": torch.cosine_similarity(base, mean[None]).numpy(),
        "frequency of the last token": frequency.numpy(),
    }
