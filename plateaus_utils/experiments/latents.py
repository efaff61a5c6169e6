"""SAE features: whether latents of a sparse autoencoder behave like the model's own features."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from ..activations import collect_hooks, generator
from ..directions import directions
from ..effects import measure
from ..errors import SAEError
from ..kinds import Draws
from ..models import initializer_ranges
from ..patching import Suffix
from ..paths import MODES, linear_pair
from ..saes import SEED, Dictionary, built, load_dictionary, pick, principal_components, shipped, with_more, without
from .explanations import UNTRAINED_SIZES, untrained_setting
from .measuring import PROMPTS_PER_SEARCH, in_chunks, path_sizes, threshold_labels, thresholds_along, way_to_target
from .plateaus import ABSOLUTE_STEP, ABSOLUTE_STEPS, final_distances
from .sensitive import N_STEPS
from .setting import Setting, base_points

SIGNS = ("", "-")


def dictionaries(setting: Setting, names: Sequence[str] = ()) -> list[Dictionary]:
    """The named SAEs; by default those that come with the package for this model and hook, sparsest first.

    Where none does, the only dictionary is that of the principal components, which is no SAE.

    Raises:
        SAEError: see `saes.load_dictionary`.
    """
    names = names or shipped(setting.model, setting.hook_name)
    known = setting.other_activations
    if not names:
        return [principal_components(setting.gaussian, known)]
    return [load_dictionary(name, setting.model, setting.hook_name, known) for name in names]


TYPICAL_L0 = 32


def main_dictionary(found: Sequence[Dictionary]) -> Dictionary:
    """Where an experiment takes one SAE: of those with an L0 within a factor of 1.5 of TYPICAL_L0 the one that explains most.

    Where there are none, the one whose L0 is nearest, in ratio.
    """
    off = {dictionary.name: abs(np.log(dictionary.l0 / TYPICAL_L0)) for dictionary in found}
    near = [dictionary for dictionary in found if off[dictionary.name] <= np.log(1.5)]
    if near:
        return max(near, key=lambda dictionary: dictionary.explained_variance)
    return min(found, key=lambda dictionary: off[dictionary.name])


def _rng(setting: Setting, dictionary: Dictionary, purpose: str) -> torch.Generator:
    return generator(setting.seed, f"{purpose}/{dictionary.name}")


def _thresholds(
    setting: Setting,
    dictionary: Dictionary,
    name: str,
    vectors: dict[str, torch.Tensor],
    mode: str = "sphere",
    points: dict[str, torch.Tensor] | None = None,
    **search,
) -> xr.DataArray:
    """Threshold sizes [prompt, kind, direction] along vectors {kind: [n_prompts, k, d_model]}.

    The base is the prompt's own activation, or that of the same kind in `points` {kind: [n_prompts, d_model]}. A vector of no
    length, such as a sum of opposite latents, leads nowhere and counts as censored.
    """
    kinds = list(vectors)
    empty = {kind: v.norm(dim=-1) <= 1e-6 for kind, v in vectors.items()}
    missing = torch.stack(list(empty.values()), 1)
    # Some direction has to stand in for an empty one; its size is thrown away.
    vectors = {kind: torch.where(empty[kind][..., None], v.new_ones(()), v) for kind, v in vectors.items()}

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        at = setting.base_activations[chunk] if points is None else torch.stack([points[k][chunk] for k in kinds], 1)
        along = torch.stack([vectors[kind][chunk] for kind in kinds], 1)
        found = thresholds_along(suffix, at, along, mode, **search).size
        return xr.Dataset(
            {"threshold": (("prompt", "kind", "direction"), torch.where(missing[chunk], torch.nan, found))}
        )

    options = {
        "sae": dictionary.fingerprint,
        "kinds": kinds,
        "mode": mode,
        "search": {k: str(v) for k, v in search.items()},
    }
    search_labels = {key: value for key, value in search.items() if key != "tolerance"}
    labels = {"threshold": threshold_labels(mode, **search_labels)}
    together = PROMPTS_PER_SEARCH
    return in_chunks(setting, f"{name}_{mode}", options, compute, {"kind": kinds}, labels, together=together).threshold


# Directions ---------------------------------------------------------------------------------------------------------


def latent_vectors(setting: Setting, dictionary: Dictionary, k: int = 2) -> dict[str, torch.Tensor]:
    """Decoder directions [n_prompts, k, d_model] of latents drawn for each prompt, by what the latents are there.

    `active` on the base (repeated where there are fewer than k), `inactive` there but alive, `dead`: active on none of the
    other activations (left out if there are fewer than k).

    Raises:
        SAEError: a base has no active latent.
    """
    codes, rng = dictionary.encode(setting.base_activations), _rng(setting, dictionary, f"latents/{k}")
    alive = (dictionary.frequency > 0).expand_as(codes)
    chosen = {"active": _pick_active(dictionary, codes, k, rng)}
    chosen |= {"inactive": pick(alive & (codes <= 0), k, rng), "dead": pick(~alive & (codes <= 0), k, rng)}
    return {kind: dictionary.rows[index] for kind, index in chosen.items() if (index >= 0).all()}


def _pick_active(dictionary: Dictionary, codes: torch.Tensor, k: int, rng: torch.Generator) -> torch.Tensor:
    """[n, k] k of the latents active in each row of codes [n, d_sae], repeated from the first where there are fewer."""
    chosen = pick(codes > 0, k, rng)
    n_active = (chosen >= 0).sum(1, keepdim=True)
    if (n_active == 0).any():
        raise SAEError(f"The SAE '{dictionary.name}' has no active latent on some prompts; choose a less sparse one.")
    return chosen.gather(1, torch.arange(k) % n_active)


def latent_thresholds(setting: Setting, dictionary: Dictionary, mode: str) -> xr.DataArray:
    """Threshold sizes along single latents, exciting and damping; active, alive but inactive, and dead ones."""
    found = latent_vectors(setting, dictionary)
    vectors = {sign + kind: -v if sign else v for kind, v in found.items() for sign in SIGNS}
    return _thresholds(setting, dictionary, f"latents_{dictionary.name}", vectors, mode)


def active_thresholds(setting: Setting, dictionaries: Sequence[Dictionary]) -> dict[str, xr.DataArray]:
    """Threshold angles along active latents [prompt, kind, direction], for each SAE."""
    return {
        d.name: _thresholds(setting, d, f"active_{d.name}", {"active": latent_vectors(setting, d)["active"]})
        for d in dictionaries
    }


FIXED_SIZE = 0.5
"""Norms of the base: the published length 51 at a mean norm of 102 :cite:p:`lee2024sensitive`."""


def latent_effects(setting: Setting, dictionaries: Sequence[Dictionary]) -> dict[str, xr.DataArray]:
    """KL [prompt, kind, direction] of a straight step of FIXED_SIZE along latents of each kind, for each SAE."""
    return {d.name: _effect_of_step(setting, d, latent_vectors(setting, d)) for d in dictionaries}


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


SPREAD = (1, 2, 4, 8, 16, 32, 64, 128)
"""Numbers of latents that a direction is spread over."""
SUMS = ("plain", "random signs", "mean removed")


def spread_vectors(setting: Setting, dictionary: Dictionary) -> dict[str, torch.Tensor]:
    """Sums of k random alive latents {"variant/k": [n_prompts, 1, d_model]}; a prompt's sums contain one another.

    `plain` sums drift towards the mean decoder row as k grows, so that there are also sums with random signs, and sums of rows
    with their mean removed. "/all" is the limit: the mean row itself, and all alive latents with random signs.
    """
    rng, rows = _rng(setting, dictionary, "spread"), dictionary.rows[dictionary.alive]
    chosen = pick(torch.ones(setting.n_prompts, len(rows), dtype=torch.bool), min(SPREAD[-1], len(rows)), rng)
    signs = torch.randint(0, 2, chosen.shape, generator=rng) * 2.0 - 1
    parts = {
        "plain": rows[chosen],
        "random signs": rows[chosen] * signs[..., None],
        "mean removed": (rows - rows.mean(0))[chosen],
    }
    sums = {f"{variant}/{k}": parts[variant][:, :k].sum(1, keepdim=True) for variant in SUMS for k in SPREAD}
    all_signs = torch.randint(0, 2, (setting.n_prompts, len(rows)), generator=rng) * 2.0 - 1
    sums["plain/all"] = rows.mean(0).expand(setting.n_prompts, 1, -1)
    sums["random signs/all"] = (all_signs @ rows)[:, None]
    return sums


def spread_thresholds(setting: Setting, dictionary: Dictionary, mode: str) -> xr.DataArray:
    """Threshold sizes [prompt, kind] of sums of latents; in straight mode of the plain ones alone."""
    vectors = spread_vectors(setting, dictionary)
    if mode == "straight":
        vectors = {kind: v for kind, v in vectors.items() if kind.startswith("plain")}
    return _thresholds(setting, dictionary, "spread", vectors, mode).isel(direction=0, drop=True)


# Bases --------------------------------------------------------------------------------------------------------------


def sae_bases(setting: Setting, dictionary: Dictionary) -> dict[str, torch.Tensor]:
    """Bases [n_prompts, d_model]: real, Gaussian, real ones with a few latents removed or added, reconstructed, and built."""
    base, rng = setting.base_activations, _rng(setting, dictionary, "bases")
    donors = setting.draws(1, "donors").real[:, 0]
    return {
        "real": base,
        "without 2 latents": without(dictionary, base, 2, rng),
        "with 2 more": with_more(dictionary, base, donors, 2, rng),
        "with 8 more": with_more(dictionary, base, donors, 8, rng),
        "reconstruction": dictionary.decode(dictionary.encode(base)),
        "built, structured": built(dictionary, base, True, rng),
        "built, random latents": built(dictionary, base, False, rng),
        "random": base_points(setting, "random"),
    }


def base_thresholds(setting: Setting, dictionary: Dictionary, mode: str) -> xr.DataArray:
    """Threshold sizes [prompt, kind, direction] of two random directions around SAE-made bases.

    In `absolute` mode: lengths in activation units at which the L2 distance at the last block reaches half of that between
    unrelated prompts, of the bases that :cite:t:`giglemiani2024synthetic` compare.
    """
    points, draws, search = sae_bases(setting, dictionary), setting.draws(2), {}
    if mode == "absolute":
        points = {kind: x for kind, x in points.items() if kind in ("real", "random") or kind.startswith("built")}
        search = {
            "effect": "l2", "level": float(np.median(final_distances(setting))) / 2, "tolerance": ABSOLUTE_STEP / 2,
            "grid": np.arange(5, ABSOLUTE_STEPS + 1, 5) * ABSOLUTE_STEP,
        }  # fmt: skip
    vectors = {kind: directions("random", x, draws) for kind, x in points.items()}
    return _thresholds(setting, dictionary, "sae_bases", vectors, mode, points, **search)


def walks_to_built(setting: Setting, dictionary: Dictionary) -> xr.Dataset:
    """KL and L2 [prompt, kind, path_size] on the way to SAE-made targets, as `sensitive.walks_to_targets` to real ones."""
    real, rng = setting.draws(1, "walks").real[:, 0], _rng(setting, dictionary, "walks")
    targets = {
        "reconstruction": dictionary.decode(dictionary.encode(real)),
        "built, structured": built(dictionary, real, True, rng),
        "built, random latents": built(dictionary, real, False, rng),
    }
    share, ends = torch.linspace(0, 1, N_STEPS), torch.stack(list(targets.values()), 1)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        points = linear_pair(setting.base_activations[chunk, None].expand_as(ends[chunk]), ends[chunk], share)
        effect = measure(suffix, points.flatten(1, 2), names=("kl", "l2"))
        return xr.Dataset(
            {name: (("prompt", "kind", "path_size"), values.view(points.shape[:-1])) for name, values in effect.items()}
        )

    options = {"sae": dictionary.fingerprint, "n_steps": N_STEPS}
    coords = {"kind": list(targets), "path_size": way_to_target(share.numpy())}
    return in_chunks(setting, "walks_to_built", options, compute, coords)


# Real-other directions and their latents ----------------------------------------------------------------------------

N_MOVES = 4
MOVE = 0.25
"""Length of a move, in norms of the target."""


def mixed_moves(setting: Setting, dictionary: Dictionary) -> xr.Dataset:
    """Threshold angles of real-other directions whose target is moved along its own latents, or along Gaussian mixtures.

    Returns:
        `whole` [prompt] of the unmoved target; `moved` [prompt, moved_along, move] with `moved_along` one of `own latents`
        and `mixtures`, and both signs of each of N_MOVES moves.
    """
    draws = setting.draws(2 * N_MOVES, "moves")
    target, base = draws.real[:, 0], setting.base_activations
    latents = _pick_active(dictionary, dictionary.encode(target), N_MOVES, _rng(setting, dictionary, "moves"))
    mixtures = (draws.gaussian - draws.gaussian_second)[:, :N_MOVES]
    steps = torch.stack([dictionary.rows[latents], torch.nn.functional.normalize(mixtures, dim=-1)], 1)
    steps = torch.cat([steps, -steps], 2) * (MOVE * target.norm(dim=-1))[:, None, None, None]
    moved = torch.cat([target[:, None], (target[:, None, None] + steps).flatten(1, 2)], 1) - base[:, None]

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        sizes = thresholds_along(suffix, base[chunk], moved[chunk]).size
        by_move = sizes[:, 1:].reshape(-1, 2, 2 * N_MOVES)
        return xr.Dataset({"whole": ("prompt", sizes[:, 0]), "moved": (("prompt", "moved_along", "move"), by_move)})

    options, coords = {"sae": dictionary.fingerprint}, {"moved_along": ["own latents", "mixtures"]}
    labels = dict.fromkeys(("whole", "moved"), threshold_labels("sphere"))
    return in_chunks(setting, "mixed_moves", options, compute, coords, labels, together=PROMPTS_PER_SEARCH)


def alignment(setting: Setting, dictionary: Dictionary, kind: str, k: int) -> torch.Tensor:
    """[n_prompts, k] the largest absolute cosine of each direction of a kind with an alive latent."""
    vectors = directions(kind, setting.base_activations, setting.draws(k))
    units = torch.nn.functional.normalize(vectors, dim=-1)
    return (units @ dictionary.rows[dictionary.alive].T).abs().amax(-1)


def alignment_with_active(setting: Setting, dictionary: Dictionary, kind: str, draws: Draws) -> torch.Tensor:
    """[n_prompts, k] the share of each direction's squared length in the span of the latents active on its base."""
    base = setting.base_activations
    units = torch.nn.functional.normalize(directions(kind, base, draws), dim=-1)
    codes = dictionary.encode(base)
    shares = []
    for unit, code in zip(units, codes, strict=True):
        span = torch.linalg.qr(dictionary.rows[code > 0].T).Q
        shares.append((unit @ span).square().sum(-1))
    return torch.stack(shares)


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
    return _thresholds(setting, dictionary, "parts", real_other_parts(setting, dictionary)).isel(direction=0, drop=True)


