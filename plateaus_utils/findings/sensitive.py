"""Chapter 3: which directions matter sooner, and what their effect belongs to."""

import numpy as np
import xarray as xr

from .. import estimates, kinds, quantities, statistics
from ..experiments import sensitive
from ..experiments.setting import Setting

AXES = kinds.measured("sphere")
"""Kinds of direction that are followed both ways on the sphere."""


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
        {
            effect: (100 * quantities.steepest(walks[effect])).assign_attrs(
                description=f"steepest step of {effect.upper()}", unit="% of the way"
            )
            for effect in ("l2", "kl")
        }
    )


def nearest_real(setting: Setting) -> list[xr.DataArray]:
    """`sensitive.nearest_real` in straight and in sphere mode."""
    return [sensitive.nearest_real(setting, mode) for mode in ("straight", "sphere")]


def flipped_at_threshold(curves: xr.Dataset, sizes: xr.DataArray) -> xr.DataArray:
    """Share of another top token at the median threshold size of each kind [kind]; at the limit where that is censored.

    Args:
        curves: `top_changed` [prompt, kind, direction, path_size].
        sizes: threshold sizes [prompt, kind, direction].
    """
    shares = curves.top_changed.mean(("prompt", "direction"))
    middle = estimates.median(sizes, n_boot=1).value.clip(max=sizes.attrs["limit"])
    return xr.concat(
        [shares.sel(kind=kind).interp(path_size=float(middle.sel(kind=kind))) for kind in middle.kind.values],
        "kind",
        coords="minimal",
        compat="override",
    ).drop_vars("path_size")


# Classifiers --------------------------------------------------------------------------------------------------------


def classifier_scores(kl: xr.DataArray) -> xr.DataArray:
    """What tells random from real-other directions, larger for random ones [classifier, kind, prompt, direction].

    Four single numbers of a curve, and a classifier of whole curves that has not seen the curve's document.

    Args:
        kl: curves [prompt, kind, direction, path_size] on the sphere.
    """
    two = kl.sel(kind=["random", "real-other"])
    found = {
        "angle at KL 0.5": quantities.crossing(two),
        "steepest step": quantities.steepest(two),
        "area up to 90°": -quantities.area(two, 90),
        "10–90 % rise": quantities.rise(two, 90),
        "whole curve, held out": quantities.held_out_scores(two.sel(kind="random"), two.sel(kind="real-other")),
    }
    return xr.concat(found.values(), xr.Variable("classifier", list(found)), combine_attrs="drop")


def classifier_aurocs(scores: xr.DataArray) -> xr.Dataset:
    """AUROC of each of `classifier_scores` over [classifier], the last row being what the whole curve gains."""
    found = estimates.auroc(scores, "kind", "random", "real-other", n_boot=1000)
    rows = {name: found.sel(classifier=name, drop=True) for name in scores.classifier.values.tolist()}
    simple, *_, whole = rows
    both = (scores.sel(classifier=name, drop=True) for name in (whole, simple))
    gain = estimates.auroc_gain(*both, "kind", "random", "real-other", n_boot=1000)
    return estimates.together(rows | {f"whole curve minus {simple}": gain}, "classifier")


# Direction, arrival, or the mean ------------------------------------------------------------------------------------


def cosines_with_base(setting: Setting) -> xr.DataArray:
    """`sensitive.cosines_with_base` [prompt, kind, direction] with the documents of the prompts."""
    return sensitive.cosines_with_base(setting).assign_coords(document=("prompt", setting.documents))


def arrival_angles(setting: Setting) -> xr.DataArray:
    """Angles between a base and its real-other targets [prompt, direction], degrees."""
    found = sensitive.arrival_angles(setting)
    return xr.DataArray(found, dims=("prompt", "direction"), coords={"document": ("prompt", setting.documents)})


def cut_short(sizes: xr.DataArray, arrival: xr.DataArray) -> xr.DataArray:
    """Threshold angles [prompt, kind, direction] censored beyond half of the arrival angle [prompt, direction] beside them."""
    return sizes.where(sizes < arrival / 2)


def even_parts(sizes: xr.DataArray) -> xr.Dataset:
    """How sensitive each axis is, over [kind]; see `estimates.even`."""
    return estimates.together({kind: estimates.even(sizes, kind) for kind in AXES}, "kind")


def odd_parts(sizes: xr.DataArray) -> xr.Dataset:
    """How much sooner the target's side of each axis matters, over [kind]; see `estimates.odd`."""
    return estimates.together({kind: estimates.odd(sizes, kind) for kind in AXES}, "kind")


def even_gain(sizes: xr.DataArray, of: str, against: str) -> xr.Dataset:
    """Even part of one kind minus that of another."""

    def gain(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
        return statistics.even(a, b) - statistics.even(c, d)

    return estimates.estimate(gain, *estimates.both_ways(sizes, of), *estimates.both_ways(sizes, against))


def same_token_slopes(setting: Setting, other: xr.Dataset) -> xr.DataArray:
    """Maximal slopes towards an activation of the same and of another last token [prompt, last_token].

    Args:
        setting: the one that `other` is of.
        other: `plateaus.pair_paths` to activations drawn at random; only prompts whose target there ends in another token,
            and that have a target of the same token, are kept.
    """
    same, has_same = sensitive.same_token_pairs(setting)
    drawn = setting.draws(1, "pairs").real_index[:, 0]
    different = setting.others.tokens[drawn, -1] != setting.bases.tokens[:, -1]
    found = slopes({"same token": same, "other token": other}).isel(prompt=has_same & different.numpy())
    return found.assign_attrs(description="maximal slope")
