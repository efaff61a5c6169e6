"""Chapter 5: whether latents of an SAE behave like the model's own features."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr

from .. import estimates, quantities, statistics
from ..experiments import latents, optima, sensitive
from ..experiments.setting import Setting
from ..saes import Dictionary


def by_number_of_latents(spread: xr.DataArray) -> xr.Dataset:
    """Median threshold sizes along sums of k latents, over [variant, k], from sizes whose kinds are called `variant/k`."""
    numbers = list(latents.SPREAD)
    rows = {
        variant: estimates.median(spread.sel(kind=[f"{variant}/{k}" for k in numbers]).assign_coords(kind=numbers))
        for variant in latents.SUMS
    }
    found = estimates.together(rows, "variant").rename(kind="k")
    return found.assign_coords(k=("k", numbers, {"description": "number of latents k"}))


def ends_of_sums(spread: xr.DataArray) -> xr.Dataset:
    """Median threshold sizes [kind] along single latents, along sums of the most, and in the limit of all."""
    ends = ("/1", f"/{latents.SPREAD[-1]}", "/all")
    return estimates.median(spread.sel(kind=[kind for kind in spread.kind.values.tolist() if kind.endswith(ends)]))


def latent_sizes(sizes: xr.DataArray, along: xr.DataArray, kinds: list[str]) -> xr.DataArray:
    """Threshold sizes along some kinds of direction and along latents, as one array [prompt, kind, direction]."""
    return xr.concat([sizes.sel(kind=kinds), along], "kind", combine_attrs="override")


def walks(setting: Setting, dictionary: Dictionary) -> dict[str, xr.Dataset]:
    """Walks [prompt, path_size] to a real activation, to SAE-made ones and to a Gaussian sample, by kind of target."""
    plain, built = sensitive.walks_to_targets(setting), latents.walks_to_built(setting, dictionary)
    found = {"real-other": plain} | dict.fromkeys(built.kind.values.tolist(), built) | {"random": plain}
    return {kind: walk.sel(kind=kind) for kind, walk in found.items()}


def steepest_towards(walks: dict[str, xr.Dataset], effect: str) -> xr.DataArray:
    """Position of the steepest step of an effect along walks [prompt, kind], in % of the way."""
    found = [(100 * quantities.steepest(walk[effect])).reset_coords("kind", drop=True) for walk in walks.values()]
    return xr.concat(found, xr.Variable("kind", list(walks))).assign_attrs(unit="% of the way")


def lowered(moves: xr.Dataset) -> xr.DataArray:
    """Whether each move lowers the threshold of its direction [prompt, moved_along, direction]; censored sizes are infinite."""
    (move,) = set(moves.moved.dims) - {"prompt", "moved_along"}
    return (moves.moved.fillna(np.inf) < moves.whole.fillna(np.inf)).rename({move: "direction"})


def change(moves: xr.Dataset) -> xr.DataArray:
    """Threshold angle after each move minus the unmoved target's [prompt, moved_along, move]; NaN where one is censored."""
    labels = {"description": "change of the threshold angle", "unit": "degrees"}
    return (moves.moved - moves.whole).transpose("prompt", "moved_along", ...).assign_attrs(labels)


def ratio_against_l0(errors: dict[str, xr.DataArray], l0: list[float]) -> xr.Dataset:
    """Rank correlation, over SAEs, of the ratio of mean KL (SAE error over isotropic) with L0.

    Args:
        errors: SAE -> KL [prompt, kind], in the order of `l0`.
    """
    together = xr.concat([kl.sel(kind=["SAE error", "isotropic"]) for kl in errors.values()], "sae")
    return estimates.estimate(
        lambda kl: statistics.spearman(np.array(l0), kl[..., 0].mean(0) / kl[..., 1].mean(0)),
        together.transpose("prompt", "sae", "kind"), within=("sae", "kind"), unit="",
    )  # fmt: skip


def steps_against_l0(steps: dict[str, xr.DataArray], l0: list[float]) -> xr.Dataset:
    """Rank correlation, over SAEs, of the mean KL of steps along active latents with L0.

    Args:
        steps: SAE -> KL [prompt, kind, direction], in the order of `l0`.
    """
    means = [kl.sel(kind="active", drop=True).mean("direction") for kl in steps.values()]
    return estimates.estimate(
        lambda kl: statistics.spearman(np.array(l0), kl.mean(0)),
        xr.concat(means, "sae").transpose("prompt", "sae"), within=("sae",), unit="",
    )  # fmt: skip


def fixed_count(architecture: str) -> str | None:
    """Why the number of latents that an encoder switches on says nothing, if it does not."""
    return "a TopK encoder switches on as many latents for any input" if architecture == "topk" else None


# Alignment ----------------------------------------------------------------------------------------------------------


def _labelled(setting: Setting, kinds: Sequence[str], found: list[torch.Tensor], description: str) -> xr.DataArray:
    """Values [n_prompts, k] of each kind as [prompt, kind, direction]."""
    return xr.DataArray(
        torch.stack(found, 1).numpy(),
        dims=("prompt", "kind", "direction"),
        coords={"kind": list(kinds), "document": ("prompt", setting.documents)},
        attrs={"description": description},
    )