# Errors and ablations -----------------------------------------------------------------------------------------------

ERROR_KINDS = ("SAE error", "isotropic", "random mixture", "real mixture")


def error_effects(setting: Setting, dictionary: Dictionary, all_positions: bool) -> xr.DataArray:
    """KL [prompt, kind] of the SAE's error and of other steps of equal length, at the last position or at all but the first.

    At several positions each takes the length of the error there; mixtures are drawn for each, with the covariance of the last.
    """
    rng, seq_len = _rng(setting, dictionary, f"errors/{all_positions}"), setting.bases.tokens.shape[1]
    places = range(1, seq_len) if all_positions else (seq_len - 1,)
    shape = (setting.n_prompts, len(places), setting.model.d_model)
    clean = collect_hooks(setting.model, setting.bases.tokens, [setting.hook_name], position=slice(places[0], None))
    clean = clean[setting.hook_name]
    error = dictionary.error(clean)
    samples = setting.gaussian.sample(2 * shape[0] * shape[1], rng).view(2, *shape)
    pairs = torch.stack([setting.some_others(2, rng) for _ in places])  # [place, prompt, 2]: two different ones
    others = setting.other_activations[pairs.permute(2, 1, 0)]
    steps = torch.stack([error, torch.randn(shape, generator=rng), samples[0] - samples[1], others[0] - others[1]], 1)
    steps = steps / steps.norm(dim=-1, keepdim=True) * error.norm(dim=-1)[:, None, :, None]
    points = clean[:, None] + steps

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        kl = measure(suffix, points[chunk] if all_positions else points[chunk, :, 0], names=("kl",))["kl"]
        return xr.Dataset({"kl": (("prompt", "kind"), kl)})

    name = f"error_effects_{dictionary.name}_{'all' if all_positions else 'last'}"
    options, coords = {"sae": dictionary.fingerprint}, {"kind": list(ERROR_KINDS)}
    return in_chunks(setting, name, options, compute, coords, positions=tuple(places)).kl


