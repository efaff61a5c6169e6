"""Threshold sizes along any vectors that a dictionary gives."""

import torch
import xarray as xr

from ...patching import Suffix
from ...saes import Dictionary
from ..measuring import PROMPTS_PER_SEARCH, in_chunks, threshold_labels, thresholds_along
from ..setting import Setting


def sizes_along(
    setting: Setting,
    dictionary: Dictionary,
    name: str,
    vectors: dict[str, torch.Tensor],
    mode: str = "sphere",
    points: dict[str, torch.Tensor] | None = None,
) -> xr.DataArray:
    """Threshold sizes [prompt, kind, direction] along vectors {kind: [n_prompts, k, d_model]}, stored as `name` and mode.

    The base is the prompt's own activation, or that of the same kind in `points` {kind: [n_prompts, d_model]}, or one for each
    vector {kind: [n_prompts, k, d_model]}. A vector of no length, such as a sum of opposite latents, leads nowhere and counts
    as censored.
    """
    kinds = list(vectors)
    empty = {kind: v.norm(dim=-1) <= 1e-6 for kind, v in vectors.items()}
    missing = torch.stack(list(empty.values()), 1)
    # Some direction has to stand in for an empty one; its size is thrown away.
    vectors = {kind: torch.where(empty[kind][..., None], v.new_ones(()), v) for kind, v in vectors.items()}

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        at = setting.base_activations[chunk] if points is None else torch.stack([points[k][chunk] for k in kinds], 1)
        along = torch.stack([vectors[kind][chunk] for kind in kinds], 1)
        if at.dim() == along.dim():  # each vector has a base of its own
            at, along = at.flatten(1, 2), along.flatten(1, 2)[:, :, None]
        found = thresholds_along(suffix, at, along, mode).size.view(missing[chunk].shape)
        return xr.Dataset(
            {"threshold": (("prompt", "kind", "direction"), torch.where(missing[chunk], torch.nan, found))}
        )

    options = {"sae": dictionary.fingerprint, "kinds": kinds, "mode": mode}
    labels, together = {"threshold": threshold_labels(mode)}, PROMPTS_PER_SEARCH
    return in_chunks(setting, f"{name}_{mode}", options, compute, {"kind": kinds}, labels, together=together).threshold
