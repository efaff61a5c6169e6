"""Steps along one latent: its threshold, its effect at a fixed size, and latents one by one at fixed prompts."""

from collections.abc import Sequence

import torch
import xarray as xr

from ...directions import directions
from ...effects import measure
from ...patching import Suffix
from ...paths import MODES
from ...saes import Dictionary, pick
from ..measuring import PROMPTS_PER_SEARCH, in_chunks, threshold_labels, thresholds_along
from ..setting import Setting
from .choosing import active_latents, by_sae, stream
from .searching import sizes_along

COMPARED = ("real-other", "random deviation", "real deviation", "random mixture")
"""Kinds of direction that stand beside latents; only the first contains the base."""


def latent_vectors(setting: Setting, dictionary: Dictionary, k: int = 2) -> dict[str, torch.Tensor]:
    """Decoder directions [n_prompts, k, d_model] of latents drawn for each prompt, by what the latents are there.

    `active` on the base, see `choosing.active_latents`; `inactive` there but alive; `dead`: active on none of the other
    activations (left out if there are fewer than k).

    Raises:
        SAEError: a base has no active latent.
    """
    codes, rng = dictionary.encode(setting.base_activations), stream(setting, dictionary, f"latents/{k}")
    alive = (dictionary.frequency > 0).expand_as(codes)
    chosen = {"active": active_latents(setting, dictionary, k)}
    chosen |= {"inactive": pick(alive & (codes <= 0), k, rng), "dead": pick(~alive & (codes <= 0), k, rng)}
    return {kind: dictionary.rows[index] for kind, index in chosen.items() if (index >= 0).all()}


def latent_thresholds(setting: Setting, dictionary: Dictionary, mode: str) -> xr.DataArray:
    """Threshold sizes [prompt, kind, direction] along single latents, two of a kind, and along COMPARED directions.

    `active` excites a latent that is active on the base, `-active` damps it; `inactive` excites one that is not.
    """
    latents, draws = latent_vectors(setting, dictionary), setting.draws(2)
    vectors = {"active": latents["active"], "-active": -latents["active"], "inactive": latents["inactive"]}
    vectors |= {kind: directions(kind, setting.base_activations, draws) for kind in COMPARED}
    return sizes_along(setting, dictionary, "latents", vectors, mode)


def active_thresholds(setting: Setting, dictionaries: Sequence[Dictionary]) -> xr.DataArray:
    """Threshold angles along active latents [sae, prompt, direction]."""

    def of_one(dictionary: Dictionary) -> xr.DataArray:
        vectors = {"active": latent_vectors(setting, dictionary)["active"]}
        return sizes_along(setting, dictionary, f"active_{dictionary.name}", vectors).sel(kind="active", drop=True)

    return by_sae(dictionaries, of_one)


FIXED_SIZE = 0.5
"""Norms of the base: the published length 51 at a mean norm of 102 :cite:p:`lee2024sensitive`."""


def latent_effects(setting: Setting, dictionaries: Sequence[Dictionary]) -> xr.DataArray:
    """KL [sae, prompt, kind, direction] of a straight step of FIXED_SIZE along latents of each kind of `latent_vectors`."""
    return by_sae(dictionaries, lambda d: _effect_of_step(setting, d, latent_vectors(setting, d)))


def _effect_of_step(setting: Setting, dictionary: Dictionary, vectors: dict[str, torch.Tensor]) -> xr.DataArray:
    kinds = list(vectors)
    size = torch.tensor([FIXED_SIZE])

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        at = setting.base_activations[chunk, None, None]
        along = torch.stack([vectors[kind][chunk] for kind in kinds], 1)
        points = MODES["straight"](at.expand_as(along), along, size)
        kl = measure(suffix, points.flatten(1, -2), names=("kl",))["kl"]
        return xr.Dataset({"kl": (("prompt", "kind", "direction"), kl.view(along.shape[:-1]))})

    options = {"sae": dictionary.fingerprint, "kinds": kinds, "size": FIXED_SIZE}
    return in_chunks(setting, f"latent_effects_{dictionary.name}", options, compute, {"kind": kinds}).kl


# One by one ----------------------------------------------------------------------------------------------------------

N_LATENTS, N_FIXED = 96, 12
"""Latents, drawn at random from those alive, and prompts that all of them are tried at."""


OF_A_LATENT = {
    "frequency": {"description": "share of activations on which it is active", "unit": ""},
    "cosine": {"description": "largest cosine with another alive latent", "unit": ""},
    "purity": {"description": "share of its commonest token among the activations on which it is active", "unit": ""},
    "tokens": {"description": "last tokens that activate it most", "unit": ""},
}


def single_latents(setting: Setting, dictionary: Dictionary) -> xr.Dataset:
    """Threshold angles of single latents at fixed prompts, with what is known of each latent.

    Returns:
        `threshold` [prompt, latent], NaN where censored; and as coordinates of each latent `frequency`, `cosine` (largest
        with another alive latent), `purity` (share of its commonest token among the activations it is active on) and
        `tokens` (those that activate it most, by mean code).
    """
    few = setting.first(N_FIXED)
    chosen = pick((dictionary.frequency > 0)[None], N_LATENTS, stream(setting, dictionary, "single"))[0]
    chosen = chosen[chosen >= 0]
    rows = dictionary.rows[chosen]
    alive = dictionary.rows[dictionary.alive]
    cosine = (rows @ alive.T).masked_fill(dictionary.alive == chosen[:, None], -1).amax(-1)
    tokens, purity = _tokens(setting, dictionary, chosen)
    known = {
        "frequency": dictionary.frequency[chosen].numpy(),
        "cosine": cosine.numpy(),
        "purity": purity,
        "tokens": tokens,
    }
    coords = {name: ("latent", values, OF_A_LATENT[name]) for name, values in known.items()} | {
        "latent": chosen.numpy()
    }

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        at = few.base_activations[chunk]
        return xr.Dataset(
            {"threshold": (("prompt", "latent"), thresholds_along(suffix, at, rows.expand(len(at), -1, -1)).size)}
        )

    options, labels = {"sae": dictionary.fingerprint}, {"threshold": threshold_labels("sphere")}
    return in_chunks(few, "single_latents", options, compute, coords, labels, together=PROMPTS_PER_SEARCH)


def _tokens(setting: Setting, dictionary: Dictionary, latents: torch.Tensor) -> tuple[list[str], list[float]]:
    """For each latent the last tokens with the highest mean codes, as text, and the share of the commonest one."""
    last = setting.others.tokens[:, -1]
    codes = torch.cat([dictionary.encode(part)[:, latents] for part in setting.other_activations.split(4096)])
    texts, purity = [], []
    for code in codes.T:
        active = last[code > 0]
        kinds, where, counts = active.unique(return_inverse=True, return_counts=True)
        means = torch.zeros(len(kinds)).index_add_(0, where, code[code > 0]) / counts
        best = kinds[means.argsort(descending=True)[:5]]
        texts.append(" ".join(repr(setting.model.tokenizer.decode([int(token)])) for token in best))
        purity.append(float(counts.max() / counts.sum()))
    return texts, purity