ABLATIONS = ("ablate a latent", "double a latent", "towards the reconstruction", "isotropic")


def ablation_effects(setting: Setting, dictionary: Dictionary, k: int = 4) -> xr.DataArray:
    """KL [prompt, kind, direction] of ablating one active latent, and of other steps as long :cite:p:`lindsey2024april`."""
    base, rng = setting.base_activations, _rng(setting, dictionary, "ablations")
    codes = dictionary.encode(base)
    chosen = _pick_active(dictionary, codes, k, rng)
    ablated = -codes.gather(1, chosen)[..., None] * dictionary.sae.W_dec[chosen]
    length = ablated.norm(dim=-1, keepdim=True)
    unit = torch.nn.functional.normalize
    steps = torch.stack(
        [
            ablated,
            -ablated,
            length * unit(dictionary.error(base), dim=-1)[:, None],
            length * unit(torch.randn(ablated.shape, generator=rng), dim=-1),
        ],
        1,
    )

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        points = base[chunk, None, None] + steps[chunk]
        kl = measure(suffix, points.flatten(1, 2), names=("kl",))["kl"]
        return xr.Dataset({"kl": (("prompt", "kind", "direction"), kl.view(points.shape[:-1]))})

    options, coords = {"sae": dictionary.fingerprint, "k": k}, {"kind": list(ABLATIONS)}
    return in_chunks(setting, "ablation_effects", options, compute, coords).kl