def nearest_latent(setting: Setting, dictionary: Dictionary, kinds: Sequence[str], k: int = 2) -> xr.DataArray:
    """`latents.alignment` of k directions of each kind [prompt, kind, direction]."""
    found = [latents.alignment(setting, dictionary, kind, k) for kind in kinds]
    return _labelled(setting, kinds, found, "largest cosine with a latent")


def share_in_span(setting: Setting, dictionary: Dictionary, kinds: Sequence[str], k: int = 2) -> xr.DataArray:
    """`latents.alignment_with_active` of k directions of each kind [prompt, kind, direction]."""
    found = [latents.alignment_with_active(setting, dictionary, kind, setting.draws(k)) for kind in kinds]
    return _labelled(setting, kinds, found, "share in the span of active latents")


def optimum_share(setting: Setting, dictionary: Dictionary, n_prompts: int) -> xr.Dataset:
    """Rank correlation, over prompts, of a real-other direction's share in the span of active latents with its margin.

    The direction is that of the real-other corner of chapter 4, the margin that by which the corner is a local minimum.
    """
    margins = optima.corner_statistics(optima.triangle_sections(setting, "triangles", n_prompts)).margin
    draws = setting.draws(3, "triangle")
    share = latents.alignment_with_active(setting, dictionary, "real-other", draws)[:, None, :1]
    share = _labelled(setting, ["real-other"], [share[:, 0]], "share in the span of active latents")
    return estimates.spearman(share.isel(kind=0, direction=0, drop=True), margins.sel(section="real-other", drop=True))


def sooner(sizes: xr.DataArray, of: str) -> xr.DataArray:
    """Whether sizes of one kind are below the median random direction of the prompt [prompt, direction]."""
    sizes = sizes.fillna(np.inf)
    return sizes.sel(kind=of, drop=True) < sizes.sel(kind="random", drop=True).median("direction")


# Several SAEs -------------------------------------------------------------------------------------------------------


def by_sae(statistic: Callable[[xr.DataArray], xr.Dataset], samples: dict[str, xr.DataArray]) -> xr.Dataset:
    """Estimates of a sample of each SAE, over [sae, ...]."""
    return estimates.together({name: statistic(sample) for name, sample in samples.items()}, "sae")


def error_ratio(kl: xr.DataArray) -> xr.Dataset:
    """Mean KL of the SAE's error over that of each other step of its length, over [kind], from KL [prompt, kind]."""
    return estimates.ratio_of_means(kl, "kind", of="SAE error")


def switched_on(setting: Setting, dictionaries: Sequence[Dictionary]) -> xr.DataArray:
    """`latents.codes_switched_on` [sae, kind, vector]."""
    found = {d.name: latents.codes_switched_on(setting, d) for d in dictionaries}
    kinds = list(next(iter(found.values())))
    counts = np.array([[counts[kind] for kind in kinds] for counts in found.values()])
    return xr.DataArray(counts, dims=("sae", "kind", "vector"), coords={"sae": list(found), "kind": kinds})


def decimal_logarithms(counts: xr.DataArray, sae: str) -> xr.DataArray:
    """log10 of the numbers switched on of one SAE [kind, vector]; none counts as one."""
    return np.log10(counts.sel(sae=sae, drop=True).clip(min=1)).assign_attrs(
        description=f"log10 of latents switched on, {sae}"
    )


# Single latents -----------------------------------------------------------------------------------------------------


def mean_angles(single: xr.Dataset) -> xr.DataArray:
    """Mean threshold angle of each latent over fixed prompts [latent], degrees; censored angles count as the limit."""
    return _fixed(single).mean("prompt")


def _fixed(single: xr.Dataset) -> xr.DataArray:
    """Threshold angles [latent, prompt] without the documents: here latents are resampled, at the same prompts."""
    sizes = single.threshold.drop_vars("document", errors="ignore").transpose("latent", "prompt")
    return sizes.fillna(sizes.attrs["limit"])


def relations(single: xr.Dataset) -> xr.Dataset:
    """Over [quantity]: reliability of mean angles, and their rank correlations with what else is known of the latents."""
    angles = mean_angles(single)
    found = {
        "split-half reliability over prompts": estimates.estimate(
            statistics.split_half, _fixed(single), over="latent", within=("prompt",), unit=""
        )
    }
    found |= {
        f"rank correlation with {name}": estimates.spearman(angles, single[name], over="latent")
        for name in ("frequency", "cosine", "purity")
    }
    return estimates.together(found, "quantity")


# Control ------------------------------------------------------------------------------------------------------------


def half_way_separation(curves: dict[str, xr.Dataset]) -> xr.Dataset:
    """Over [network, kind]: AUROC of a kind against active latents, by where L2 reaches half of its own value at 90°.

    Args:
        curves: network -> `latents.relative_curves`.
    """
    found = {
        name: estimates.auroc(quantities.share_crossing(curve.l2, 0.5, end=90), "kind", against="active", n_boot=1000)
        for name, curve in curves.items()
    }
    return estimates.together(found, "network")
