"""Real-other directions and the latents of their targets: parts, moves and alignment."""

import torch
import xarray as xr

from ...directions import directions
from ...patching import Suffix
from ...saes import Dictionary
from ..measuring import PROMPTS_PER_SEARCH, in_chunks, threshold_labels, thresholds_along
from ..setting import Setting
from .choosing import pick_active, stream
from .searching import sizes_along

N_MOVES = 2
MOVE = 0.25
"""Length of a move, in norms of the target."""


def mixed_moves(setting: Setting, dictionary: Dictionary) -> xr.Dataset:
    """Threshold angles of real-other directions whose target is moved along its own latents, or along Gaussian mixtures.

    Returns:
        `whole` [prompt] of the unmoved target; `moved` [prompt, moved_along, move] with `moved_along` one of `own latents`
        and `mixtures`, and both signs of each of N_MOVES moves.
    """
    draws = setting.draws(N_MOVES, "moves")
    target, base = draws.real[:, 0], setting.base_activations
    latents = pick_active(dictionary, dictionary.encode(target), N_MOVES, stream(setting, dictionary, "moves"))
    mixtures = draws.gaussian - draws.gaussian_second
    steps = torch.stack([dictionary.rows[latents], torch.nn.functional.normalize(mixtures, dim=-1)], 1)
    steps = torch.cat([steps, -steps], 2) * (MOVE * target.norm(dim=-1))[:, None, None, None]
    moved = torch.cat([target[:, None], (target[:, None, None] + steps).flatten(1, 2)], 1) - base[:, None]

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        sizes = thresholds_along(suffix, base[chunk], moved[chunk]).size
        by_move = sizes[:, 1:].reshape(-1, 2, 2 * N_MOVES)
        return xr.Dataset({"whole": ("prompt", sizes[:, 0]), "moved": (("prompt", "moved_along", "move"), by_move)})

    options, coords = {"sae": dictionary.fingerprint}, {"moved_along": ["own latents", "mixtures"]}
    labels = dict.fromkeys(("whole", "moved"), threshold_labels("sphere"))
    return in_chunks(setting, "mixed_moves_sphere", options, compute, coords, labels, together=PROMPTS_PER_SEARCH)


GROUPS = (
    "whole",
    "all latents",
    "strongest 1",
    "strongest 4",
    "strongest 16",
    "switched on",
    "switched off",
    "unexplained",
)


def real_other_parts(setting: Setting, dictionary: Dictionary) -> dict[str, torch.Tensor]:
    """A real-other direction [n_prompts, 1, d_model] taken apart into the changes of the SAE's latents.

    With codes z of target t and base b, t − b = Σ (zᵢ(t) − zᵢ(b)) dᵢ + unexplained. Groups of the sum: the latents that change
    most, those active on the target alone (`switched on`) or on the base alone (`switched off`).
    """
    base, target = setting.base_activations, setting.draws(2).real[:, 0]
    before, after = dictionary.encode(base), dictionary.encode(target)
    change = after - before
    order = change.abs().argsort(-1, descending=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1]).expand_as(order))
    offset = dictionary.decode(torch.zeros_like(change[:1]))

    def written(codes: torch.Tensor) -> torch.Tensor:
        return dictionary.decode(codes) - offset

    parts = {
        "whole": target - base,
        "all latents": written(change),
        **{f"strongest {k}": written(change * (rank < k)) for k in (1, 4, 16)},
        "switched on": written(after * (before <= 0)),
        "switched off": -written(before * (after <= 0)),
    }
    parts["unexplained"] = parts["whole"] - parts["all latents"]
    return {kind: v[:, None] for kind, v in parts.items()}


def part_thresholds(setting: Setting, dictionary: Dictionary) -> xr.DataArray:
    """Threshold angles [prompt, kind] of a real-other direction's parts."""
    return sizes_along(setting, dictionary, "parts", real_other_parts(setting, dictionary)).isel(direction=0, drop=True)


# Alignment ----------------------------------------------------------------------------------------------------------


ALIGNED = ("random", "real-other")
ALIGNMENTS = {
    "nearest": {"description": "largest cosine with a latent", "unit": ""},
    "in_active": {"description": "share in the span of active latents", "unit": ""},
}


def alignments(setting: Setting, dictionary: Dictionary, k: int) -> xr.Dataset:
    """How k directions of each kind in ALIGNED lie to the latents.

    Returns:
        [prompt, kind, direction]: `nearest`, the largest absolute cosine with an alive latent; `in_active`, the share of the
        squared length that lies in the span of the latents active on the base.
    """
    base, draws = setting.base_activations, setting.draws(k)
    units = torch.stack([torch.nn.functional.normalize(directions(kind, base, draws), dim=-1) for kind in ALIGNED], 1)
    codes, alive = dictionary.encode(base), dictionary.rows[dictionary.alive]

    def compute(_: Suffix, chunk: slice) -> xr.Dataset:
        nearest = (units[chunk] @ alive.T).abs().amax(-1)
        spans = [torch.linalg.qr(dictionary.rows[code > 0].T).Q for code in codes[chunk]]
        shares = [(unit @ span).square().sum(-1) for unit, span in zip(units[chunk], spans, strict=True)]
        dims = ("prompt", "kind", "direction")
        return xr.Dataset({"nearest": (dims, nearest), "in_active": (dims, torch.stack(shares))})

    options, coords = {"sae": dictionary.fingerprint, "k": k}, {"kind": list(ALIGNED)}
    return in_chunks(setting, "latent_alignment", options, compute, coords, ALIGNMENTS)