def codes_switched_on(setting: Setting, dictionary: Dictionary, n: int = 2000) -> dict[str, np.ndarray]:
    """How many latents the encoder switches on for isotropic directions of the bases' norms, Gaussian and real activations."""
    rng, real = _rng(setting, dictionary, "encoder"), setting.other_activations[:n]
    isotropic = torch.nn.functional.normalize(torch.randn(real.shape, generator=rng), dim=-1) * real.norm(
        dim=-1, keepdim=True
    )
    points = {"isotropic": isotropic, "random": setting.gaussian.sample(len(real), rng), "real": real}
    return {kind: (dictionary.encode(x) > 0).sum(-1).numpy() for kind, x in points.items()}


# Single latents -----------------------------------------------------------------------------------------------------

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
    chosen = pick((dictionary.frequency > 0)[None], N_LATENTS, _rng(setting, dictionary, "single"))[0]
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


# Control: an SAE of an untrained network ----------------------------------------------------------------------------


def untrained_control(setting: Setting) -> tuple[Setting, Dictionary]:
    """A network with fresh weights, and the SAE that was trained on it, or its principal components if there is none."""
    spread = initializer_ranges(setting.model)["published"]
    fresh = untrained_setting(setting.seeded(SEED), spread)
    return fresh, dictionaries(fresh)[0]


