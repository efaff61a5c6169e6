"""What the explorer shows: walks from many prompts, with the next tokens on the way."""

import numpy as np
import torch
import xarray as xr

from ..directions import directions
from ..effects import kl_divergence
from ..kinds import EXPLORED_DIRECTIONS
from ..patching import Suffix
from ..paths import MODES, UNITS
from ..saes import Dictionary
from ..sensitivity import KL_THRESHOLD
from .latents import latent_vectors
from .measuring import in_chunks, thresholds_along
from .setting import Setting

KINDS = (*EXPLORED_DIRECTIONS, "SAE latent")
WALK_SIZES = {"sphere": np.linspace(0, 180, 41), "straight": np.linspace(0, 2, 41)}
N_TOKENS = 8
"""Next tokens followed along a walk: those that are most probable somewhere on it."""


def walk_vectors(setting: Setting, dictionary: Dictionary) -> torch.Tensor:
    """One direction of each of KINDS from each base [n_prompts, kind, d_model]; the latent is one that is active there."""
    draws = setting.draws(1, "explorer")
    found = [directions(kind, setting.base_activations, draws)[:, 0] for kind in EXPLORED_DIRECTIONS]
    return torch.stack([*found, latent_vectors(setting, dictionary, 1)["active"][:, 0]], 1)


def walks(setting: Setting, dictionary: Dictionary) -> xr.Dataset:
    """Everything the explorer shows of each prompt.

    Returns:
        `kl`, `l2` [prompt, mode, kind, place]; `threshold` [prompt, mode, kind], NaN where censored; of the N_TOKENS followed
        `token` ids and `probability` [prompt, mode, kind, (place,) token_rank]. The coordinate `path_size` [mode, place] says
        how far along the walk each place lies.
    """
    vectors = walk_vectors(setting, dictionary)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        at = setting.base_activations[chunk]
        modes = []
        for mode, sizes in WALK_SIZES.items():
            grid = torch.tensor(sizes, dtype=torch.float32)
            kinds = [_walk(suffix, MODES[mode](at, vectors[chunk, k], grid)) for k in range(len(KINDS))]
            threshold = thresholds_along(suffix, at, vectors[chunk], mode).size
            modes.append(xr.concat(kinds, "kind").assign(threshold=(("prompt", "kind"), threshold)))
        return xr.concat(modes, "mode")

    options = {"sae": dictionary.fingerprint, "n_tokens": N_TOKENS}
    return in_chunks(setting, "walks", options, compute, _coords(), LABELS)


UNIT = ", ".join(f"{UNITS[mode]} ({mode})" for mode in WALK_SIZES)
LABELS = {
    "threshold": {
        "description": "size at which KL first reaches the level; NaN beyond the last place", "unit": UNIT,
        "effect": "kl", "level": KL_THRESHOLD,
    },
    "token": {"description": "ids of the next tokens that are most probable somewhere on the walk", "unit": ""},
    "probability": {"description": "probability of each of them", "unit": ""},
}  # fmt: skip


def _coords() -> dict:
    what = {"description": "how far along the walk each place lies", "unit": UNIT}
    sizes = (("mode", "place"), np.stack(list(WALK_SIZES.values())), what)
    return {"kind": list(KINDS), "mode": list(WALK_SIZES), "path_size": sizes}


def _walk(suffix: Suffix, points: torch.Tensor) -> xr.Dataset:
    """Effects and followed tokens along walks [n_prompts, n_sizes, d_model] whose first point is the base."""
    readout = suffix(points.to(suffix.base))
    probabilities = readout.logits.float().softmax(-1)
    tokens = probabilities.amax(1).topk(N_TOKENS).indices
    followed = probabilities.gather(2, tokens[:, None].expand(-1, points.shape[1], -1))
    kl = torch.stack([kl_divergence(logits[:1], logits) for logits in readout.logits])
    l2 = (readout.resid_post - readout.resid_post[:, :1]).norm(dim=-1)
    curve = ("prompt", "place")
    return xr.Dataset(
        {
            "kl": (curve, kl.cpu()), "l2": (curve, l2.cpu()), "token": (("prompt", "token_rank"), tokens.cpu()),
            "probability": ((*curve, "token_rank"), followed.cpu()),
        }
    )  # fmt: skip
