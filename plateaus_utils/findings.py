"""Experiments -> the headline quantities of the chapters, labelled: what their statements are judged by."""

import numpy as np
import xarray as xr

from . import estimates, quantities, statistics
from .effects import EFFECTS
from .experiments import latents, optima
from .sensitivity import KL_THRESHOLD

# Chapter 2 ----------------------------------------------------------------------------------------------------------


def flat_share(planes: xr.Dataset) -> float:
    """Share of the area of planes that lies below the KL threshold of the nearest of their three corners."""
    return float((planes.kl.min("corner") < KL_THRESHOLD).mean())


def chord(degrees: float, end: float) -> float:
    """How far a linear map's output has moved along the sphere at an angle, as a share of where it is at the angle `end`."""
    return float(np.sin(np.deg2rad(degrees) / 2) / np.sin(np.deg2rad(end) / 2))


# Chapter 3 ----------------------------------------------------------------------------------------------------------


def earlier(sizes: xr.DataArray, of: str, against: str) -> xr.DataArray:
    """Whether a prompt's median size of one kind is below that of another [prompt]; censored sizes are infinite."""
    medians = sizes.fillna(np.inf).median("direction")
    return medians.sel(kind=of, drop=True) < medians.sel(kind=against, drop=True)


def relative_pairs(pairs: xr.Dataset) -> xr.DataArray:
    """d(t)/d(1) of linear paths between activations [prompt, t], at the last block's output."""
    distance = pairs.from_start.sel(interpolation="linear", read="resid_post", drop=True)
    return distance / distance.isel(t=-1, drop=True)


def slopes(pairs: dict[str, xr.Dataset]) -> xr.DataArray:
    """Maximal slopes of linear paths between activations [prompt, last_token], by sort of pair."""
    found = [
        quantities.max_slope(pair.sel(interpolation="linear", read="resid_post", drop=True)) for pair in pairs.values()
    ]
    return xr.concat(found, xr.Variable("last_token", list(pairs)))


def steepest_steps(walks: xr.Dataset) -> xr.Dataset:
    """Position of the steepest step of `l2` and `kl` along walks [prompt, kind], in % of the way."""
    return xr.Dataset(
        {effect: (100 * quantities.steepest(walks[effect])).assign_attrs(unit="%") for effect in ("l2", "kl")}
    )


# Chapter 4 ----------------------------------------------------------------------------------------------------------


def corners(sections: xr.Dataset) -> xr.Dataset:
    """`optima.corner_statistics` [prompt, section] with the documents of the prompts."""
    return optima.corner_statistics(sections).assign_coords(document=sections.document)


def first_is_lowest(sections: xr.Dataset) -> xr.DataArray:
    """Whether the first corner of an all-Gaussian section is the lowest of the three [prompt]; one in three by chance."""
    places = optima.corner_indices(sections.weight.values)
    sizes = sections.threshold.sel(section="random", drop=True).isel(point=places).fillna(np.inf)
    return sizes.argmin("point") == 0


# Chapter 5 ----------------------------------------------------------------------------------------------------------


def by_number_of_latents(spread: xr.DataArray) -> xr.Dataset:
    """Median threshold sizes along sums of k latents, over [variant, k], from sizes whose kinds are called `variant/k`."""
    rows = [
        estimates.median(
            spread.sel(kind=[f"{variant}/{k}" for k in latents.SPREAD]).assign_coords(kind=list(latents.SPREAD))
        )
        for variant in latents.SUMS
    ]
    parts = [row[list(estimates.PARTS)].rename(kind="k") for row in rows]
    found = xr.concat(parts, xr.Variable("variant", list(latents.SUMS))).assign(rows[0][["n", "n_documents"]])
    return found.assign_coords(k=("k", list(latents.SPREAD), {"description": "number of latents k"}))


def latent_sizes(sizes: xr.DataArray, along: xr.DataArray, kinds: list[str]) -> xr.DataArray:
    """Threshold sizes along some kinds of direction and along latents, as one array [prompt, kind, direction]."""
    return xr.concat([sizes.sel(kind=kinds), along], "kind", combine_attrs="override")


def steepest_towards(walks: dict[str, xr.Dataset], effect: str) -> xr.DataArray:
    """Position of the steepest step of an effect along walks [prompt, kind], in % of the way."""
    found = [(100 * quantities.steepest(walk[effect])).reset_coords("kind", drop=True) for walk in walks.values()]
    return xr.concat(found, xr.Variable("kind", list(walks))).assign_attrs(unit="% of the way")


def lowered(moves: xr.Dataset) -> xr.DataArray:
    """Whether each move lowers the threshold of its direction [prompt, moved_along, direction]; censored sizes are infinite."""
    return (moves.moved.fillna(np.inf) < moves.whole.fillna(np.inf)).rename(move="direction")


def labelled_like(values: np.ndarray, sizes: xr.DataArray) -> xr.DataArray:
    """Values [n_prompts, n_directions] with the labels of threshold sizes [prompt, direction]."""
    return sizes.transpose("prompt", "direction").copy(data=values).assign_attrs(unit="")


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


# Chapter 6 ----------------------------------------------------------------------------------------------------------


def auroc_drop(early: xr.DataArray, late: xr.DataArray) -> xr.Dataset:
    """AUROC of random against real-other directions [prompt, kind, direction] at one block minus that at a later one."""

    def drop(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
        return statistics.auroc(a, b) - statistics.auroc(c, d)

    samples = [sizes.sel(kind=kind, drop=True) for sizes in (early, late) for kind in ("random", "real-other")]
    return estimates.estimate(drop, *samples, n_boot=1000, unit="")


def auroc_by_effect(curves: xr.Dataset) -> xr.Dataset:
    """AUROC of random against real-other directions over [effect], each at half the median value of its effect at 90°.

    Args:
        curves: effects [prompt, kind, direction, path_size] on the sphere.
    """
    found = {}
    for effect in ("kl", "l2", "l2_normalized"):
        sizes = quantities.crossing(curves[effect], float(curves[effect].sel(path_size=90).median()) / 2)
        found[EFFECTS[effect].axis] = estimates.auroc(sizes, "kind", "random", "real-other", n_boot=500)
    parts = [estimate[list(estimates.PARTS)] for estimate in found.values()]
    return xr.concat(parts, xr.Variable("effect", list(found))).assign(next(iter(found.values()))[["n", "n_documents"]])