def relative_curves(setting: Setting, dictionary: Dictionary, name: str) -> xr.Dataset:
    """KL and L2 [prompt, kind, direction, path_size] on the sphere along an active latent, a random and a real-other one."""
    draws = setting.draws(1)
    vectors = {"active": latent_vectors(setting, dictionary, 1)["active"]}
    vectors |= {kind: directions(kind, setting.base_activations, draws) for kind in ("random", "real-other")}
    kinds, grid = list(vectors), torch.tensor(UNTRAINED_SIZES, dtype=torch.float32)

    def compute(suffix: Suffix, chunk: slice) -> xr.Dataset:
        along = torch.stack([vectors[kind][chunk] for kind in kinds], 1)
        points = MODES["sphere"](setting.base_activations[chunk, None, None].expand_as(along), along, grid)
        effect = measure(suffix, points.flatten(1, -2), names=("kl", "l2"))
        dims = ("prompt", "kind", "direction", "path_size")
        return xr.Dataset({key: (dims, value.view(points.shape[:-1])) for key, value in effect.items()})

    options = {"sae": dictionary.fingerprint, "kinds": kinds}
    coords = {"kind": kinds, "path_size": path_sizes("sphere", UNTRAINED_SIZES)}
    return in_chunks(setting, f"relative_{name}", options, compute, coords)
