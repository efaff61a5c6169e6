"""Chapter 5: whether latents of an SAE behave like the model's own features."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from .. import contrasts, estimates, quantities, statistics
from ..experiments import latents
from ..saes import BANDS, Dictionary
from ..sensitivity import NOISE_FLOOR


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


def change(moves: xr.Dataset) -> xr.DataArray:
    """Threshold angle after each move minus the unmoved target's [prompt, moved_along, move]; NaN where one is censored."""
    labels = {"description": "change of the threshold angle", "unit": "degrees"}
    return (moves.moved - moves.whole).transpose("prompt", "moved_along", ...).assign_attrs(labels)


def fixed_count(architecture: str) -> str | None:
    """Why the number of latents that an encoder switches on says nothing, if it does not."""
    return "a TopK encoder switches on as many latents for any input" if architecture == "topk" else None


# Kinds of direction and bands ---------------------------------------------------------------------------------------


def above(sizes: xr.DataArray, reference: str) -> xr.Dataset:
    """Within-prompt AUROC over [kind]: a reference above each other kind of sizes [prompt, kind, direction]."""
    others = [kind for kind in sizes.kind.values.tolist() if kind != reference]
    found = [contrasts.auroc(sizes, "kind", reference, kind) for kind in others]
    return over_kinds(xr.concat(found, xr.Variable("kind", others), combine_attrs="override"))


def by_band(statistic: Callable[[xr.DataArray], xr.Dataset], sample: xr.DataArray, bands: xr.DataArray) -> xr.Dataset:
    """A statistic of the latents of each frequency band, over [..., band], where prompts have one.

    Args:
        statistic: such as `estimates.mean`.
        sample: [prompt, direction, ...]; censored sizes count as their limit.
        bands: [prompt, direction] the band of each direction's latent, see `latents.active_bands`.
    """
    known = sample.fillna(sample.attrs["limit"]) if "limit" in sample.attrs else sample
    found = {}
    for band in BANDS:
        of_prompts = known.where(bands == band).mean("direction")
        has_one = (bands == band).any("direction").values
        if has_one.any():
            found[band] = statistic(of_prompts.isel(prompt=has_one))
    return estimates.together(found, "band").transpose(..., "band")


def over_kinds(sample: xr.DataArray) -> xr.Dataset:
    """Means over documents of samples [prompt, kind], over [kind]."""
    found = {kind: estimates.document_mean(sample.sel(kind=kind, drop=True)) for kind in sample.kind.values.tolist()}
    return estimates.together(found, "kind")


# Several SAEs -------------------------------------------------------------------------------------------------------


def logarithms(kl: xr.DataArray) -> xr.DataArray:
    """Logarithms of KL divergences, which are at least the noise floor."""
    return np.log(kl.clip(NOISE_FLOOR)).assign_attrs(unit="")


def log_ratios(kl: xr.DataArray, of: str) -> xr.DataArray:
    """Logarithms of the KL divergence of one kind over that of each other kind [..., kind]."""
    logs = logarithms(kl)
    others = [kind for kind in kl.kind.values.tolist() if kind != of]
    return logs.sel(kind=of, drop=True) - logs.sel(kind=others)


def geometric_mean(logs: xr.DataArray) -> xr.Dataset:
    """Geometric mean of what has these logarithms [prompt, ...], over the dimensions that are kept."""
    return estimates.exponential(estimates.mean(logs))


def of_one_architecture(dictionaries: Sequence[Dictionary]) -> dict[str, float]:
    """L0 of each TopK SAE by name, so that SAEs differ in sparsity alone; of all where there is none."""
    return {d.name: d.l0 for d in dictionaries if d.sae.cfg.architecture() == "topk"} or {
        d.name: d.l0 for d in dictionaries
    }


def ratio_against_l0(errors: xr.DataArray, l0: dict[str, float]) -> xr.Dataset:
    """Rank correlation, over SAEs, of the ratio of KL divergences (SAE error over isotropic) with L0.

    Args:
        errors: KL [sae, prompt, kind].
        l0: SAE -> its L0, of those that count.
    """
    return _against_l0(log_ratios(errors, "SAE error").sel(kind="isotropic", drop=True), l0)


def steps_against_l0(steps: xr.DataArray, l0: dict[str, float]) -> xr.Dataset:
    """Rank correlation, over SAEs, of the geometric mean KL of steps along active latents with L0.

    Args:
        steps: KL [sae, prompt, kind, direction].
        l0: SAE -> its L0, of those that count.
    """
    return _against_l0(logarithms(steps).sel(kind="active", drop=True).mean("direction"), l0)


def _against_l0(sample: xr.DataArray, l0: dict[str, float]) -> xr.Dataset:
    """The interval is over documents; how other SAEs of these sizes would turn out is not in it."""
    return estimates.estimate(
        lambda values: statistics.spearman(np.array(list(l0.values())), values.mean(0)),
        sample.sel(sae=list(l0)).transpose("prompt", "sae"), within=("sae",), unit="",
    )  # fmt: skip


# The encoder --------------------------------------------------------------------------------------------------------


def decimal_logarithms(counts: xr.DataArray) -> xr.DataArray:
    """log10 of the numbers of latents switched on [prompt, kind]; no latent counts as one."""
    return np.log10(counts.clip(1)).assign_attrs(description="log10 of latents switched on", unit="")


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
