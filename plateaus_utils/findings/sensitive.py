"""Chapter 3: which directions matter sooner, and what their effect belongs to."""

import numpy as np
import xarray as xr

from .. import contrasts, estimates, kinds, quantities
from ..experiments import sensitive
from ..experiments.setting import Setting
from ..primaries.sensitive import slopes

AXES = kinds.measured("sphere")
"""Kinds of direction that are followed both ways on the sphere."""


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

    Four single numbers of a curve, and a classifier of whole curves that has not seen the curve's document. A censored angle
    counts as the limit.

    Args:
        kl: curves [prompt, kind, direction, path_size] on the sphere.
    """
    two = kl.sel(kind=list(sensitive.SEPARATED))
    angles = quantities.crossing(two)
    found = {
        "angle at KL 0.5": angles.fillna(angles.attrs["limit"]),
        "steepest step": quantities.steepest(two),
        "area up to 90°": -quantities.area(two, 90),
        "10–90 % rise": quantities.rise(two, 90),
        "whole curve, held out": quantities.held_out_scores(two.sel(kind="random"), two.sel(kind="real-other")),
    }
    return xr.concat(found.values(), xr.Variable("classifier", list(found)), combine_attrs="drop")


def classifier_aurocs(scores: xr.DataArray) -> xr.Dataset:
    """Within-prompt AUROC of each of `classifier_scores` over [classifier], the last row being what the whole curve gains."""
    found = contrasts.auroc(scores, "kind", "random", "real-other")
    simple, *_, whole = scores.classifier.values.tolist()
    gain = found.sel(classifier=whole, drop=True) - found.sel(classifier=simple, drop=True)
    gain = gain.expand_dims(classifier=[f"whole curve minus {simple}"])
    return estimates.document_means(xr.concat([found, gain], "classifier"))


# Direction, arrival, or the mean ------------------------------------------------------------------------------------


def cut_short(sizes: xr.DataArray, arrival: xr.DataArray) -> xr.DataArray:
    """Threshold angles [prompt, kind, direction] censored beyond half of the arrival angle [prompt, direction] beside them."""
    return sizes.where(sizes < arrival / 2)


def both_ways(sizes: xr.DataArray) -> xr.DataArray:
    """Threshold angles both ways along AXES and their parts [part, prompt, kind, direction]; censored ones count as limits.

    `towards` and `away` are the angles θ₊ and θ₋ towards the target and away from it, `even` is their mean (θ₊ + θ₋)/2, `odd`
    half their difference (θ₊ - θ₋)/2, negative where the target's side matters sooner.
    """
    known = sizes.fillna(sizes.attrs["limit"])
    ahead = known.sel(kind=list(AXES))
    back = known.sel(kind=["-" + kind for kind in AXES]).assign_coords(kind=list(AXES))
    parts = {"towards": ahead, "away": back, "even": (ahead + back) / 2, "odd": (ahead - back) / 2}
    found = xr.concat(parts.values(), xr.Variable("part", list(parts)), combine_attrs="drop")
    return found.assign_attrs(unit="degrees")


def mean_parts(parts: xr.DataArray) -> xr.Dataset:
    """Means over documents of `both_ways` over [kind, part]."""
    return estimates.document_means(parts.mean("direction", keep_attrs=True)).transpose("kind", "part")


EFFECTS = {
    "targets": ("random", "real-other"),
    "deviations": ("random deviation", "real deviation"),
    "mixtures": ("random mixture", "real mixture"),
}
"""How the Gaussian and the real kind of direction are called, with base and mean, without either, and as differences."""


def real_effects(parts: xr.DataArray) -> xr.Dataset:
    """Gaussian minus real kind of EFFECTS in the angles and parts of `both_ways`, over [effect, part]."""
    found = {name: estimates.within_difference(parts, "kind", *pair) for name, pair in EFFECTS.items()}
    return estimates.together(found, "effect")


def deviation_gain(parts: xr.DataArray) -> xr.Dataset:
    """How much larger the effect is between deviations than between targets."""
    towards = parts.sel(part="towards", drop=True)
    targets, deviations = (contrasts.difference(towards, "kind", *EFFECTS[name]) for name in ("targets", "deviations"))
    return estimates.document_mean((deviations - targets).assign_attrs(targets.attrs))


def angles_by_rank(setting: Setting) -> xr.Dataset:
    """Mean threshold angles of `many_directions`, minus their prompt's mean, over [kind, rank].

    Directions are ranked in each prompt by their cosine with the direction to the mean, the smallest first.
    """
    angles, cosines = sensitive.many_directions(setting).threshold, sensitive.cosines_with_mean(setting)
    known = angles.fillna(angles.attrs["limit"])
    relative = known - known.mean("direction")
    order = np.argsort(cosines.transpose(*relative.dims).values, axis=-1, kind="stable")
    ranked = relative.copy(data=np.take_along_axis(relative.values, order, -1)).rename(direction="rank")
    what = {"description": "rank of the cosine with the direction to the mean", "unit": ""}
    ranked = ranked.assign_coords(rank=("rank", np.arange(1, sensitive.N_MANY + 1), what))
    return estimates.document_means(ranked.transpose("kind", "rank", "prompt").assign_attrs(unit="degrees"))


def geometric_mean(slopes: xr.DataArray) -> xr.Dataset:
    """Geometric mean over documents of slopes [prompt]; a few of them are many times the rest."""
    return estimates.exponential(estimates.document_mean(np.log(slopes).assign_attrs(unit="")))


def token_slopes(setting: Setting) -> xr.DataArray:
    """Maximal slopes towards an activation of the same and of another last token [prompt, last_token].

    NaN where no other document's prompt ends in the same token.
    """
    pairs = {"same token": sensitive.same_token_pairs(setting), "other token": sensitive.other_token_pairs(setting)}
    return xr.concat([slopes(pair) for pair in pairs.values()], xr.Variable("last_token", list(pairs)))
